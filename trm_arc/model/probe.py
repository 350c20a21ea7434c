"""What attention does inside a network: its largest logit, and how evenly it looks; without changing a number of the run."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trm_arc.model.reasoner import Block, Reasoner, State

QUERIES = 128  # of a row, evenly spread: the weights of all 916 tokens of 4 rows would need 100 MB


class Attention(NamedTuple):
    """Of the blocks that were looked at, as scalars on the device.

    Attributes:
        logit: the largest, scaled by 1 / sqrt(width of a head), before the softmax.
        entropy: of the weights, the mean over rows, heads and queries, of the block where it is least; 1: uniform, 0: one token.
    """

    logit: Tensor
    entropy: Tensor


class _Watch(TorchFunctionMode):
    """Measures every call of the fused kernel, which is what `attend` calls without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Attention] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.scaled_dot_product_attention:
            self.seen.append(measure_attention(*args[:2]))
        return function(*args, **(kwargs or {}))


def measure_attention(query: Tensor, key: Tensor) -> Attention:
    """Of queries and keys (B, heads, L, width of a head)."""
    length, width = query.shape[2:]
    few = query[:, :, :: -(-length // QUERIES)].float()
    logits = few @ key.float().mT / math.sqrt(width)
    entropy = torch.special.entr(logits.softmax(dim=-1)).sum(dim=-1)
    return Attention(logits.amax(), entropy.mean() / math.log(max(2, length)))


@torch.no_grad()
def probe_attention(
    reasoner: Reasoner, state: State, tokens: Tensor, task_vectors: Tensor, transforms: Tensor
) -> Attention | None:
    """Run one latent step and one answer of a few rows, block by block and not compiled; None without attention.

    Args:
        state: of the rows, from the step before.
        tokens: (B, H, W).
        task_vectors: (B, D).
        transforms: (B, 11).
    """
    if reasoner.config.mixer != "attention":
        return None
    run_block, reasoner.run_block = reasoner.run_block, Block.forward
    try:
        with _Watch() as watch:
            reasoner(state, tokens, task_vectors, transforms, (1, min(1, reasoner.config.latent_steps)))
    finally:
        reasoner.run_block = run_block
    logits, entropies = zip(*watch.seen, strict=True)
    return Attention(torch.stack(logits).amax(), torch.stack(entropies).amin())
