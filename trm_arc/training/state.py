"""Saving and loading a run: its full state, what inference needs, or the weights of another run to start from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trm_arc.common.errors import InputError
from trm_arc.config import Config
from trm_arc.data.batch import Batch
from trm_arc.model.checkpoint import Checkpoint, Metadata, load_strictly, save_checkpoint
from trm_arc.model.reasoner import State
from trm_arc.training.halting import Carry, first_carry
from trm_arc.training.optim import MovingAverage
from trm_arc.training.trainer import Trainer

_BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}  # integers of as many bytes


def full_state(trainer: Trainer, *, with_active: bool = True) -> Checkpoint:
    """Everything that a run continues from, of all processes, which all call this; only the main one's has active samples."""
    trainer.finish_step()
    state = inference_state(trainer)
    tensors = state.tensors | {f"optimizer.{name}": t for name, t in trainer.optimizers.tensors().items()}
    active = tuple(number for number, carry in enumerate(trainer.carries) if carry is not None and with_active)
    for number in active:
        for name, part in _carry_tensors(trainer.carries[number]).items():
            whole = trainer.processes.gather_on_host(part)
            if whole is not None:
                tensors[f"carry.{number}.{name}"] = whole
    scale = trainer.scale
    tensors["counts"] = torch.tensor([scale.value, scale.successes, trainer.skipped], dtype=torch.float64)
    pieces = trainer.processes.least(trainer.pieces, trainer.device.device)
    rows = tuple(trainer.config.training.batch_size if piece == trainer.whole else piece for piece in pieces)
    return replace(state, tensors=tensors, metadata=replace(state.metadata, active_samples=active, rows_at_a_time=rows))


def save_state(trainer: Trainer, folder: Path, keep: int, stale: Sequence[Path] = ()) -> Path:
    """Write a checkpoint below the folder of a run.

    All processes must call this; the main one writes.

    Args:
        stale: what to remove once the checkpoint is whole.

    Raises:
        InputError: it cannot be written, or the processes do not have the same weights.
    """
    require_same_weights(trainer)
    checkpoint = replace(full_state(trainer), where=str(folder))
    return save_checkpoint(folder, checkpoint, keep, stale) if trainer.processes.is_main else folder


def require_same_weights(trainer: Trainer) -> None:
    """Compare a checksum of the weights over the processes, which all must call this.

    Raises:
        InputError: they differ, as after a fault of a device; what was saved before is whole.
    """
    if trainer.processes.count == 1:
        return
    tensors = inference_state(trainer).tensors
    weights = [
        t for name, t in tensors.items() if name.startswith(("model.", "average.", "embedding.")) and t.is_floating_point()
    ]
    sums = torch.stack(
        [t.contiguous().view(_BITS[t.element_size()]).sum(dtype=torch.int64).to(trainer.device.device) for t in weights]
    )
    every = trainer.processes.gather(sums[None])
    if odd := (every != every[0]).any(dim=1).nonzero().flatten().tolist():
        raise InputError(
            f"step {trainer.step}: the weights of process {odd[0]} differ from those of process 0, so this step is not saved; "
            "continue from the last checkpoint with --resume, and check the machine if it happens again"
        )


def inference_state(trainer: Trainer) -> Checkpoint:
    """What is needed to answer tasks now, without copies: weights, average, task embeddings, plan."""
    tensors = {f"model.{name}": t for name, t in trainer.reasoner.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in _averages(trainer).items()}
    tensors |= {f"embedding.{name}": t for name, t in trainer.embedding.state_dict().items()}
    examples, options = trainer.examples, trainer.options
    plan = examples.kept_plan
    tensors |= {"plan.table": torch.from_numpy(plan.table), "plan.starts": torch.from_numpy(plan.starts)}
    tensors["trained"] = torch.from_numpy(examples.trained)
    metadata = Metadata(
        windows=examples.windows,
        precision=str(trainer.device.dtype).removeprefix("torch."),
        domain=examples.domain.name,
        compile_mode=options.compile_mode,
        half_embeddings=options.half_embeddings,
        accumulation=options.accumulation,
        length=trainer.steps,
    )
    return Checkpoint(trainer.config, trainer.step, examples.entries, tensors, metadata, "this run")


def init_from(trainer: Trainer, checkpoint: Checkpoint, *, from_zero: bool = False) -> None:
    """Begin with the averaged weights of another run, and every task embedding at the mean of that run's.

    Args:
        checkpoint: of the other run; its own tasks and active samples are ignored.
        from_zero: let the task embeddings begin at zero instead.

    Raises:
        InputError: the weights are of another shape.
    """
    weights, into = checkpoint.reasoner().state_dict(), trainer.reasoner.state_dict()
    misfits = [name for name, t in into.items() if name not in weights or weights[name].shape != t.shape]
    if misfits or len(weights) != len(into):
        raise InputError(
            f"its weights do not fit these settings ({', '.join(misfits[:3])}); use its own settings", file=checkpoint.where
        )
    load_strictly(into, weights, checkpoint.where)
    if trainer.average is not None:
        trainer.average = MovingAverage(trainer.reasoner, trainer.average.decay)
    if not from_zero:
        trainer.embedding.table[:] = checkpoint.mean_embedding()
    _remember(trainer, checkpoint)


def load_state(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Continue from a checkpoint of the same settings and data.

    Raises:
        InputError: the checkpoint is of other settings, tasks or plan.
    """
    where = checkpoint.where
    if checkpoint.config != trainer.config:
        differences = _differences(checkpoint.config, trainer.config)
        raise InputError(f"has other settings ({differences}); resume with its own", file=where)
    plan, kept = checkpoint.plan(), trainer.examples.kept_plan
    if checkpoint.tasks != trainer.examples.entries or not np.array_equal(plan.starts, kept.starts):
        raise InputError("was trained on other tasks; resume with the same data, or start a new run", file=where)
    if not np.array_equal(plan.table, kept.table):
        raise InputError("has another plan of transforms (another NumPy?); start a new run", file=where)
    load_strictly(trainer.reasoner.state_dict(), checkpoint.part("model"), f"{where}: model")
    load_strictly(trainer.embedding.state_dict(), checkpoint.part("embedding"), f"{where}: embedding")
    if trainer.average is not None:
        load_strictly(_averages(trainer), checkpoint.part("average"), f"{where}: average")
    trainer.step = checkpoint.step
    trainer.steps = trainer.optimizers.steps = checkpoint.metadata.length or trainer.steps  # a time limit may have chosen it
    _remember(trainer, checkpoint)
    if checkpoint.metadata.accumulation == trainer.options.accumulation:
        trainer.keep_rows(checkpoint.metadata.rows_at_a_time)
    try:
        moved = checkpoint.step > 0 and not trainer.config.training.embeddings_first
        trainer.optimizers.load_tensors(checkpoint.part("optimizer"), moved)
        _load_carries(trainer, checkpoint.part("carry"), checkpoint.metadata.active_samples)
        scale, successes, skipped = checkpoint.tensors["counts"].tolist()
        trainer.scale.value, trainer.scale.successes, trainer.skipped = scale, int(successes), int(skipped)
    except (LookupError, ValueError, RuntimeError) as error:
        raise InputError(f"the checkpoint is damaged ({error}); use an older one", file=where) from None


def _averages(trainer: Trainer) -> dict[str, Tensor]:
    """The averaged weights by name; none where there is no average."""
    if trainer.average is None:
        return {}
    names = [name for name, _ in trainer.reasoner.named_parameters()]
    return dict(zip(names, trainer.average.averages, strict=True))


def _remember(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Keep which answers an earlier run was trained on, so that no evaluation scores them."""
    trained = np.union1d(trainer.examples.trained, checkpoint.tensors["trained"].numpy())
    trainer.examples = replace(trainer.examples, trained=trained)


def _load_carries(trainer: Trainer, tensors: dict[str, Tensor], active: Sequence[int]) -> None:
    """Take this process's active samples; raise ValueError unless they have the shapes that this run gives them."""
    batch_size, device = trainer.config.training.batch_size, trainer.device.device
    for number in active:
        window, prefix = trainer.examples.windows[number], f"{number}."
        found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        start = trainer.reasoner.start(batch_size, *window, trainer.device.dtype, torch.Generator(device))
        puzzles = torch.zeros(batch_size, *window, dtype=torch.uint8, device=device)
        transforms = puzzles.new_zeros(batch_size, trainer.examples.domain.row_bytes)
        plain = Batch(puzzles, puzzles, puzzles[:, 0, 0].long(), transforms)
        expected = _carry_tensors(first_carry(start, plain))
        for name, tensor in expected.items():
            kinds = found[name].is_floating_point(), tensor.is_floating_point()
            if found[name].shape != tensor.shape or (found[name].dtype != tensor.dtype and not all(kinds)):
                raise ValueError(f"carry.{prefix}{name}")
        whole = _carry_from({name: found[name].to(device, t.dtype) for name, t in expected.items()})
        trainer.carries[number] = whole.take(trainer.shard, trainer.config.model.latents)


def _carry_tensors(carry: Carry) -> dict[str, Tensor]:
    return {
        "y": carry.state.y,
        **{f"z{number}": part for number, part in enumerate(carry.state.z)},
        **carry.batch._asdict(),
        "steps": carry.steps,
        "halted": carry.halted,
    }


def _carry_from(tensors: dict[str, Tensor]) -> Carry:
    z = tuple(tensors[f"z{number}"] for number in range(sum(name[0] == "z" for name in tensors)))
    batch = Batch(*(tensors[name] for name in Batch._fields))
    return Carry(State(tensors["y"], z), batch, tensors["steps"], tensors["halted"])


def _differences(first: Config, second: Config) -> str:
    a, b = first.to_dict(), second.to_dict()
    return ", ".join(
        f"{name} {a[part][name]!r} there, {b[part][name]!r} here"
        for part in a
        for name in a[part]
        if a[part][name] != b[part][name]
    )
