"""Puzzles as CSV, as the public data sets have them: `source,question,answer,rating`, a header and a row for each; .gz, too.

A file is read as a stream, some rows at a time, so that millions of rows take no more memory than those that are kept.
"""

import csv
import gzip
import io
import itertools
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from augment.kernels import mix_columns
from trm_arc.common.errors import InputError
from trm_arc.common.files import require_regular, write_atomic
from trm_arc.data.domains import domain_by_name, domain_of_board
from trm_arc.data.puzzle_set import PuzzleSet

if TYPE_CHECKING:
    from trm_arc.data.domains.board import BoardDomain

CHUNK = 4096  # rows at a time
_RATINGS = ("rating", "path_moves")  # what a column of difficulties may be called


class _Chunk(NamedTuple):
    """Some rows of a file: the number of the first, from 1, and the columns; answers and ratings may be missing."""

    first: int
    questions: list[str]
    answers: list[str] | None
    ratings: list[str] | None


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
    path: Path, name: str, count: int = 0, seed: int = 0, *, skip_bad: bool = False, domain: "BoardDomain | None" = None
) -> PuzzleSet:
    """Read puzzles from a file.

    Every row is checked by the rules; those that are kept are also solved, so that each is known to have one solution.

    Args:
        path: of the file; ending in .gz, it is compressed.
        name: of the set, for messages.
        count: number of rows to keep, drawn by the seed alone; 0: all.
        seed: see above.
        skip_bad: leave out rows that are not puzzles, instead of refusing the file.
        domain: of the puzzles; None: that of its first boards.

    Raises:
        InputError: a file that cannot be read, or a row that is not a puzzle, with the reason.
    """
    bad, kept = BadRows(path, skip=skip_bad), None
    for chunk in _stream(path):
        domain = domain or _domain_of_rows(path, chunk, bad)
        if domain is None:
            continue
        kept = kept or _Keeper(domain, count, bad)
        kept.add(_read_chunk(chunk, domain, seed, bad))
    if kept is None or not (puzzles := kept.finish()):
        why = f" (none of {bad.count} rows is one; {bad.first})" if bad.count else ""
        raise InputError(f"no puzzles here{why}", file=path)
    note = f"{name}: left out {bad.count} bad rows, the first is {bad.first}" if bad.count else ""
    return PuzzleSet(name, domain, puzzles.questions, puzzles.answers, puzzles.ratings, puzzles.rows, note)


def domain_of_file(path: Path) -> "BoardDomain":
    """The domain of a file's puzzles, by the first rows that show it.

    Raises:
        InputError: the file cannot be read, or no row shows the domain.
    """
    bad = BadRows(path, skip=True)
    for chunk in _stream(path):
        if (domain := _domain_of_rows(path, chunk, bad)) is not None:
            return domain
    raise InputError(f"no puzzles here{f' ({bad.first})' if bad.first else ''}", file=path)


def _domain_of_rows(path: Path, chunk: _Chunk, bad: BadRows) -> "BoardDomain | None":
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


def _stream(path: Path) -> Iterator[_Chunk]:
    """The rows of a file, some at a time."""
    try:
        with gzip.open(require_regular(path), "rb") if path.suffix == ".gz" else require_regular(path).open("rb") as raw:
            lines = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
            header = next(lines, None)
            if not header:
                raise InputError("the file is empty; a header with question and answer, and a row a puzzle, is needed", file=path)
            yield from _chunks(lines, [cell.strip().lower() for cell in header], path)
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text; save the file as UTF-8 CSV", file=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError("truncated or damaged; download the file again", file=path) from None
    except csv.Error as error:
        raise InputError(f"not CSV ({error})", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", file=path) from None


def _chunks(lines: Iterator[list[str]], header: Sequence[str], path: Path) -> Iterator[_Chunk]:
    if "question" not in header:
        raise InputError(f"the header needs the columns question and answer, got {','.join(header)[:80]}", file=path)
    question = header.index("question")
    answer = header.index("answer") if "answer" in header else None
    rating = next((header.index(name) for name in _RATINGS if name in header), None)
    first, rows = 1, []

    def column(at: int | None) -> list[str] | None:
        return None if at is None else [row[at] if at < len(row) else "" for row in rows]

    def make() -> _Chunk:
        return _Chunk(first, column(question), column(answer), column(rating))

    for row in filter(None, lines):  # an empty line is not a row
        rows.append(row)
        if len(rows) == CHUNK:
            yield make()
            first, rows = first + CHUNK, []
    if rows:
        yield make()


def _read_chunk(chunk: _Chunk, domain: "BoardDomain", seed: int, bad: BadRows) -> _Puzzles:
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
        if text.strip().isdecimal() and len(text.strip()) < 10:
            ratings[at] = int(text)
        elif text.strip():
            faults.setdefault(at, f"the rating is not a number from 0 to 999,999,999: {text[:20]!r}")
    for at in sorted(faults):
        bad.meet(chunk.first + at, faults[at])
    rows = chunk.first + np.arange(count)
    keys = mix_columns(np.stack([np.full(count, seed), rows], axis=1).astype(np.uint64))
    sound = np.array([at not in faults for at in range(count)], bool)
    return _Puzzles(*(array[sound] for array in (questions, answers, ratings, rows, keys)))


class _Keeper:
    """The rows that are kept: all, or those with the smallest keys, which gives a random sample in one pass.

    Args:
        domain: of the puzzles.
        count: how many to keep; 0: all.
        bad: what to do with rows that turn out to have no solution, or several.
    """

    def __init__(self, domain: "BoardDomain", count: int, bad: BadRows) -> None:
        self.domain, self.count, self.bad = domain, count, bad
        self.parts: list[_Puzzles] = []
        self.held, self.limit = 0, None

    def add(self, new: _Puzzles) -> None:
        """Add rows; those that cannot be kept are not solved."""
        if self.limit is not None:
            new = _take(new, new.keys < self.limit)
        new = self._solve(new)
        self.parts.append(new)
        self.held += len(new.rows)
        if self.count and self.held > 2 * self.count + CHUNK:
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
            whole = _take(whole, np.sort(np.argpartition(whole.keys, self.count - 1)[: self.count]))
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
        puzzles: what to write.

    Raises:
        InputError: it cannot be written.
    """
    show, ratings = puzzles.domain.show, puzzles.ratings.tolist()
    rows = ((puzzles.name, show(q), show(a), rating) for (q, a), rating in zip(puzzles, ratings, strict=True))
    write_rows(path, ("source", "question", "answer", "rating"), rows)


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all.

    Args:
        path: of the file; ending in .gz, it is compressed.
        header: names of the columns.
        rows: their values.

    Raises:
        InputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(itertools.chain([header], rows))
    data = text.getvalue().encode()
    write_atomic(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
