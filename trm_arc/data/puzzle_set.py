"""A set of puzzles on boards of one size, as arrays: a byte a cell, and no Python object for each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from augment import PackedGrids, hash_boards, pack_boards
from trm_arc.common.errors import InputError
from trm_arc.data.domains import NO_VALUE, make_distinct
from trm_arc.data.pictures import render_pair, render_section, render_titled
from trm_arc.data.task import Grid, Pair, Task, TaskSet, grid_key

if TYPE_CHECKING:
    from trm_arc.data.domains.board import BoardDomain


SHOWN = 4  # puzzles of a set in a notebook


@dataclass(frozen=True, eq=False)
class PuzzleSet:
    """Questions with their answers.

    Attributes:
        name: where they come from, for messages.
        domain: what they are.
        questions: uint8 (n, rows, columns).
        answers: uint8 (n, rows, columns).
        ratings: int64 (n,), the difficulty of each; see the domain.
        rows: int64 (n,), the number of each in its file, from 1.
        note: a remark for the user on how the file was read; may be empty.
    """

    name: str
    domain: "BoardDomain"
    questions: np.ndarray
    answers: np.ndarray
    ratings: np.ndarray
    rows: np.ndarray
    note: str = ""

    def __repr__(self) -> str:
        return f"<PuzzleSet {self.name}: {len(self)} puzzles of {self.domain.name}>"

    def _repr_html_(self) -> str:
        shown, drawing = [], self.domain.drawing
        for name, question, answer in zip(self.names[:SHOWN], self.questions, self.answers, strict=False):
            solved = render_titled("answer", answer, drawing, question=question)
            shown.append(render_pair(render_titled(name, question, drawing), solved))
        more = f"and {len(self) - SHOWN:,} more" if len(self) > SHOWN else ""
        return render_section(self.describe(), shown, more)

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def outputs(self) -> int:
        """Number of answers to predict."""
        return len(self)

    @property
    def has_solutions(self) -> bool:
        """Whether every answer is known, which is always true: answers that a file lacks are computed."""
        return True

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return zip(self.questions, self.answers, strict=True)

    @property
    def truths(self) -> list[Grid | None]:
        """The right answer to every question."""
        return list(self.answers)

    @cached_property
    def names(self) -> list[str]:
        """What each puzzle is called: its row."""
        return make_distinct([f"row {row}" for row in self.rows.tolist()])

    @property
    def test_keys(self) -> list[tuple[str, bytes]]:
        """What identifies each puzzle in another set: its question alone; the row may be another one."""
        return [("", grid_key(question)) for question in self.questions]

    @property
    def columns(self) -> dict[str, list[object]]:
        """What identifies the puzzles in a table: their rows."""
        return {"row": self.rows.tolist()}

    def find_tests(self, name: str) -> list[int]:
        """The puzzles of a name other than those in `names`: none."""
        return []

    def fill_attempts(self, answers: list[list[Grid]]) -> list[list[Grid]]:
        """What counts as answered, best first: the answers; nothing is guessed."""
        return answers

    def are_valid(self, answers: list[list[Grid]]) -> np.ndarray:
        """Whether the first answer to each is right by the rules; bool (n,)."""
        return self.domain.are_solutions(self.questions, self.first_boards(answers))

    def first_boards(self, answers: list[list[Grid]]) -> np.ndarray:
        """The first answer to each, uint8 (n, rows, columns); a board without values where there is none."""
        nothing = np.full(self.domain.shape, NO_VALUE, np.uint8)
        return np.stack([ranked[0] if ranked else nothing for ranked in answers])

    @property
    def demonstrations(self) -> dict[str, tuple[Pair, ...]]:
        """Demonstrations, by the names of what they belong to: none."""
        return {}

    @property
    def owners(self) -> list[str | None]:
        """Whose demonstrations go with each puzzle: none."""
        return [None] * len(self)

    @property
    def shown_cells(self) -> list[int]:
        """Cells that a page shows of each puzzle, besides the answers given."""
        return [2 * self.questions[0].size] * len(self)

    def describe(self) -> str:
        """A description of what is to be answered."""
        return f"{len(self):,} puzzles of {self.name} ({self.domain.name})" + f"; {self.note}" * bool(self.note)

    def describe_test(self, number: int) -> str:
        """What a puzzle is called, and how difficult it is."""
        return f"{self.names[number]}, {self.ratings[number]} {self.domain.difficulty}"

    def take(self, which: np.ndarray) -> "PuzzleSet":
        """Some of them, by a mask or by numbers."""
        arrays = {name: getattr(self, name)[which] for name in ("questions", "answers", "ratings", "rows")}
        return replace(self, **arrays)

    def without_solutions(self) -> "PuzzleSet":
        """The same questions, with answers that hold no information."""
        return replace(self, answers=np.zeros_like(self.questions))

    def test_grids(self) -> PackedGrids:
        """The questions, packed."""
        return pack_boards(self.questions)

    @property
    def test_counts(self) -> dict[int, int]:
        """Every row with its number of test inputs, which is one."""
        return dict.fromkeys(range(len(self)), 1)

    def drop_tests(self, which: np.ndarray) -> tuple["PuzzleSet", list[str]]:
        """The puzzles without some of them (bool (n,)); and the names of those."""
        return self.take(~which) if which.any() else self, [f"row {row}" for row in self.rows[which].tolist()]

    def input_hashes(self) -> np.ndarray:
        """Hashes (int64 (n,)) that are equal for questions that are equal up to symmetry."""
        return self._hashes

    @cached_property
    def _hashes(self) -> np.ndarray:
        return hash_boards(self.domain.canonical(self.questions)).view(np.int64)


def join_puzzles(sets: list[PuzzleSet]) -> PuzzleSet:
    """Put several sets of one domain into one, in order.

    Raises:
        InputError: they are of different domains.
    """
    first = sets[0]
    other = next((one for one in sets if one.domain is not first.domain), None)
    if other is not None:
        raise InputError(f"{first.name} holds {first.domain.name}, {other.name} {other.domain.name}; use sets of one kind")
    if len(sets) == 1:
        return first
    arrays = {name: np.concatenate([getattr(one, name) for one in sets]) for name in ("questions", "answers", "ratings", "rows")}
    notes = "; ".join(one.note for one in sets if one.note)
    return replace(first, name="+".join(one.name for one in sets), note=notes, **arrays)


AnySet = TaskSet | PuzzleSet  # what a run may train on, and answer


def as_set(tasks: AnySet | Task) -> AnySet:
    """What a program gives to be answered as a set; one task alone is allowed, too.

    Raises:
        InputError: it is something else.
    """
    if isinstance(tasks, Task):
        return TaskSet([tasks], tasks.id)
    if not isinstance(tasks, AnySet):
        raise InputError(f"a task set, a set of puzzles, a task, a name or a path is needed, got {type(tasks).__name__}")
    return tasks
