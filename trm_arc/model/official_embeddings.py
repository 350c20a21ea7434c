"""Task embeddings of an official checkpoint: which rows of the original's table belong to which task and transform."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from augment import COLOURS, SYMMETRIES
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json
from trm_arc.common.text import printable
from trm_arc.config import ModelConfig
from trm_arc.data.domains import Domain, domain_by_name
from trm_arc.data.domains.arc import ARC
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.examples import check_vocabulary, fingerprint
from trm_arc.data.task import TaskSet

# Names of task embeddings: a task, then symmetry and palette, as TRM and as HRM separate them.
_NAME = re.compile(r"(.*?)(?:(?:\|\|\||_)t(\d)(?:\|\|\||_)(\d{10}))?")
_IDENTITY = bytes([0, *range(COLOURS)])
_REMEDY = "--task-embeddings mean keeps only their mean"


class TaskEmbeddings(NamedTuple):
    """Task embeddings that a checkpoint keeps.

    Attributes:
        tasks: id and fingerprint of each task.
        table: uint8 (n, bytes of a transform), the transforms of all tasks.
        starts: int64 (tasks + 1,), where each task's rows begin.
        vectors: (n, D).
        mean: (D,), of the whole table.
    """

    tasks: list[tuple[str, str]]
    table: np.ndarray
    starts: np.ndarray
    vectors: Tensor
    mean: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """As a checkpoint holds them, with a count of one for the weights."""
        return {
            "embedding.table": self.vectors,
            "mean": self.mean,
            "plan.table": torch.from_numpy(self.table),
            "plan.starts": torch.from_numpy(self.starts),
            "counts": torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64),
        }


def domain_of_model(model: ModelConfig) -> Domain:
    """The kind of puzzle that a model's board and tokens are for; ARC where they fit no other."""
    side = model.board_rows
    for name in (f"sudoku-{side}x{side}", f"maze-{side}x{side}"):
        try:
            domain = domain_by_name(name)
        except InputError:
            continue
        if domain.vocabulary == model.vocabulary and model.board_columns == side:
            return domain
    check_vocabulary(model, ARC)
    return ARC


def mean_embedding(table: Tensor) -> TaskEmbeddings:
    """The mean of all task embeddings, for every task that the checkpoint does not know.

    Args:
        table: (rows, D); row 0, the original's padding, does not count if there are others.
    """
    mean = _mean(table)
    name = f"(mean of {max(1, len(table) - 1)} task embeddings)"
    return TaskEmbeddings([(name, "")], _to_table([_IDENTITY]), np.array([0, 1]), mean[None].clone(), mean)


def puzzle_embedding(table: Tensor, domain: BoardDomain) -> TaskEmbeddings:
    """The one task embedding of Sudoku or mazes.

    Args:
        table: (rows, D); for puzzles the original has one row, or unused ones after the first.
    """
    vector = table[:1].float()
    return TaskEmbeddings([(domain.name, "")], domain.identity()[None], np.array([0, 1]), vector, vector[0].clone())


def select_embeddings(table: Tensor, stated: int, identifiers: Path | None, tasks: TaskSet, file: Path) -> TaskEmbeddings:
    """The task embeddings of the tasks to answer, by the original's list of names.

    Args:
        table: (rows, D).
        stated: number of rows by the original's settings.
        identifiers: JSON list, a name for each row: `task`, or `task|||t3|||0132456789` with symmetry and palette.

    Raises:
        InputError: no such list, one of another length, or one without any of the tasks.
    """
    if stated != len(table):
        raise InputError(f"{len(table)} task embeddings, but num_puzzle_identifiers is {stated}; {_REMEDY}", file=file)
    if identifiers is None:
        problem = f"the names of the {len(table)} task embeddings are not known: give the identifiers.json of its training with"
        raise InputError(f"{problem} --identifiers; or {_REMEDY}", file=file)
    rows: dict[str, list[tuple[bytes, int]]] = {task.id: [] for task in tasks}
    seen: set[tuple[str, bytes]] = set()
    for number, name in enumerate(_read_names(identifiers, len(table))):
        task_id, symmetry, palette = _NAME.fullmatch(name.replace("\n", " ")).groups()
        if task_id in rows:
            transform = _parse_transform(symmetry, palette, f"{identifiers}, name {number}")
            if (task_id, transform) in seen:
                raise InputError(f"name {number} is there twice: {printable(name)}", file=identifiers)
            seen.add((task_id, transform))
            rows[task_id].append((transform, number))
    kept = [task for task in tasks if rows[task.id]]
    if not kept:
        raise InputError(f"names none of the {len(tasks)} tasks of {tasks.name}; see --evaluation-data", file=identifiers)
    order = [entry for task in kept for entry in sorted(rows[task.id], key=lambda entry: entry[0] != _IDENTITY)]
    return TaskEmbeddings(
        [(task.id, fingerprint(task)) for task in kept],
        _to_table([transform for transform, _ in order]),
        np.cumsum([0, *(len(rows[task.id]) for task in kept)]).astype(np.int64),
        table[torch.tensor([number for _, number in order])].float(),
        _mean(table),
    )


def _read_names(identifiers: Path, count: int) -> list[str]:
    names = read_json(identifiers)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("a list of names is expected, as in the original's identifiers.json", file=identifiers)
    if len(names) != count:
        advice = "give the list that the checkpoint was trained with, or --task-embeddings mean"
        raise InputError(f"{len(names)} names for {count} task embeddings; {advice}", file=identifiers)
    return names


def _parse_transform(symmetry: str | None, palette: str | None, where: str) -> bytes:
    """A plan's row from the original's `t3` and `0132456789`."""
    if symmetry is None or palette is None:
        return _IDENTITY
    if int(symmetry) >= SYMMETRIES or sorted(palette) != [str(colour) for colour in range(COLOURS)]:
        raise InputError(f"t{symmetry} and {palette} are not a symmetry and a palette, such as t3 and 0132456789", file=where)
    return bytes([int(symmetry), *map(int, palette)])


def _to_table(transforms: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(transforms), np.uint8).reshape(len(transforms), -1).copy()


def _mean(table: Tensor) -> Tensor:
    rows = table[1:] if len(table) > 1 else table
    return rows.double().mean(dim=0).float()
