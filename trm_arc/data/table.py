"""Puzzles as CSV, as the public data sets have them: `source,question,answer,rating`, a header and a row for each; .gz, too.
See `trm_arc.data.table_rows` for what else is read.

A file is read as a stream, some rows at a time, so that millions of rows take no more memory than those that are kept.
"""

import csv
import gzip
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from augment.kernels import mix_columns
from trm_arc.common.errors import InputError
from trm_arc.common.files import write_atomic
from trm_arc.data.dev_split import DevSplit
from trm_arc.data.domains import domain_by_name, domain_of_board
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.table_rows import CHUNK, Chunk, stream_rows

if TYPE_CHECKING:
    from trm_arc.data.domains.board import BoardDomain

COLUMNS = "source", "question", "answer", "rating"  # that are written
PUZZLE_TABLE = re.compile(",".join(COLUMNS).encode())  # how what is written begins
_HIGHEST = 999_999_999  # rating


class _Puzzles(NamedTuple):
    """Rows that were read and are valid; keys (uint64) say which are kept if not all are."""

    questions: np.ndarray
    answers: np.ndarray
    ratings: np.ndarray
    rows: np.ndarray
    keys: np.ndarray


class BadRows:
    """What to do with rows that are not puzzles."""

    def __init__(self, path: Path, *, skip: bool) -> None:
        self.path, self.skip, self.count, self.first = path, skip, 0, ""
        self.ratings = 0  # that are no whole numbers

    def meet(self, row: int, reason: str) -> None:
        """Refuse a row, or count it.

        Raises:
            InputError: it is to be refused.
        """
        text = f"row {row}: {reason}"
        if not self.skip:
            raise InputError(f"{self.path}, {text}; correct the row, or leave such rows out with --skip-bad")
        self.count += 1
        self.first = self.first or text


def read_puzzles(
    path: Path,
    name: str,
    count: int = 0,
    seed: int = 0,
    *,
    skip_bad: bool = False,
    split: DevSplit | None = None,
    domain: "BoardDomain | None" = None,
    chunk_size: int = CHUNK,
) -> PuzzleSet:
    """Read puzzles from a file.

    Every row is checked by the rules; those that are kept are also solved, so that each is known to have one solution.

    Args:
        path: of the file; ending in .gz, it is compressed.
        count: number of rows to keep, drawn by the seed alone; 0: all.
        skip_bad: leave out rows that are not puzzles, instead of refusing the file.
        split: the side of the dev split to keep; of its dev side, `count` are those with the lowest numbers, whatever the seed.
        domain: of the puzzles; None: that of its first boards.
        chunk_size: rows that are read at a time; no result depends on it.

    Raises:
        InputError: a file that cannot be read, or a row that is not a puzzle, with the reason.
    """
    bad, kept = BadRows(path, skip=skip_bad), None
    for chunk in stream_rows(path, chunk_size):
        domain = domain or _domain_of_rows(path, chunk, bad)
        if domain is None:
            continue
        kept = kept or _Keeper(domain, count, bad, chunk_size, split)
        kept.add(_read_chunk(chunk, domain, seed, bad))
    if kept is None or not (puzzles := kept.finish()):
        if split is not None and kept is not None and kept.split_rows:
            raise split.none_left(name, kept.split_rows, "puzzle")
        why = f" (none of {bad.count} rows is one; {bad.first})" if bad.count else ""
        raise InputError(f"no puzzles here{why}", file=path)
    left_out = f"left out {bad.count} bad row{'s' * (bad.count != 1)}, the first is {bad.first}" if bad.count else ""
    what = f"ratings are not whole numbers from 0 to {_HIGHEST:,}; the solver's are used"
    what = what if bad.ratings > 1 else f"rating is not a whole number from 0 to {_HIGHEST:,}; the solver's is used"
    rated = f"{bad.ratings} {what}" if bad.ratings else ""
    note = "; ".join(filter(None, (left_out, rated)))
    note = f"{name}: {note}" if note else ""
    return PuzzleSet(name, domain, puzzles.questions, puzzles.answers, puzzles.ratings, puzzles.rows, note)


def domain_of_file(path: Path) -> "BoardDomain":
    """The domain of a file's puzzles, by the first rows that show it.

    Raises:
        InputError: the file cannot be read, or no row shows the domain.
    """
    bad = BadRows(path, skip=True)
    for chunk in stream_rows(path):
        if (domain := _domain_of_rows(path, chunk, bad)) is not None:
            return domain
    raise InputError(f"no puzzles here{f' ({bad.first})' if bad.first else ''}", file=path)


def _domain_of_rows(path: Path, chunk: Chunk, bad: BadRows) -> "BoardDomain | None":
    """The domain of the board that most of the first rows have, so that a broken first row does not decide."""
    counts: Counter[str] = Counter()
    for question in chunk.questions[:100]:
        try:
            counts[domain_of_board(question, str(path)).name] += 1
        except InputError:
            continue
    if counts:
        return domain_by_name(counts.most_common(1)[0][0])
    for number, question in enumerate(chunk.questions):
        try:
            domain_of_board(question, "question")
        except InputError as error:
            bad.meet(chunk.first + number, str(error))
    return None


def _read_chunk(chunk: Chunk, domain: "BoardDomain", seed: int, bad: BadRows) -> _Puzzles:
    """The valid rows of a chunk; missing answers are zeros, missing ratings -1."""
    size, count = int(np.prod(domain.shape)), len(chunk.questions)
    faults: dict[int, str] = {}
    blank = domain.characters[0] * size

    def boards(texts: list[str], what: str) -> np.ndarray:
        for at, text in enumerate(texts):
            if len(text) != size:
                faults.setdefault(at, f"the {what} has {len(text)} characters, {domain.name} needs {size}")
        return domain.parse("".join(text if len(text) == size else blank for text in texts))

    questions = boards(chunk.questions, "question")
    for at in np.flatnonzero(~domain.are_questions(questions)).tolist():
        faults.setdefault(at, str(domain.question_fault(questions[at])))
    answers = np.zeros_like(questions)
    if chunk.answers is not None:
        answers = boards(chunk.answers, "answer")
        for at in np.flatnonzero(~domain.are_solutions(questions, answers)).tolist():
            if at not in faults:
                faults[at] = domain.question_fault(questions[at]) or domain.answer_fault(questions[at], answers[at])
    ratings = np.full(count, -1, np.int64)
    for at, text in enumerate(chunk.ratings or []):
        ratings[at] = _parse_rating(text)
        bad.ratings += bool(ratings[at] < 0 and text.strip())
    for at in sorted(faults):
        bad.meet(chunk.first + at, faults[at])
    rows = chunk.first + np.arange(count)
    keys = mix_columns(np.stack([np.full(count, seed), rows], axis=1).astype(np.uint64))
    sound = np.array([at not in faults for at in range(count)], bool)
    return _Puzzles(*(array[sound] for array in (questions, answers, ratings, rows, keys)))


def _parse_rating(text: str) -> int:
    """A rating, which is a whole number; -1 if it is none, so that the solver's is taken."""
    try:
        value = float(text)
    except ValueError:
        return -1
    return int(value) if value.is_integer() and 0 <= value <= _HIGHEST else -1


class _Keeper:
    """The rows that are kept: all, or those with the smallest keys, which gives a random sample in one pass.

    Args:
        count: how many to keep; 0: all.
        bad: what to do with rows that turn out to have no solution, or several.
        spare: rows beyond twice the count that are held before the worst are dropped.
    """

    def __init__(self, domain: "BoardDomain", count: int, bad: BadRows, spare: int, split: DevSplit | None) -> None:
        self.domain, self.count, self.bad, self.spare, self.split = domain, count, bad, spare, split
        self.split_rows = 0  # that the split has looked at
        self.parts: list[_Puzzles] = []
        self.held, self.limit = 0, None

    def add(self, new: _Puzzles) -> None:
        """Add rows; those that cannot be kept are not solved."""
        if self.split is not None:
            numbers = self.split.number_boards(new.questions, self.domain)
            self.split_rows += len(numbers)
            new = _take(new._replace(keys=numbers) if self.split.dev else new, self.split.holds(numbers))
        if self.limit is not None:
            new = _take(new, new.keys < self.limit)
        new = self._solve(new)
        self.parts.append(new)
        self.held += len(new.rows)
        if self.count and self.held > 2 * self.count + self.spare:
            self._prune()

    def _solve(self, new: _Puzzles) -> _Puzzles:
        answers, solutions, ratings = self.domain.solve(new.questions)
        for at in np.flatnonzero(solutions != 1).tolist():
            self.bad.meet(int(new.rows[at]), "several solutions" if solutions[at] else "no solution")
        given = new.answers.any(axis=(1, 2))[:, None, None]
        known = np.where(new.ratings < 0, ratings, new.ratings)
        return _take(new._replace(answers=np.where(given, new.answers, answers), ratings=known), solutions == 1)

    def _prune(self) -> None:
        whole = _join(self.parts)
        if self.count and len(whole.rows) > self.count:
            whole = _take(whole, np.sort(np.argsort(whole.keys, kind="stable")[: self.count]))
            self.limit = whole.keys.max()
        self.parts, self.held = [whole], len(whole.rows)

    def finish(self) -> _Puzzles | None:
        """The rows that are kept, in the order of the file; None if there are none."""
        self._prune()
        return self.parts[0] if self.held else None


def _take(puzzles: _Puzzles, which: np.ndarray) -> _Puzzles:
    return _Puzzles(*(array[which] for array in puzzles))


def _join(parts: list[_Puzzles]) -> _Puzzles:
    return parts[0] if len(parts) == 1 else _Puzzles(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def write_puzzles(path: Path, puzzles: PuzzleSet) -> None:
    """Write a set as `read_puzzles` reads it, whole or not at all.

    Args:
        path: of the file; ending in .gz, it is compressed.

    Raises:
        InputError: it cannot be written.
    """
    show, ratings = puzzles.domain.format_text, puzzles.ratings.tolist()
    rows = ((puzzles.name, show(q), show(a), rating) for (q, a), rating in zip(puzzles, ratings, strict=True))
    write_rows(path, COLUMNS, rows)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all.

    Args:
        path: of the file; ending in .gz, it is compressed.

    Raises:
        InputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(itertools.chain([header], rows))
    data = text.getvalue().encode()
    write_atomic(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
