"""Numbers that say whether a run holds together, taken in the steps that are logged; they change nothing of the run."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trm_arc.model.embedding import TaskEmbedding
from trm_arc.model.probe import probe_attention
from trm_arc.model.reasoner import Reasoner
from trm_arc.training.halting import Carry

ROWS = 4  # of the batch, whose attention is looked at


class Limit(NamedTuple):
    """Where a number says that a run falls apart.

    Attributes:
        bound: the last healthy value.
        most: whether larger values are beyond it, or smaller ones.
        means: what a value beyond it says.
        advice: what to begin again with.
        early: whether it says so only while the loss is above half of that of a uniform guess: a network that has learned
            mazes looks at single tokens as well.
    """

    bound: float
    most: bool
    means: str
    advice: str
    early: bool = False

    def is_passed(self, value: float) -> bool:
        """Whether a value, which may be NaN, is beyond the bound."""
        return value > self.bound if self.most else value < self.bound


_CALMER = "--qk-norm, or a lower --matrix-learning-rate or --learning-rate"
LIMITS = {  # docs/training.md has what healthy runs and broken ones have
    # Ten times the largest of our presets.
    "gradient_norm": Limit(100.0, True, "gradients explode", "--gradient-clip 1, or lower learning rates"),
    # 100 is where MuonClip cuts logits (Kimi K2, arXiv 2507.20534).
    "attention_logit": Limit(100.0, True, "the logits of attention grow without bound", _CALMER, early=True),
    # Our presets have 0.23 and more after 60 steps; arc1-parallel without its query-key norm had 0.10 and 0.11 (two seeds).
    "attention_entropy": Limit(0.15, False, "attention collapses to single tokens", _CALMER, early=True),
    # Five times the largest of our presets, which is that of Muon at 0.02.
    "update_ratio": Limit(
        0.1, True, "an update is over 10 % of the weights", "a lower --matrix-learning-rate or --learning-rate"
    ),
    # From here on, what a state holds is a twentieth of what its block sees at the task's token.
    "task_embedding_rms": Limit(
        20.0, True, "task embeddings are much larger than the state", "a lower --task-embedding-learning-rate"
    ),
}
_SHORT = {
    "gradient_norm": "grad",
    "attention_logit": "logit",
    "attention_entropy": "entropy",
    "update_ratio": "update",
    "task_embedding_rms": "tasks",
}


class Stability(NamedTuple):
    """Of one step; NaN where there is no such thing.

    Attributes:
        gradient_norm: of the whole batch, over all weights of the network, before it is clipped.
        attention_logit: the largest of some rows, see `trm_arc.model.probe`.
        attention_entropy: of the block where it is least, 1 where the weights are uniform.
        update_ratio: norm of the step by norm of the matrix, of the block's matrix where it is largest.
        task_embedding_rms: of the batch's task embeddings as they enter the network, where a token begins with 1.
    """

    gradient_norm: float
    attention_logit: float
    attention_entropy: float
    update_ratio: float
    task_embedding_rms: float

    def describe(self) -> str:
        """A line of at most 79 characters."""
        known = self.known()
        return " ".join(f"{_SHORT[name]} {value:.3g}" for name, value in known.items())

    def known(self) -> dict[str, float]:
        """Those that there are, by their names."""
        return {name: value for name, value in self._asdict().items() if not math.isnan(value)}


def copy_matrices(reasoner: Reasoner) -> list[Tensor]:
    """The matrices of all blocks as they are now."""
    return [p.detach().clone() for p in _matrices(reasoner)]


def _matrices(reasoner: Reasoner) -> list[nn.Parameter]:
    return [p for p in reasoner.networks.parameters() if p.ndim == 2]


@torch.no_grad()
def measure_stability(
    reasoner: Reasoner, embedding: TaskEmbedding, carry: Carry, gradient_norm: Tensor, before: list[Tensor]
) -> Stability:
    """The numbers of a step that was done; waits once for the device.

    Args:
        carry: the active samples that the step left.
        gradient_norm: of the step, a scalar.
        before: what `copy_matrices` gave before the step.
    """
    latents = reasoner.config.latents
    state, batch, *_ = carry.take(slice(0, ROWS), latents)
    puzzles = (part.repeat_interleave(latents, dim=0) for part in (batch.tokens, embedding(batch.rows), batch.transforms))
    attention = probe_attention(reasoner, state, *puzzles)
    steps = torch._foreach_norm(torch._foreach_sub(_matrices(reasoner), before))
    ratios = torch.stack(steps) / torch.stack(torch._foreach_norm(before))
    none = torch.full_like(gradient_norm, math.nan)
    gradient_norm = torch.where(gradient_norm.isfinite(), gradient_norm, none)  # a step that was skipped says nothing
    logit, entropy = attention or (none, none)
    rms = embedding(carry.batch.rows).square().mean().sqrt() * math.sqrt(reasoner.config.width)
    return Stability(*torch.stack([t.to(ratios) for t in (gradient_norm, logit, entropy, ratios.amax(), rms)]).cpu().tolist())


class Watch:
    """Says of a run, once for each number and by its name, that it is falling apart."""

    def __init__(self, vocabulary: int) -> None:
        self.guess, self.named = math.log(vocabulary), set[str]()

    def judge(self, seen: Stability, loss: float) -> list[str]:
        """A sentence for every number that is beyond its limit for the first time.

        Args:
            loss: the mean of a few steps.
        """
        sentences, learned = [], loss < self.guess / 2
        for name, value in seen._asdict().items():
            limit = LIMITS[name]
            if limit.is_passed(value) and name not in self.named and not (limit.early and learned):
                self.named.add(name)
                side = "above" if limit.most else "below"
                sentences.append(
                    f"warning: {name} is {value:.3g}, {side} {limit.bound:g}: {limit.means}; "
                    f"the loss is likely to rise, so begin again with {limit.advice}"
                )
        return sentences
