"""The table of domains."""

import subprocess
import sys

import pytest

from tests.helpers import ROOT


@pytest.mark.parametrize("first", ["maze", "sudoku", "arc"])
def test_boards_are_recognised_whichever_domain_is_imported_first(first: str) -> None:
    code = f"""
import trm_arc.data.domains.{first}
from trm_arc.data.domains import domain_of_board, register_domain
for kind in ("zebra", "apple"):
    register_domain(kind, lambda side, kind=kind: kind, lambda board: "z" in board)
for text in ("#" * 81, "." * 81, "1" * 81, " " * 16, "z" * 81):
    print(domain_of_board(text, "a file"))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    maze, small = "<MazeDomain maze-9x9>", "<MazeDomain maze-4x4>"
    assert done.stdout.splitlines() == [maze, *["<SudokuDomain sudoku-9x9>"] * 2, small, "apple"]
