"""Compile modes: torch.compile for a whole training step, or for a block, which all calls of the network share.

A whole step is a graph of T (n + 1) network calls, compiled for a minute or two in each window and at each depth; it also fuses
what lies between blocks.  A block is compiled in seconds.  LOG.md has the gains of both.
"""

from collections.abc import Callable

import torch

from trm_arc.common.errors import InputError
from trm_arc.common.modes import NONE, STEP
from trm_arc.config import ModelConfig

LIMIT = 256  # windows x depths x with and without gradient; PyTorch's own limit is 8, and the ninth would end the run


def choose_compile_mode(flag: str | None, before: str = "") -> str:
    """The compile mode: what the flag says (STEP, BLOCK or NONE), else that of the resumed run; empty for none."""
    return before if flag is None else "" if flag == NONE else flag


def reraise_compile_error(error: RuntimeError) -> None:
    """Raise InputError with a sentence if an error is the compiler's."""
    from torch._dynamo.exc import TorchDynamoException  # takes a second, so it is imported only here

    if isinstance(error, TorchDynamoException):
        reason = " ".join(str(error).split("\n\n")[0].split())
        advice = f"use --compile {NONE}, or install what it needs"
        raise InputError(f"PyTorch cannot compile here ({reason}); {advice}", flag="--compile") from None


def compile_operators(function: Callable) -> Callable:
    """A function with its operators fused, compiled again for every shape of its arguments.

    Args:
        function: without branches on the values of tensors.
    """
    torch._dynamo.config.recompile_limit = max(LIMIT, torch._dynamo.config.recompile_limit)
    return torch.compile(function, fullgraph=True, dynamic=False)


def is_unsafe(mode: str, model: ModelConfig, device: torch.device) -> bool:
    """Whether compiled code may damage memory: seen with torch 2.13, `double free or corruption` within some steps (LOG.md)."""
    return mode == STEP and device.type == "cpu" and model.mixer == "mlp" and torch.get_num_threads() > 1


def check_compile_mode(mode: str, model: ModelConfig, device: torch.device) -> None:
    """Raise InputError where a compile mode cannot be used."""
    if mode == STEP and model.noise:
        raise InputError(
            "torch.compile cannot draw from a generator of our own; use --compile block, or leave one out", flag="noise"
        )
    if is_unsafe(mode, model, device):
        raise InputError(
            "in mode step, with the MLP mixer, torch's compiler may damage memory on several threads of a CPU; use --compile "
            "block, or set OMP_NUM_THREADS=1",
            flag="--compile",
        )
