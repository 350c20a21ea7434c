"""Tasks and sets of tasks, checked once where they enter."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from augment import BOARD, COLOURS, PackedGrids, pack_grids
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.text import format_value
from trm_arc.data.domains import Domain, domain_by_name, make_distinct
from trm_arc.data.guesses import fill_attempts
from trm_arc.data.pictures import render_pair, render_section, render_titled

Grid = np.ndarray  # uint8 (rows, columns), colours 0 to 9
SHOWN = 12  # tasks of a set in a notebook


def grid_key(grid: Grid) -> bytes:
    """Bytes that are equal for equal grids, and only for those."""
    return bytes(grid.shape) + grid.tobytes()


@dataclass(frozen=True, eq=False)
class Pair:
    """An input grid and its output; the output of a test pair may be unknown (None)."""

    input: Grid
    output: Grid | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """One puzzle: demonstration pairs and test pairs.

    Attributes:
        id: the task's name, such as 007bbfb7.
        train: the demonstration pairs.
        test: the test pairs, in order; their outputs are hidden from everything but scoring.  There are none in a list of
            generated pairs, as RE-ARC has them, whose task is not known.
        generated: further pairs to train on, which are no demonstrations.
    """

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    generated: tuple[Pair, ...] = ()

    def __repr__(self) -> str:
        return f"<Task {self.id}: {len(self.train)} train, {len(self.test)} test>"

    def _repr_html_(self) -> str:
        pairs = [(f"demonstration {number}", pair) for number, pair in enumerate(self.train, 1)]
        pairs += [(f"test {number}", pair) for number, pair in enumerate(self.test, 1)]
        return render_section(self.id, [_render_pair(title, pair) for title, pair in pairs])

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs: demonstrations, tests, generated ones."""
        return self.train + self.test + self.generated

    @property
    def known_pairs(self) -> list[Pair]:
        """Those of them with an output."""
        return [pair for pair in self.pairs if pair.output is not None]

    @property
    def visible_grids(self) -> list[Grid]:
        """What a solver may see: inputs and outputs of the demonstrations, and the test inputs."""
        return [grid for pair in self.train for grid in (pair.input, pair.output)] + [pair.input for pair in self.test]

    @property
    def side(self) -> int:
        """Side of the smallest square canvas that holds every visible grid."""
        return max(max(grid.shape) for grid in self.visible_grids)

    def without_solutions(self) -> "Task":
        """The same task with its test outputs removed."""
        return replace(self, test=tuple(Pair(pair.input) for pair in self.test))


def _render_pair(title: str, pair: Pair, **room: int) -> str:
    """A pair for a notebook; an unknown output is left out."""
    first = render_titled(title, pair.input, **room)
    return first if pair.output is None else render_pair(first, render_titled("output", pair.output, **room))


class TaskSet:
    """An ordered set of tasks; takes an index, a slice or a task id.

    Args:
        note: a remark for the user on how they were read; may be empty.

    Raises:
        InputError: an id occurs twice.
    """

    def __init__(self, tasks: Iterable[Task], name: str, note: str = "") -> None:
        self.tasks = tuple(tasks)
        self.name, self.note = name, note
        self._by_id = {task.id: task for task in self.tasks}
        if len(self._by_id) < len(self.tasks):
            ids = [task.id for task in self.tasks]
            raise InputError(f"{name}: duplicate task ids: {shorten(sorted({i for i in ids if ids.count(i) > 1}))}")

    def __repr__(self) -> str:
        return f"<TaskSet {self.name}: {len(self)} tasks, {self.outputs} test outputs>"

    def _repr_html_(self) -> str:
        shown = [_render_pair(task.id, task.pairs[0], room=70) for task in self.tasks[:SHOWN]]
        more = f"and {len(self) - SHOWN} more" if len(self) > SHOWN else ""
        return render_section(self.describe(), shown, more)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._by_id

    @overload
    def __getitem__(self, key: int | str) -> Task: ...
    @overload
    def __getitem__(self, key: slice) -> "TaskSet": ...
    def __getitem__(self, key: int | str | slice) -> "Task | TaskSet":
        if isinstance(key, str):
            if key not in self._by_id:
                raise KeyError(f"{self.name} has no task {key}")
            return self._by_id[key]
        return TaskSet(self.tasks[key], self.name) if isinstance(key, slice) else self.tasks[key]

    @property
    def domain(self) -> Domain:
        """The kind of puzzle."""
        return domain_by_name("arc")

    @property
    def outputs(self) -> int:
        """Number of test outputs to predict."""
        return sum(len(task.test) for task in self.tasks)

    @property
    def test_counts(self) -> dict[str, int]:
        """Every task id with its number of test inputs."""
        return {task.id: len(task.test) for task in self.tasks}

    @property
    def solutions(self) -> list[list[Grid]]:
        """The test outputs of every task.

        Raises:
            InputError: one is not known.
        """
        unknown = [task.id for task in self.tasks if any(pair.output is None for pair in task.test)]
        if unknown:
            raise InputError(f"{self.name}: no solutions for {shorten(unknown)}")
        return [[pair.output for pair in task.test] for task in self.tasks]

    @property
    def tests(self) -> list[tuple[Task, int]]:
        """Every test input in order, as its task and its number there; predictions and answers have the same order."""
        return [(task, number) for task in self.tasks for number in range(len(task.test))]

    @property
    def questions(self) -> list[Grid]:
        """Every test input in order."""
        return [task.test[number].input for task, number in self.tests]

    @property
    def truths(self) -> list[Grid | None]:
        """The right answer to every test input in order; None where it is not known."""
        return [task.test[number].output for task, number in self.tests]

    @cached_property
    def names(self) -> list[str]:
        """What each test input is called: its task, and its number where there are several; no two have one name."""
        return make_distinct([f"{task.id} test {number + 1}" if len(task.test) > 1 else task.id for task, number in self.tests])

    @property
    def test_keys(self) -> list[tuple[str, bytes]]:
        """What identifies each test input in another set: its name and its grid."""
        return [(name, grid_key(question)) for name, question in zip(self.names, self.questions, strict=True)]

    @property
    def columns(self) -> dict[str, list[object]]:
        """What identifies the test inputs in a table: their tasks and numbers."""
        return {"task": [task.id for task, _ in self.tests], "test": [number + 1 for _, number in self.tests]}

    def find_tests(self, name: str) -> list[int]:
        """The test inputs of the task of this name."""
        return [number for number, (task, _) in enumerate(self.tests) if task.id == name]

    def fill_attempts(self, answers: list[list[Grid]]) -> list[list[Grid]]:
        """What counts as answered, best first: the answers to every test input, filled up to two with guesses."""
        return [fill_attempts(task, number, grids) for (task, number), grids in zip(self.tests, answers, strict=True)]

    def are_valid(self, answers: list[list[Grid]]) -> np.ndarray:
        """Whether answers are right by rules, expected or not: no rules are known; bool (outputs,)."""
        return np.zeros(self.outputs, bool)

    @property
    def demonstrations(self) -> dict[str, tuple[Pair, ...]]:
        """The demonstrations of every task by its id."""
        return {task.id: task.train for task in self.tasks}

    @property
    def owners(self) -> list[str | None]:
        """Whose demonstrations go with each test input: those of its task."""
        return [task.id for task, _ in self.tests]

    @property
    def shown_cells(self) -> list[int]:
        """Cells that a page shows of each test input, besides its answers; a task's demonstrations are shown once."""
        return [sum(grid.size for grid in task.visible_grids) if number == 0 else 0 for task, number in self.tests]

    def describe(self) -> str:
        """A description of what is to be answered."""
        return f"{len(self)} tasks, {self.outputs} test outputs of {self.name}" + f"; {self.note}" * bool(self.note)

    def describe_test(self, number: int) -> str:
        """What a test input is called."""
        return self.names[number]

    def test_grids(self) -> PackedGrids:
        """Every test input in order, packed."""
        return pack_grids(self.questions)

    def drop_tests(self, which: np.ndarray) -> tuple["TaskSet", list[str]]:
        """The tasks without those that have one of some test inputs (bool (outputs,)); and the ids of the latter."""
        ids = sorted({task.id for (task, _), drop in zip(self.tests, which, strict=True) if drop})
        return self.without(ids), ids

    @property
    def has_solutions(self) -> bool:
        """Whether every test output is known."""
        return all(pair.output is not None for task in self.tasks for pair in task.test)

    def without_solutions(self) -> "TaskSet":
        """The same tasks with their test outputs removed."""
        return TaskSet((task.without_solutions() for task in self.tasks), self.name, self.note)

    def without(self, ids: list[str]) -> "TaskSet":
        """The tasks that are not among `ids`."""
        return TaskSet((task for task in self.tasks if task.id not in set(ids)), self.name, self.note) if ids else self

    def within(self, least: int, greatest: int) -> "TaskSet":
        """The tasks whose `Task.side` is in a range, both ends included.

        Raises:
            InputError: there are none.
        """
        kept = [task for task in self.tasks if least <= task.side <= greatest]
        if not kept:
            sides = [task.side for task in self.tasks]
            problem = f"no task of {self.name} has a side from {least} to {greatest}; they have {min(sides)} to {max(sides)}"
            raise InputError(problem, flag="--evaluation-sides")
        return TaskSet(kept, self.name, self.note)

    def smallest(self, count: int) -> "TaskSet":
        """The `count` tasks with the smallest bounding canvas: by `Task.side`, ties by id.  Outcomes do not matter.

        Raises:
            InputError: there are fewer tasks than that.
        """
        if not 1 <= count <= len(self):
            raise InputError(f"{self.name}: the {count} smallest of {len(self)} tasks were asked for")
        return TaskSet(sorted(self.tasks, key=lambda task: (task.side, task.id))[:count], self.name, self.note)


def parse_grid(value: object, file: Path | str | None = None, task: str | None = None, place: str = "") -> Grid:
    """Check and convert one grid from JSON; `file`, `task` and `place` ("test pair 1, input") say where it is.

    Raises:
        InputError: not a list of equally long rows of 1 to 30 integers from 0 to 9.
    """

    def wrong(problem: str, *inside: str) -> InputError:
        return InputError(problem, file=file, task=task, place=", ".join(filter(None, (place, *inside))))

    if not isinstance(value, list) or not value:
        raise wrong(f"a grid is a list of 1 to {BOARD} rows, got {format_value(value)}")
    if len(value) > BOARD:
        raise wrong(f"{len(value)} rows; a grid has at most {BOARD}")
    for number, row in enumerate(value):
        if not isinstance(row, list) or not row:
            raise wrong(f"a row is a list of 1 to {BOARD} colours, got {format_value(row)}", f"row {number}")
        if len(row) > BOARD:
            raise wrong(f"{len(row)} cells; a grid is at most {BOARD} wide", f"row {number}")
        if len(row) != len(value[0]):
            raise wrong(f"{len(row)} cells, but row 0 has {len(value[0])}; rows are equally long", f"row {number}")
        for column, cell in enumerate(row):
            if type(cell) is not int or not 0 <= cell < COLOURS:
                problem = f"a colour is an integer from 0 to 9, got {format_value(cell)}"
                raise wrong(problem, f"row {number}", f"column {column}")
    return np.array(value, np.uint8)


def parse_task(task_id: str, value: object, file: Path | str) -> Task:
    """Check and convert one task from JSON: an object with "train" and "test", lists of pairs.

    A test output that is null or an empty list is not known.

    Raises:
        InputError: naming file, task, pair and the rule that is broken.
    """
    if not isinstance(value, dict):
        raise InputError(f'a task is an object with "train" and "test", got {format_value(value)}', file=file, task=task_id)
    pairs: dict[str, tuple[Pair, ...]] = {}
    for part in ("train", "test"):
        if part not in value:
            raise InputError(f'"{part}" is missing', file=file, task=task_id)
        pairs[part] = parse_pairs(value[part], file, task_id, part)
    return Task(task_id, pairs["train"], pairs["test"])


def parse_pairs(value: object, file: Path | str, task: str, part: str) -> tuple[Pair, ...]:
    """Check and convert a list of pairs from JSON; `part` is what they are: "train", "test", whose outputs may be unknown, ...

    Raises:
        InputError: naming file, task, pair and the rule that is broken.
    """
    if not isinstance(value, list) or not value:
        raise InputError(f'"{part}" has no pairs; at least one is needed', file=file, task=task)
    return tuple(_parse_pair(pair, file, task, f"{part} pair {n}", with_output=part != "test") for n, pair in enumerate(value))


def _parse_pair(value: object, file: Path | str, task: str, place: str, *, with_output: bool) -> Pair:
    if not isinstance(value, dict):
        problem = f'a pair is an object with "input" and "output", got {format_value(value)}'
        raise InputError(problem, file=file, task=task, place=place)
    for key in ("input", "output") if with_output else ("input",):
        if key not in value:
            raise InputError(f'"{key}" is missing', file=file, task=task, place=place)
    output, question = value.get("output"), parse_grid(value["input"], file, task, f"{place}, input")
    if not with_output and _is_unknown(output):
        return Pair(question)
    return Pair(question, parse_grid(output, file, task, f"{place}, output"))


def _is_unknown(output: object) -> bool:
    """Whether a test output is left out or masked."""
    return output is None or output == []


def add_solutions(tasks: TaskSet, value: object, file: Path | str) -> TaskSet:
    """Put the grids of a solutions file ({id: [grid, ...]}) into the test pairs.

    Raises:
        InputError: ids that the tasks lack, ids without solutions, a wrong number of solutions, or a bad grid.
    """
    if not isinstance(value, dict):
        raise InputError(f"solutions are an object of task ids, got {format_value(value)}", file=file)
    unknown = [task_id for task_id in value if task_id not in tasks]
    if unknown:
        raise InputError(f"solutions for ids that are not in {tasks.name}: {shorten(unknown)}", file=file)
    missing = [task.id for task in tasks if task.id not in value]
    if missing:
        raise InputError(f"no solutions for {shorten(missing)} of {tasks.name}", file=file)
    return TaskSet((_solve(task, value[task.id], file) for task in tasks), tasks.name, tasks.note)


def _solve(task: Task, grids: object, file: Path | str) -> Task:
    if not isinstance(grids, list) or len(grids) != len(task.test):
        got = len(grids) if isinstance(grids, list) else format_value(grids)
        raise InputError(f"{len(task.test)} test inputs need as many solutions, got {got}", file=file, task=task.id)
    test = tuple(
        Pair(pair.input, None if _is_unknown(grid) else parse_grid(grid, file, task.id, f"solution {number}"))
        for number, (pair, grid) in enumerate(zip(task.test, grids, strict=True))
    )
    return replace(task, test=test)
