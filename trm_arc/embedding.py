"""Task embeddings: one row for every task under every transform, updated sparsely."""

import torch
from torch import Tensor, nn


class TaskEmbedding(nn.Module):
    """A table of task vectors, outside autograd: a batch takes copies of its rows, and `update` moves those rows alone.

    Args:
        rows: tasks x transforms.
        width: length of a vector.
    """

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(rows, width))

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors (B, D) of the rows (B,); a leaf that collects a gradient when gradients are on."""
        return self.table[rows].requires_grad_(torch.is_grad_enabled())

    @torch.no_grad()
    def update(self, rows: Tensor, gradient: Tensor, learning_rate: float, weight_decay: float) -> None:
        """Sign-SGD with decoupled weight decay on the rows of the batch; gradients of equal rows are summed first.

        Args:
            rows: (B,) which row each vector was.
            gradient: (B, D) of the vectors.
            learning_rate: step of every coordinate.
            weight_decay: per unit of learning rate.
        """
        distinct, place = torch.unique(rows, return_inverse=True)
        summed = gradient.new_zeros(len(distinct), gradient.shape[1]).index_add_(0, place, gradient)
        vectors = self.table[distinct] * (1 - learning_rate * weight_decay)
        self.table[distinct] = vectors.add_(summed.sign_().to(vectors.dtype), alpha=-learning_rate)
