"""A Sudoku as people write and paste it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_text import mark_puzzles, read_question

says = messages(__name__)

QUESTION = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
ROWS = [QUESTION[at : at + 9] for at in range(0, 81, 9)]
NUMBERS = [[int(cell.replace(".", "0")) for cell in row] for row in ROWS]
THIRDS = [[row[:3], row[3:6], row[6:]] for row in ROWS]


def each(change: Callable[[str], str], between: str = "\n") -> str:
    return between.join(map(change, ROWS))


def draw(line: str, third: Callable[[str], str], around: str, between: str) -> str:
    """Rows in a frame, and lines above each third of them."""
    rows = [f"{around}{between.join(map(third, thirds))}{around}".strip() for thirds in THIRDS]
    return "\n".join(part for at, row in enumerate(rows) for part in ([line] * (at % 3 == 0) + [row])) + f"\n{line}"


WAYS = {
    "zeros": QUESTION.replace(".", "0"),
    "asterisks": QUESTION.replace(".", "*"),
    "underscores": QUESTION.replace(".", "_"),
    "x": QUESTION.replace(".", "x"),
    "X": QUESTION.replace(".", "X"),
    "minus signs": QUESTION.replace(".", "-"),
    "dots in the middle": QUESTION.replace(".", "\u00b7"),
    "full width": QUESTION.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "123456789"}),
    "commas": ",".join(QUESTION.replace(".", "0")),
    "nothing between commas": ",".join(QUESTION).replace(".", ""),
    "rows of commas": each(lambda row: ",".join(row).replace(".", "")),
    "rows that end in a comma": each(lambda row: ",".join(row).replace(".", "0") + ","),
    "tabs": each(lambda row: "\t".join(row).replace(".", "")),
    "tabs and zeros": each(lambda row: "\t".join(row).replace(".", "0")),
    "semicolons": each(lambda row: ";".join(row).replace(".", "")),
    "byte-order mark": "\ufeff" + QUESTION,
    "invisible character": "\u200b" + QUESTION,
    "line ends of Windows": each(str, "\r\n") + "\r\n",
    "comment": "# easy\n" + QUESTION,
    "comments": "# by me, 2020\n" + each(str) + "\n# that is all",
    "comment in each line": each(lambda row: row + "  # a row"),
    "comment of C": "// from the web\n" + each(str),
    "heading": "[Puzzle]\n" + each(str),
    "list": str(NUMBERS),
    "list in lines": str(NUMBERS).replace("], ", "],\n "),
    "flat list": str([cell for row in NUMBERS for cell in row]),
    "array": str(NUMBERS).replace(",", ""),
    "list of texts": str(ROWS),
    "quotes": f'"{QUESTION}"',
    "quoted rows": each(lambda row: f'"{row}",'),
    "rows in a line": each(str, ","),
    "thirds": "\n".join(map(" ".join, THIRDS)),
    "spaced": each(" ".join),
    "spaced minus signs": each(lambda row: " ".join(row).replace(".", "-")),
    "no-break spaces": each("\u00a0".join),
    "rows of minus signs": each(lambda row: row.replace(".", "-")),
    "drawn": draw("+-------+-------+-------+", " ".join, "| ", " | "),
    "drawn without a frame": draw("------+-------+------", " ".join, "", " | "),
    "drawn by Simple Sudoku": draw("*---+---+---*", str, "|", "|"),
    "drawn in double lines": draw("╠═══╬═══╬═══╣", lambda third: "│".join(third.replace(".", " ")), "║", "║"),
    "table": each(lambda row: "|" + "|".join(f" {cell} ".replace(".", " ") for cell in row) + "|"),
    "table with a header line": each(lambda row: "|" + "|".join(row.replace(".", " ")) + "|", "\n|---|---|---|\n"),
    "spaces for blanks": each(lambda row: row.replace(".", " ")),
    "spaces that an editor removed": each(lambda row: row.replace(".", " ").rstrip()),
    "empty lines": each(lambda row: row + "\n"),
    "indented": "\n" + each(lambda row: "    " + row),
    "a line with spaces for blanks": QUESTION.replace(".", " "),
    "drawn with spaces for blanks": draw(
        "+-------+-------+-------+", lambda third: " ".join(third.replace(".", " ")), "| ", " | "
    ),
    "drawn close with spaces for blanks": draw("---+---+---", lambda third: third.replace(".", " "), "|", "|"),
    "a file with its state": "#AMe\n[Puzzle]\n" + each(str) + "\n[State]\n" + each(lambda row: row.replace(".", "1")),
    "array of NumPy": "board = array(" + str(NUMBERS).replace("], ", "],\n       ") + ")",
    "full width in rows": each(str).translate({ord(digit): ord(digit) + 0xFEE0 for digit in "123456789."}),
    "with its answer": f"{QUESTION},{ANSWER}",
    "line of a puzzle bank": f"0000abcd1234 {QUESTION.replace('.', '0')}  1.2",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_sudoku_is_read_in_every_way_that_people_write_it(way: str, tmp_path: Path) -> None:
    (tmp_path / "puzzle.txt").write_text(WAYS[way], encoding="utf-8", newline="")
    for text in (WAYS[way], str(tmp_path / "puzzle.txt")):
        domain, board = read_question(text)
        assert (domain.name, domain.format_text(board)) == ("sudoku-9x9", QUESTION)


@pytest.mark.parametrize("side", "|│║")
def test_an_empty_row_in_a_drawing_is_a_row(side: str) -> None:
    rows = [f"|{row[:3]}|{row[3:6]}|{row[6:]}|".replace(".", " ") for row in ROWS]
    rows[4] = "|   |   |   |"
    domain, board = read_question("\n".join(["+---+---+---+", *rows, "+---+---+---+"]).replace("|", side))
    assert domain.format_text(board) == "".join([*ROWS[:4], "." * 9, *ROWS[5:]])


def test_a_row_of_blanks_is_no_border() -> None:
    domain, board = read_question("\n".join(["1--------", *["---------"] * 8]))
    assert (domain.name, domain.format_text(board)) == ("sudoku-9x9", "1" + "." * 80)


def test_numbers_above_9_are_the_letters_of_large_boards() -> None:
    rows = [[(4 * row + row // 4 + column) % 16 + 1 if (row + column) % 3 else 0 for column in range(16)] for row in range(16)]
    letters = "".join(".123456789ABCDEFG"[cell] for row in rows for cell in row)
    for text in ("\n".join(" ".join(map(str, row)) for row in rows), str(rows), letters, letters.lower()):
        domain, board = read_question(text)
        assert (domain.name, domain.format_text(board)) == ("sudoku-16x16", letters)


def test_comments_and_marks_in_a_maze(tmp_path: Path) -> None:
    (tmp_path / "maze.txt").write_bytes(b"\xef\xbb\xbf# from a book\r\nS\r\n# # #\r\n# # #\r\n#   #\r\n  #G#\r\n")
    domain, board = read_question(str(tmp_path / "maze.txt"))
    assert (domain.name, domain.format_text(board)) == ("maze-5x5", "S    # # ## # ##   #  #G#")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("53..7", says("five-characters-are-not")),
        ("\n".join([QUESTION] * 3), says("holds-3-puzzles")),
        ("# only a comment", says("neither-a-puzzle")),
        (QUESTION[:80] + "z", says("row-9-column-9")),
        ("\n".join(["123456..."] * 4), says("4-rows-of-9")),
        ("\n".join(["1234"] * 9), says("9-rows-of-4")),
        ("5" * 5000, says("neither-a-puzzle")),
        (f"{QUESTION}.", says("82-characters")),
        ("." + QUESTION, says("82-characters")),
        ("/", says("is-a-folder")),
        ("." * 15 + "0" + "." * 240, says("none-of-16")),
    ],
)
def test_what_is_no_puzzle_is_told(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_question(text)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(InputError, match=says("is-a-zip")) as caught:
        read_question(str(tmp_path / "x.txt"))
    assert caught.value.file == tmp_path / "x.txt"


def test_a_puzzle_that_begins_with_a_minus_sign_is_no_flag() -> None:
    puzzle = "--" + QUESTION[2:].replace(".", "-")
    assert mark_puzzles([puzzle, "--views", "4", "--show-steps"]) == [f" {puzzle}", "--views", "4", "--show-steps"]
