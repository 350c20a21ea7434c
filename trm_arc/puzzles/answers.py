"""Answers to puzzles as CSV: a row for each with its question, the expected answer, what was said, and how that did."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trm_arc.errors import InputError
from trm_arc.files import SCORES_FILE, read_json
from trm_arc.puzzles.families import PuzzleFamily, find_family
from trm_arc.puzzles.puzzle_set import PuzzleSet
from trm_arc.puzzles.table import write_rows
from trm_arc.results import Answered, Results, Right
from trm_arc.vote import Candidate

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
    show, rows = puzzles.family.show, []
    for number, ((question, answer), answered) in enumerate(zip(puzzles, results.answers, strict=True)):
        ranked = dict(enumerate(answered.candidates))
        if answered.right is not None:
            ranked[answered.right.rank] = answered.right.candidate
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
        raise InputError(f"{path}: cannot be read ({error})") from None
    beside = path.with_name(SCORES_FILE)
    made = read_json(beside) if beside.is_file() else {}
    if not rows or set(_COLUMNS) - rows[0].keys() or not isinstance(made, dict):
        raise InputError(f"{path}: no answers of this trm_arc; write them anew with `python -m trm_arc.evaluate`")
    family = find_family(str(made.get("family", _guess_family(rows[0]["question"]))))
    if not isinstance(family, PuzzleFamily):
        raise InputError(f"{beside}: is not of the puzzles in {path.name}; write both anew with `python -m trm_arc.evaluate`")
    try:
        return _parse(rows, family, made)
    except (ValueError, TypeError, AttributeError) as error:  # the boards' reshaping says what does not fit
        raise InputError(f"{path}: damaged ({error}); write it anew with `python -m trm_arc.evaluate`") from None


def _guess_family(question: str) -> str:
    side = round(len(question) ** 0.5)
    return f"{'maze' if set(question) & set('# SG') else 'sudoku'}-{side}x{side}"


def _parse(rows: Iterable[Mapping[str, str]], family: PuzzleFamily, made: Mapping[str, Any]) -> Results:
    def boards(column: str) -> np.ndarray:
        return family.parse("".join(row[column] for row in rows)).reshape(len(rows), *family.shape)

    def numbers(column: str) -> np.ndarray:
        return np.array([int(row[column]) for row in rows], np.int64)

    questions, expected = boards("question"), boards("answer")
    name = str(made.get("data", "puzzles"))
    puzzles = PuzzleSet(name, family, questions, expected, numbers("rating"), numbers("row"))
    answers = []
    for row, board, answer in zip(rows, boards("prediction"), expected, strict=True):
        ranked = {0: Candidate(board, int(row["votes"]), float(row["halting"]))} if int(row["votes"]) else {}
        for other in filter(None, row["others"].split(";")):
            rank, votes, halting, cells = other.split(":")
            ranked[int(rank)] = Candidate(family.parse(cells)[0], int(votes), float(halting))
        found = ((rank, c) for rank, c in sorted(ranked.items()) if np.array_equal(c.grid, answer))
        right = next((Right(rank, candidate) for rank, candidate in found), None)
        listed = [ranked[rank] for rank in range(len(ranked)) if rank in ranked]
        answers.append(Answered(listed, (int(row["views"]),), int(row["pool"]), right))
    return Results(made, puzzles, answers)
