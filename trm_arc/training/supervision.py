"""One supervision step of training, from active samples to a loss: pure, no wait for the device, so that it can be compiled."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trm_arc.common.modes import BLOCK, STEP
from trm_arc.config import TrainingConfig
from trm_arc.model.compiling import compile_operators
from trm_arc.model.noise import Source, next_pass
from trm_arc.model.reasoner import Output, Reasoner, State
from trm_arc.training.halting import Carry, decide, restart
from trm_arc.training.loss import continue_loss, supervise


class Metrics(NamedTuple):
    """Of one step, as scalars on the device; those of the parts of a batch add up to those of the batch.

    Attributes:
        loss: mean over the rows.
        halted: rows that halted; the next three are sums over them.
        accuracy: shares of the cells that are right.
        exact: answers that are exact.
        steps: supervision steps done.
        begun: rows whose puzzle was new.
        exact_at_first: of those, answers that are exact after this one step.
    """

    loss: Tensor
    halted: Tensor
    accuracy: Tensor
    exact: Tensor
    steps: Tensor
    begun: Tensor
    exact_at_first: Tensor


def supervision_step(
    reasoner: Reasoner,
    config: TrainingConfig,
    carry: Carry,
    vectors: Tensor,
    start: State,
    at_least: Tensor,
    depth: tuple[int, int] | None = None,
    noise: Source | None = None,
) -> tuple[Tensor, Carry, Metrics]:
    """Do one supervision step of every row, and compute its losses.

    All K latents are refined without gradient; the one with the lowest loss of each puzzle is refined again, with gradient:
    K + 1 forward passes and one backward, where a backward pass for all and a mask would be K of each.  Then each latent
    continues from its own y, or with `carry_best` all from the best one's.

    Args:
        carry: active samples; those that halted have their new puzzle already, and take the initial state here.
        vectors: (B, D) task embeddings of the rows.
        start: initial states, (B K, L, D) each.
        at_least: (B,) minimum of steps of each row, from `sample_minimum`.
        depth: T and n, if not the model's own.

    Returns:
        The loss of these rows as their share of the mean over the whole batch; the carry for the next step; the metrics.
    """
    batch, latents = carry.batch, reasoner.config.latents
    state = restart(carry.state, start, carry.halted)

    def refine(state: State, repeats: int = 1, noise: Source | None = noise) -> Output:
        puzzle = (batch.tokens, vectors, batch.transforms)
        if repeats > 1:
            puzzle = tuple(part.repeat_interleave(repeats, dim=0) for part in puzzle)
        return reasoner(state, *puzzle, depth, noise)

    kept = None
    if latents > 1:
        with torch.no_grad():
            every = refine(state, latents)
            kept = every.state
            labels = batch.labels.repeat_interleave(latents, dim=0)
            cells = supervise(every.logits, every.halting, labels, config.loss, config.label_smoothing).cells
            best = cells.view(-1, latents).argmin(dim=1) + latents * torch.arange(len(vectors), device=cells.device)
        if reasoner.config.carry_best:
            kept = kept.share(best)
        state = State(state.y[best], tuple(part[best] for part in state.z))
    output = refine(state)
    losses = supervise(output.logits, output.halting, batch.labels, config.loss, config.label_smoothing)
    steps = carry.steps + 1
    halting_loss = losses.halting.sum()
    if config.halting == "q-learning":
        with torch.no_grad():
            following = refine(output.state, noise=next_pass(noise)).halting
        halting_loss = halting_loss + continue_loss(output.halting, following, steps >= config.halt_steps).sum()
    loss = (losses.cells.sum() + config.halting_loss_weight * halting_loss) / config.batch_size
    with torch.no_grad():
        halted = decide(output.halting, steps, config.halt_steps, at_least, config.halting)
        metrics = Metrics(
            loss.detach(),
            halted.sum(),
            (losses.accuracy * halted).sum(),
            (losses.exact & halted).sum(),
            (steps * halted).sum(),
            carry.halted.sum(),
            (losses.exact & carry.halted).sum(),
        )
    return loss, Carry(kept or output.state, batch, steps, halted), metrics


def compiled_step(reasoner: Reasoner, mode: str) -> Callable[..., tuple[Tensor, Carry, Metrics]]:
    """`supervision_step` in a compile mode: STEP, or BLOCK, which changes the model; or as it is."""
    if mode == BLOCK:
        reasoner.use_operators(compile_operators)
    return compile_operators(supervision_step) if mode == STEP else supervision_step
