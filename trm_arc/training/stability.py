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
# Beyond these attention falls apart.  100 is where MuonClip cuts logits (Kimi K2, arXiv 2507.20534); at an entropy of 0.15 each
# query of 17 tokens looks at 1.5 of them.  60 steps of our presets at width 64 end at 3 to 59 and 0.23 to 0.85; arc1-parallel
# without its query-key norm at 0.10 and 0.11 (two seeds), and its loss rises from step 90 on at width 128.
MOST_LOGIT, LEAST_ENTROPY = 100.0, 0.15


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
    logit, entropy = attention or (none, none)
    rms = embedding(carry.batch.rows).square().mean().sqrt() * math.sqrt(reasoner.config.width)
    return Stability(*torch.stack([t.to(ratios) for t in (gradient_norm, logit, entropy, ratios.amax(), rms)]).tolist())
