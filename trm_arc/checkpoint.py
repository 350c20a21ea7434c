"""Checkpoints: a folder with a readable JSON and safe tensors, complete enough to go on bit for bit, never a part of one.

    checkpoint-00001200/
        checkpoint.json       format, version, step, config, the tasks and how far their rows reach
        tensors.safetensors   weights, average, optimizers, task embeddings, plan, rows in flight, random state

A checkpoint is written under a temporary name and renamed when all of it is on disk.  Nothing is ever unpickled.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from augment import Plan
from trm_arc.config import Config
from trm_arc.errors import InputError
from trm_arc.files import read_json, to_json, write_atomic
from trm_arc.model import Reasoner

FORMAT, VERSION = "trm_arc checkpoint", 1
_NAME = re.compile(r"checkpoint-(\d{8})")
_JSON, _TENSORS = "checkpoint.json", "tensors.safetensors"


@dataclass
class Checkpoint:
    """A saved moment of a run.

    Attributes:
        config: the run's settings.
        step: optimizer steps done.
        tasks: id and fingerprint of every task, in the order of the plan.
        tensors: everything else, by name: `model.`, `average.`, `optimizer.`, `embedding.`, `plan.`, `carry.`, `random`.
        extra: small values for people and logs, such as seconds trained.
    """

    config: Config
    step: int
    tasks: list[tuple[str, str]]
    tensors: dict[str, Tensor]
    extra: dict[str, object]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix` and a dot, without it."""
        return {name.removeprefix(f"{prefix}."): t for name, t in self.tensors.items() if name.startswith(f"{prefix}.")}

    def reasoner(self, average: bool = True) -> Reasoner:
        """The model, with the averaged weights if there are any and `average` holds.

        Raises:
            InputError: the tensors do not fit the config.
        """
        reasoner = Reasoner(self.config.model, torch.Generator())
        load_strictly(reasoner, self.part("model"), "model")
        averages = self.part("average")
        if average and averages:
            with torch.no_grad():
                for name, parameter in reasoner.named_parameters():
                    parameter.copy_(averages[name])
        return reasoner

    def plan(self) -> Plan:
        """The transforms of the tasks."""
        return Plan(self.tensors["plan.table"].numpy(), self.tensors["plan.starts"].numpy())


def load_strictly(module: torch.nn.Module, tensors: dict[str, Tensor], what: str) -> None:
    """Load tensors into a module; every name must be there, and none too many.

    Raises:
        InputError: names or shapes that do not match, named.
    """
    expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if expected != given:
        odd = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
        raise InputError(f"the checkpoint's {what} does not fit its config: {', '.join(odd[:5])}")
    module.load_state_dict(tensors)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `folder/checkpoint-STEP` whole or not at all, then remove all but the newest `keep`.

    Raises:
        InputError: it cannot be written; what was there before is untouched.
    """
    target = folder / f"checkpoint-{checkpoint.step:08d}"
    temporary = folder / f".writing-{target.name}-{os.getpid()}"
    header = {
        "format": FORMAT,
        "version": VERSION,
        "step": checkpoint.step,
        "config": checkpoint.config.to_dict(),
        "tasks": checkpoint.tasks,
        "tensors": len(checkpoint.tensors),
        **checkpoint.extra,
    }
    try:
        remove_unfinished(folder)
        temporary.mkdir(parents=True)
        save_file({name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}, temporary / _TENSORS)
        write_atomic(temporary / _JSON, to_json(header, pretty=True))
        _flush(temporary / _TENSORS)
        _flush(temporary)
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
        _flush(folder)
    except (OSError, SafetensorError, InputError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(
            f"{target}: the checkpoint cannot be written ({error}); older ones are untouched: free space or name another "
            "folder with --out, then go on with --resume"
        ) from None
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed runs left half written."""
    for leftover in folder.glob(".writing-checkpoint-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def remove_run(folder: Path) -> None:
    """Remove every checkpoint of a run, finished or not."""
    remove_unfinished(folder)
    for path in list_checkpoints(folder):
        shutil.rmtree(path)


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir())


def newest_checkpoint(runs: Path) -> Path:
    """The checkpoint saved last, of all runs below `runs`.

    Raises:
        InputError: there is none.
    """
    found = [path for folder in [runs, *runs.glob("*")] for path in list_checkpoints(folder)]
    if not found:
        raise InputError(f"{runs}: no checkpoint here; train one with `python -m trm_arc.train`, or name one with --checkpoint")
    return max(found, key=lambda path: ((path / _JSON).stat().st_mtime_ns if (path / _JSON).exists() else 0, path.name))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint: its folder, or the folder of a run, of which the newest is taken.

    Raises:
        InputError: not a checkpoint, of another version, or truncated.
    """
    if path.is_dir() and not (path / _JSON).exists() and list_checkpoints(path):
        path = list_checkpoints(path)[-1]
    if not (path / _JSON).is_file():
        raise InputError(f"{path}: not a checkpoint (a folder with {_JSON} and {_TENSORS}, written by trm_arc.train)")
    header = read_json(path / _JSON)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{path / _JSON}: not a checkpoint of trm_arc")
    if header.get("version") != VERSION:
        raise InputError(
            f"{path}: a checkpoint of version {header.get('version')}; this trm_arc reads version {VERSION}: use the trm_arc "
            "that wrote it, or train anew"
        )
    needed = {"step", "config", "tasks", "tensors"}
    if not needed <= header.keys():
        raise InputError(f"{path / _JSON}: {', '.join(sorted(needed - header.keys()))} is missing; the checkpoint is damaged")
    try:
        tensors = load_file(path / _TENSORS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path / _TENSORS}: truncated or damaged ({error}); use an older checkpoint") from None
    if len(tensors) != header["tensors"]:
        raise InputError(f"{path / _TENSORS}: holds {len(tensors)} tensors, not {header['tensors']}; the checkpoint is damaged")
    config = Config.from_dict(header["config"], str(path / _JSON))
    extra = {name: v for name, v in header.items() if name not in needed | {"format", "version"}}
    return Checkpoint(config, header["step"], [tuple(task) for task in header["tasks"]], tensors, extra)
