"""The processes of a run: one, or several that `accelerate launch` started, each with a share of every batch.

Nothing is wrapped: a step sums gradients over the processes itself, so that there is one code path for all.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce
from torch import Tensor
from torch.distributed import TCPStore

from trm_arc.common.errors import InputError

_HALF = (torch.bfloat16, torch.float16)
SILENCE = 300.0  # seconds without a sign of life after which a process is given up: the others would wait for it for ever
BEAT = 2.0  # seconds between signs of life


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
        return min(self.count, int(os.environ.get("LOCAL_WORLD_SIZE", self.count)))

    def shard(self, rows: int) -> slice:
        """The rows of a batch of `rows` that are this process's.

        Raises:
            InputError: they cannot be shared evenly.
        """
        if rows % self.count:
            raise InputError(f"{rows} rows cannot be shared evenly by {self.count} processes; use a multiple", flag="batch_size")
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
        """The rows of all processes in the main process's host memory, None for the others; so that no device need hold them all.

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


def leave_process_group() -> bool:
    """Leave the group when all processes are done; one that simply exited would abort in the group's threads.

    Returns:
        Whether there were others.
    """
    several = torch.distributed.is_available() and torch.distributed.is_initialized()
    if several:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return several


def find_process_group(*, cpu: bool) -> ProcessGroup:
    """The group of processes that were launched together, which compute on the CPU or not; a program started alone is alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup()
    state = PartialState(cpu=cpu)
    watch_others(state.process_index, state.num_processes)
    return ProcessGroup(state.process_index, state.num_processes)


@cache
def watch_others(rank: int, count: int) -> None:
    """End this process if another one shows no sign of life for `SILENCE` seconds, as one that was stopped.

    A process that takes long, but runs, is waited for.  Beats are counted, not seconds, so that a pause of the whole machine is
    no silence.
    """
    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, wait_for_workers=False)
    beats = [0] * count  # of each process, as last seen; of this one, how often it has looked

    def beat() -> None:
        with suppress(RuntimeError):  # the store is gone: process 0 has ended, at the end of the run or before
            while True:
                store.add(f"trm_arc/alive/{rank}", 1)
                for other in range(count):
                    if other != rank:
                        beats[other] = store.add(f"trm_arc/alive/{other}", 0)
                beats[rank] += 1
                time.sleep(BEAT)

    def watch() -> None:
        before, silent = list(beats), [0.0] * count
        while max(silent) < SILENCE:
            time.sleep(BEAT)
            silent = [0.0 if now > then else s + BEAT for now, then, s in zip(beats, before, silent, strict=True)]
            before = list(beats)
        lost = 0 if silent[rank] >= SILENCE else silent.index(max(silent))  # process 0 keeps the store of the beats
        why = f"process {lost} of {count} has shown no sign of life for {SILENCE:.0f} s: it was stopped, or its machine is gone"
        print(f"process {rank}: error: {why}; end it, and continue with --resume", file=sys.stderr, flush=True)
        os._exit(1)

    for task in (beat, watch):
        threading.Thread(target=task, daemon=True).start()
