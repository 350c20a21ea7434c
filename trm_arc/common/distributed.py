"""The processes of a run: one, or several that `accelerate launch` started, each with a share of every batch.

Nothing is wrapped: a step sums gradients over the processes itself, so that there is one code path for all.
"""

import os

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce
from torch import Tensor

from trm_arc.common.errors import InputError

_HALF = (torch.bfloat16, torch.float16)


class ProcessGroup:
    """The processes that train or answer together, seen from this one, which has number `rank` (from 0) of `count`."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

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
    return ProcessGroup(state.process_index, state.num_processes)
