"""Tables of puzzles as they are published, and puzzles a line."""

import gzip
from pathlib import Path

import pytest

from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.data.table import read_puzzles

says = messages(__name__)

DOTS = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ZEROS = DOTS.replace(".", "0")
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
MAZE, PATH = "S   ## # ## # ##   #  #G#", "Sooo## #o## #o##  o#  #G#"

TABLES = {
    "quizzes.csv": f"quizzes,solutions\n{ZEROS},{ANSWER}\n",
    "puzzle.csv": f"puzzle,solution\n{ZEROS},{ANSWER}\n",
    "capitals.csv": f"Puzzle,Solution\n{ZEROS},{ANSWER}\n",
    "graded.csv": f"id,puzzle,solution,clues,difficulty\n1,{DOTS},{ANSWER},30,2.2\n",
    "numbered.csv": f",unsolved,solved\n0,{DOTS},{ANSWER}\n",
    "answer first.csv": f"solution,puzzle\n{ANSWER},{DOTS}\n",
    "question alone.csv": f"sudoku\n{DOTS}\n",
    "blank after the comma.csv": f"question, answer\n{DOTS}, {ANSWER}\n",
    "blanks around.csv": f"question , answer\n {DOTS} , {ANSWER} \n",
    "quotes after a blank.csv": f'question, answer\n"{DOTS}", "{ANSWER}"\n',
    "semicolons.csv": f"question;answer;rating\n{DOTS};{ANSWER};4\n",
    "named separator.csv": f"sep=;\npuzzle;solution\n{DOTS};{ANSWER}\n",
    "tabs.csv": f"puzzle\tsolution\n{DOTS}\t{ANSWER}\n",
    "tabs.tsv": f"puzzle\tsolution\n{DOTS}\t{ANSWER}\n",
    "mark.csv": f"\ufeffquizzes,solutions\n{ZEROS},{ANSWER}\n",
    "windows.csv": f"quizzes,solutions\r\n{ZEROS},{ANSWER}\r\n",
    "comment.csv": f"# from the web\nquizzes,solutions\n{ZEROS},{ANSWER}\n",
    "cells in rows.csv": "puzzle\n" + '"' + "\n".join(ZEROS[at : at + 9] for at in range(0, 81, 9)) + '"\n',
    "lists.csv": f'puzzle,solution\n"{list(map(int, ZEROS))}","{list(map(int, ANSWER))}"\n',
    "no header.csv": f"{ZEROS},{ANSWER}\n",
    "one a line.txt": f"# easy\n\n{DOTS}\n",
    "bank.txt": f"0000abcd1234 {ZEROS}  1.2\n",
    "with answers.txt": f"{ZEROS} {ANSWER}\n",
    "asterisks.txt": DOTS.replace(".", "*") + "\n",
    "x.txt": DOTS.replace(".", "x") + "\n",
    "spaces.csv": f"puzzle,solution\n{DOTS.replace('.', ' ')},{ANSWER}\n",
    "spaces.txt": DOTS.replace(".", " ") + "\n",
    "comment of C.txt": f"// easy\n{DOTS}\n",
    "FULL WIDTH.CSV": f"puzzle,solution\n{DOTS.translate({ord(digit): ord(digit) + 0xFEE0 for digit in '123456789'})},{ANSWER}\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_sudoku_are_read(name: str, tmp_path: Path) -> None:
    content = TABLES[name].encode()
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / f"{name}.gz", tmp_path / f"{name}.GZ"):
        path.write_bytes(gzip.compress(content))
    for path in (tmp_path / name, tmp_path / f"{name}.gz", tmp_path / f"{name}.GZ"):
        assert domain_of_data(str(path)).name == "sudoku-9x9"
        puzzles = read_puzzles(path, name)
        show = puzzles.domain.format_text
        assert [(show(question), show(answer)) for question, answer in puzzles] == [(DOTS, ANSWER)]
        assert puzzles.ratings.tolist() == [4 if "rating" in TABLES[name] else 0]
        assert puzzles.note == ""


@pytest.mark.parametrize(
    "content",
    [
        f"question,answer\n{MAZE},{PATH}\n",
        f"question, answer\n{MAZE}, {PATH}\n",
        f"maze;path\n{MAZE};{PATH}\n",
        f"{MAZE}\n",
        f"# of a book\n{MAZE}\n",
        f"{MAZE},{PATH}\n",
    ],
)
def test_blanks_are_cells_of_mazes(content: str, tmp_path: Path) -> None:
    (tmp_path / "maze.txt").write_text(content)
    assert domain_of_data(str(tmp_path / "maze.txt")).name == "maze-5x5"
    puzzles = read_puzzles(tmp_path / "maze.txt", "maze")
    assert puzzles.domain.format_text(puzzles.questions[0]) == MAZE
    assert puzzles.ratings.tolist() == [7]


def test_a_rating_that_is_no_whole_number_costs_itself_alone(tmp_path: Path) -> None:
    ratings = ("2.2", "-1", "easy", "inf", "nan", "1e400", str(10**12), "", "7", "8.0", " 9 ")
    (tmp_path / "x.csv").write_text("question,answer,rating\n" + "".join(f"{DOTS},{ANSWER},{rating}\n" for rating in ratings))
    puzzles = read_puzzles(tmp_path / "x.csv", "x")
    assert puzzles.ratings.tolist() == [0] * 8 + [7, 8, 9]  # the solver needs no guess
    (tmp_path / "y.csv").write_text(f"question,answer,rating\n{DOTS},{ANSWER},2.2\n{DOTS},{ANSWER},-1\n{DOTS},{ANSWER},5\n")
    assert says("two-ratings") in read_puzzles(tmp_path / "y.csv", "y").note
    (tmp_path / "y.csv").write_text(f"question,answer,rating\n{DOTS},{ANSWER},easy\n")
    assert says("one-rating") in read_puzzles(tmp_path / "y.csv", "y").note


def test_rows_that_are_no_puzzles(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(f"{DOTS}\n{DOTS[1:]}\n{DOTS}\n")
    with pytest.raises(InputError, match=says("row-2-80-characters")):
        read_puzzles(tmp_path / "x.txt", "x")
    assert read_puzzles(tmp_path / "x.txt", "x", skip_bad=True).rows.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (f"{DOTS}.", says("row-1-82-characters")),  # no character is dropped to make it fit
        (f".{DOTS}", says("row-1-82-characters")),
        (DOTS.replace(".", "#"), says("none-of-the-digits")),
        ("5" * 5000, says("row-1-5000")),
    ],
)
def test_questions_that_only_look_like_one(cell: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"question\n{cell}\n")
    with pytest.raises(InputError, match=message):
        read_puzzles(tmp_path / "x.csv", "x")


def test_digits_from_0_on_are_not_blanks_where_there_are_letters(tmp_path: Path) -> None:
    digits = "0123456789ABCDEF"
    answer = "".join(digits[(4 * row + row // 4 + column) % 16] for row in range(16) for column in range(16))
    (tmp_path / "x.csv").write_text(f"question\n...{answer[3:]}\n")
    with pytest.raises(InputError, match=says("row-2-column-13")):
        read_puzzles(tmp_path / "x.csv", "x")


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "007bbfb7\n00d62c1b\n", "hello world\n"])
def test_what_is_no_table_of_puzzles_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(content)
    with pytest.raises(InputError, match=says("the-header-needs")) as caught:
        domain_of_data(str(tmp_path / "x.txt"))
    assert caught.value.file == tmp_path / "x.txt"


@pytest.mark.parametrize(("content", "kind"), [(b"PAR1", "Parquet"), (b"PK\x03\x04", "zip"), (b"<html>", "web page")])
def test_tables_of_another_kind_are_named(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"is .*{kind}"):
        read_puzzles(tmp_path / "x.csv", "x")
