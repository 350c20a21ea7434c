"""A finished submission: its faults, and its score where the solutions are known."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from submission.reading import read_challenges
from trm_arc.common.files import read_json
from trm_arc.common.output import print_json, words_aside
from trm_arc.common.streams import require_printed
from trm_arc.common.text import printable
from trm_arc.data.solutions import load_solutions
from trm_arc.data.task import Grid
from trm_arc.evaluation.compare import compare_solved
from trm_arc.evaluation.score import pass_at, rate_tests, score, score_table
from trm_arc.evaluation.submissions import place_solutions
from trm_arc.inference.attempts import ATTEMPTS, find_faults

_ANY = "one of them or more"
PASS_AT = (1, 2)  # a submission has two attempts, so it can be scored by pass@1 and pass@2 only


def check(submission: Path, challenges: str, data_folder: Path | None = None, *, as_json: bool = False) -> int:
    """List every fault of a submission; exit code 1 if there is one."""
    with words_aside(as_json):
        document = _check(submission, challenges, data_folder)
    code = int(bool(document["faults"]))
    return print_json(document, code) if as_json else require_printed(code)


def _check(submission: Path, challenges: str, data_folder: Path | None) -> dict[str, Any]:
    """Print what a submission is; the same as plain values."""
    read = read_challenges(challenges, data_folder)  # as `predict` reads it, which answers broken tasks, too
    counts = read.counts
    for note in read.notes:
        print(printable(f"note: {note}"))
    document = read_json(submission)
    faults = find_faults(document, counts, read.tasks.name)
    found = {"submission": str(submission), "valid": not faults, "faults": faults, "notes": read.notes}
    for fault in faults:
        print(printable(f"{submission}: {fault}"))
    if faults:
        print(f"invalid submission: {len(faults)} fault{'s' if len(faults) > 1 else ''}")
        return found
    equal = sum(answer[ATTEMPTS[0]] == answer[ATTEMPTS[1]] for answers in document.values() for answer in answers)
    tests = sum(counts.values())
    print(printable(f"{submission}: valid submission; {len(counts)} tasks, {tests} test inputs, two attempts each"))
    if equal:
        print(f"note: {equal} answers give the same grid twice, which wastes the second attempt")
    return found | {"tasks": len(counts), "tests": tests, "equal_attempts": equal}


def score_submissions(submissions: Sequence[Path], solutions: str, folder: Path | None = None, *, as_json: bool = False) -> int:
    """Score submissions against a solutions file, or against any task set, by name or path, whose solutions are known.

    Of several, print a line each, and what the last one, such as a merge of the others, gains.
    """
    truths = load_solutions(solutions, folder)
    expected = {task_id: len(grids) for task_id, grids in truths.items()}
    answers, places = {}, {}
    for path in submissions:
        answers[path], places[path] = place_solutions(read_json(path), truths, str(path))
    if as_json:
        scores = {str(path): score(placed, PASS_AT) for path, placed in places.items()}
        return print_json(scores if len(scores) > 1 else scores.popitem()[1])
    if len(places) == 1:
        print(score_table(*places.values(), PASS_AT))
    else:
        print(_compare(expected, answers, places))
    return require_printed()


def _compare(expected: dict[str, int], answers: dict[Path, list[list[Grid]]], places: dict[Path, list[list[int | None]]]) -> str:
    """Several submissions as text for a terminal: the score of each, and what the last one gains."""
    owners = [task_id for task_id, count in expected.items() for _ in range(count)]
    solved = {path: np.array([place is not None for task in placed for place in task]) for path, placed in places.items()}
    names = {path: printable(str(path)) for path in places}
    width = max(map(len, [_ANY, *names.values()]))
    lines = ["pass@2 per test output (the ARC Prize score), and pass@1:"]
    for path, placed in places.items():
        (first, _), (second, _) = pass_at(placed, 1), pass_at(placed, 2)
        lines.append(f"  {names[path]:{width}}  {second}; {100 * first.value:.1f} %")
    lines.append(f"  {_ANY:{width}}  {rate_tests(np.any(list(solved.values()), axis=0), owners)}")
    *others, last = places
    for path in others:
        same = sum(np.array_equal(a[0], b[0]) for a, b in zip(answers[path], answers[last], strict=True))
        compared = compare_solved(solved[path], solved[last], owners, owners, same, "task")
        lines += textwrap.wrap(f"{names[last]} against {names[path]}: {compared.conclude()}", 78, subsequent_indent="  ")
    return "\n".join(lines)
