"""What a model is trained on in one step: puzzles, as tensors."""

from typing import NamedTuple

from torch import Tensor

IGNORE_INDEX = 255  # label of a cell that the loss and the exact match ignore


class Batch(NamedTuple):
    """Puzzles: tokens (B, H, W) and labels (B, H, W), uint8; the rows (B,) of their task embeddings, int64; and the transforms
    (B, 11) that they are seen under, uint8."""

    tokens: Tensor
    labels: Tensor
    rows: Tensor
    transforms: Tensor
