"""Perfect mazes: their free cells form a tree, so there is one path from S to G, long as in Maze-Unique.

Maze-Unique is the set of "Equilibrium Reasoners" (arXiv 2605.21488), whose builder is `dataset/build_maze_unique_dataset.py` in
github.com/locuslab/EqR.  As there, rooms lie at every second cell within a border of walls, a random depth-first search opens the
walls between them, a number of moves is drawn first, and S and G are free cells so many moves apart.  (Random minimum spanning
trees have shorter paths: in more than half of them, at 30 x 30, no two cells are 109 moves apart.)
"""

from collections.abc import Callable
from itertools import count as count_from

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import depth_first_order, shortest_path

from trm_arc.common.errors import require_least
from trm_arc.puzzles.maze.generate import MOST_REPEATS, GeneratedMazes, check_unique_side, take_new
from trm_arc.puzzles.maze.rules import FREE, GOAL, START, WALL

_LEAST_MOVES, _MOST_MOVES, _FREE_CELLS = 100, 140, 391  # of Maze-Unique, at 30 x 30


def moves_between(side: int, *, easy: bool = False) -> tuple[int, int]:
    """The least and the most moves from S to G: the same shares of the free cells at every side, half of them in easy mazes."""
    free = 2 * _count_rooms(side) ** 2 - 1
    least, most = (round(moves * free / _FREE_CELLS) for moves in (_LEAST_MOVES, _MOST_MOVES))
    return (-(-least // 2), -(-most // 2)) if easy else (least, most)


def generate_unique(
    count: int,
    side: int,
    seed: int,
    *,
    easy: bool = False,
    exclude: np.ndarray | None = None,
    progress: Callable[[int], object] | None = None,
    most_repeats: int = MOST_REPEATS,
) -> GeneratedMazes:
    """Generate perfect mazes, no two of them equal up to turning and mirroring.

    Maze number k is drawn from a stream that (seed, k) begins; the first `count` of them that are new are taken.  So fewer mazes
    are the first of more.

    Args:
        side: rows and columns, 9 to 30.  An even side has a row and a column of walls more than the odd side below it; mazes are
            compared without those.
        seed: a number from 0.
        easy: S and G are half as far apart.
        exclude: mazes uint8 (n, side, side), questions or answers, of which none is made again, turned or mirrored.
        most_repeats: mazes in a row that are known already, before all count as known.

    Raises:
        InputError: a number is out of its range, or so many mazes in a row were known already.
        ValueError: `exclude` holds no mazes of that side.
    """
    check_unique_side(side)
    require_least("count", count, 0)
    require_least("seed", seed, 0, 63)
    moves = moves_between(side, easy=easy)
    mazes = (_sample(side, moves, np.random.default_rng([seed, number])) for number in count_from())
    kind, compared = f"of side {side} with {moves[0]} to {moves[1]} moves", 2 * _count_rooms(side) + 1
    return take_new(mazes, count, side, kind, exclude, progress, most_repeats, compared=compared)


def _count_rooms(side: int) -> int:
    return (side - 1) // 2


def _sample(side: int, moves: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A perfect maze, uint8 (side, side), whose S and G are as far apart as a number that is drawn first."""
    wanted = random.integers(moves[0], moves[1] + 1)
    while True:  # nearly every maze has cells so far apart
        maze = _carve(side, random)
        pairs = _pair_neighbours(np.where(maze == FREE, np.arange(maze.size).reshape(maze.shape), -1))
        graph = coo_array((np.ones(pairs.shape[1]), pairs), shape=(maze.size, maze.size)).tocsr()
        for start in random.permutation(np.flatnonzero(maze)):
            goals = np.flatnonzero(shortest_path(graph, directed=False, unweighted=True, indices=start) == wanted)
            if len(goals):
                maze.flat[start], maze.flat[random.choice(goals)] = START, GOAL
                return maze


def _carve(side: int, random: np.random.Generator) -> np.ndarray:
    """Walls and free cells, uint8 (side, side): rooms, and the doors that a random depth-first search opens."""
    rooms = _count_rooms(side)
    pairs = _pair_neighbours(np.arange(rooms**2).reshape(rooms, rooms))
    first, second = np.concatenate([pairs, pairs[::-1]], axis=1)
    order = np.lexsort((random.random(len(first)), first))  # by rooms; the search tries a room's neighbours as they stand here
    ends = np.concatenate([[0], np.cumsum(np.bincount(first))])
    graph = csr_array((np.ones(len(first)), second[order], ends), shape=(rooms**2, rooms**2))
    _, before = depth_first_order(graph, random.integers(rooms**2))
    entered = np.flatnonzero(before >= 0)
    rows, columns = np.divmod([entered, before[entered]], rooms)
    maze = np.full((side, side), WALL, np.uint8)
    maze[1 : 2 * rooms : 2, 1 : 2 * rooms : 2] = FREE
    maze[rows.sum(axis=0) + 1, columns.sum(axis=0) + 1] = FREE  # half way between 2 r + 1 and 2 s + 1 is r + s + 1
    return maze


def _pair_neighbours(cells: np.ndarray) -> np.ndarray:
    """Pairs of numbers that are beside each other in a grid, int64 (2, pairs), without those that have a negative one."""
    across, down = ([a.ravel(), b.ravel()] for a, b in ((cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:])))
    pairs = np.concatenate([across, down], axis=1)
    return pairs[:, (pairs >= 0).all(axis=0)]
