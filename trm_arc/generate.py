"""Generate Sudoku or mazes: python -m trm_arc.generate sudoku-9x9 --puzzles 1000 --out puzzles.csv"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trm_arc.cli import Parser, setting_help
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import check_writable
from trm_arc.common.folders import refuse_foreign_file
from trm_arc.common.program import run
from trm_arc.common.streams import make_progress_bar
from trm_arc.common.text import is_terminal
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import GENERATED_NAMES, generator_of_set
from trm_arc.data.table import PUZZLE_TABLE, read_puzzles, write_puzzles


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.generate",
        usage="%(prog)s KIND --out FILE [options]",
        description="Generate Sudoku with one solution, or mazes, all different up to symmetry, as CSV with answers and ratings. "
        "Every clue of a Sudoku is needed; those of 9 x 9 are as hard as Sudoku-Extreme's. Mazes are as long as Maze-Hard's; "
        "those of maze-unique have one path. With -easy after the name, and always at 4 x 4, Sudoku need no guessing; with "
        "-easy, paths are half as long.",
    )
    parser.add_argument("kind", metavar="KIND", help=f"{GENERATED_NAMES}; each also with -easy after it")
    flag = parser.group("puzzles")
    flag("--puzzles", type=int, default=1000, metavar="N", help="number of puzzles to generate")
    flag("--seed", type=int, default=0, metavar="N", help=setting_help("seed"))
    leave_out = "leave out puzzles that are in these files, up to symmetry"
    flag("--exclude", type=Path, nargs="+", metavar="FILE", help=leave_out)
    parser.group("output")("--out", type=Path, required=True, metavar="FILE", help="the file to write: .csv, or .csv.gz")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, generate, write."""
    values = make_parser().parse(arguments)
    require_least("puzzles", values.puzzles)
    require_least("seed", values.seed, 0, 63)
    domain, make = generator_of_set(values.kind)
    if not values.out.name.endswith((".csv", ".csv.gz")):
        raise InputError(f"a file ending in .csv or .csv.gz is needed, got {values.out}", flag="--out")
    check_writable(values.out.parent, [values.out.name])
    refuse_foreign_file(values.out, PUZZLE_TABLE)
    exclude = [read_puzzles(path, path.name) for path in values.exclude or []]
    others = [one.name for one in exclude if one.domain is not domain]
    if others:
        raise InputError(f"{others[0]} holds no {domain.name}", flag="--exclude")
    known = np.concatenate([one.questions for one in exclude]) if exclude else None
    with make_progress_bar(values.puzzles, "puzzle", shown=is_terminal(sys.stderr)) as bar:
        made = make(values.puzzles, values.seed, known, lambda done: bar.update(done - bar.n))
    puzzles = PuzzleSet(values.kind, domain, *made, np.arange(1, len(made[0]) + 1))
    write_puzzles(values.out, puzzles)
    ratings = puzzles.ratings
    print(f"wrote {values.out}: {len(puzzles)} puzzles, {domain.difficulty} from {ratings.min()} to {ratings.max()}, "
          f"{ratings.mean():.1f} on average")  # fmt: skip
    return 0


if __name__ == "__main__":
    run(main)
