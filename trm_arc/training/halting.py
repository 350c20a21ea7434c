"""Active samples: one that halted takes the next puzzle, the others continue (adaptive computation time)."""

from typing import NamedTuple

import torch
from torch import Tensor

from trm_arc.data.batch import Batch
from trm_arc.model.reasoner import CONTINUE, HALT, State


class Carry(NamedTuple):
    """What a training step leaves to the next.

    Attributes:
        state: answers and scratch states, (B K, L, D) each.
        batch: the puzzles that the rows work on.
        steps: int32 (B,), supervision steps done.
        halted: bool (B,), rows that take a new puzzle next.
    """

    state: State
    batch: Batch
    steps: Tensor
    halted: Tensor

    def take(self, rows: slice, latents: int) -> "Carry":
        """Some of the rows, all `latents` of each."""
        batch = Batch(*(part[rows] for part in self.batch))
        return Carry(self.state.take(rows, latents), batch, self.steps[rows], self.halted[rows])

    @staticmethod
    def join(parts: list["Carry"]) -> "Carry":
        """The rows of all parts, concatenated."""
        batch = Batch(*(torch.cat(tensors) for tensors in zip(*(part.batch for part in parts), strict=True)))
        steps, halted = (torch.cat([getattr(part, name) for part in parts]) for name in ("steps", "halted"))
        return Carry(State.join([part.state for part in parts]), batch, steps, halted)


def first_carry(start: State, batch: Batch) -> Carry:
    """A carry whose rows have all halted, so that they take whatever comes first."""
    count, device = len(batch.tokens), batch.tokens.device
    return Carry(
        State(start.y.contiguous(), tuple(part.contiguous() for part in start.z)),
        Batch(*(torch.zeros_like(part) for part in batch)),
        torch.zeros(count, dtype=torch.int32, device=device),
        torch.ones(count, dtype=torch.bool, device=device),
    )


def take_puzzles(carry: Carry, batch: Batch, done: Tensor | None = None) -> Carry:
    """Give the rows that halted the puzzles of `batch`; nothing waits for the device.

    Args:
        done: int32 (B,), steps that these rows count as done already; none where it is None.
    """
    puzzles = (_choose(carry.halted, new, old) for new, old in zip(batch, carry.batch, strict=True))
    return carry._replace(batch=Batch(*puzzles), steps=torch.where(carry.halted, 0 if done is None else done, carry.steps))


def spread_steps(rows: range, halt_steps: int, device: torch.device) -> Tensor:
    """Steps (B,) that the first puzzles of a run count as done, so that they halt in different steps, and later ones begin so."""
    return torch.arange(rows.start, rows.stop, dtype=torch.int32, device=device) % halt_steps


def restart(state: State, start: State, halted: Tensor) -> State:
    """Give the rows that halted, all their latents, the initial state."""
    rows = halted.repeat_interleave(len(state.y) // len(halted))
    z = tuple(_choose(rows, new, old) for new, old in zip(start.z, state.z, strict=True))
    return State(_choose(rows, start.y, state.y), z)


def _choose(halted: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(halted.view(-1, *(1,) * (new.ndim - 1)), new, old)


def sample_minimum(count: int, halt_steps: int, exploration: float, generator: torch.Generator) -> Tensor:
    """Steps (count,) that each row must at least have done to stop early: with probability `exploration` drawn from 2 to
    `halt_steps`, else 0.  On the generator's device."""
    device = generator.device
    explores = torch.rand(count, generator=generator, device=device) < exploration
    at_least = torch.randint(min(2, halt_steps), halt_steps + 1, (count,), generator=generator, device=device)
    return torch.where(explores, at_least, 0)


def decide(halting: Tensor, steps: Tensor, halt_steps: int, at_least: Tensor, rule: str) -> Tensor:
    """Which rows stop after this training step.

    A row stops at `halt_steps`.  Before, it stops by the rule, if it has done its minimum of steps:
    "exact"       its halting logit is above 0, so the answer is judged exact (TRM)
    "q-learning"  its halting logit is above the logit for continuing (HRM)
    "never"       not at all

    Args:
        halting: (B, 2) halting logits.
        steps: (B,) steps done, this one included.
        halt_steps: limit.
        at_least: (B,) from `sample_minimum`.
        rule: see above.
    """
    last = steps >= halt_steps
    if rule == "never" or halt_steps == 1:
        return last
    if rule == "exact":
        wants = halting[:, HALT] > 0
    elif rule == "q-learning":
        wants = halting[:, HALT] > halting[:, CONTINUE]
    else:
        raise ValueError(f"no such halting rule: {rule}")
    return last | (wants & (steps >= at_least))
