"""A step that was not finite changes nothing, without a wait for the device: what it changed is put back on the device itself."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from trm_arc.common.device import Later
from trm_arc.data.batch import Batch


class Rollback:
    """Copies of what a step is about to change.

    Args:
        tensors: gives all tensors that may change; those that the step adds, such as an optimizer's memory, are put back to zero.
    """

    @torch.no_grad()
    def __init__(self, tensors: Callable[[], Iterable[Tensor]]) -> None:
        self.tensors = tensors
        now = list(tensors())
        self.before = {id(tensor): copy for tensor, copy in zip(now, map(torch.empty_like, now), strict=True)}
        here, there = _by_side(now)
        for side in (here, there):
            if side:
                torch._foreach_copy_([self.before[id(tensor)] for tensor in side], side)

    @torch.no_grad()
    def undo_unless(self, finite: Tensor) -> None:
        """Put back what the device holds unless `finite`, which only the device knows so far."""
        for tensor in _by_side(self.tensors())[1]:
            before = self.before.get(id(tensor))
            torch.where(finite, tensor, torch.zeros_like(tensor) if before is None else before, out=tensor)
        self.before = {key: copy for key, copy in self.before.items() if copy.device.type == "cpu" and not copy.ndim}

    @torch.no_grad()
    def undo_counts(self) -> None:
        """Put back what the host holds: the step counts of optimizers."""
        for tensor in _by_side(self.tensors())[0]:
            before = self.before.get(id(tensor))
            tensor.copy_(torch.zeros_like(tensor) if before is None else before)


def _by_side(tensors: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors without dimensions that the host holds, and all others: on a CPU, the device's are there, too."""
    host: list[Tensor] = []
    device: list[Tensor] = []
    for tensor in tensors:
        (host if tensor.device.type == "cpu" and not tensor.ndim else device).append(tensor)
    return host, device


class StepOutcome(NamedTuple):
    """A step whose outcome the host does not know yet.

    Attributes:
        step: its number, from 1.
        began: when it was begun, by `time.monotonic`.
        finite: whether loss and gradient were.
        scale: of its loss.
        batch: its puzzles.
        rollback: undoes what it may have changed.
        compiled: seconds that the compiler had taken when it was begun.
    """

    step: int
    began: float
    finite: Later
    scale: float
    batch: Batch
    rollback: Rollback
    compiled: float


class StepTiming(NamedTuple):
    """How long a step (from 0) took on the device, and whether anything was compiled meanwhile."""

    step: int
    seconds: float
    compiled: bool
