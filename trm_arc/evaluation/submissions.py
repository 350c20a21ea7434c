"""The score of a submission whose solutions are known."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_arc.common.files import read_json, to_plain
from trm_arc.common.paths import user_path
from trm_arc.common.text import printable
from trm_arc.data.domains.arc import ARC
from trm_arc.data.guesses import ATTEMPTS
from trm_arc.data.solutions import Solutions, load_solutions
from trm_arc.data.task import Grid
from trm_arc.evaluation.score import PassScores, ranks
from trm_arc.inference.attempts import read_attempts

Submission = Mapping[str, list[dict[str, Any]]]  # of every task id two attempts for each test input, as grids in lists


def place_solutions(
    submission: object, truths: Mapping[str, list[Grid]], where: str
) -> tuple[list[list[Grid]], list[list[int | None]]]:
    """The attempts of a submission at every test input, and the places of the right answers among them, see `ranks`.

    How many attempts are no grids is printed; those count as wrong.

    Raises:
        InputError: it answers other tasks, or other numbers of test inputs.
    """
    attempts, broken = read_attempts(submission, {task_id: len(grids) for task_id, grids in truths.items()}, where)
    if broken:
        print(printable(f"{where}: attempts that are not grids and count as wrong: {broken}; see `check`"), file=sys.stderr)
    return attempts, ranks(list(truths.values()), attempts)


def score_document(document: object, truths: Mapping[str, list[Grid]], where: str) -> PassScores:
    """Score a parsed submission; see `place_solutions`."""
    return PassScores(ARC.measure, place_solutions(document, truths, where)[1], len(ATTEMPTS))


def score(submission: str | Path | Submission, solutions: Solutions, *, data_folder: str | Path | None = None) -> PassScores:
    """Score a submission.

    >>> import trm_arc
    >>> tasks = trm_arc.load_tasks("arc1-evaluation").smallest(3)
    >>> guesses = {task.id: [{"attempt_1": [[0]], "attempt_2": pair.output} for pair in task.test] for task in tasks}
    >>> trm_arc.score(guesses, tasks)
    <PassScores pass@2 100.0 % (4 of 4), pass@1 0.0 % (0 of 4), pass@2 of tasks 100.0 % (3 of 3)>

    Args:
        submission: its file, or the document itself.
        solutions: Kaggle's solutions file, or what it holds, as a dictionary of lists of grids; or a task set with solutions, by
            its name, its path or itself; or one task.
        data_folder: where to look for named sets first.

    Raises:
        InputError: one of them cannot be read, or they are of different tasks.
    """
    truths = load_solutions(solutions, data_folder)
    is_document = isinstance(submission, Mapping)
    document = to_plain(submission) if is_document else read_json(user_path(submission))
    return score_document(document, truths, "the submission" if is_document else str(submission))
