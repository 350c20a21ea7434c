"""ConvSwiGLU: the silu of a depthwise convolution over the board, as one operator or as sums that a compiler fuses."""

import torch
import torch.nn.functional as F
from torch import Tensor


def convolve(inner: Tensor, kernel: Tensor, prefix: int, rows: int, columns: int) -> Tensor:
    """The silu of a depthwise convolution over the board; prefix tokens have no neighbours and pass as they are.

    Source: Gao et al., "Universal Reasoning Model", arXiv 2512.14693, where it runs over the line of tokens.

    Args:
        inner: (B, prefix + rows * columns, channels).
        kernel: (channels, k, k), k odd.
    """
    before, board = inner.split([prefix, rows * columns], dim=1)
    board = board.unflatten(1, (rows, columns))  # (B, rows, columns, channels)
    board = shifted_sums(board, kernel) if fuses(board.device) else depthwise(board, kernel)
    return torch.cat((before, F.silu(board).flatten(1, 2)), dim=1)


def fuses(device: torch.device) -> bool:
    """Whether the convolution is written as sums: for a compiler, except on a CPU, where the operator is faster."""
    return torch.compiler.is_compiling() and device.type != "cpu"


def depthwise(board: Tensor, kernel: Tensor) -> Tensor:
    """PyTorch's operator; shapes as in `shifted_sums`."""
    channels_first = board.permute(0, 3, 1, 2)  # channels last in memory
    done = F.conv2d(channels_first, kernel[:, None], padding=kernel.shape[-1] // 2, groups=len(kernel))
    return done.permute(0, 2, 3, 1)


def shifted_sums(board: Tensor, kernel: Tensor) -> Tensor:
    """The same as a sum of shifted boards, each times its weight of every channel, which fuses with what comes before and after.

    Args:
        board: (B, rows, columns, channels).
        kernel: (channels, k, k), k odd.
    """
    rows, columns = board.shape[1:3]
    size = kernel.shape[-1]
    edge = size // 2
    padded = F.pad(board, (0, 0, edge, edge, edge, edge))
    total = None
    for down in range(size):
        for right in range(size):
            part = padded[:, down : down + rows, right : right + columns] * kernel[:, down, right]
            total = part if total is None else total + part
    return total
