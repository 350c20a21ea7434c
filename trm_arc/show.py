"""Show a task in the terminal, with what a run says of it: python -m trm_arc.show 007bbfb7"""

import difflib
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from trm_arc.cli import Parser, add_data_flag, run
from trm_arc.common.errors import InputError
from trm_arc.common.text import wants_colour
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.puzzle_sources import are_puzzles, load_puzzles
from trm_arc.data.puzzle_text import read_puzzle
from trm_arc.data.sources import SOURCE_NAMES, load_tasks, same_task
from trm_arc.data.task import Grid, Task, TaskSet, grid_key
from trm_arc.evaluation.reading import find_results
from trm_arc.evaluation.results import Answered, Results, Right, find_right, truths
from trm_arc.report.drawing import draw_puzzle, draw_task, fill, head, show_answers

_ROW = re.compile(r"(?:row )?(\d{1,12})")
_NAMED_TEST = re.compile(r"(.+) test \d+")  # as comparisons name the test inputs of a task that has several
_SUDOKU, _SHORTEST = set(" .0123456789ABCDEFG|-+"), 16  # characters of a Sudoku as it is written, and how many it has at least


@dataclass(frozen=True)
class Found:
    """A task or puzzle that was asked for.

    Attributes:
        title: what it is and where it stands.
        tasks: a set of it alone.
        results: what a run said of it; None if none was named, or it was not asked.
        notes: what else there is to know of where it was found.
    """

    title: str
    tasks: AnySet
    results: Results | None = None
    notes: tuple[str, ...] = ()


class Finder:
    """Finds what was asked for, loading each set once.

    Args:
        values: the command line, with `run_folder`, `data`, `data_folder` and `solutions`.
    """

    def __init__(self, values: Namespace) -> None:
        self.values = values

    @cached_property
    def results(self) -> Results | None:
        """Of the run that is named."""
        return find_results(self.values.run_folder) if self.values.run_folder else None

    @cached_property
    def source(self) -> AnySet | None:
        """The set that is named, or else what the run was asked."""
        values = self.values
        if values.data is None:
            return self.results and self.results.tasks
        if are_puzzles(values.data):
            if values.solutions:
                raise InputError("does nothing for Sudoku and mazes, whose files hold their answers", flag="--solutions")
            return load_puzzles(values.data, "test", values.data_folder)
        return load_tasks(values.data, values.data_folder, values.solutions)

    @cached_property
    def named_sets(self) -> list[TaskSet]:
        """Every public set that can be loaded."""
        loaded, faults = [], []
        for name in SOURCE_NAMES:
            try:
                loaded.append(load_tasks(name, self.values.data_folder))
            except InputError as error:
                faults.append(error)
        if not loaded:
            raise faults[0]
        return loaded

    def find(self, text: str) -> Found:
        """What a TASK of the command line is.

        Args:
            text: a task's id, the path of a task, a row of puzzles, or a puzzle as people write it.

        Raises:
            InputError: there is no such thing.
        """
        source = self.source
        if isinstance(source, PuzzleSet):
            row = _ROW.fullmatch(text)
            return self._find_row(source, int(row[1])) if row else self._find_puzzle(source, text)
        if source is not None and text in source:
            return self._with_answers(source[text], source.name)
        if text.lower().endswith(".json"):
            return self._find_file(text)
        if text.lower().endswith((".csv", ".csv.gz")):
            raise InputError(f"{text}: holds many puzzles; name one by its row: `python -m trm_arc.show 1 --data {text}`")
        if _is_puzzle(text):
            return self._show_alone(read_puzzle(text))
        named = _NAMED_TEST.fullmatch(text)
        if source is None:
            return self._find_named(text, named[1] if named else text)
        if named and named[1] in source:
            return self._with_answers(source[named[1]], source.name)
        _refuse_path(text)
        advice = _near(text, [source]) or "; name the set that it is of with --data"
        raise InputError(f"{text}: no task of {source.name}{advice}")

    def _find_named(self, text: str, task_id: str) -> Found:
        holders = [tasks for tasks in self.named_sets if task_id in tasks]
        if not holders:
            if _ROW.fullmatch(text):
                raise InputError(f"{text}: no task has this id; for a row of puzzles name their set with --data, or a --run")
            _refuse_path(text)
            names = ", ".join(tasks.name for tasks in self.named_sets)
            raise InputError(f"{text}: no task of {names}{_near(text, self.named_sets)}")
        first, *others = holders
        differ = [tasks.name for tasks in others if not same_task(tasks[task_id], first[task_id])]
        note = f"Another task has this id in {', '.join(differ)}; --data {differ[0]} shows it." if differ else ""
        return self._with_answers(first[task_id], first.name, note)

    def _find_file(self, text: str) -> Found:
        tasks = load_tasks(text, self.values.data_folder, None if self.values.data else self.values.solutions)
        if len(tasks) > 1:
            advice = f"name one: `python -m trm_arc.show {tasks[0].id} --data {text}`"
            raise InputError(f"{text}: holds {len(tasks)} tasks; {advice}")
        return self._with_answers(tasks[0], tasks.name)

    def _with_answers(self, task: Task, name: str, note: str = "") -> Found:
        found = Found(f"{task.id} of {name}", TaskSet([task], name), None, (note,) if note else ())
        return self._add_answers(found, self.results and _answers_to(self.results, task))

    def _add_answers(self, found: Found, answers: list[Answered] | None) -> Found:
        """What was found, with what the run answered, if one is named."""
        if self.results is None:
            return found
        if answers is None:
            return replace(found, notes=(*found.notes, f"{self.values.run_folder} has no answer to it."))
        return replace(found, results=_judge_again(self.results, found.tasks, answers))

    def _find_row(self, puzzles: PuzzleSet, row: int) -> Found:
        places = np.flatnonzero(puzzles.rows == row)
        if not len(places):
            near = puzzles.rows[np.abs(puzzles.rows - row).argsort(kind="stable")[:3]]
            *told, last = map(str, sorted(near.tolist()))
            nearest = f"the nearest are {', '.join(told)} and {last}" if told else f"there is only row {last}"
            raise InputError(f"row {row}: not among the {len(puzzles)} rows of {puzzles.name}; {nearest}")
        note = f"{len(places)} puzzles of {puzzles.name} have this row number; this is the first." if len(places) > 1 else ""
        return self._take_puzzle(puzzles, int(places[0]), note)

    def _find_puzzle(self, puzzles: PuzzleSet, text: str) -> Found:
        if not _is_puzzle(text):
            raise InputError(f"{text}: neither a row of {puzzles.name} nor a puzzle; a row is a number, as {puzzles.rows[0]}")
        alone = read_puzzle(text)
        same = np.flatnonzero((puzzles.questions == alone.questions).all(axis=(1, 2))) if alone.family is puzzles.family else ()
        if len(same):
            return self._take_puzzle(puzzles, int(same[0]))
        return self._show_alone(alone)

    def _show_alone(self, puzzles: PuzzleSet) -> Found:
        return self._add_answers(Found(_rate(puzzles), puzzles), None)

    def _take_puzzle(self, puzzles: PuzzleSet, place: int, note: str = "") -> Found:
        taken, results = puzzles.take(np.array([place])), self.results
        title = f"{puzzles.name}, row {taken.rows[0]}: {_rate(taken)}"
        found = Found(title, taken, None, (note,) if note else ())
        if results is None or results.tasks is puzzles:
            return self._add_answers(found, results and [results.answers[place]])
        asked = results.tasks
        known = isinstance(asked, PuzzleSet) and asked.family is puzzles.family
        same = np.flatnonzero((asked.questions == taken.questions).all(axis=(1, 2))) if known else ()
        return self._add_answers(found, [results.answers[int(same[0])]] if len(same) else None)


def _rate(puzzles: PuzzleSet) -> str:
    return f"{puzzles.family.name}, {puzzles.ratings[0]} {puzzles.family.difficulty}"


def _answers_to(results: Results, task: Task) -> list[Answered] | None:
    """What was answered to a task; None if it was not asked, or was another one with the same id."""
    if isinstance(results.tasks, PuzzleSet) or task.id not in results.tasks:
        return None
    asked = results.tasks[task.id]
    if not same_task(asked.without_solutions(), task.without_solutions()):
        return None
    slots = zip(results.tasks.tests, results.answers, strict=True)
    answers = {grid_key(asked.test[number].input): answered for (one, number), answered in slots if one is asked}
    return [answers[grid_key(pair.input)] for pair in task.test]


def _judge_again(results: Results, tasks: AnySet, answers: list[Answered]) -> Results:
    """Results of one task, whose solution may be known here where it was not known to the run."""
    rows = zip(answers, truths(tasks), strict=True)
    kept = [replace(a, right=find_right(a.candidates, truth) or _still_right(a.right, truth)) for a, truth in rows]
    return Results(results.made, tasks, kept)


def _still_right(right: Right | None, truth: Grid | None) -> Right | None:
    """The right answer beyond those that are listed, unless the truth is another one here."""
    return right if right and truth is not None and np.array_equal(right.candidate.grid, truth) else None


def _is_puzzle(text: str) -> bool:
    """Whether a text is meant as a puzzle, or as the file of one."""
    if text.endswith(".txt") or "\n" in text or "#" in text:
        return True
    return len(text) >= _SHORTEST and set(text) <= _SUDOKU


def _refuse_path(text: str) -> None:
    if os.path.exists(text):
        what = "folder" if os.path.isdir(text) else "file"
        raise InputError(f"{text}: a {what}, but not a task's JSON; name a task's id, its .json, or a puzzle's .txt")


def _near(text: str, sets: list[TaskSet]) -> str:
    ids = dict.fromkeys(task.id for tasks in sets for task in tasks)
    near = difflib.get_close_matches(text, ids, 3, 0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.show",
        description="Print tasks or puzzles as colour blocks, or as digits without colour, and what a run says of them.",
        usage="%(prog)s TASK [TASK ...] [options]",
    )
    task = "a task's id, or its JSON file; of puzzles a row number, or a Sudoku or maze as for trm_arc.solve"
    parser.add_argument("tasks", metavar="TASK", nargs="+", help=task)
    named = "a run's folder, or its predictions.json or predictions.csv: show its answers, its votes and the cells it got wrong"
    parser.add_argument("--run", type=Path, dest="run_folder", metavar="RUN", help=named)
    source = "task set that the ids or rows are of: a name or path (default: what the run was asked, else every named ARC set)"
    parser.add_argument("--data", help=source)
    parser.add_argument("--solutions", type=Path, help="solutions file, if it does not lie beside the challenges")
    add_data_flag(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, find, show.

    Args:
        arguments: the command line.
    """
    values = make_parser().parse(arguments)
    if values.solutions and not values.data and not any(text.lower().endswith(".json") for text in values.tasks):
        raise InputError("goes with a challenges file; name that with --data", flag="--solutions")
    finder, colour = Finder(values), wants_colour()
    found = [finder.find(text) for text in values.tasks]
    print("\n\n".join(show(one, colour) for one in found), flush=True)
    return 0


def show(found: Found, colour: bool) -> str:
    """What was found as text for the terminal.

    Args:
        found: a task or puzzle.
        colour: colour blocks, or digits.
    """
    tasks, notes = found.tasks, [fill(note) for note in found.notes]
    if isinstance(tasks, PuzzleSet):
        title = f"{tasks.name}: {tasks.family.name}" if found.results else found.title  # the answer's headline has the rest
        parts = [] if found.results else [draw_puzzle(tasks, 0, colour)]
    else:
        title, parts = found.title, [draw_task(tasks[0], colour, tests=not found.results), *[""] * bool(found.results)]
    answers = [show_answers(found.results, colour, tables=True)] if found.results else []
    return "\n".join([head(title, colour), *notes, *parts, *answers])


if __name__ == "__main__":
    run(main)
