"""Losses of deep supervision: cross-entropy of the cells, and the halting head's own two."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_arc.data.batch import IGNORE_INDEX
from trm_arc.model.reasoner import CONTINUE, HALT


class Losses(NamedTuple):
    """One value a row, (B,): cell loss (mean over scored cells), halting loss, right cells' share, and whether all are right."""

    cells: Tensor
    halting: Tensor
    accuracy: Tensor
    exact: Tensor


def log_stablemax(logits: Tensor) -> Tensor:
    """Logarithm of stablemax over the last dimension: s(x) / sum(s), s(x) = x + 1 for x >= 0 and 1 / (1 - x) below.

    Source: Prieto et al., "Grokking at the Edge of Numerical Stability", arXiv 2501.04697.  Each branch is clamped to its own
    side: the one not taken would divide by zero at x = 1, and its gradient turn everything to NaN.
    """
    above, below = logits.clamp(min=0), logits.clamp(max=0)
    # One of the two factors is always 1, so the product is s(x), and its logarithm needs no `where`.
    log_s = torch.log1p(above) - torch.log1p(-below)
    return log_s - (above + 1 / (1 - below)).sum(dim=-1, keepdim=True).log()


def supervise(logits: Tensor, halting: Tensor, labels: Tensor, loss: str, label_smoothing: float = 0.0) -> Losses:
    """Losses of one supervision step.

    The precision is the logits', but at least float32, whose gradients are those of float64 to a few units in the last place.
    "stablemax-float64" is there to repeat the original's numbers.

    Args:
        logits: (B, H, W, V).
        halting: (B, 2), see `trm_arc.model.reasoner`.
        labels: (B, H, W) tokens; IGNORE_INDEX where nothing is asked.
        loss: "stablemax", "stablemax-float64" or "softmax".
        label_smoothing: share of the target that is spread over all V tokens.
    """
    at_least = torch.float64 if loss == "stablemax-float64" else torch.float32
    wide = logits.flatten(1, 2).to(torch.promote_types(logits.dtype, at_least))
    target = labels.flatten(1).long()
    scored = target != IGNORE_INDEX
    count = scored.sum(dim=1).clamp(min=1)
    if loss in ("stablemax", "stablemax-float64"):
        log_probability = log_stablemax(wide)
    elif loss == "softmax":
        log_probability = F.log_softmax(wide, dim=-1)
    else:
        raise ValueError(f"no such loss: {loss}")
    nll = -log_probability.gather(-1, torch.where(scored, target, 0)[..., None]).squeeze(-1)
    if label_smoothing > 0:
        nll = (1 - label_smoothing) * nll - label_smoothing * log_probability.mean(dim=-1)
    cells = torch.where(scored, nll, 0).sum(dim=1) / count
    with torch.no_grad():
        right = ((wide.argmax(dim=-1) == target) & scored).sum(dim=1)
        exact = right == scored.sum(dim=1)
    stop = halting[:, HALT]
    halting_loss = F.binary_cross_entropy_with_logits(stop, exact.to(stop.dtype), reduction="none")
    return Losses(cells, halting_loss, right / count, exact)


def continue_loss(halting: Tensor, following: Tensor, last: Tensor) -> Tensor:
    """Q-learning's second loss, (B,): the predicted value of continuing, against the values that the next step predicts.

    The target is the better of the next step's two values; after the last step there is only halting.

    Args:
        halting: (B, 2) halting logits of this step.
        following: (B, 2) halting logits of the step after it, without gradient.
        last: (B,) rows for which this step was the last.

    Source: Wang et al., "Hierarchical Reasoning Model", arXiv 2506.21734.
    """
    best = torch.where(last, following[:, HALT], following.amax(dim=1))
    return F.binary_cross_entropy_with_logits(halting[:, CONTINUE], best.sigmoid(), reduction="none")
