"""Is an accelerator right: a supervision step of each kind of network, compared with float64 on the CPU."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trm_arc.common.device import PRECISIONS
from trm_arc.common.modes import BLOCK, STEP
from trm_arc.config import PRESETS, Config
from trm_arc.data.batch import Batch
from trm_arc.model.attention import prefer_kernels
from trm_arc.model.compiling import is_unsafe
from trm_arc.model.reasoner import Reasoner, State
from trm_arc.training.halting import first_carry
from trm_arc.training.supervision import compiled_step

_PLAIN = ("trm", "trm-mlp", "sudoku-mlp", "sudoku-fast", "maze-fast", "arc1-fast", "arc1-parallel", "hrm")
CHECKED = (
    *((name, "") for name in _PLAIN),
    *((name, BLOCK) for name in ("sudoku-fast", "maze-fast", "arc1-fast", "trm")),
    *((name, STEP) for name in ("sudoku-fast", "trm")),
)
# The most that answers, losses and gradients may differ from those in float64, relatively.  In bfloat16 every network call
# amplifies roundings, so there the network is called twice; the bound is then a few times what a CPU differs, and far below 1,
# which a gradient of nothing but zeros differs.
BOUND, TIMES, LEAST, MOST = 1e-3, 4.0, 0.02, 0.5
SHALLOW = {"cycles": 1, "latent_steps": 1, "depth_curriculum": ""}


def shrink(config: Config, small: bool) -> Config:
    """A preset as it is, or a small one of the same kind for a rehearsal."""
    board = min(config.model.board_rows, 9) if small else config.model.board_rows
    changes = {"width": 64, "heads": 2, "board_rows": board, "board_columns": board, "batch_size": 8, "augmentations": 4}
    return config.override(changes if small else {"augmentations": min(config.training.augmentations, 20)})


def answer(config: Config, device: torch.device, dtype: torch.dtype, mode: str = "") -> tuple[Tensor, ...]:
    """The answer y, the loss and all gradients of a supervision step on random puzzles, as float64 on the CPU.

    Weights, puzzles and initial states are drawn on the CPU in float64, so they are the same wherever the step is done.

    Args:
        mode: what is compiled, STEP or BLOCK; or nothing.
    """
    generator = torch.Generator().manual_seed(0)
    model, training = config.model, replace(config.training, batch_size=2)
    reasoner = Reasoner(model, generator).double()
    torch.nn.init.normal_(reasoner.halt_weight, generator=generator)
    shape = (2, model.board_rows, model.board_columns)
    tokens, labels = (torch.randint(1, model.vocabulary, shape, generator=generator, dtype=torch.uint8) for _ in range(2))
    palette = torch.randperm(10, generator=generator).to(torch.uint8)
    transforms = torch.cat((torch.tensor([3], dtype=torch.uint8), palette)).repeat(2, 1)
    state = reasoner.start(2, *shape[1:], torch.float64, generator)
    vectors = torch.randn(2, model.width, dtype=torch.float64, generator=generator)
    wide = torch.promote_types(dtype, torch.float32)
    reasoner = reasoner.to(device, wide)
    start = State(state.y.to(device, dtype), tuple(part.to(device, dtype) for part in state.z))
    vectors = vectors.to(device, wide).requires_grad_()
    batch = Batch(*(part.to(device) for part in (tokens, labels, torch.arange(2), transforms)))
    carry = first_carry(start, batch)._replace(batch=batch)
    step = compiled_step(reasoner, mode)
    with prefer_kernels(device):
        loss, after, _ = step(reasoner, training, carry, vectors, start, torch.zeros(2, dtype=torch.int64, device=device))
    loss.backward()
    gradients = [p.grad for p in (*reasoner.parameters(), vectors) if p.grad is not None]
    parts = (after.state.y, loss, torch.cat([gradient.flatten().to(wide) for gradient in gradients]))
    return tuple(part.detach().double().cpu() for part in parts)


def check(device: torch.device, small: bool, name: str, mode: str) -> Iterator[dict[str, Any]]:
    """Compare the step of a preset's kind of network with float64 on the CPU, in float32 and bfloat16.

    Args:
        mode: what of the step is compiled.
    """
    cpu = torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False  # on by default for convolutions, but not float32
    # The best of several latents may be another where two are equally good, and noise is drawn by each device for itself.
    whole = shrink(PRESETS[name], small).override({"noise": 0.0, "latents": 1})
    if is_unsafe(mode, whole.model, device):
        return
    shallow = whole.override(SHALLOW)
    # A whole step of twenty calls is compiled for minutes; of two, it is the same code.
    for precision, config in (("float32", shallow if mode == STEP else whole), ("bfloat16", shallow)):
        case = {"preset": name, "precision": precision, "compile_mode": mode}
        try:
            right = answer(config, cpu, torch.float64)
            bounds = [BOUND] * len(right)
            if precision == "bfloat16":
                errors_on_cpu = differ(answer(config, cpu, torch.bfloat16), right)
                bounds = [min(MOST, max(LEAST, TIMES * each)) for each in errors_on_cpu]
            found = differ(answer(config, device, PRECISIONS[precision], mode), right)
        except Exception as error:  # any error; the other comparisons are still useful
            yield case | {"right": False, "error": str(error)}
            continue
        fine = all(each < bound for each, bound in zip(found, bounds, strict=True))  # a NaN is never below
        names = ("y", "loss", "gradients")
        case |= dict(zip(names, found, strict=True)) | {"bounds": dict(zip(names, bounds, strict=True))}
        yield case | {"right": fine}
    torch.compiler.reset()


def differ(found: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> list[float]:
    """How far answers, losses and gradients are from the right ones, relatively."""
    return [float((a - b).norm() / b.norm()) for a, b in zip(found, right, strict=True)]


def describe(one: dict[str, Any]) -> str:
    """A line for a comparison."""
    where = f"{one['preset']:14}{one['precision'] + ' ' + one['compile_mode']:18}"
    if "error" in one:
        return f"{where}FAILED  {' '.join(one['error'].split())[:90]}"
    found = "  ".join(f"{name} {one[name]:.1e} (< {bound:.1e})" for name, bound in one["bounds"].items())
    return f"{where}{found}  {'right' if one['right'] else 'WRONG'}"
