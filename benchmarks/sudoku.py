"""Sudoku of 9 x 9: check, solve and canonicalise on one core; generate hard ones on all; the profile beside the real one."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import common
from trm_arc.common.durations import median_seconds
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.data.puzzle_set import join_puzzles
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.puzzles.sudoku.canonical import canonical
from trm_arc.puzzles.sudoku.generate import generate
from trm_arc.puzzles.sudoku.rules import boxes_of, is_solution, keeps_rules
from trm_arc.puzzles.sudoku.solve import solve

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def describe(questions: np.ndarray, guesses: np.ndarray) -> str:
    """What distinguishes sets, in a line."""
    quantiles = " ".join(f"{value:.0f}" for value in np.quantile(guesses, QUANTILES))
    clues = (questions > 0).sum(axis=(1, 2)).mean()
    return f"guesses {guesses.mean():.1f} on average, none {np.mean(guesses == 0):.1%}, quantiles {quantiles}; clues {clues:.1f}"


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("sudoku", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with sudoku-extreme, for its profile")
    parser.add_argument("--puzzles", type=int, default=1000, help="how many to make")
    values = parser.parse(arguments)
    require_least("puzzles", values.puzzles)
    real = None
    if values.data_folder:  # before the minutes of making
        real = join_puzzles([load_puzzles("sudoku-extreme", part, values.data_folder) for part in ("train", "test")])
    boxes = boxes_of(9)
    generate(1, boxes, 1, kind="hard")  # compiles
    began = time.perf_counter()
    made = generate(values.puzzles, boxes, 0, kind="hard")
    seconds = time.perf_counter() - began
    questions, answers = (np.tile(boards, (max(1, 4000 // values.puzzles), 1, 1)) for boards in (made.questions, made.answers))

    def rate(work: Callable[[], object]) -> str:
        return f"{len(questions) / median_seconds(work, 5):,.0f}/s"

    figures = {
        "rules": rate(lambda: keeps_rules(questions, boxes)),
        "solution": rate(lambda: is_solution(questions, answers, boxes)),
        "canonical form, question": rate(lambda: canonical(questions, boxes)),
        "canonical form, full board": rate(lambda: canonical(answers, boxes)),
        "solve, one solution proven": rate(lambda: solve(questions, boxes)),
        "made": f"{values.puzzles} in {seconds:.1f} s on all cores",
        "made: profile": describe(made.questions, made.guesses),
    }
    if real is not None:
        figures["real: profile"] = describe(real.questions, real.ratings)
    common.report(figures, values.json)
    return 0


if __name__ == "__main__":
    run(main)
