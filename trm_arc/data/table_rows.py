"""The rows of a table of puzzles, some at a time: CSV with a header under the names of public data sets, or a puzzle a line."""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from trm_arc.common.errors import InputError
from trm_arc.common.file_kinds import describe_kind
from trm_arc.common.files import require_regular
from trm_arc.data.board_text import SIZES, is_written_board, tidy_board
from trm_arc.puzzles.maze.rules import CHARACTERS as MAZE

CHUNK = 4096  # rows at a time
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")  # of tables of puzzles
# What the columns of public data sets are called.
_QUESTIONS = "question questions puzzle puzzles quiz quizzes problem unsolved sudoku maze board grid input".split()
_ANSWERS = "answer answers solution solutions solved label labels target path output".split()
_RATINGS = ("rating", "path_moves")  # other scales of difficulty do not count what ours do
_DELIMITERS = ",;\t|"


class Chunk(NamedTuple):
    """Some rows of a file: the number of the first, from 1, and the columns; answers and ratings may be missing."""

    first: int
    questions: list[str]
    answers: list[str] | None
    ratings: list[str] | None


Columns = Callable[[list[str]], tuple[str, str | None, str | None]]  # of a row: question, answer, rating


def stream_rows(path: Path, size: int = CHUNK) -> Iterator[Chunk]:
    """The rows of a file, `size` at a time.

    Raises:
        InputError: it cannot be read, or is no table of puzzles.
    """
    require_regular(path)
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as raw:
            kind = describe_kind(raw.peek(1 << 16))
            if kind and not kind.startswith("JSON"):
                raise InputError(f"is {kind}", file=path)
            with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
                yield from _chunks(text, path, size)
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except UnicodeDecodeError:
        raise InputError("not UTF-8 text; save the file as UTF-8 CSV", file=path) from None
    except gzip.BadGzipFile:
        raise InputError("not compressed by gzip, or damaged; check its name, or download it again", file=path) from None
    except (EOFError, zlib.error):
        raise InputError("truncated or damaged; download the file again", file=path) from None
    except csv.Error as error:
        raise InputError(f"not CSV ({error})", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", file=path) from None


def _chunks(lines: Iterable[str], path: Path, size: int) -> Iterator[Chunk]:
    rows, columns = _open_table(iter(lines), path)
    first = 1
    while read := [columns(row) for row in itertools.islice(rows, size)]:
        questions, answers, ratings = zip(*read, strict=True)
        known = None if answers[0] is None else [tidy_board(answer) for answer in answers]
        yield Chunk(first, list(map(tidy_board, questions)), known, None if ratings[0] is None else list(ratings))
        first += size


def _open_table(lines: Iterator[str], path: Path) -> tuple[Iterator[list[str]], Columns]:
    """The rows below the header, if there is one, and where the columns are."""
    start = next((line for line in lines if not _is_passed_over(line)), None)
    if start is None:
        raise InputError("the file is empty; a header with question and answer, and a row a puzzle, is needed", file=path)
    delimiter = max(_DELIMITERS, key=start.count) if any(mark in start for mark in _DELIMITERS) else None
    rows = csv.reader(itertools.chain([start], lines), delimiter=delimiter or ",")
    if any(map(_is_board, _split(start.rstrip("\r\n"), delimiter))):
        alone = (line.rstrip("\r\n") for line in itertools.chain([start], lines) if not _is_passed_over(line))
        with_answers = len(_boards(_split(start.rstrip("\r\n"), delimiter))) > 1
        return (_split(line, delimiter) for line in alone), lambda row: _find_columns(row, with_answers)
    header = [cell.strip().lower() for cell in next(rows)]
    return filter(None, rows), _name_columns(header, path)  # an empty line is not a row


def _is_passed_over(line: str) -> bool:
    """Whether a line is empty, a comment, or Excel's name of the separator."""
    text = line.strip()
    is_comment = text.startswith("//") or (text[:1] == "#" and not set(text) <= {*MAZE, *_DELIMITERS})
    return not text or is_comment or text[:4].lower() == "sep="


def _split(line: str, delimiter: str | None) -> list[str]:
    """The cells of a line without a header; without a delimiter, blanks separate, but in a maze they are cells."""
    if delimiter:
        return next(csv.reader([line], delimiter=delimiter), [])
    cells = line.split()
    is_one = len(line) in SIZES and not any(len(cell) in SIZES for cell in cells)  # a Sudoku with blanks for blanks
    return [line] if is_one or set(line) <= set(MAZE) else cells


def _is_board(cell: str) -> bool:
    cell = tidy_board(cell)
    if set(cell) <= set(MAZE):
        return {"S", "G"} <= set(cell) and round(len(cell) ** 0.5) ** 2 == len(cell)
    return len(cell) in SIZES and is_written_board(cell) and not cell.isalpha()


def _boards(row: list[str]) -> list[str]:
    """The cells with boards; of several lengths, as numbers of rows may be, the longest."""
    boards = [cell for cell in map(tidy_board, row) if _is_board(cell)]
    return [board for board in boards if len(board) == max(map(len, boards))]


def _find_columns(row: list[str], with_answers: bool) -> tuple[str, str | None, None]:
    boards = _boards(row) or [max(row, key=len)]  # the latter is refused later, with the number of the row
    return boards[0], (boards[1] if len(boards) > 1 else "") if with_answers else None, None


def _name_columns(header: list[str], path: Path) -> Columns:
    found = [next((header.index(n) for n in names if n in header), None) for names in (_QUESTIONS, _ANSWERS, _RATINGS)]
    if found[0] is None:
        raise InputError(
            "the header needs the columns question and answer (or puzzle and solution, quizzes and solutions), got "
            f"{','.join(header)[:80]}",
            file=path,
        )

    def columns(row: list[str]) -> tuple[str, str | None, str | None]:
        question, answer, rating = (None if at is None else row[at] if at < len(row) else "" for at in found)
        return str(question), answer, rating

    return columns
