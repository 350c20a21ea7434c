"""From candidates to the two attempts of a submission, and the checks of a submission.

Kaggle's format: {"task id": [{"attempt_1": grid, "attempt_2": grid}, ... one for each test input, in order], ...}, with every
task of the challenges file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import orjson

from trm_arc.common.errors import InputError
from trm_arc.common.files import to_json, write_atomic
from trm_arc.data.task import Grid, Task, TaskSet, parse_grid

ATTEMPTS = ("attempt_1", "attempt_2")


def guesses(task: Task | None, number: int) -> Iterator[Grid]:
    """Guesses for a test input, best first; the last two are always distinct, and the only ones without a task.

    The order: if every demonstration keeps its input's size, the test input itself, then the demonstrations' outputs
    from the last to the first; else those outputs, then the test input; at the end a single black and a single blue cell.
    """
    if task is not None:
        outputs = [pair.output for pair in reversed(task.train) if pair.output is not None]
        same_size = all(pair.output is not None and pair.output.shape == pair.input.shape for pair in task.train)
        copy = task.test[number].input
        yield from [copy, *outputs] if same_size else [*outputs, copy]
    yield np.zeros((1, 1), np.uint8)
    yield np.ones((1, 1), np.uint8)


def fill_attempts(task: Task | None, number: int, ranked: list[Grid]) -> list[Grid]:
    """The ranked candidates of a test input, made up to two distinct grids with `guesses`."""
    filled = list(ranked)
    for guess in guesses(task, number):
        if len(filled) >= len(ATTEMPTS):
            break
        if not any(np.array_equal(guess, grid) for grid in filled):
            filled.append(guess)
    return filled


def fill_all(tasks: TaskSet, ranked: list[list[Grid]]) -> list[list[Grid]]:
    """`fill_attempts` of every test input of `tasks`, in order."""
    return [fill_attempts(task, number, grids) for (task, number), grids in zip(tasks.tests, ranked, strict=True)]


def to_submission(tasks: TaskSet, ranked: list[list[Grid]]) -> dict[str, list[dict[str, Grid]]]:
    """The submission document.

    Args:
        ranked: for every test input, in order, its candidates, best first; any number, or none.
    """
    document: dict[str, list[dict[str, Grid]]] = {task.id: [] for task in tasks}
    for (task, _), filled in zip(tasks.tests, fill_all(tasks, ranked), strict=True):
        document[task.id].append(dict(zip(ATTEMPTS, filled, strict=False)))
    return document


def write_submission(path: Path, tasks: TaskSet, ranked: list[list[Grid]]) -> None:
    """Check a submission as it will be read, then write it.

    Args:
        ranked: for every test input, in order, its candidates, best first.

    Raises:
        InputError: it is invalid, or cannot be written; a file that was there is then untouched.
    """
    data = to_json(to_submission(tasks, ranked))
    faults = find_faults(orjson.loads(data), tasks.test_counts, tasks.name)
    if faults:
        raise InputError(f"invalid submission, not written: {faults[0]}", file=path)
    write_atomic(path, data)


def structure_faults(document: object, expected: Mapping[str, int], name: str) -> list[str]:
    """What is wrong with a submission's ids and counts, one sentence each.

    Args:
        expected: task ids and their numbers of test inputs.
        name: of what these are, for the sentences.
    """
    if not isinstance(document, dict):
        return [f"a submission is an object of task ids, got {type(document).__name__}"]
    faults = [f"task {task_id}: not in {name}" for task_id in document if task_id not in expected]
    for task_id, count in expected.items():
        if task_id not in document:
            faults.append(f"task {task_id}: missing")
            continue
        answers = document[task_id]
        if not isinstance(answers, list) or len(answers) != count:
            got = len(answers) if isinstance(answers, list) else type(answers).__name__
            faults.append(f"task {task_id}: {count} test inputs need a list of as many answers, got {got}")
    return faults


def find_faults(document: object, expected: Mapping[str, int], name: str) -> list[str]:
    """Everything that is wrong with a submission, one sentence each; an empty list if it is valid; see `structure_faults`."""
    faults = structure_faults(document, expected, name)
    if isinstance(document, dict):
        for task_id in expected:
            answers = document.get(task_id)
            for number, answer in enumerate(answers if isinstance(answers, list) else []):
                faults += _answer_faults(answer, f"task {task_id}, test input {number}")
    return faults


def _answer_faults(answer: object, where: str) -> list[str]:
    if not isinstance(answer, dict):
        return [f'{where}: an answer is an object with "attempt_1" and "attempt_2", got {type(answer).__name__}']
    faults = [f"{where}: unknown key {name}" for name in answer if name not in ATTEMPTS]
    for name in ATTEMPTS:
        if name not in answer:
            faults.append(f"{where}: {name} is missing")
            continue
        try:
            parse_grid(answer[name], place=f"{where}, {name}")
        except InputError as error:
            faults.append(str(error))
    return faults


def read_attempts(document: object, expected: Mapping[str, int], where: str) -> tuple[list[list[Grid]], int]:
    """The attempts of every test input, in the order of `expected`, for scoring.

    Args:
        expected: task ids and their numbers of test inputs.
        where: the submission's file, for the error.

    Returns:
        The attempts, with an empty grid, which is never right, for one that is missing or invalid; and how many of those.

    Raises:
        InputError: ids or counts do not match.
    """
    faults = structure_faults(document, expected, "the solutions")
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}", file=where)
    attempts = [[_grid_or_empty(answer, name) for name in ATTEMPTS] for task_id in expected for answer in document[task_id]]
    return attempts, sum(grid.size == 0 for grids in attempts for grid in grids)


def _grid_or_empty(answer: object, name: str) -> Grid:
    try:
        return parse_grid(answer.get(name) if isinstance(answer, dict) else None)
    except InputError:
        return np.empty((0, 0), np.uint8)
