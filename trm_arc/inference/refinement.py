"""Refinement at test time: with more steps than in training if wanted, in noisy rollouts, until an answer no longer changes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from augment.kernels import generator_seeds
from trm_arc.inference.config import InferenceConfig
from trm_arc.model.noise import Source, make_source, sample_normal, take_rows
from trm_arc.model.reasoner import HALT, Reasoner, State


class RefinementStep(NamedTuple):
    """The answers after a cycle of a supervision step.

    Attributes:
        step: supervision step, from 1.
        cycle: of the step, from 1.
        last: whether this is the step's last cycle, whose answer is the step's.
        answers: uint8 (rows, H, W), predicted tokens of all rows.
        halting: (rows,), halting logits.
    """

    step: int
    cycle: int
    last: bool
    answers: Tensor
    halting: Tensor


Callback = Callable[[RefinementStep], None]


class Refined(NamedTuple):
    """Answers of a batch.

    Attributes:
        answers: uint8 (B, H, W), predicted tokens.
        halting: float32 (B,), halting probabilities.
        steps: int32 (B,), supervision steps taken, all rollouts and latents together.
    """

    answers: Tensor
    halting: Tensor
    steps: Tensor


@torch.inference_mode()
def refine(
    reasoner: Reasoner,
    tokens: Tensor,
    task_vectors: Tensor,
    transforms: Tensor,
    config: InferenceConfig,
    dtype: torch.dtype,
    seeds: Sequence[int],
    callback: Callback | None = None,
) -> Refined:
    """Answer puzzles; of parallel latents and rollouts, the answer with the highest halting logit counts.

    Args:
        tokens: (B, H, W).
        task_vectors: (B, D).
        transforms: (B, bytes of a transform), which each puzzle is seen under.
        config: its steps are a number.
        seeds: (B), of each puzzle's noise and of its random initial states, if any.
        callback: called with the answers of all rows after each cycle of each step; cannot be combined with patience.

    Source of the rollouts: Sghaier, Parviz, Jolicoeur-Martineau, "Probabilistic Tiny Recursive Model", arXiv 2605.19943.
    """
    latents, (count, *window) = reasoner.config.latents, tokens.shape
    copies, shares = config.rollouts * latents, reasoner.config.carry_best and latents > 1
    rows, device = count * copies, tokens.device
    state = _first_states(reasoner, window, dtype, config.rollouts, seeds)
    noise = _noise_source(reasoner, config, seeds, device)
    puzzle = [part.repeat_interleave(copies, dim=0) for part in (tokens, task_vectors, transforms)]
    answers = torch.empty((rows, *window), dtype=torch.uint8, device=device)
    halting = torch.empty(rows, device=device)
    taken = torch.full((rows,), config.steps, dtype=torch.int32, device=device)
    active = torch.arange(rows, device=device)
    before, unchanged = None, torch.zeros(rows, dtype=torch.int32, device=device)
    for step in range(1, config.steps + 1):
        cycles = _CycleCounter(step, callback) if callback is not None else None
        output = reasoner(_add_noise(state, noise, config.noise, step), *puzzle, callback=cycles)
        state = output.state
        if shares:  # labels are not known here: the surest counts as the best
            state = state.share(_surest(output.halting[:, HALT], latents))
        if not config.patience and callback is None and step < config.steps:
            continue
        now, sure = output.logits.argmax(dim=-1).to(torch.uint8), output.halting[:, HALT]
        if cycles is not None:
            cycles.emit(now, sure, last=True)
        done = torch.full_like(active, step == config.steps, dtype=torch.bool)
        if config.patience:
            same = done if before is None else (now == before).flatten(1).all(dim=1)
            before, unchanged = now, torch.where(same, unchanged + 1, 0)
            settled = unchanged >= config.patience
            if shares:  # latents that continue from one y end together
                settled = settled.view(-1, latents).all(dim=1).repeat_interleave(latents)
            done |= settled
        if not bool(done.any()):
            continue
        at = active[done]
        answers[at], halting[at], taken[at] = now[done], sure[done], step
        if len(at) == len(active):
            break
        on = ~done
        active, unchanged, before = active[on], unchanged[on], now[on]
        state = State(state.y[on], tuple(part[on] for part in state.z))
        puzzle = [part[on] for part in puzzle]
        noise = None if noise is None else take_rows(noise, on)
    surest = _surest(halting, copies)
    return Refined(answers[surest], halting[surest].sigmoid(), taken.view(count, copies).sum(dim=1, dtype=torch.int32))


def _surest(halting: Tensor, copies: int) -> Tensor:
    """The rows with the highest halting logit of each `copies` rows."""
    groups = halting.view(-1, copies)
    return groups.argmax(dim=1) + copies * torch.arange(len(groups), device=halting.device)


class _CycleCounter:
    """Numbers the cycles of a supervision step for a callback."""

    def __init__(self, step: int, callback: Callback) -> None:
        self.step, self.callback, self.cycle = step, callback, 0

    def __call__(self, logits: Tensor, halting: Tensor) -> None:
        self.emit(logits.argmax(dim=-1).to(torch.uint8), halting[:, HALT], last=False)

    def emit(self, answers: Tensor, halting: Tensor, *, last: bool) -> None:
        """Call back with answers (rows, H, W) of tokens and halting logits (rows,) of the next cycle."""
        self.cycle += 1
        self.callback(RefinementStep(self.step, self.cycle, last, answers, halting))


def _first_states(reasoner: Reasoner, window: Sequence[int], dtype: torch.dtype, rollouts: int, seeds: Sequence[int]) -> State:
    """The initial states: of each puzzle its rollouts, of each rollout its latents."""
    if not reasoner.config.random_start:
        return reasoner.start(len(seeds) * rollouts, *window, dtype)
    drawn = [seed if number == 0 else seed_of(seed, number, 0) for seed in seeds for number in range(rollouts)]
    source = make_source(drawn, reasoner.y_start.device)  # each view's own, whatever batch it is in
    if isinstance(source, Tensor):
        return reasoner.start(len(drawn), *window, dtype, source)
    generator = torch.Generator()
    return State.join([reasoner.start(1, *window, dtype, generator.manual_seed(seed)) for seed in drawn])


def _noise_source(reasoner: Reasoner, config: InferenceConfig, seeds: Sequence[int], device: torch.device) -> Source | None:
    """What draws the noise of each row; rows of a first rollout have none."""
    if config.rollouts == 1:
        return None
    rows = [(s, r, k) for s in seeds for r in range(config.rollouts) for k in range(reasoner.config.latents)]
    return make_source([seed_of(s, r, k + 1) if r else None for s, r, k in rows], device)


def seed_of(*numbers: int) -> int:
    """A seed from some numbers."""
    return generator_seeds(np.array([numbers]))[0]


def _add_noise(state: State, noise: Source | None, deviation: float, step: int) -> State:
    """Add noise to the scratch states, or to the answer where there are none."""
    if noise is None:
        return state
    parts = state.z or (state.y,)
    calls = range(step * len(parts), (step + 1) * len(parts))
    drawn = [sample_normal(noise, call, part.shape[1:], part.dtype, deviation) for call, part in zip(calls, parts, strict=True)]
    noisy = tuple(part + more for part, more in zip(parts, drawn, strict=True))
    return State(state.y, noisy) if state.z else State(noisy[0], ())
