"""Compile modes: torch.compile for a whole training step, or for a block, which all calls of the network share.

A whole step is a graph of T (n + 1) network calls, compiled for a minute or two in each window and at each depth; it also fuses
what lies between blocks.  A block is compiled in seconds.  LOG.md has the gains of both.

By default blocks are compiled where there is a compiler, on a CPU only for a training run that is long enough to gain by it.
"""

import importlib.util
import math
import os
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.common.modes import AUTO, BLOCK, NONE, STEP, WORTHWHILE, is_too_short
from trm_arc.common.text import first_words
from trm_arc.config import ModelConfig

LIMIT = 256  # windows x depths x with and without gradient; PyTorch's own limit is 8, and the ninth would end the run
COMPILED = {"cuda", "xpu"}  # types of accelerators that torch.compile has code for, by Triton
CPU_LEAST = 2e13  # FLOPs of a run in each window, about a minute of one core, from which on compiling for some seconds pays
OLDEST = 7  # major compute capability that Triton has code for


class CompileChoice(NamedTuple):
    """What is compiled.

    Attributes:
        mode: STEP, BLOCK, or empty for nothing; AUTO, see `choose_compile_mode`.
        falls_back: whether nobody asked for it, so that what cannot be compiled runs without.
        note: a sentence on it, for the line that says where a program computes; may be empty.
    """

    mode: str = ""
    falls_back: bool = False
    note: str = ""

    def annotate(self, device: Device) -> Device:
        """The device, with the note in its reason."""
        return device._replace(reason=f"{device.reason}; {self.note}") if self.note else device


def choose_compile_mode(
    flag: str, device: torch.device, before: str | None = None, seconds: float = math.inf, operations: float | None = 0.0
) -> CompileChoice:
    """What to compile.

    Args:
        flag: STEP, BLOCK, NONE, or AUTO for what suits the device.
        before: the mode of the run that is continued; None if it begins.
        seconds: that the run has.
        operations: of the run in a window, FLOPs, which count on a CPU; None if they are not known yet, so that the mode may be
            AUTO: ask again when they are.
    """
    if flag != AUTO:
        return CompileChoice("" if flag == NONE else flag)
    if before is not None and (not before or device.type == "cpu"):
        return CompileChoice(before)
    is_short = before is None and is_too_short(flag, seconds)
    if device.type == "cpu" and (operations or 0.0) < CPU_LEAST:
        return CompileChoice(AUTO if operations is None and not is_short else "")
    if missing := find_missing(device):
        return CompileChoice(note=f"nothing is compiled, as {missing}")
    if is_short:
        return CompileChoice(note=f"nothing is compiled in less than {WORTHWHILE / 60:.0f} minutes")
    mode = before or BLOCK
    return CompileChoice(mode, True, f"every {mode} is compiled, some seconds for each canvas" if mode == BLOCK else "")


def find_missing(device: torch.device) -> str:
    """What torch.compile lacks for a device; empty if nothing."""
    if device.type == "cpu":
        compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++"))
        return "" if any(map(shutil.which, compilers)) else "there is no C++ compiler"
    if device.type not in COMPILED:
        return f"torch has no compiler for {device.type}"
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < OLDEST:
        return f"Triton needs compute capability {OLDEST}.0"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if not any(map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")))):
        return "there is no C compiler"
    return ""


def explain_fallback(error: RuntimeError | MemoryError, mode: str, *, falls_back: bool) -> str:
    """The sentence with which a program goes on without the compiler, which has failed though nobody asked for it.

    Raises:
        InputError: somebody asked for it.
        RuntimeError: the error itself, which is not the compiler's.
    """
    if not mode:
        raise error
    from torch._dynamo.exc import TorchDynamoException  # takes a second, so it is imported only here

    if not isinstance(error, TorchDynamoException):
        raise error
    problem = f"PyTorch cannot compile here ({first_words(error)})"
    if not falls_back:
        raise InputError(f"{problem}; use --compile {NONE}, or install what it needs", flag="--compile") from None
    return f"{problem}: continuing without (--compile {NONE})"


class Clock:
    """Seconds that the compiler has taken in this program, by PyTorch's own callbacks, the backward pass's included."""

    def __init__(self) -> None:
        self.seconds, self.began = 0.0, 0.0

    def start(self, *_: object) -> None:
        """Something begins to be compiled."""
        self.began = time.monotonic()

    def stop(self, *_: object) -> None:
        """It is compiled."""
        self.seconds += time.monotonic() - self.began


CLOCK = Clock()  # one for the program, as PyTorch's callbacks are


def compiling_seconds() -> float:
    """Seconds that the compiler has taken so far in this program: the difference of two calls is no part of the work between."""
    return CLOCK.seconds


def compile_operators(function: Callable) -> Callable:
    """A function with its operators fused, compiled again for every shape of its arguments.

    Args:
        function: without branches on the values of tensors.
    """
    from torch._dynamo.callback import callback_handler  # as above

    if CLOCK.start not in callback_handler.start_callbacks:
        callback_handler.register_start_callback(CLOCK.start)
        callback_handler.register_end_callback(CLOCK.stop)
    torch._dynamo.config.recompile_limit = max(LIMIT, torch._dynamo.config.recompile_limit)
    return torch.compile(function, fullgraph=True, dynamic=False)


def even_pieces(rows: int, most: int) -> int:
    """Rows at a time, at most `most`, so that all pieces are of one size and one graph does for them; where that would take more
    than twice as many pieces, the last is smaller, and a second graph is compiled."""
    most = min(rows, most)
    return next((size for size in range(most, most // 2, -1) if rows % size == 0), most)


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
