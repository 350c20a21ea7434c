"""Checkpoints: a folder with a readable JSON and safe tensors, complete enough to go on bit for bit, never a part of one.

    checkpoint-00001200/
        checkpoint.json       format, version, step, config, the tasks and how far their rows reach
        tensors.safetensors   weights, average, optimizers, task embeddings, plan, rows in flight

A checkpoint is written under a temporary name and renamed when all of it is on disk.  Nothing is ever unpickled.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from augment import BOARD, Plan
from trm_arc.common.device import PRECISIONS
from trm_arc.common.errors import InputError
from trm_arc.common.files import check_writable, read_json, share, to_json, write_atomic
from trm_arc.config import Config
from trm_arc.data.domains import Domain, domain_by_name
from trm_arc.data.domains.arc import ARC
from trm_arc.model.compiling import BLOCK, STEP
from trm_arc.model.reasoner import Reasoner

FORMAT, VERSION = "trm_arc checkpoint", 2
_NAME = re.compile(r"checkpoint-(\d{8})")
_JSON, _TENSORS = "checkpoint.json", "tensors.safetensors"
USUAL = {"fused": "", "half_embeddings": False, "accumulation": 1}  # of checkpoints that do not say otherwise
_YOUNGER = {"rows_in_flight": [], "family": ARC.name, "length": 0}  # parts of a header that the first checkpoints lacked
EXPORT = Path("export") / "export.json"  # see trm_arc.model.export


@dataclass
class Checkpoint:
    """A saved moment of a run.

    Attributes:
        config: the run's settings.
        step: optimizer steps done.
        tasks: id and fingerprint of every task, in the order of the plan.
        tensors: the rest, by name: `model.`, `average.`, `optimizer.`, `embedding.`, `plan.`, `carry.`, `trained`,
            `counts`.
        extra: domain, windows, how the run computed (precision and `USUAL`), how many steps it is to have (0: as its settings
            say), and the lanes with rows in flight.
        where: its folder, for errors.
    """

    config: Config
    step: int
    tasks: list[tuple[str, str]]
    tensors: dict[str, Tensor]
    extra: dict[str, Any]
    where: str

    @property
    def domain(self) -> Domain:
        """The kind of puzzle that it answers."""
        return domain_by_name(self.extra["family"])

    def require_domain(self, domain: Domain, name: str) -> None:
        """Raise InputError unless it answers this kind of puzzle.

        Args:
            domain: of what is to be answered.
            name: of what is to be answered, for the error.
        """
        if self.domain is not domain:
            raise InputError(f"{self.where}: answers {self.domain.title}, and {name} holds {domain.title}")

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix` and a dot, without it."""
        return {name.removeprefix(f"{prefix}."): t for name, t in self.tensors.items() if name.startswith(f"{prefix}.")}

    def reasoner(self, average: bool = True) -> Reasoner:
        """The model, with the averaged weights if there are any and `average` holds.

        Raises:
            InputError: the tensors do not fit the config.
        """
        reasoner = Reasoner(self.config.model, torch.Generator())
        reasoner.embedding_rows = len(self.tensors.get("embedding.table", ()))
        load_strictly(reasoner.state_dict(), self.part("model"), f"{self.where}: model")
        averaged = self.part("average")  # none where the weights are the average already, as in a bundle's slim checkpoint
        if average and averaged:
            load_strictly(dict(reasoner.named_parameters()), averaged, f"{self.where}: average")
        return reasoner

    def mean_embedding(self) -> Tensor:
        """The mean (D,) of all trained task embeddings, which stands for a task that was never seen."""
        # a checkpoint that holds some of its task embeddings alone has the mean of all beside them
        if "mean" in self.tensors:
            return self.tensors["mean"]
        table = check_rows(self)
        return table.to(torch.promote_types(table.dtype, torch.float32)).mean(dim=0)

    def plan(self) -> Plan:
        """The transforms of the tasks."""
        return Plan(self.tensors["plan.table"].numpy(), self.tensors["plan.starts"].numpy())


@torch.no_grad()
def load_strictly(into: dict[str, Tensor], tensors: dict[str, Tensor], what: str) -> None:
    """Copy tensors into others of the same names and shapes; none may be missing, and none too many.

    Args:
        into: what to overwrite.
        tensors: what was saved.
        what: checkpoint and part, for the error.

    Raises:
        InputError: names or shapes that do not match, named.
    """
    expected = {name: tuple(t.shape) for name, t in into.items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if expected != given:
        odd = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
        raise InputError(f"{what} does not fit the checkpoint's config ({', '.join(odd[:5])}); the checkpoint is damaged")
    for name, tensor in into.items():
        tensor.copy_(tensors[name])


def make_header(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is readable of a checkpoint, for its JSON."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "step": checkpoint.step,
        "config": checkpoint.config.to_dict(),
        "tasks": checkpoint.tasks,
        "tensors": len(checkpoint.tensors),
        **checkpoint.extra,
    }


def checkpoint_name(step: int) -> str:
    """What the folder of a step's checkpoint is called."""
    return f"checkpoint-{step:08d}"


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int, stale: Sequence[Path] = ()) -> Path:
    """Write `folder/checkpoint-STEP` whole or not at all, then remove `stale`, and all but the newest `keep`.

    Raises:
        InputError: it cannot be written; what was there before is untouched.
    """
    target = folder / checkpoint_name(checkpoint.step)
    temporary = folder / f".writing-{target.name}-{os.getpid()}"
    header, size = make_header(checkpoint), sum(t.nbytes for t in checkpoint.tensors.values())
    try:
        temporary.mkdir(parents=True)
        save_file({name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}, temporary / _TENSORS)
        share(temporary / _TENSORS)
        write_atomic(temporary / _JSON, to_json(header, pretty=True))
        _flush(temporary / _TENSORS)
        _flush(temporary)
        if target.exists():  # aside first: at every moment one of the two is whole
            target.rename(folder / f".writing-{target.name}-old")
        temporary.rename(target)
        _flush(folder)
        remove_unfinished(folder)
    except (OSError, SafetensorError, InputError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(
            f"the checkpoint cannot be written ({error}); it needs {_megabytes(size)}, {_megabytes(_free(folder))} are "
            f"free on {folder}; older ones are untouched: free space, lower --keep or name another folder with --out, then go on "
            "with --resume",
            file=target,
        ) from None
    for old in stale:
        if old.is_dir() and old != target:
            shutil.rmtree(old, ignore_errors=True)
        elif old.is_file():
            old.unlink()
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _free(folder: Path) -> int:
    """Bytes that a disk has left; 0 if it cannot be asked."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


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


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir())


def pool_checkpoints(paths: Sequence[Path], count: int) -> list[Path]:
    """The checkpoints that vote together: the newest `count` of each run, and those that are named themselves.

    Args:
        paths: runs, or single checkpoints.
        count: of each run at most.
    """
    return [one for path in paths for one in (list_checkpoints(path)[::-1][:count] or [path])]


def newest_checkpoint(runs: Path) -> Path:
    """The checkpoint saved last, of all runs below `runs`.

    Raises:
        InputError: there is none.
    """
    found = [path for folder in [runs, *runs.glob("*")] for path in list_checkpoints(folder)]
    if not found:
        raise InputError(f"{runs}: no checkpoint here; train one with `python -m trm_arc.train`, or name one with --checkpoint")
    return max(found, key=lambda path: ((path / _JSON).stat().st_mtime_ns if (path / _JSON).exists() else 0, path.name))


def prepare_folder(out: Path, resume: bool, overwrite: bool) -> None:
    """See that a run may write into its folder, before any work.

    Args:
        out: the folder.
        resume: go on with what is there.
        overwrite: remove what is there.

    Raises:
        InputError: it cannot be written, or holds another run, or has nothing to resume.
    """
    check_writable(out)
    there = list_checkpoints(out)
    if resume and overwrite:
        raise InputError("--resume and --overwrite: give one of them")
    if resume and not there and not (out / EXPORT).is_file():
        if (out / EXPORT.name).is_file():
            raise InputError(
                f"these are the pieces of a run; put them into a folder RUN/{EXPORT.parent}, and resume RUN", file=out
            )
        raise InputError("no checkpoint to resume; leave --resume out to start the run", file=out)
    if there and not resume and not overwrite:
        advice = "go on with --resume, replace it with --overwrite, or name another --out"
        raise InputError(f"holds a run ({there[-1].name}); {advice}", file=out)


def _peek(path: Path, part: str) -> Any:
    """A part of the header of a checkpoint, or of the newest of a run."""
    there = list_checkpoints(path)
    header = read_json((there[-1] if there else path) / _JSON)
    return header.get(part) if isinstance(header, dict) else None


def run_of(path: Path) -> Path:
    """The folder of the run that a checkpoint lies in; of anything else the path itself."""
    return path.parent if path.name.startswith("checkpoint-") else path


def read_step(path: Path) -> int | None:
    """The step of a checkpoint, or of the newest of a run, without its tensors; None if it cannot be read."""
    try:
        step = _peek(path, "step")
    except InputError:
        return None
    return step if type(step) is int else None


def read_config(path: Path) -> Config:
    """The settings of a checkpoint, or of the newest of a run, without its tensors.

    Raises:
        InputError: not a checkpoint.
    """
    return Config.from_dict(_peek(path, "config") or {}, str(path))


def domain_of_checkpoint(path: Path) -> Domain:
    """The kind of puzzle that a checkpoint, or the newest of a run, answers, without its tensors.

    Raises:
        InputError: not a checkpoint.
    """
    return domain_by_name(str(_peek(path, "family") or ARC.name))


def read_task_ids(path: Path) -> set[str]:
    """The ids of the tasks whose embeddings a checkpoint, or the newest of a run, has; none if it cannot be read."""
    try:
        tasks = _peek(path, "tasks")
    except InputError:
        return set()
    return {task[0] for task in tasks if isinstance(task, list) and task} if isinstance(tasks, list) else set()


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint: its folder, or the folder of a run, of which the newest is taken.

    Raises:
        InputError: not a checkpoint, of another version, or truncated.
    """
    if path.is_dir() and not (path / _JSON).exists() and list_checkpoints(path):
        path = list_checkpoints(path)[-1]
    if not (path / _JSON).is_file():
        raise InputError(f"not a checkpoint (a folder with {_JSON} and {_TENSORS}, written by trm_arc.train)", file=path)
    header = read_json(path / _JSON)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError("not a checkpoint of trm_arc", file=path / _JSON)
    if header.get("version") != VERSION:
        raise InputError(
            f"a checkpoint of version {header.get('version')}; this trm_arc reads version {VERSION}: use the trm_arc "
            "that wrote it, or train anew",
            file=path,
        )
    try:
        tensors = load_file(path / _TENSORS)
    except (SafetensorError, OSError) as error:
        raise InputError(f"truncated or damaged ({error}); use an older checkpoint", file=path / _TENSORS) from None
    return check_header(header, tensors, str(path))


def check_header(header: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Checkpoint:
    """A checkpoint of its header and tensors, if they are whole.

    Args:
        header: from `make_header`, read back.
        tensors: by name.
        where: for errors.

    Raises:
        InputError: something is missing, or holds what nothing of ours has written.
    """
    needed = {"step", "config", "tasks", "tensors", "windows", "precision"}
    if not needed <= header.keys():
        raise InputError(f"{', '.join(sorted(needed - header.keys()))} is missing; the checkpoint is damaged", file=where)
    if len(tensors) != header["tensors"]:
        raise InputError(f"holds {len(tensors)} tensors, not {header['tensors']}; the checkpoint is damaged", file=where)
    if header.get("compiled") is True:  # the word of the first checkpoints
        header = {"fused": STEP} | header
    _check(header, tensors, where)
    usual = USUAL | _YOUNGER
    extra = usual | {name: header[name] for name in ("windows", "precision", *usual) if name in header}
    tasks = [tuple(task) for task in header["tasks"]]
    return Checkpoint(Config.from_dict(header["config"], where), header["step"], tasks, tensors, extra, where)


def _check(header: dict[str, Any], tensors: dict[str, Tensor], where: str) -> None:
    """Refuse values that nothing of ours has written."""

    def is_list(value: object, kind: type, length: int) -> bool:
        return isinstance(value, list) and len(value) == length and all(type(v) is kind for v in value)

    def tensor(name: str, dtype: torch.dtype, dimensions: int) -> Tensor | None:
        t = tensors.get(name)
        return t if t is not None and t.dtype == dtype and t.ndim == dimensions else None

    tasks, windows, in_flight = header["tasks"], header["windows"], header.get("rows_in_flight", [])
    starts, table = tensor("plan.starts", torch.int64, 1), tensor("plan.table", torch.uint8, 2)
    sound = {
        "step": type(header["step"]) is int and header["step"] >= 0,
        "length": type(header.get("length", 0)) is int and header.get("length", 0) >= 0,
        "tasks": isinstance(tasks, list) and all(is_list(task, str, 2) for task in tasks),
        "windows": isinstance(windows, list)
        and len(windows) > 0
        and all(is_list(window, int, 2) and all(1 <= side <= BOARD for side in window) for window in windows),
        "precision": header["precision"] in tuple(PRECISIONS),
        **{name: type(header.get(name, value)) is type(value) for name, value in USUAL.items()},
        "rows_in_flight": isinstance(in_flight, list) and all(type(lane) is int for lane in in_flight),
        "trained": tensor("trained", torch.int64, 1) is not None,
        "counts": tensor("counts", torch.float64, 1) is not None and len(tensors["counts"]) == 3,
    }
    sound["fused"] = header.get("fused", "") in ("", STEP, BLOCK)
    sound["accumulation"] = sound["accumulation"] and header.get("accumulation", 1) >= 1
    domain = domain_by_name(str(header.get("family", ARC.name)))
    sound["plan.table"] = table is not None and table.shape[1] == domain.row_bytes and domain.are_transforms(table.numpy())
    sound["plan.starts"] = sound["plan.table"] and sound["tasks"] and starts is not None and len(starts) == len(tasks) + 1
    if sound["plan.starts"]:
        ends = int(starts[0]) == 0 and int(starts[-1]) == len(table)
        sound["plan.starts"] = ends and bool((starts.diff() > 0).all())
    broken = [name for name, fine in sound.items() if not fine]
    if broken:
        raise InputError(f"the checkpoint is damaged ({', '.join(broken)}); use an older one", file=where)


def check_rows(checkpoint: Checkpoint) -> Tensor:
    """The task embedding's table, seen to have a row for every task, or for every row of the plan.

    Raises:
        InputError: it is missing, or of another size.
    """
    table = checkpoint.tensors.get("embedding.table")
    rows = len(checkpoint.tasks) if checkpoint.config.model.transform_slots else len(checkpoint.tensors["plan.table"])
    if table is None or tuple(table.shape) != (rows, checkpoint.config.model.width):
        raise InputError("the checkpoint is damaged (embedding.table); use an older one", file=checkpoint.where)
    return table
