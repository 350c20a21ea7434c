"""From candidates to the two attempts of a submission, and the checks of a submission.

Kaggle's format: {"task id": [{"attempt_1": grid, "attempt_2": grid}, ... one for each test input, in order], ...}, with every
task of the challenges file.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson

from trm_arc.common.errors import InputError
from trm_arc.common.files import find_target, to_json, write_atomic
from trm_arc.data.guesses import ATTEMPTS
from trm_arc.data.task import Grid, TaskSet, parse_grid

DEFAULT_FILE = Path("submission.json")
SUBMISSION = re.compile(rb'\s*\{\s*(\}|"(\\.|[^"\\])*"\s*:\s*\[\s*\{\s*"attempt_)')  # how a submission begins


def submission_file(out: Path) -> Path:
    """The submission that --out means: a file, or one in a folder that exists.

    Raises:
        InputError: a device, a named pipe or something else that is no file is there.
    """
    out = out / DEFAULT_FILE if os.path.isdir(out) else out  # pathlib's own question may raise
    if os.path.exists(out):
        find_target(out)
    return out


def to_submission(tasks: TaskSet, ranked: list[list[Grid]]) -> dict[str, list[dict[str, Grid]]]:
    """The submission document."""
    document: dict[str, list[dict[str, Grid]]] = {task.id: [] for task in tasks}
    for (task, _), filled in zip(tasks.tests, tasks.fill_attempts(ranked), strict=True):
        document[task.id].append(dict(zip(ATTEMPTS, filled, strict=False)))
    return document


def write_submission(path: Path, tasks: TaskSet, ranked: list[list[Grid]]) -> None:
    """Check a submission as it will be read, then write it.

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


def require_structure(document: object, expected: Mapping[str, int], name: str, where: Path | str, advice: str = "") -> None:
    """Raise InputError if ids or counts of a submission do not match, with the first of `structure_faults`."""
    if faults := structure_faults(document, expected, name):
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{more}{advice}", file=where)


def find_faults(document: object, expected: Mapping[str, int], name: str) -> list[str]:
    """Everything that is wrong with a submission, one sentence each; an empty list if it is valid.

    Args:
        expected: task ids and their numbers of test inputs.
    """
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

    Returns:
        The attempts, with an empty grid, which is never right, for one that is missing or invalid; and the number of those.

    Raises:
        InputError: ids or counts do not match.
    """
    require_structure(document, expected, "the solutions", where)
    attempts = [[_grid_or_empty(answer, name) for name in ATTEMPTS] for task_id in expected for answer in document[task_id]]
    return attempts, sum(grid.size == 0 for grids in attempts for grid in grids)


def _grid_or_empty(answer: object, name: str) -> Grid:
    try:
        return parse_grid(answer.get(name) if isinstance(answer, dict) else None)
    except InputError:
        return np.empty((0, 0), np.uint8)
