"""Softmax attention over all tokens, by the fastest implementation for the device; all compute the same.

On an accelerator, without gradients, and in float64 (for proofs) it is PyTorch's fused kernel.  In training on a CPU that
kernel is fast forward and slow backward (times in LOG.md), so there
- up to SHORT tokens the weights are computed and kept,
- beyond, in bfloat16, the fused kernel runs forward, and backward a few heads at a time recompute their weights.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

SHORT = 128  # tokens
CACHE = 4 << 20  # bytes of attention weights at a time in the backward pass: about what the cores' own caches hold
# Kernels by CUDA's compute capability, the first that can do a call is taken; elsewhere PyTorch's own order holds.  PyTorch puts
# FlashAttention-2 first on Hopper, too, where cuDNN's kernel is reported to be 1.7 to 2.3 times as fast.
ORDERS = {
    (9, 0): (
        SDPBackend.CUDNN_ATTENTION,
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.MATH,
    )
}


def prefer_kernels(device: torch.device) -> AbstractContextManager:
    """Within this context, attention takes the kernel that is fastest on a device; the backward pass takes that of its call."""
    order = ORDERS.get(torch.cuda.get_device_capability(device)) if device.type == "cuda" else None
    return sdpa_kernel(list(order), set_priority=True) if order else nullcontext()


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention.

    Args:
        query: (B, heads, L, width of a head), as are key and value.

    Returns:
        The mixed values, of the same shape.
    """
    if query.device.type == "cpu" and query.requires_grad and query.dtype != torch.float64:
        if query.shape[2] <= SHORT:
            weights = (query * query.shape[-1] ** -0.5) @ key.mT
            return weights.softmax(dim=-1) @ value
        if query.dtype == torch.bfloat16:
            return _Attention.apply(query, key, value)
    return F.scaled_dot_product_attention(query, key, value)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The fused kernel; the weights are not kept."""
        context.save_for_backward(query, key, value)
        return F.scaled_dot_product_attention(query, key, value)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value, a few heads at a time."""
        shape, scale = gradient.shape, gradient.shape[-1] ** -0.5
        query, key, value = context.saved_tensors
        parts = (part.reshape(-1, *shape[2:]) for part in (query * scale, key, value, gradient))
        query, key, value, gradient = parts  # (B heads, L, width of a head)
        d_query, d_key, d_value = (torch.empty_like(part) for part in (query, key, value))
        at_once = max(2, CACHE // (shape[2] ** 2 * gradient.element_size()))
        for begin in range(0, len(query), at_once):
            here = slice(begin, begin + at_once)
            weights = torch.softmax(query[here] @ key[here].mT, dim=-1)
            d_value[here] = weights.mT @ gradient[here]
            d_weights = gradient[here] @ value[here].mT
            d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, weights.dtype)
            d_query[here] = d_scores @ key[here]
            d_key[here] = d_scores.mT @ query[here]
        return (d_query.mul_(scale)).view(shape), d_key.view(shape), d_value.view(shape)
