"""Mazes at 30 x 30: label, check and bring to canonical form on one core; generate on all; the profile beside Maze-Hard's."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import common
from trm_arc.common.durations import median_seconds
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.puzzles.maze.generate import generate
from trm_arc.puzzles.maze.rules import FREE, GOAL, START, WALL, canonical, is_solution, label
from trm_arc.puzzles.maze.unique import generate_unique


def read_real(folder: Path) -> np.ndarray:
    """The questions of both splits of Maze-Hard."""
    return np.concatenate([load_puzzles("maze-hard", part, folder).questions for part in ("train", "test")])


def describe(questions: np.ndarray) -> dict[str, list[float]]:
    """Mean, then quantiles 0, 5, 25, 50, 75, 95 and 100 percent of what distinguishes sets of mazes."""
    moves = label(questions)[1]
    places = [np.argwhere(questions == cell)[:, 1:] for cell in (START, GOAL)]
    apart = np.abs(places[0] - places[1]).sum(axis=1)
    border = np.minimum(places[0], questions.shape[1] - 1 - places[0]).min(axis=1)
    free = questions != WALL
    doors = (free[:, 1:] & free[:, :-1]).sum(axis=(1, 2)) + (free[:, :, 1:] & free[:, :, :-1]).sum(axis=(1, 2))
    columns = {
        "moves from S to G": moves,
        "share of walls": (questions == WALL).mean(axis=(1, 2)),
        "S to G as the crow flies": apart,
        "S to the border": border,
        "free neighbours of a free cell": 2 * doors / (questions >= FREE).sum(axis=(1, 2)),
    }
    points = (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)
    return {name: np.round([c.mean(), *np.quantile(c, points)], 3).tolist() for name, c in columns.items()}


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("maze", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with maze-hard, for its profile")
    parser.add_argument("--mazes", type=int, default=1000, help="how many are generated")
    parser.add_argument("--threads", type=int, help="of the generator; all cores if left out")
    values = parser.parse(arguments)
    require_least("mazes", values.mazes)
    real = {"Maze-Hard": read_real(values.data_folder)} if values.data_folder else {}
    generate(1, 30, 1, least_moves=1, threads=1)  # compiles
    began = time.perf_counter()
    made = generate(values.mazes, 30, 0, threads=values.threads)
    seconds = time.perf_counter() - began
    results: dict[str, object] = {"seconds to generate": seconds, "generated mazes/s": values.mazes / seconds}
    began = time.perf_counter()
    unique = generate_unique(values.mazes, 30, 0)
    results["generated unique mazes/s"] = values.mazes / (time.perf_counter() - began)
    many = [np.tile(part, (-(-20_000 // values.mazes), 1, 1)) for part in (made.questions, made.answers)]
    for name, work in {
        "labels/s": lambda: label(many[0]),
        "right answers checked/s": lambda: is_solution(*many),
        "canonical forms/s": lambda: canonical(many[0]),
    }.items():
        results[name] = len(many[0]) / median_seconds(work, 5)
    sets = {"generated": made.questions, "unique": unique.questions} | real
    for of, questions in sets.items():
        results |= {f"{name}, {of}": row for name, row in describe(questions).items()}
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
