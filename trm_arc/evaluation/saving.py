"""The files of an evaluation: answers, scores, and no stale ones beside them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.files import (
    ANSWERS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    RESULT_FILES,
    SCORES_FILE,
    SUBMISSION_FILE,
    TRACES_FILE,
    read_json,
    to_json,
    write_atomic,
)
from trm_arc.common.folders import not_replaced
from trm_arc.evaluation.outcomes import score_results
from trm_arc.evaluation.result_files import write_csv, write_results
from trm_arc.evaluation.results import Results
from trm_arc.inference.attempts import write_submission
from trm_arc.model.checkpoint_files import EXPORT, list_checkpoints


def refuse_foreign(out: Path, names: Sequence[str] = RESULT_FILES, marked: str = PREDICTIONS_FILE, mark: str = "format") -> None:
    """Raise InputError if results would replace files that the kit did not write.

    In the folder of a run, files of these names are the kit's.

    Args:
        marked: the one that shows, if it is there from before, that all of them are the kit's: a JSON object...
        mark: ... with this key.
    """
    there = [name for name in names if (out / name).exists()]
    if not there or list_checkpoints(out) or (out / EXPORT).is_file():
        return
    with suppress(InputError):
        document = read_json(out / marked)
        if isinstance(document, dict) and mark in document:
            return
    raise not_replaced(out, f"holds {there[0]}, but no {marked} of trm_arc")


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
        write_atomic(out / SCORES_FILE, to_json(results.metadata.document() | scores, pretty=True))
    write_results(out / PREDICTIONS_FILE, results)
    write_csv(out / ANSWERS_FILE, results)
    written = f"wrote {out / PREDICTIONS_FILE}, and as a table {ANSWERS_FILE}"
    return written + f"\nwrote {out / SUBMISSION_FILE}, checked: {len(tasks)} tasks, {tasks.outputs} test inputs" * submits


def save_and_print(out: Path, results: Results) -> dict[str, Any]:
    """Write the files of an evaluation into a folder without those of an earlier one, then print the scores.

    Returns:
        The scores, see `score_results`; none where no solutions are known.
    """
    scores, table = None, "no solutions are known, so there is no score"
    if results.tasks.has_solutions:
        scores, table = score_results(results)
    if scores is not None and not results.tasks.domain.submits:
        table = f"{results.metadata.supervision_steps:.1f} supervision steps per rollout on average\n{table}"
    if (alone := results.metadata.one_step_score) is not None:
        table = f"one supervision step alone: {100 * alone:.1f} % {results.scores.headline()[0].name}\n{table}"
    try:
        written = save_results(out, results, scores)
    finally:  # the scores are printed even if nothing can be written
        print(table)
    print(written)
    return scores or {}


def _remove_stale(out: Path, names: Sequence[str]) -> None:
    try:
        for name in names:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{name} of an earlier evaluation cannot be removed ({error.strerror})", file=out) from None
