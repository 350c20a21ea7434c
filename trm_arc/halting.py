"""Rows in flight: a row that halted takes the next puzzle, the others go on with theirs (adaptive computation time)."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trm_arc.model import HALT, Reasoner, State


class Batch(NamedTuple):
    """Puzzles: tokens (B, H, W) and labels (B, H, W), uint8; the rows (B,) of their task embeddings, int64; and the transforms
    (B, 11) that they are seen under, uint8."""

    tokens: Tensor
    labels: Tensor
    rows: Tensor
    transforms: Tensor


@dataclass
class Carry:
    """What a training step leaves to the next.

    Attributes:
        state: answers and scratch states, (B, L, D) each.
        batch: the puzzles that the rows work on.
        steps: int32 (B,), supervision steps done.
        halted: bool (B,), rows that take a new puzzle next.
    """

    state: State
    batch: Batch
    steps: Tensor
    halted: Tensor


def first_carry(reasoner: Reasoner, batch: Batch, dtype: torch.dtype) -> Carry:
    """A carry whose rows have all halted, so that they take whatever comes first."""
    count, height, width = batch.tokens.shape
    start = reasoner.start(count, height, width, dtype)
    state = State(start.y.contiguous(), tuple(part.contiguous() for part in start.z))
    device = batch.tokens.device
    return Carry(
        state,
        Batch(*(torch.zeros_like(part) for part in batch)),
        torch.zeros(count, dtype=torch.int32, device=device),
        torch.ones(count, dtype=torch.bool, device=device),
    )


def refill(reasoner: Reasoner, carry: Carry, batch: Batch) -> Carry:
    """Give the rows that halted the puzzles of `batch` and the initial state; nothing waits for the device."""
    halted = carry.halted
    count, height, width = batch.tokens.shape
    start = reasoner.start(count, height, width, carry.state.y.dtype)

    def choose(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(halted.view(-1, *(1,) * (new.ndim - 1)), new, old)

    return Carry(
        State(choose(start.y, carry.state.y), tuple(map(choose, start.z, carry.state.z))),
        Batch(*map(choose, batch, carry.batch)),
        torch.where(halted, 0, carry.steps),
        torch.zeros_like(halted),
    )


def decide(halting: Tensor, steps: Tensor, halt_steps: int, exploration: float, generator: torch.Generator) -> Tensor:
    """Which rows stop after this training step.

    A row stops at `halt_steps`, or when its halting logit is above 0; but with probability `exploration` it must go on for at
    least a number of steps drawn from 2 to `halt_steps`.

    Args:
        halting: (B, 2) halting logits.
        steps: (B,) steps done, this one included.
        halt_steps: limit.
        exploration: probability.
        generator: on the device of the tensors.
    """
    last = steps >= halt_steps
    if halt_steps == 1:
        return last
    device = halting.device
    explores = torch.rand(steps.shape, generator=generator, device=device) < exploration
    at_least = torch.randint(2, halt_steps + 1, steps.shape, generator=generator, device=device)
    return last | ((halting[:, HALT] > 0) & (steps >= torch.where(explores, at_least, 0)))
