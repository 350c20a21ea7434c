"""Checkpoints: a folder with a readable JSON and safe tensors, complete enough to resume bit for bit, never partial.

    checkpoint-00001200/
        checkpoint.json       format, version, step, config, the tasks, hashes
        tensors.safetensors   weights, average, optimizers, task embeddings, plan, active samples

A checkpoint is written under a temporary name and renamed when all of it is on disk.  Nothing is ever unpickled.
"""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from augment import BOARD, Plan, Window
from trm_arc.common.durations import format_size
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, share, sync, to_json, write_atomic
from trm_arc.common.folders import new_folder, remove_folder
from trm_arc.common.modes import PRECISIONS
from trm_arc.common.records import load_record
from trm_arc.common.text import format_value
from trm_arc.config import Config
from trm_arc.config.old_names import TENSORS
from trm_arc.data.domains import Domain, domain_by_name
from trm_arc.data.domains.arc import ARC
from trm_arc.model.checkpoint_files import FILES, answers, checkpoint_name, list_checkpoints, rename_fields
from trm_arc.model.integrity import DAMAGED, check_finite, check_seal, check_tensors, checksum, drop_seal, seal
from trm_arc.model.reasoner import Reasoner

T = TypeVar("T")
FORMAT, VERSION = "trm_arc checkpoint", 2
_JSON, _TENSORS = FILES
_NOT_SAVED = "nothing was saved, older checkpoints are untouched; train again with lower learning rates"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a checkpoint says about its run besides the settings.  Fields that the first checkpoints lacked have defaults.

    Attributes:
        windows: the canvas of every size bucket.
        precision: of the computation, a name of `PRECISIONS`.
        domain: the name of the kind of puzzle.
        compile_mode: what torch.compile compiled; empty: nothing.
        half_embeddings: whether the task embeddings were kept in bfloat16.
        accumulation: number of pieces that a process split its samples into.
        length: planned steps of the run; 0: as in its settings.
        active_samples: the size buckets whose active samples are among the tensors.
        rows_at_a_time: of each size bucket, the rows of a process that fitted its memory; the batch size where all did.

    Raises:
        InputError: a value is out of its range.
    """

    windows: list[Window]
    precision: str
    domain: str = ARC.name
    compile_mode: Literal["", "block", "step"] = ""
    half_embeddings: bool = False
    accumulation: int = 1
    length: int = 0
    active_samples: tuple[int, ...] = ()
    rows_at_a_time: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.accumulation < 1 or self.length < 0:
            raise InputError(f"accumulation {self.accumulation} or length {self.length} is too small")
        if min(self.rows_at_a_time, default=1) < 1 or len(self.rows_at_a_time) not in (0, len(self.windows)):
            raise InputError(f"samples at a time, above 0, are needed for each canvas, got {[*self.rows_at_a_time]}")
        if not self.windows or not all(1 <= side <= BOARD for window in self.windows for side in window):
            raise InputError(f"canvases of 1 to {BOARD} rows and columns are needed, got {[*map(tuple, self.windows)]}")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision}")


@dataclass(frozen=True, kw_only=True)
class _Header(Metadata):
    """All of `checkpoint.json`."""

    format: Literal["trm_arc checkpoint"] = FORMAT
    version: int = VERSION
    step: int
    config: dict[str, Any]
    tasks: list[tuple[str, str]]
    tensors: int
    tensors_crc32: str = ""  # earlier versions wrote none

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.step < 0:
            raise InputError(f"step {self.step} is below 0")


@dataclass
class Checkpoint:
    """The saved state of a run.

    Attributes:
        config: the run's settings.
        step: optimizer steps done.
        tasks: id and fingerprint of every task, in the order of the plan.
        tensors: the rest, by name: `model.`, `average.`, `optimizer.`, `embedding.`, `plan.`, `carry.`, `trained`,
            `counts`.
        metadata: further facts about the run.
        where: its folder, for errors.
    """

    config: Config
    step: int
    tasks: list[tuple[str, str]]
    tensors: dict[str, Tensor]
    metadata: Metadata
    where: str

    @property
    def domain(self) -> Domain:
        """The kind of puzzle that it answers."""
        return domain_by_name(self.metadata.domain)

    def require_domain(self, domain: Domain, name: str) -> None:
        """Raise InputError unless it answers the puzzles of `name`, which are of this kind."""
        if not answers(self.domain, self.config.model.mixer, domain):
            raise InputError(f"answers {self.domain.title}, but {name} holds {domain.title}", file=self.where)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix` and a dot, without it."""
        return {name.removeprefix(f"{prefix}."): t for name, t in self.tensors.items() if name.startswith(f"{prefix}.")}

    def reasoner(self, *, average: bool = True) -> Reasoner:
        """The model, with the averaged weights if there are any and `average` holds."""
        reasoner = Reasoner(self.config.model, torch.Generator())
        reasoner.embedding_rows = len(self.tensors.get("embedding.table", ()))
        load_strictly(reasoner.state_dict(), self.part("model"), f"{self.where}: model")
        averaged = self.part("average")  # none where the weights are the average already, as in a bundle's slim checkpoint
        if average and averaged:
            load_strictly(dict(reasoner.named_parameters()), averaged, f"{self.where}: average")
        return reasoner

    def mean_embedding(self) -> Tensor:
        """The mean (D,) of all trained task embeddings, which stands for a task that was never seen."""
        # a checkpoint with only some of its task embeddings also has the mean of all
        if "mean" in self.tensors:
            return self.tensors["mean"]
        table = check_rows(self)
        return table.to(torch.promote_types(table.dtype, torch.float32)).mean(dim=0)

    def plan(self) -> Plan:
        """The transforms of the tasks."""
        return Plan(self.tensors["plan.table"].numpy(), self.tensors["plan.starts"].numpy())


@torch.no_grad()
def load_strictly(into: dict[str, Tensor], tensors: dict[str, Tensor], what: str) -> None:
    """Copy tensors into others of the same names and shapes; raise InputError, with `what` they are, if they differ."""
    expected = {name: tuple(t.shape) for name, t in into.items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if expected != given:
        wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
        raise InputError(f"{what} does not fit the checkpoint's config ({', '.join(wrong[:5])}); the checkpoint is damaged")
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
        **asdict(checkpoint.metadata),
        "windows": [list(window) for window in checkpoint.metadata.windows],
    }


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int, stale: Sequence[Path] = ()) -> Path:
    """Write `folder/checkpoint-STEP` whole or not at all, then remove `stale`, and all but the newest `keep`.

    Of folders, only checkpoints and empty ones are removed; a checkpoint beside whose files somebody has put others is kept.

    Raises:
        InputError: it cannot be written, or has values that are not finite; what was there before is untouched.
    """
    target = folder / checkpoint_name(checkpoint.step)
    header, size = make_header(checkpoint), sum(t.nbytes for t in checkpoint.tensors.values())
    try:
        with new_folder(target) as temporary:
            tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
            with ThreadPoolExecutor(1) as beside:  # on another core, while the file is written
                finite = _begin(beside, partial(check_finite, tensors, target, _NOT_SAVED))
                total = _begin(beside, partial(checksum, tensors))
                save_file(tensors, temporary / _TENSORS)
                share(temporary / _TENSORS)
                sync(temporary / _TENSORS)
            finite()
            write_atomic(temporary / _JSON, to_json(seal(header | {"tensors_crc32": total()}), pretty=True))
        remove_unfinished(folder)
    except (OSError, SafetensorError, InputError) as error:
        if isinstance(error, InputError) and error.file == target:  # its values are wrong, not the disk
            raise
        raise InputError(
            f"the checkpoint cannot be written ({error}); it needs {format_size(size)}, {format_size(_free(folder))} are "
            f"free on {folder}; older ones are untouched: free space, lower --keep or name another --out, then continue "
            "with --resume",
            file=target,
        ) from None
    for old in stale:
        if old.is_dir() and old != target:
            remove_folder(old, FILES)
        elif old.is_file():
            with suppress(OSError):
                old.unlink()
    for old in list_checkpoints(folder)[:-keep]:
        remove_folder(old, FILES)
    return target


def _begin(pool: ThreadPoolExecutor, work: Callable[[], T]) -> Callable[[], T]:
    """Have a thread do some work; gives what waits for its result.  Where no more threads can be started, that does it."""
    try:
        return pool.submit(work).result
    except RuntimeError:
        return work


def _free(folder: Path) -> int:
    """Bytes that a disk has left; 0 if it cannot be asked."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def remove_unfinished(folder: Path) -> None:
    """Remove what killed runs left half-written."""
    for leftover in folder.glob(".writing-checkpoint-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint: its folder, or the folder of a run, of which the newest is taken.

    Raises:
        InputError: not a checkpoint, of another version, not what was saved, or with values that are not finite.
    """
    if path.is_dir() and not (path / _JSON).exists() and list_checkpoints(path):
        path = list_checkpoints(path)[-1]
    if not (path / _JSON).is_file():
        raise InputError(f"not a checkpoint (a folder with {_JSON} and {_TENSORS}, written by train)", file=path)
    header = read_json(path / _JSON)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError("not a checkpoint of trm_arc", file=path / _JSON)
    if header.get("version") != VERSION:
        raise InputError(
            f"a checkpoint of version {header.get('version')}; this trm_arc reads version {VERSION}: use the trm_arc "
            "that wrote it, or train again",
            file=path,
        )
    file = path / _TENSORS
    try:
        tensors = load_file(file) if file.is_file() else {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"truncated or damaged ({error}); use an older checkpoint", file=file) from None
    if not tensors:
        raise InputError("missing, truncated or damaged; use an older checkpoint", file=file)
    if "tensors_crc32" in header and header["tensors_crc32"] != checksum(tensors):
        raise InputError(f"damaged: its CRC-32 is not the one in {_JSON}; use an older checkpoint", file=file)
    checkpoint = check_header(drop_seal(header), tensors, str(path))
    check_seal(header, path / _JSON)  # last, as the other errors say what is wrong
    return checkpoint


def _parse_window(value: object) -> Window:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(type(side) is int for side in value):
        raise ValueError(f"must be rows and columns, got {format_value(value)}")
    return Window(*value)


def check_header(header: dict[str, Any], tensors: dict[str, Tensor], where: str) -> Checkpoint:
    """A checkpoint from its header and tensors, if they are complete.

    Args:
        header: from `make_header`, read back; the names may be those of an earlier version.

    Raises:
        InputError: something is missing, or has a value that no checkpoint has.
    """
    read = load_record(_Header, rename_fields(header), where, {Window: _parse_window}, DAMAGED)
    if len(tensors) != read.tensors:
        raise InputError(f"holds {len(tensors)} tensors, not {read.tensors}; {DAMAGED}", file=where)
    tensors = {_new_name(name): tensor for name, tensor in tensors.items()}
    check_tensors(tensors, len(read.tasks), domain_by_name(read.domain), where)
    metadata = Metadata(**{f.name: getattr(read, f.name) for f in fields(Metadata)})
    return Checkpoint(Config.from_dict(read.config, where), read.step, read.tasks, tensors, metadata, where)


def _new_name(tensor: str) -> str:
    part, dot, name = tensor.rpartition(".")
    return f"{part}{dot}{TENSORS.get(name, name)}"


def check_rows(checkpoint: Checkpoint) -> Tensor:
    """The task embedding's table, checked to have a row for every task, or for every row of the plan.

    Raises:
        InputError: it is missing, or of another size.
    """
    table = checkpoint.tensors.get("embedding.table")
    rows = len(checkpoint.tasks) if checkpoint.config.model.transform_tokens else len(checkpoint.tensors["plan.table"])
    if table is None or tuple(table.shape) != (rows, checkpoint.config.model.width):
        raise InputError(f"embedding.table: {DAMAGED}", file=checkpoint.where)
    return table
