"""Operators fused by torch.compile: those of a whole training step, or those of a block, which all calls of the network share.

A whole step is a graph of T (n + 1) network calls, fused for a minute or two in each window and at each depth; it also fuses what
lies between blocks.  A block is fused in seconds.  LOG.md has what either gains.
"""

from collections.abc import Callable

import torch

from trm_arc.common.errors import InputError
from trm_arc.config import ModelConfig

STEP, BLOCK, NONE = "step", "block", "none"
LIMIT = 256  # windows x depths x with and without gradient; PyTorch's own limit is 8, and the ninth would end the run


def chosen(what: str | None, before: str = "") -> str:
    """What is to be fused, by the command line.

    Args:
        what: STEP, BLOCK or NONE, if it says so.
        before: what the run that goes on has fused.
    """
    return before if what is None else "" if what == NONE else what


def explain(error: RuntimeError) -> None:
    """Raise InputError with a sentence if an error is the compiler's.

    Args:
        error: of a step that is fused.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second, only here

    if isinstance(error, TorchDynamoException):
        reason = " ".join(str(error).split("\n\n")[0].split())
        advice = f"take --compile {NONE}, or install what it needs"
        raise InputError(f"PyTorch cannot fuse it here ({reason}); {advice}", flag="--compile") from None


def fuse(function: Callable) -> Callable:
    """A function with its operators fused, anew for every shape of its arguments.

    Args:
        function: without branches on what tensors hold.
    """
    torch._dynamo.config.recompile_limit = max(LIMIT, torch._dynamo.config.recompile_limit)
    return torch.compile(function, fullgraph=True, dynamic=False)


def may_break(what: str, model: ModelConfig, device: torch.device) -> bool:
    """Whether what is fused may break: seen with torch 2.13, `double free or corruption` within some steps (LOG.md).

    Args:
        what: STEP or BLOCK; or nothing.
        model: its settings.
        device: where it is to run.
    """
    return what == STEP and device.type == "cpu" and model.mixer == "mlp" and torch.get_num_threads() > 1


def check_fusing(what: str, model: ModelConfig, device: torch.device) -> None:
    """Raise InputError where something cannot be fused.

    Args:
        what: see `may_break`.
        model: its settings.
        device: where it is to run.
    """
    if what == STEP and model.noise:
        raise InputError(
            "torch.compile cannot draw from a generator of our own; take --compile block, or leave one out", flag="noise"
        )
    if may_break(what, model, device):
        raise InputError(
            "--compile step: with the MLP mixer, torch's compiler may damage memory on several threads of a CPU; take --compile "
            "block, or set OMP_NUM_THREADS=1"
        )
