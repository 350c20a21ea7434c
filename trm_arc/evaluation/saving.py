"""The files of an evaluation: answers, scores, and no stale ones beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.files import (
    ANSWERS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    SCORES_FILE,
    SUBMISSION_FILE,
    TRACES_FILE,
    to_json,
    write_atomic,
)
from trm_arc.evaluation.results import Results, write_csv, write_results
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
    tasks, submits = results.tasks, results.tasks.domain.submits
    if submits:
        write_submission(out / SUBMISSION_FILE, tasks, results.grids)
    _remove_stale(out, (REPORT_FILE, TRACES_FILE))
    if scores is None:
        _remove_stale(out, (SCORES_FILE,))
    else:
        write_atomic(out / SCORES_FILE, to_json(dict(results.metadata) | scores, pretty=True))
    write_results(out / PREDICTIONS_FILE, results)
    write_csv(out / ANSWERS_FILE, results)
    written = f"wrote {out / PREDICTIONS_FILE}, and as a table {ANSWERS_FILE}"
    return written + f"\nwrote {out / SUBMISSION_FILE}, checked: {len(tasks)} tasks, {tasks.outputs} test inputs" * submits


def _remove_stale(out: Path, names: Sequence[str]) -> None:
    try:
        for name in names:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{name} of an earlier evaluation cannot be removed ({error.strerror})", file=out) from None
