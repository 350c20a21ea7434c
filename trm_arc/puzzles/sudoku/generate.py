"""Generates Sudoku, hard or easy, with one solution, all different up to symmetry; the same for any number of threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trm_arc.common.errors import InputError, require_least
from trm_arc.puzzles.sudoku.canonical import canonical
from trm_arc.puzzles.sudoku.rules import Boxes, require_boards
from trm_arc.puzzles.sudoku.search import HARD, HARDEST, make_block, make_search_room

# The difficulty (guesses averaged over images) of Sudoku-Extreme: shares of its puzzles, and what those stay below.
_SHARES = (0.0, 0.137, 0.1371, 0.21, 0.25, 0.29, 0.30, 0.32, 0.35, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.98, 1.0)
_PROFILE = (0.0, 0.0, 1.0, 1.0, 2.3, 5.0, 15.5, 20.7, 25.7, 31.0, 39.7, 45.7, 52.0, 59.9, 77.3, 99.8, 119.3, 150.0)
_EASY_CLUES = (0.39, 0.47)  # of all cells: 32 to 38 for 9 x 9, 14 to 17 for 6 x 6, 6 to 8 for 4 x 4
_GOLDEN = 0.6180339887498949
BLOCK = 16  # puzzles made at once, whose hard ones share an ancestor
TRIES = 20  # puzzles made for every one wanted, and THOUSAND more, before giving up: of `generate`
THOUSAND = 1000


@dataclass(frozen=True)
class GeneratedSudoku:
    """Puzzles of `generate`.

    Attributes:
        questions: uint8 (n, side, side), 0 where blank.
        answers: uint8 (n, side, side), the only solutions.
        guesses: int64 (n,), guesses of `solve` on the way to the solution.
    """

    questions: np.ndarray
    answers: np.ndarray
    guesses: np.ndarray


def _sample_targets(boxes: Boxes, seed: int, block: int, size: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """What a block should hold: difficulties in ascending order (none where easy), numbers of clues.

    Points a golden section apart fill the unit interval evenly, so that any few blocks have the profile of the whole set.
    """
    offset = np.random.default_rng([seed, 0]).random()
    points = (offset + np.arange(block * size, (block + 1) * size) * _GOLDEN) % 1
    low, high = _EASY_CLUES
    clues = np.rint(boxes.side**2 * (low + points * (high - low))).astype(np.int64)
    if kind == "easy":
        return np.empty(0), clues
    if boxes != Boxes(3, 3):
        return np.full(size, HARDEST), clues
    targets = np.interp(points, _SHARES, _PROFILE)
    return np.array(sorted(targets, key=lambda target: (target < HARD, target if target >= HARD else -target))), clues


def _make(boxes: Boxes, seed: int, block: int, size: int, kind: str) -> GeneratedSudoku:
    targets, clues = _sample_targets(boxes, seed, block, size, kind)
    boards = np.zeros((2, size, boxes.side**2), np.uint8)
    guesses = np.zeros(size, np.int64)
    room = make_search_room(boxes.rows, boxes.columns)
    make_block(room, boxes.side, seed, block, targets, clues, boards[0], boards[1], guesses)
    boards = boards.reshape(2, size, boxes.side, boxes.side)
    order = np.random.default_rng([seed, 1, block]).permutation(size)
    return GeneratedSudoku(boards[0][order], boards[1][order], guesses[order])


def _make_blocks(
    boxes: Boxes, seed: int, first: int, count: int, size: int, kind: str, threads: int
) -> Iterator[GeneratedSudoku]:
    """Blocks in order, made by threads: the kernels hold no lock."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda block: _make(boxes, seed, block, size, kind), range(first, first + count))


def generate(
    count: int,
    boxes: Boxes,
    seed: int,
    *,
    kind: Literal["hard", "easy"],
    exclude: np.ndarray | None = None,
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
    tries: int = TRIES,
    block_size: int = BLOCK,
) -> GeneratedSudoku:
    """Generate puzzles with one solution each, all different up to the symmetries of Sudoku.

    Easy puzzles need no guess of `solve`; 0.39 to 0.47 of their cells are clues, which need not all be needed.  Of hard ones no
    clue can be left out.  For 9 x 9 their difficulties follow the profile of Sudoku-Extreme: a target is drawn for each, and a
    search moves single clues of a minimal puzzle until it is near.  Puzzles are made in blocks of sixteen; the
    harder ones of a block come from one search, several moves apart, all others begin with a random grid of their own, and blocks
    have nothing in common.  For other sides, hard puzzles come from twenty steps of the same
    search, each from a grid of its own, that never take an easier puzzle.

    Args:
        seed: the same seed gives the same puzzles, on every machine and for any number of threads.
        kind: "hard" or "easy".
        exclude: uint8 (m, side, side), questions no image of which may be made.
        threads: that work at once; the processor's cores by default.
        tries: see below.
        block_size: other sizes give other puzzles.

    Raises:
        InputError: `count` or `seed` is negative, or so many different puzzles were not found in `tries` for each and a
            thousand more, or the last so many tries, for each that was found, gave no new one.
        ValueError: an unknown kind, or `exclude` of another shape or type.
    """
    require_least("count", count, 0)
    require_least("seed", seed, 0, 63)
    require_least("threads", threads)
    if kind not in ("hard", "easy"):
        raise ValueError(f'kind: "hard" or "easy" is expected, got {kind!r}')
    seen = set()
    if exclude is not None:
        seen = {form.tobytes() for form in canonical(require_boards("exclude", exclude, boxes), boxes)}
    kept: list[tuple[np.ndarray, np.ndarray, int]] = []
    made = newest = 0  # tries in all, and up to the newest puzzle
    while len(kept) < count:
        if made - newest >= tries * len(kept) + THOUSAND or made >= tries * count + THOUSAND:
            raise InputError(
                f"{count} different {kind} Sudoku of side {boxes.side} were requested; {made} tries found only {len(kept)}"
            )
        blocks = min(-(-(count - len(kept)) // block_size), THOUSAND)
        cores = threads or len(os.sched_getaffinity(0))
        for block in _make_blocks(boxes, seed, made // block_size, blocks, block_size, kind, cores):
            made += block_size
            for i, form in enumerate(canonical(block.questions, boxes)):
                if form.tobytes() not in seen and len(kept) < count:
                    seen.add(form.tobytes())
                    newest = made
                    kept.append((block.questions[i], block.answers[i], int(block.guesses[i])))
            if progress is not None:
                progress(len(kept))
    shape = (count, boxes.side, boxes.side)
    return GeneratedSudoku(
        np.array([row[0] for row in kept], np.uint8).reshape(shape),
        np.array([row[1] for row in kept], np.uint8).reshape(shape),
        np.array([row[2] for row in kept], np.int64),
    )
