"""The depthwise convolution as an operator and as shifted sums."""

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trm_arc.model.convolution import convolve, depthwise, shifted_sums


@pytest.mark.parametrize("size", [1, 3, 5])
def test_shifted_sums_are_the_convolution(size: int) -> None:
    """Values and both gradients, to the rounding of float64: the operator adds in an order of its own."""
    generator = torch.Generator().manual_seed(0)
    board = torch.randn(2, 4, 7, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    kernel = torch.randn(6, size, size, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(2, 4, 7, 6, dtype=torch.float64, generator=generator)
    ours, theirs = (way(board, kernel) for way in (shifted_sums, depthwise))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)
    for a, b in zip(*(torch.autograd.grad((out * weight).sum(), (board, kernel)) for out in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_one_weight_moves_the_board_bit_for_bit() -> None:
    """A sum of one product has one rounding, and a row or column beyond the edge is zero."""
    board = torch.randn(1, 3, 4, 2, generator=torch.Generator().manual_seed(1))
    kernel = torch.zeros(2, 3, 3)
    kernel[:, 0, 2] = 1.5  # what stands above and to the right
    expected = torch.zeros_like(board)
    expected[:, 1:, :-1] = 1.5 * board[:, :-1, 1:]
    assert torch.equal(shifted_sums(board, kernel), expected)
    assert torch.equal(depthwise(board, kernel), expected)


class Recorded(TorchDispatchMode):
    """Records the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: list[object] = []

    def __torch_dispatch__(self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        self.functions.append(function)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("device", "compiled", "is_operator"), [("meta", True, False), ("meta", False, True), ("cpu", True, True)]
)
def test_a_compiler_for_an_accelerator_gets_sums(device: str, compiled: bool, is_operator: bool) -> None:
    seen = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> object:
        seen.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    inner, kernel = torch.zeros(2, 3 + 12, 8, device=device), torch.zeros(8, 3, 3, device=device)
    torch.compiler.reset()
    if compiled:
        out = torch.compile(convolve, backend=backend, fullgraph=True)(inner, kernel, 3, 3, 4)
    else:
        with Recorded() as recorded:
            out = convolve(inner, kernel, 3, 3, 4)
        seen = [torch.conv2d for function in recorded.functions if function is torch.ops.aten.convolution.default]
    assert out.shape == inner.shape
    assert (torch.conv2d in seen) == is_operator
