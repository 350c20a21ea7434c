"""The processes of a run: one, or several that `accelerate launch` started, each with a share of every batch.

Nothing is wrapped: a step sums gradients over the processes itself, so that there is one code path for all.
"""

import os
import re
import sys
from collections.abc import Sequence

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce
from torch import Tensor
from torch.distributed import DistError

from trm_arc.common.errors import InputError, LostProcessError
from trm_arc.common.launch import count_processes, launch_number
from trm_arc.common.peers import ADVICE, Patience, Peers
from trm_arc.common.text import first_words

_HALF = (torch.bfloat16, torch.float16)
_LOST = re.compile("gloo|NCCL|Connection (closed|reset)|Broken pipe")  # in an error that the end of another process causes
_LAUNCH = (  # flags of accelerate launch, the variables that carry them, and what these say without the flag
    ("--mixed_precision", "ACCELERATE_MIXED_PRECISION", "no"),
    ("--dynamo_backend", "ACCELERATE_DYNAMO_BACKEND", "no"),
    ("--use_fsdp", "ACCELERATE_USE_FSDP", "false"),
    ("--use_deepspeed", "ACCELERATE_USE_DEEPSPEED", "false"),
    ("--use_megatron_lm", "ACCELERATE_USE_MEGATRON_LM", "false"),
    ("--use_parallelism_config", "ACCELERATE_USE_PARALLELISM_CONFIG", "false"),
    ("--gradient_accumulation_steps", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1"),
    ("--gradient_clipping", "ACCELERATE_GRADIENT_CLIPPING", "none"),
)


class ProcessGroup:
    """The processes that train or answer together, seen from this one, which has number `rank` (from 0) of `count`."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def on_this_machine(self) -> int:
        """How many of the processes share this machine's memory."""
        return min(self.count, launch_number("LOCAL_WORLD_SIZE", self.count))

    def shard(self, rows: int) -> slice:
        """The rows of a batch of `rows` that are this process's.

        Raises:
            InputError: they cannot be shared evenly.
        """
        if rows % self.count:
            raise InputError(
                f"{rows} samples cannot be shared evenly by {self.count} processes; use a multiple", flag="batch_size"
            )
        share = rows // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        return tensor if self.count == 1 else reduce(tensor, "sum")

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, concatenated; each must have the same number."""
        if self.count == 1:
            return tensor
        if tensor.dtype in _HALF:  # not every backend moves them, but all move bytes
            return gather(tensor.contiguous().view(torch.uint8)).view(tensor.dtype)
        return gather(tensor.to(torch.uint8)).to(torch.bool) if tensor.dtype == torch.bool else gather(tensor)

    def gather_on_host(self, tensor: Tensor) -> Tensor | None:
        """The rows of all processes in the main process's host memory, None for the others; its device holds one tensor of all.

        A process that is alone keeps its tensor where it is.
        """
        if self.count == 1:
            return tensor
        raw = tensor.contiguous().view(torch.uint8)  # not every backend moves every type, but all move bytes
        parts = [torch.empty_like(raw) for _ in range(self.count)] if self.is_main else None
        torch.distributed.gather(raw, parts)
        return torch.cat([part.cpu() for part in parts]).view(tensor.dtype) if self.is_main else None

    def least(self, counts: Sequence[int], device: torch.device) -> list[int]:
        """Of each count the smallest of all processes', sent through the device."""
        return self.gather(torch.tensor([counts], device=device)).amin(dim=0).tolist() if self.count > 1 else list(counts)

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The main process's tensor."""
        return tensor if self.count == 1 else broadcast(tensor)

    def broadcast_flag(self, flag: bool, device: torch.device) -> bool:
        """The main process's `flag`, sent through the device."""
        return flag if self.count == 1 else bool(self.broadcast(torch.tensor(float(flag), device=device)))


_peers: list[Peers] = []  # of this process's run, if it is one of several


def share_failure(error: Exception, peers: Sequence[Peers] = _peers) -> None:
    """Tell the other processes of the run, if there are some, of an error that ends this one.

    Raises:
        LostProcessError: in place of an error of an exchange with another process, which has ended.
    """
    if not peers:
        return
    exchange = isinstance(error, DistError) or (isinstance(error, RuntimeError) and _LOST.search(str(error)))
    if exchange and (failure := peers[0].describe_failure()):
        raise LostProcessError(f"{failure}; {ADVICE}") from None
    peers[0].fail(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {first_words(error)}")


def leave_process_group() -> bool:
    """Leave the group when all processes are done; one that simply exited would abort in the group's threads.

    Returns:
        Whether there were others.
    """
    if _peers:
        _peers[0].leave()  # no barrier: that has a time limit, and one process may write a report for an hour
        torch.distributed.destroy_process_group()
    return bool(_peers)


def find_process_group(*, cpu: bool, patience: Patience = Patience()) -> ProcessGroup:  # noqa: B008 it is immutable
    """The group of processes that were launched together, which compute on the CPU or not; a program started alone is alone.

    Raises:
        InputError: the environment says what cannot be.
    """
    if os.environ.get("RANK", "0") == "0" and (unused := unused_launch_settings()):
        print(unused, file=sys.stderr)
    if count_processes() == 1:
        return ProcessGroup()
    state = PartialState(cpu=cpu)
    if not _peers:
        _peers.append(Peers(state.process_index, state.num_processes, patience))
    return ProcessGroup(state.process_index, state.num_processes)


def unused_launch_settings() -> str:
    """A sentence on the options of `accelerate launch` that a run does not use; empty if there is nothing."""
    given = [flag for flag, name, idle in _LAUNCH if os.environ.get(name, idle).lower() not in (idle, "false", "0")]
    return f"accelerate launch: {', '.join(given)} does nothing here; the run has flags of its own" if given else ""
