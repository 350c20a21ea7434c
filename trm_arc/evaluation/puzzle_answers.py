"""Answers to puzzles as CSV: a row for each with its question, the expected answer, what was said, and how that did."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trm_arc.common.errors import InputError
from trm_arc.common.files import SCORES_FILE, read_json
from trm_arc.data.domains.board import BoardDomain, domain_of_board
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.table import write_rows
from trm_arc.evaluation.results import ANEW, LISTED, Answered, Results, Right
from trm_arc.inference.votes import Candidate

_COLUMNS = ("row", "question", "answer", "rating", "prediction", "exact", "valid", "votes", "halting", "views", "pool", "others")


def write_answers(path: Path, results: Results) -> None:
    """Write every question with its answers and how the first of them did, as CSV.

    The last column has the other candidates, as `rank:votes:halting:board` with semicolons between them: the best ones, and the
    expected answer wherever it stands.

    Args:
        path: the file.
        results: what to write.

    Raises:
        InputError: it cannot be written.
    """
    puzzles, verdicts = results.tasks, results.judged
    show, rows = puzzles.domain.show, []
    for number, ((question, answer), answered) in enumerate(zip(puzzles, results.answers, strict=True)):
        ranked = answered.ranked
        best = ranked.pop(0, Candidate(verdicts.boards[number], 0, 0.0))
        others = ";".join(f"{rank}:{c.votes}:{c.halting:.4f}:{show(c.grid)}" for rank, c in ranked.items())
        told = (show(question), show(answer), puzzles.ratings[number], show(best.grid))
        judged = (int(verdicts.exact[number]), int(verdicts.valid[number]), best.votes, f"{best.halting:.4f}")
        rows.append((puzzles.rows[number], *told, *judged, sum(answered.views), answered.pool, others))
    write_rows(path, _COLUMNS, rows)


def read_answers(path: Path) -> Results:
    """Read what `write_answers` wrote; the file of scores beside it tells how the answers came about, if it is there.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, or something else wrote it.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read ({error})", file=path) from None
    if not rows or set(_COLUMNS) - rows[0].keys():
        raise InputError(f"no answers of this trm_arc; {ANEW}", file=path)
    if any(None in row or None in row.values() for row in rows):
        raise InputError(f"damaged, a row has too few fields or too many; {ANEW}", file=path)
    domain, beside = domain_of_board(rows[0]["question"], str(path)), path.with_name(SCORES_FILE)
    made = read_json(beside) if beside.is_file() else {}
    told = {"domain": domain.name, "puzzles": len(rows)}
    if not isinstance(made, dict) or any(made.get(name, value) != value for name, value in told.items()):
        raise InputError(f"is not of the puzzles in {path.name}; write both anew with `python -m trm_arc.evaluate`", file=beside)
    try:
        return _parse(rows, domain, made)
    except (ValueError, OverflowError) as error:  # the boards' reshaping says what does not fit
        raise InputError(f"damaged ({error}); {ANEW}", file=path) from None


def _parse(rows: Iterable[Mapping[str, str]], domain: BoardDomain, made: Mapping[str, Any]) -> Results:
    def boards(column: str) -> np.ndarray:
        return np.stack([_board(domain, row[column]) for row in rows])

    def numbers(column: str) -> np.ndarray:
        return np.array([int(row[column]) for row in rows], np.int64)

    questions, expected = boards("question"), boards("answer")
    if not (domain.are_questions(questions) & domain.are_solutions(questions, expected)).all():
        raise ValueError("a question without its answer")
    name = str(made.get("data", "puzzles"))
    puzzles = PuzzleSet(name, domain, questions, expected, numbers("rating"), numbers("row"))
    answers = []
    for row, board, answer in zip(rows, boards("prediction"), expected, strict=True):
        told = [] if row["votes"] == "0" else [(0, _candidate(board, row["votes"], row["halting"]))]
        for other in filter(None, row["others"].split(";")):
            rank, votes, halting, cells = other.split(":")
            told.append((int(rank), _candidate(_board(domain, cells), votes, halting)))
        found = (Right(rank, candidate) for rank, candidate in told if np.array_equal(candidate.grid, answer))
        right, views, pool = next(found, None), int(row["views"]), int(row["pool"])
        listed = [candidate for rank, candidate in told if rank < LISTED]
        # the best ones, and behind them the expected answer alone
        ranks = [*range(len(listed)), *([right.rank] if right and right.rank >= LISTED else [])]
        counted = sum(candidate.votes for candidate in listed) <= views and (ranks[-1] if ranks else -1) < pool
        if [rank for rank, _ in told] != ranks or not counted:
            raise ValueError(f"row {row['row']}: its numbers contradict each other")
        answers.append(Answered(listed, (views,), pool, right))
    return Results(made, puzzles, answers)


def _board(domain: BoardDomain, cells: str) -> np.ndarray:
    return domain.parse(cells).reshape(domain.shape)


def _candidate(board: np.ndarray, votes: str, halting: str) -> Candidate:
    candidate = Candidate(board, int(votes), float(halting))
    if candidate.votes < 1 or not 0 <= candidate.halting <= 1:
        raise ValueError("a candidate has votes and a halting probability")
    return candidate
