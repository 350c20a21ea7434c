"""The files of an evaluation: answers, scores, and no stale ones beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.files import (
    ANSWERS_FILE,
    FORMING_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    SCORES_FILE,
    SUBMISSION_FILE,
    to_json,
    write_atomic,
)
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.evaluation.puzzle_answers import write_answers
from trm_arc.evaluation.results import Results, write_predictions
from trm_arc.inference.attempts import write_submission


def save_results(out: Path, results: Results, scores: Mapping[str, Any] | None) -> str:
    """Write answers and scores, and remove the files of earlier answers.

    What matters most is written first, should the disk be full.

    Args:
        scores: see `score_results`; None where no solutions are known.

    Returns:
        What was written, in words.

    Raises:
        InputError: a file cannot be written or removed.
    """
    tasks, of_puzzles = results.tasks, isinstance(results.tasks, PuzzleSet)
    if not of_puzzles:
        write_submission(out / SUBMISSION_FILE, tasks, results.grids)
    _remove_stale(out, (REPORT_FILE, FORMING_FILE, PREDICTIONS_FILE if of_puzzles else ANSWERS_FILE))
    if scores is None:
        _remove_stale(out, (SCORES_FILE,))
    else:
        write_atomic(out / SCORES_FILE, to_json(dict(results.made) | scores, pretty=True))
    if of_puzzles:
        write_answers(out / ANSWERS_FILE, results)
        return f"wrote {out / ANSWERS_FILE}"
    write_predictions(out / PREDICTIONS_FILE, results)
    return f"wrote {out / SUBMISSION_FILE}, checked: {len(tasks)} tasks, {tasks.outputs} test inputs"


def _remove_stale(out: Path, names: Sequence[str]) -> None:
    try:
        for name in names:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{name} of an earlier evaluation cannot be removed ({error.strerror})", file=out) from None
