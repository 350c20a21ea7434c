"""A finished submission: its faults, and its score where the solutions are known."""

import sys
from pathlib import Path

from submission.reading import read_challenges
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json
from trm_arc.common.paths import user_path
from trm_arc.common.text import printable
from trm_arc.data.sources import SOURCE_NAMES, load_tasks
from trm_arc.data.task import Grid, parse_grid
from trm_arc.data.task_files import read_document
from trm_arc.evaluation.score import ranks, score, score_table
from trm_arc.inference.attempts import ATTEMPTS, find_faults, read_attempts

PASS_AT = (1, 2)  # a submission has two attempts, so it can be scored by pass@1 and pass@2 only


def check(submission: Path, challenges: str, data_folder: Path | None = None) -> int:
    """List every fault of a submission; exit code 1 if there is one."""
    read = read_challenges(challenges, data_folder)  # as `predict` reads it, which answers broken tasks, too
    counts = read.counts
    for note in read.notes:
        print(printable(f"note: {note}"))
    document = read_json(submission)
    faults = find_faults(document, counts, read.tasks.name)
    for fault in faults:
        print(printable(f"{submission}: {fault}"))
    if faults:
        print(f"invalid submission: {len(faults)} fault{'s' if len(faults) > 1 else ''}")
        return 1
    equal = sum(answer[ATTEMPTS[0]] == answer[ATTEMPTS[1]] for answers in document.values() for answer in answers)
    tests = sum(counts.values())
    print(printable(f"{submission}: valid submission; {len(counts)} tasks, {tests} test inputs, two attempts each"))
    if equal:
        print(f"note: {equal} answers give the same grid twice, which wastes the second attempt")
    return 0


def score_submission(submission: Path, solutions: str, data_folder: Path | None = None, *, as_json: bool = False) -> int:
    """Score a submission against a solutions file, or against any task set, by name or path, whose solutions are known."""
    truths = _read_solutions(solutions, data_folder)
    expected = {task_id: len(grids) for task_id, grids in truths.items()}
    attempts, broken = read_attempts(read_json(submission), expected, str(submission))
    if broken:
        print(printable(f"{submission}: {broken} attempts are not grids and count as wrong; see `check`"), file=sys.stderr)
    places = ranks(list(truths.values()), attempts)
    print(to_json(score(places, PASS_AT), pretty=True).decode().rstrip("\n") if as_json else score_table(places, PASS_AT))
    return 0


def _read_solutions(source: str, data_folder: Path | None) -> dict[str, list[Grid]]:
    path = user_path(source)
    solutions = read_document(path) if source not in SOURCE_NAMES and path.is_file() else []
    if isinstance(solutions, list) or (isinstance(solutions, dict) and _are_tasks(solutions)):
        tasks = load_tasks(source, data_folder)
        return dict(zip(tasks.test_counts, tasks.solutions, strict=True))
    listed = isinstance(solutions, dict) and all(isinstance(grids, list) and grids for grids in solutions.values())
    if not listed or not solutions:
        raise InputError("an object of task ids is needed, each with a list of grids, or a task set with solutions", file=path)
    return {
        task_id: [parse_grid(grid, source, task_id, f"solution {number}") for number, grid in enumerate(grids)]
        for task_id, grids in solutions.items()
    }


def _are_tasks(value: dict[str, object]) -> bool:
    return bool({"train", "test"} & value.keys()) or any(isinstance(task, dict) for task in value.values())
