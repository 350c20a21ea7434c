"""The dev split: a share of a training set that is kept out of training, so that settings are chosen without a look at a test.

What belongs to the share follows from a task's id, or from a puzzle's canonical form, and from nothing else: neither other data
nor a seed changes it, and a larger share contains a smaller one.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from augment import hash_boards
from augment.kernels import mix_columns
from trm_arc.common.errors import InputError
from trm_arc.config import TrainingConfig

if TYPE_CHECKING:
    from trm_arc.data.domains.board import BoardDomain
    from trm_arc.data.puzzle_set import PuzzleSet
    from trm_arc.data.task import Task, TaskSet

_SALT = "trm_arc dev split"
_BOARD_SALT = int.from_bytes(hashlib.sha256(_SALT.encode()).digest()[:8], "big")
_SCORED = re.compile(r"(?<![a-z])(test|evaluation)\d*(?![a-z])")  # in the name of a file or set that is scored at the end


@dataclass(frozen=True)
class DevSplit:
    """One side of the split.

    Attributes:
        share: of the training set that is kept out of training, above 0 and below 1.
        dev: whether this is the side that is kept out, or the one that is trained on.
        made: number of puzzles of a generated set that are split; 0: the default number.
    """

    share: float
    dev: bool
    made: int = 0

    @classmethod
    def of(cls, config: TrainingConfig, *, dev: bool) -> "DevSplit | None":
        """One side of the split of a run; None if it has none."""
        return cls(config.dev_share, dev, config.puzzles) if config.dev_share else None

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Which of some numbers (uint64 (n,)) are on this side, bool (n,)."""
        return (numbers < np.uint64(self.share * 2**64)) == self.dev

    def number_boards(self, questions: np.ndarray, domain: "BoardDomain") -> np.ndarray:
        """The number of each question (uint8 (n, rows, columns)), uint64 (n,), the same for all its images by symmetry."""
        hashes = hash_boards(domain.canonical(questions))
        return mix_columns(np.stack([np.full(len(hashes), _BOARD_SALT, np.uint64), hashes], axis=1))

    def take_puzzles(self, puzzles: "PuzzleSet", count: int = 0) -> "PuzzleSet":
        """The puzzles of a set that are on this side, in order.

        Args:
            count: of these, those with the lowest numbers, at most so many; 0: all.

        Raises:
            InputError: there are none.
        """
        numbers = self.number_boards(puzzles.questions, puzzles.domain)
        kept = np.flatnonzero(self.holds(numbers))
        if not len(kept):
            raise self.none_left(puzzles.name, len(puzzles), "puzzle")
        return puzzles.take(np.sort(kept[np.argsort(numbers[kept], kind="stable")[: count or None]]))

    def take_tasks(self, tasks: "TaskSet") -> list["Task"]:
        """The tasks of a set that are on this side, in order.

        Raises:
            InputError: there are none.
        """
        here = self.holds(np.array([number_task(task.id) for task in tasks], np.uint64))
        if not here.any():
            raise self.none_left(tasks.name, len(tasks), "task")
        return [task for task, inside in zip(tasks, here.tolist(), strict=True) if inside]

    def rename(self, name: str) -> str:
        """The name of the dev side of a set."""
        return f"{name} (dev share {self.share:g})"

    def describe(self, what: str, unit: str, scored: str) -> str:
        """A sentence on a dev set."""
        return (
            f"dev {unit}s: {what}, not trained on (--dev-share {self.share:g}); their score is a dev score, not that of {scored}"
        )

    def none_left(self, name: str, count: int, unit: str) -> InputError:
        """The error of a side without any of the `count` tasks or puzzles of a set."""
        side, advice = ("dev", "raise") if self.dev else ("training", "lower")
        return InputError(f"{self.share} leaves no {side} {unit} of the {count:,} of {name}; {advice} it", flag="--dev-share")


def number_task(task_id: str) -> int:
    """The number of a task by its id, from 0 to 2**64 - 1: the first bytes of a SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{_SALT} {task_id}".encode()).digest()[:8], "big")


def require_training_data(names: list[str]) -> None:
    """Raise InputError if a set by its name or path is one to be scored on at the end."""
    for name in names:
        if _SCORED.search(PurePath(name).name.lower()):
            raise InputError(
                f"dev tasks and puzzles are drawn from training data, and {name} is an evaluation set; name a training set",
                flag="--evaluation-data",
            )
