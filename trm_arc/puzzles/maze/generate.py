"""Mazes like Maze-Hard's, by rejection sampling at a million draws per second and core.

A draw is: a share of walls from 0.3 to 0.5, every cell a wall with that chance, S and G two free cells.  It is kept where S and
G are at least so many moves apart, in Maze-Hard 109: about one draw in 50,000.  Nothing is reused between draws, and
nothing is reweighted.
"""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from augment.kernels import mix
from trm_arc.common.errors import InputError
from trm_arc.puzzles.maze import kernels
from trm_arc.puzzles.maze.rules import FREE, PATH, SIDE, canonical, label

LEAST_SIDE = 5
LEAST_UNIQUE_SIDE = 9  # of mazes with one path: 3 x 3 rooms give only 192 of them, before S and G are chosen
LEAST_MOVES = 109  # of Maze-Hard, at 30 x 30
DRAWS, MOST_REPEATS = 20_000_000, 1_000  # of `generate`
_DRAWS_A_CALL = 100_000  # of the kernel, about a tenth of a second: how soon a thread notices that it may stop


@dataclass(frozen=True, eq=False)
class GeneratedMazes:
    """Mazes with their answers: uint8 (n, side, side) each, and S-to-G moves, int64 (n,)."""

    questions: np.ndarray
    answers: np.ndarray
    moves: np.ndarray


def default_moves(side: int) -> int:
    """The default for the least number of moves between S and G: as rare in random mazes as 109 moves are at 30 x 30.

    Shortest paths among walls near the density where free cells fall apart grow as the side to the power of 1.13, and so does
    this: by measurement 2 to 5 of 100,000 draws are kept, whatever the side.
    """
    return round(LEAST_MOVES * (side / SIDE) ** 1.13)


def generate(
    count: int,
    side: int,
    seed: int,
    *,
    least_moves: int | None = None,
    exclude: np.ndarray | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
    draws: int = DRAWS,
    most_repeats: int = MOST_REPEATS,
) -> GeneratedMazes:
    """Generate mazes, no two of them equal up to turning and mirroring.

    Maze number k is drawn from a stream that (seed, k) begins; the first `count` of them that are new are taken.  So the same
    arguments give the same mazes on every machine, with any number of threads, and fewer mazes are the first of more.

    Args:
        side: rows and columns, 5 to 30.
        seed: a number from 0.
        least_moves: from S to G; `default_moves` of the side if left out.
        exclude: mazes uint8 (n, side, side), questions or answers, of which none is made again, turned or mirrored.
        threads: number of threads; by default one for each core that this process may use.
        draws: for one maze, before the number of moves counts as out of reach.
        most_repeats: mazes in a row that are known already, before all count as known.

    Raises:
        InputError: a number is out of its range, no maze with so many moves came in so many draws, or as many mazes in a row were
            known already.
        ValueError: `exclude` holds no mazes of that side.
    """
    least_moves = default_moves(side) if least_moves is None else least_moves
    _check(count, side, seed, least_moves, threads)
    kind = f"of side {side} with at least {least_moves} moves"
    with closing(_search_all(count, side, seed, least_moves, draws, threads or len(os.sched_getaffinity(0)))) as mazes:
        return take_new(mazes, count, side, kind, exclude, progress, most_repeats, compared=side)


def take_new(
    mazes: Iterator[np.ndarray],
    count: int,
    side: int,
    kind: str,
    exclude: np.ndarray | None,
    progress: Callable[[int], object] | None,
    most_repeats: int,
    *,
    compared: int,
) -> GeneratedMazes:
    """The first `count` mazes that are new up to turning and mirroring, with their answers.

    Args:
        mazes: without end, uint8 (side, side) each.
        exclude: mazes uint8 (n, side, side) that are known from the beginning.
        most_repeats: known mazes in a row, before all count as known.
        compared: rows and columns that are compared, from the first.

    Raises:
        InputError: so many mazes in a row were known already.
        ValueError: `exclude` holds no mazes of that side.
    """
    known = _canonical_bytes(exclude, side, compared) if exclude is not None and len(exclude) else set()
    questions, made, repeats = np.empty((min(count, most_repeats), side, side), np.uint8), 0, 0
    while made < count:
        if made == len(questions):  # so that a number which is never reached takes no memory
            questions = np.resize(questions, (min(count, 2 * made), side, side))
        questions[made] = next(mazes)
        key = canonical(questions[made : made + 1, :compared, :compared]).tobytes()
        if key not in known:
            known.add(key)
            made, repeats = made + 1, 0
            if progress is not None:
                progress(made)
        elif (repeats := repeats + 1) == most_repeats:
            raise InputError(
                f"after {made} of {count} mazes {kind}, {most_repeats:,} in a row were known already; ask for fewer mazes, "
                f"for fewer moves, for a larger side or with another seed"
            )
    return GeneratedMazes(questions, *label(questions))


def check_unique_side(side: int) -> None:
    """Raise InputError if no mazes with one path are generated at a side."""
    if not LEAST_UNIQUE_SIDE <= side <= SIDE:
        raise InputError(f"mazes with one path have a side of {LEAST_UNIQUE_SIDE} to {SIDE}, got {side}")


def _check(count: int, side: int, seed: int, least_moves: int, threads: int | None) -> None:
    if not LEAST_SIDE <= side <= SIDE:
        raise InputError(f"mazes have a side of {LEAST_SIDE} to {SIDE}, got {side}")
    if not 0 <= seed < 2**63:
        raise InputError(f"a seed is a number from 0 to 2**63 - 1, got {seed}")
    for name, value, least in (("mazes", count, 0), ("moves", least_moves, 1), ("threads", threads, 1)):
        if value is not None and value < least:
            raise InputError(f"at least {least} {name}: got {value}")
    if least_moves >= side * side:
        raise InputError(f"S and G of a maze of side {side} are never {least_moves} moves apart; ask for fewer")


def _canonical_bytes(mazes: np.ndarray, side: int, compared: int) -> set[bytes]:
    if mazes.shape[1:] != (side, side):
        raise ValueError(f"mazes to exclude have to be of shape (n, {side}, {side}), got {mazes.shape}")
    questions = np.where(mazes == PATH, np.uint8(FREE), mazes)[:, :compared, :compared]
    return {maze.tobytes() for maze in canonical(questions)}


def _search_all(count: int, side: int, seed: int, least_moves: int, draws: int, threads: int) -> Iterator[np.ndarray]:
    """Mazes number 0, 1, 2 and so on without end, known ones too; `threads` work a little ahead."""
    stop, pool = threading.Event(), ThreadPoolExecutor(threads)
    try:
        search = partial(_search, side=side, seed=seed, least_moves=least_moves, draws=draws, stop=stop)
        ahead = deque(pool.submit(search, number) for number in range(min(count, 4 * threads)))
        for number in itertools.count(len(ahead)):
            yield ahead.popleft().result()
            ahead.append(pool.submit(search, number))
    finally:  # the caller has enough mazes, or an error or Ctrl-C occurred
        stop.set()
        pool.shutdown(cancel_futures=True)


def _search(number: int, side: int, seed: int, least_moves: int, draws: int, stop: threading.Event) -> np.ndarray:
    """Maze `number` of the stream of mazes that a seed begins."""
    state = np.uint64(mix(np.uint64(mix(np.uint64(seed))) ^ np.uint64(number)))
    levels, free, maze = kernels.empty_levels(), kernels.empty_rows(), np.empty((side, side), np.uint8)
    for _ in range(draws // _DRAWS_A_CALL):
        found, state = kernels.search_maze(np.uint64(state), least_moves, _DRAWS_A_CALL, levels, free, maze)
        if found or stop.is_set():  # after a stop no more mazes are read
            return maze
    raise InputError(
        f"no maze of side {side} with at least {least_moves} moves came in {draws:,} draws; ask for fewer moves "
        f"(by default {default_moves(side)})"
    )
