"""Task embeddings: one row for every task under every transform, updated sparsely."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class TaskEmbedding(nn.Module):
    """A table of task vectors, outside autograd: a batch takes copies of its rows, and `update` moves those rows alone.

    Args:
        rows: tasks x transforms.
        dtype: of the table; steps of 0.01 are still resolved by bfloat16 while coordinates stay below 2.
        device: where the table lies; batches may be elsewhere.
    """

    def __init__(self, rows: int, width: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(rows, width, dtype=dtype, device=device))

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors (B, D) of the rows (B,), where the rows are, at least in float32; a leaf that collects a gradient when
        gradients are on."""
        vectors = self.table[rows.to(self.table.device)]
        wide = torch.promote_types(vectors.dtype, torch.float32)
        return vectors.to(rows.device, wide).requires_grad_(torch.is_grad_enabled())

    @torch.no_grad()
    def update(
        self,
        rows: Tensor,
        gradient: Tensor,
        learning_rate: float,
        weight_decay: float,
        agree: Callable[[Tensor], Tensor] = lambda tensor: tensor,
        finite: Tensor | None = None,
    ) -> None:
        """Sign-SGD with decoupled weight decay on the rows of the batch; gradients of equal rows are summed first.

        Args:
            rows: (B,) which row each vector was.
            gradient: (B, D) of the vectors.
            learning_rate: step of every coordinate.
            weight_decay: per unit of learning rate.
            agree: gives several processes the same sum, as an accelerator adds in any order.
            finite: a bool of the device; nothing changes where it is False.
        """
        # Not torch.unique: the program would wait for the device to learn how many rows there are.
        rows, order = rows.sort(stable=True)
        place = rows.diff(prepend=rows[:1]).ne(0).cumsum(0)  # of each vector's row among the distinct ones
        summed = torch.zeros_like(gradient).index_add_(0, place, gradient[order])
        rows, summed = rows.to(self.table.device), agree(summed)[place].to(self.table.device)
        before = self.table[rows]
        vectors = before.to(summed.dtype) * (1 - learning_rate * weight_decay)
        after = vectors.sub_(summed.sign_(), alpha=learning_rate).to(before.dtype)
        if finite is not None:
            after = torch.where(finite.to(before.device), after, before)
        self.table[rows] = after  # equal rows get equal values
