"""One task or puzzle by the user's name for it: an id, a file, a row number, or the puzzle itself."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from trm_arc.common.errors import InputError, did_you_mean
from trm_arc.common.launch import command_line
from trm_arc.data.board_text import is_written_board
from trm_arc.data.domains import LoadOptions
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.data.puzzle_text import read_puzzle
from trm_arc.data.sources import SOURCE_NAMES, load_tasks
from trm_arc.data.task import TaskSet
from trm_arc.data.task_files import same_task

_ROW = re.compile(r"(?:row )?(\d{1,12})")
_NAMED_TEST = re.compile(r"(.+) test \d+")  # as comparisons name the test inputs of a task that has several


@dataclass(frozen=True)
class Match:
    """A task or puzzle that was asked for.

    Attributes:
        title: its name, and the set that it is in.
        tasks: a set of it alone.
        note: a remark on where it was found; may be empty.
    """

    title: str
    tasks: AnySet
    note: str = ""


@dataclass(frozen=True)
class TaskFinder:
    """Finds tasks and puzzles by name, loading each set once.

    Attributes:
        data: the set to look in, by name or path; None: in `asked`, or else in every named set.
        folder: where to look for named sets first.
        solutions: solutions file of `data`, if it is not beside it.
        asked: what a run was asked, if one is named.
    """

    data: str | None = None
    folder: Path | None = None
    solutions: Path | None = None
    asked: AnySet | None = None

    @cached_property
    def source(self) -> AnySet | None:
        """The set to look in; None: every named one."""
        if self.data is None:
            return self.asked
        domain = domain_of_data(self.data)
        domain.refuse_unused({"solutions": self.solutions} if self.solutions else {})
        return domain.load(self.data, "test", self.folder, LoadOptions(solutions=self.solutions))

    @cached_property
    def named_sets(self) -> list[TaskSet]:
        """Every public set that can be loaded."""
        loaded, faults = [], []
        for name in SOURCE_NAMES:
            try:
                loaded.append(load_tasks(name, self.folder))
            except InputError as error:
                faults.append(error)
        if not loaded:
            raise faults[0]
        return loaded

    def find(self, text: str) -> Match:
        """The task or puzzle that a text names: a task's id or file, a row of puzzles, or a puzzle as people write it.

        Raises:
            InputError: there is no such thing.
        """
        source = self.source
        if source is not None and source.domain.shape is not None:
            row = _ROW.fullmatch(text)
            return _find_row(source, int(row[1])) if row else self._find_puzzle(source, text)
        if source is not None and text in source:
            return _match(source, text)
        if text.lower().endswith(".json"):
            return self._read_file(text)
        if text.lower().endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
            raise InputError(
                f"holds many puzzles; name one by its row: `{command_line('python -m trm_arc.show')} 1 --data {text}`", file=text
            )
        if _is_puzzle(text):
            alone = read_puzzle(text)
            return Match(_rate(alone), alone)
        named = _NAMED_TEST.fullmatch(text)
        if source is None:
            return self._find_named(text, named[1] if named else text)
        if named and named[1] in source:
            return _match(source, named[1])
        _refuse_path(text)
        advice = _suggest(text, [source]) or "; name its set with --data"
        raise InputError(f"{text}: no task of {source.name}{advice}")

    def _find_named(self, text: str, task_id: str) -> Match:
        holders = [tasks for tasks in self.named_sets if task_id in tasks]
        if not holders:
            if _ROW.fullmatch(text):
                raise InputError(f"{text}: no task has this id; for a row of puzzles name their set with --data, or a --run")
            _refuse_path(text)
            names = ", ".join(tasks.name for tasks in self.named_sets)
            raise InputError(f"{text}: no task of {names}{_suggest(text, self.named_sets)}")
        first, *others = holders
        differ = [tasks.name for tasks in others if not same_task(tasks[task_id], first[task_id])]
        note = f"Another task has this id in {', '.join(differ)}; --data {differ[0]} shows it." if differ else ""
        return _match(first, task_id, note)

    def _read_file(self, text: str) -> Match:
        tasks = load_tasks(text, self.folder, None if self.data else self.solutions)
        if len(tasks) > 1:
            advice = f"name one: `{command_line('python -m trm_arc.show')} {tasks[0].id} --data {text}`"
            raise InputError(f"holds {len(tasks)} tasks; {advice}", file=text)
        return _match(tasks, tasks[0].id)

    def _find_puzzle(self, puzzles: PuzzleSet, text: str) -> Match:
        if not _is_puzzle(text):
            raise InputError(
                f"{text}: neither a row of {puzzles.name} nor a puzzle; a row is a number, such as {puzzles.rows[0]}"
            )
        alone = read_puzzle(text)
        same = find_question(puzzles, alone)
        return Match(_rate(alone), alone) if same is None else _match_puzzle(puzzles, same)


def find_question(puzzles: PuzzleSet, one: PuzzleSet) -> int | None:
    """Where in a set the question of one puzzle stands, from 0: with the same row number, if it occurs there more than once."""
    if one.domain is not puzzles.domain:
        return None
    places = np.flatnonzero((puzzles.questions == one.questions).all(axis=(1, 2)))
    same_row = places[puzzles.rows[places] == one.rows[0]]
    return next(iter([*same_row.tolist(), *places.tolist()]), None)


def _match(tasks: TaskSet, task_id: str, note: str = "") -> Match:
    return Match(f"{task_id} of {tasks.name}", TaskSet([tasks[task_id]], tasks.name), note)


def _match_puzzle(puzzles: PuzzleSet, place: int, note: str = "") -> Match:
    one = puzzles.take(np.array([place]))
    return Match(f"{puzzles.name}, row {one.rows[0]}: {_rate(one)}", one, note)


def _find_row(puzzles: PuzzleSet, row: int) -> Match:
    places = np.flatnonzero(puzzles.rows == row)
    if not len(places):
        near = puzzles.rows[np.abs(puzzles.rows - row).argsort(kind="stable")[:3]]
        *before, last = map(str, sorted(near.tolist()))
        nearest = f"the nearest are {', '.join(before)} and {last}" if before else f"there is only row {last}"
        raise InputError(f"row {row}: not among the {len(puzzles)} rows of {puzzles.name}; {nearest}")
    note = f"{len(places)} puzzles of {puzzles.name} have this row number; this is the first." if len(places) > 1 else ""
    return _match_puzzle(puzzles, int(places[0]), note)


def _rate(puzzles: PuzzleSet) -> str:
    return f"{puzzles.domain.name}, {puzzles.ratings[0]} {puzzles.domain.difficulty}"


def _is_puzzle(text: str) -> bool:
    """Whether a text is meant as a puzzle, or as the file of one."""
    if text.endswith(".txt") or "\n" in text or "#" in text:
        return True
    return is_written_board(text)


def _refuse_path(text: str) -> None:
    if os.path.exists(text):
        what = "folder" if os.path.isdir(text) else "file"
        raise InputError(f"a {what}, but not a task's JSON; name a task's id, its .json, or a puzzle's .txt", file=text)


def _suggest(text: str, sets: Sequence[TaskSet]) -> str:
    ids = dict.fromkeys(task.id for tasks in sets for task in tasks)
    return did_you_mean(text, ids, 3)
