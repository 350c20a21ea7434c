"""The search for Sudoku puzzles, in numba: full grids, minimal puzzles, puzzles of a wanted difficulty.  It checks nothing.

The difficulty of a puzzle is its number of guesses averaged over a few images of it (digits renamed, lines permuted): guesses
depend on how a puzzle lies, and a search by a single number would find images with many guesses rather than hard puzzles.
"""

from typing import NamedTuple

import numpy as np

from augment.compiling import jit
from augment.kernels import mix
from trm_arc.puzzles.sudoku.solve import NO_LIMIT, count_bits, fill_words, layout, make_room, propagate, read_solution, search

IMAGES = 3  # of a puzzle, over which its difficulty is averaged
STARTS = 30  # minimal puzzles, the nearest of which a climb to a hard one begins with
CLIMB = 200  # steps after which a climb that has not got to a hard puzzle starts again
HARD = 40.0  # difficulty that a climb aims at
WEAK = 0.8  # a search that comes down to this on the way to a hard puzzle is given up for a new climb
SHARED = 8.0  # target from which puzzles come from the climb of their block
APPROACH = 120  # steps at most from one hard puzzle to the next
MOVES = 3  # at least so many of them taken
EFFORT = 20  # steps for puzzles as hard as may be
SLIP = 1.3  # where no clue can be moved, the next move may lead so much further from the target
NEAR = 1.15  # a difficulty is near where guesses + 1 is within this ratio of the target's
HARDEST = -1.0  # the target of puzzles as hard as may be
_SOLUTIONS = 150  # a clue with whose loss a puzzle gets more than this is not moved
_PATIENCE = 20_000  # guesses, after which a puzzle is dropped


class Room(NamedTuple):
    """What a search works in, one for each thread."""

    table: np.ndarray  # of the box shape: see `layout`
    state: np.ndarray  # uint64 (1,): the generator
    stack: np.ndarray
    scratch: np.ndarray
    found: np.ndarray  # solutions
    order: np.ndarray  # cells, or cells and digits
    places: np.ndarray  # (images, cells): where an image's cells come from
    names: np.ndarray  # (images, digits): what they are called there
    counts: np.ndarray  # (cells, digits): solutions that have the digit there
    fewest: np.ndarray  # int64 (1,): clues that a puzzle keeps at least
    boards: np.ndarray  # the image, a trial, its answer, a base


@jit
def sample(state, below):
    """An integer from 0 to `below` - 1; `state` (uint64 (1,)) is that of a splitmix64 generator."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mix(state[0]) >> np.uint64(32)) * np.uint64(below) >> np.uint64(32))


@jit
def _shuffle(values, state):
    for i in range(len(values) - 1, 0, -1):
        j = sample(state, i + 1)
        values[i], values[j] = values[j], values[i]


@jit
def _sample_lines(side, size, state):
    """A random permutation of rows or columns that keeps the groups of `size` together."""
    lines = np.empty(side, np.int64)
    groups = np.arange(side // size)
    _shuffle(groups, state)
    for i in range(side // size):
        for k in range(size):
            lines[i * size + k] = groups[i] * size + k
        _shuffle(lines[i * size : (i + 1) * size], state)
    return lines


@jit
def _sample_image(table, state, places, names):
    """A random symmetry without transposition, of which the solver sees nothing: where cells come from, and names of digits."""
    rows, columns = table[0, 0], table[0, 1]
    side = rows * columns
    down, across = _sample_lines(side, rows, state), _sample_lines(side, columns, state)
    for row in range(side):
        for column in range(side):
            places[row * side + column] = down[row] * side + across[column]
    names[:] = np.arange(side + 1)
    _shuffle(names[1:], state)


@jit
def _show(board, places, names, image):
    for at in range(len(board)):
        image[at] = names[board[places[at]]]


@jit
def _strike_cell(words, table, side, at, digits):
    """Take digits from one cell."""
    rows, columns = table[0, 0], table[0, 1]
    row, column = at // side, at % side
    band, i, stack, k = row // rows, row % rows, column // columns, column % columns
    words[band * side + i * columns + k] &= ~(digits << (stack * side))
    words[(columns + stack) * side + k * rows + i] &= ~(digits << (band * side))


@jit
def _open_cell(words, table, side, state):
    """Of the cells with the fewest digits above one, a random one, and its digits; -1 where all cells are known."""
    rows, columns = table[0, 0], table[0, 1]
    best, best_digits, fewest, ties = -1, 0, side, 0
    for at in range(side * side):
        row, column = at // side, at % side
        word = words[row // rows * side + row % rows * columns + column % columns]
        digits = (word >> (column // columns * side)) & ((1 << side) - 1)
        count = count_bits(digits)
        if 1 < count <= fewest:
            ties = ties + 1 if count == fewest else 1
            fewest = count
            if sample(state, ties) == 0:
                best, best_digits = at, digits
    return best, best_digits


@jit
def fill_grid(room, side, grid):
    """A random full grid: random digits in the cells with the fewest left, with everything deduced in between.

    A dead end takes back the last digit; where that does not help, it starts again.
    """
    table, stack = room.table, room.stack
    everything = (1 << (table[0, 0] + table[0, 1])) - 1
    grid[:] = 0
    fill_words(grid, table, side, stack[0])
    while True:
        at, digits = _open_cell(stack[0], table, side, room.state)
        if at < 0:
            read_solution(stack[0], table, side, grid)
            return
        for _ in range(sample(room.state, count_bits(digits))):
            digits &= digits - 1
        one = digits & -digits
        stack[1] = stack[0]
        _strike_cell(stack[0], table, side, at, ~one & ((1 << side) - 1))
        if not propagate(stack[0], table, side, everything, room.scratch):
            stack[0] = stack[1]
            _strike_cell(stack[0], table, side, at, one)
            if not propagate(stack[0], table, side, everything, room.scratch):
                fill_words(grid, table, side, stack[0])


@jit
def rate(room, side, board, most):
    """Guesses on the way to the first solution; more than `most` are not counted."""
    fill_words(board, room.table, side, room.stack[0])
    solutions, guesses, _all = search(room.stack, room.table, side, 1, most, room.found, room.scratch)
    return guesses if solutions >= 0 else most + 1


@jit
def _list_clues(board, order):
    """The cells with a clue, into `order`; how many."""
    count = 0
    for at in range(len(board)):
        if board[at]:
            order[count] = at
            count += 1
    return count


@jit
def minimise(room, side, board, answer):
    """Take away, in random order, every clue without which the solution stays the only one; False where a search gave up."""
    order = room.order[: _list_clues(board, room.order)]
    _shuffle(order, room.state)
    for at in order:
        board[at] = 0
        # without the clue, another solution would have another digit there
        fill_words(board, room.table, side, room.stack[0])
        _strike_cell(room.stack[0], room.table, side, at, 1 << (np.int64(answer[at]) - 1))
        others = search(room.stack, room.table, side, 1, _PATIENCE, room.found, room.scratch)[0]
        if others < 0:
            return False
        if others > 0:
            board[at] = answer[at]
    return True


@jit
def ease(room, side, board, answer, clues):
    """Take clues from a full board, in random order, as long as no guess is needed, until `clues` are left."""
    board[:] = answer
    order = room.order[: side * side]
    order[:] = np.arange(side * side)
    _shuffle(order, room.state)
    left = side * side
    for at in order:
        if left <= clues:
            return
        board[at] = 0
        if rate(room, side, board, 0) > 0:
            board[at] = answer[at]
        else:
            left -= 1


@jit
def _gap(difficulty, target):
    """How far a difficulty is from a target: the ratio of guesses + 1, at least 1; for HARDEST, the less the harder."""
    if target < 0:
        return 1 / (1 + difficulty)
    return max((1 + difficulty) / (1 + target), (1 + target) / (1 + difficulty))


@jit
def difficulty_of(room, side, board, target, allowed):
    """Guesses of the whole search, averaged over images; of the first image, where that is much too far from the target."""
    total = 0
    for i in range(len(room.places)):
        _show(board, room.places[i], room.names[i], room.boards[0])
        fill_words(room.boards[0], room.table, side, room.stack[0])
        guesses = search(room.stack, room.table, side, 2, _PATIENCE, room.found, room.scratch)[2]
        total += guesses
        if guesses == 0 or (i == 0 and _gap(guesses, target) > 1.3 * allowed):
            return float(guesses)  # where deduction is enough for one image, it is for all
    return total / len(room.places)


@jit
def _list_moves(room, side, board, gone):
    """Where the clue taken from `board` at cell `gone` could go: (cell, digit) pairs that exactly one solution has.

    They lie in room.order as cell * (side + 1) + digit; returns how many, 0 where solutions are too many to list.
    """
    fill_words(board, room.table, side, room.stack[0])
    solutions = search(room.stack, room.table, side, _SOLUTIONS + 1, _PATIENCE, room.found, room.scratch)[0]
    if solutions < 2 or solutions > _SOLUTIONS:
        return 0
    room.counts[:] = 0
    for n in range(solutions):
        for at in range(side * side):
            room.counts[at, room.found[n, at]] += 1
    count = 0
    for at in range(side * side):
        for digit in range(1, side + 1):
            if room.counts[at, digit] == 1 and at != gone:
                room.order[count] = at * (side + 1) + digit
                count += 1
    return count


@jit
def step(room, side, board, answer, gone, now, target, slack):
    """Move the clue of cell `gone`, which may change the answer, and minimise: the new difficulty, and whether it moved.

    Of all the ways to move it, in random order, the first is taken that is no further from the target than `now`, or near, and
    leaves at least room.fewest clues.
    """
    allowed = max(_gap(now, target), NEAR if target >= 0 else 0.0) * slack
    trial, trial_answer, base = room.boards[1], room.boards[2], room.boards[3]
    base[:] = board
    base[gone] = 0
    moves = room.order[: _list_moves(room, side, base, gone)].copy()
    _shuffle(moves, room.state)
    for move in moves:
        at, digit = move // (side + 1), move % (side + 1)
        trial[:] = base
        trial[at] = digit
        if _gap(difficulty_of(room, side, trial, target, allowed), target) > allowed:
            continue
        fill_words(trial, room.table, side, room.stack[0])
        search(room.stack, room.table, side, 1, NO_LIMIT, room.found, room.scratch)
        trial_answer[:] = room.found[0]
        if not minimise(room, side, trial, trial_answer):
            continue
        if _list_clues(trial, room.order) < room.fewest[0]:
            continue
        difficulty = difficulty_of(room, side, trial, target, allowed)
        if _gap(difficulty, target) <= allowed:
            board[:] = trial
            answer[:] = trial_answer
            return difficulty, True
    return now, False


@jit
def _begin(room, side, board, answer, tries, target):
    """Of some random minimal puzzles, the one nearest to the target: its difficulty."""
    nearest = -1.0
    trial, trial_answer = room.boards[1], room.boards[2]
    while tries > 0:
        fill_grid(room, side, trial_answer)
        trial[:] = trial_answer
        if not minimise(room, side, trial, trial_answer):
            continue
        if _list_clues(trial, room.order) < room.fewest[0]:
            continue
        tries -= 1
        allowed = np.inf if nearest < 0 else _gap(nearest, target)
        difficulty = difficulty_of(room, side, trial, target, allowed)
        if nearest < 0 or _gap(difficulty, target) < allowed:
            nearest = difficulty
            board[:] = trial
            answer[:] = trial_answer
    return nearest


@jit
def _sample_images(room):
    for i in range(len(room.places)):
        _sample_image(room.table, room.state, room.places[i], room.names[i])


@jit
def _is_there(now, target, goal):
    return now >= goal if target < 0 else _gap(now, target) <= NEAR


@jit
def _walk(room, side, board, answer, now, target, goal, moves, most):
    """Steps until the target is near (or the puzzle as hard as `goal`) and `moves` are made, or `most` are done: the difficulty.

    Other images are drawn where no clue can be moved any more, and to confirm the end.
    """
    clues = room.order[: _list_clues(board, room.order)].copy()
    _shuffle(clues, room.state)
    at, slack = 0, 1.0
    for _ in range(most):
        there = moves <= 0 and _is_there(now, target, goal)
        if there or at == len(clues):
            _sample_images(room)
            now = difficulty_of(room, side, board, target, np.inf)
            at = 0
            slack = 1.0 if there else SLIP
            if there and _is_there(now, target, goal):
                return now
        now, moved = step(room, side, board, answer, clues[at], now, target, slack)
        at += 1
        if moved:
            moves -= 1
            slack = 1.0
            clues = room.order[: _list_clues(board, room.order)].copy()
            _shuffle(clues, room.state)
            at = 0
    return now


@jit
def make_hard(room, side, targets, boards, answers):
    """Minimal puzzles near the targets, which ascend.

    Those below HARD begin each with a random puzzle of their own.  The first above it climbs from one until it is that hard;
    each after it is some moves away from the one before.
    """
    now, climbs = 0.0, 5
    for i in range(len(targets)):
        board, answer, target = boards[i], answers[i], targets[i]
        if target < SHARED:
            now = _begin(room, side, board, answer, 1, target)
            while target == 0 and now > 0:
                now = _begin(room, side, board, answer, 1, target)
            if target != 0:
                _walk(room, side, board, answer, now, target, np.inf, 0, CLIMB if target > 0 else EFFORT)
            now = 0.0
            continue
        if now > 0:
            board[:] = boards[i - 1]
            answer[:] = answers[i - 1]
            now = _walk(room, side, board, answer, now, target, np.inf, MOVES, APPROACH)
        while now == 0 or (target >= HARD and now < WEAK * min(target, 65.0) and climbs > 0):
            climbs -= 1
            now = 0.0
            while now < HARD:
                now = _begin(room, side, board, answer, STARTS, HARDEST)
                now = _walk(room, side, board, answer, now, HARDEST, HARD, 0, CLIMB)
            now = _walk(room, side, board, answer, now, target, np.inf, MOVES, APPROACH)


@jit
def make_block(room, side, seed, block, targets, clues, boards, answers, guesses):
    """The puzzles of a block, hard ones for targets or, where there are none, easy ones with `clues`; all in a random image."""
    room.state[0] = mix(mix(np.uint64(seed)) ^ np.uint64(block))
    _sample_images(room)
    room.fewest[0] = 24 + sample(room.state, 2) if len(targets) and targets[0] >= 0 else 0
    if len(targets):
        make_hard(room, side, targets, boards, answers)
    for i in range(len(boards)):
        if len(targets) == 0:
            fill_grid(room, side, answers[i])
            ease(room, side, boards[i], answers[i], clues[i])
        _sample_image(room.table, room.state, room.places[0], room.names[0])
        for board in (boards[i], answers[i]):
            room.boards[0] = board
            _show(room.boards[0], room.places[0], room.names[0], board)
        guesses[i] = rate(room, side, boards[i], NO_LIMIT)


def make_search_room(rows: int, columns: int) -> Room:
    """Room for one thread."""
    side = rows * columns
    cells = side * side
    return Room(
        layout(rows, columns),
        np.zeros(1, np.uint64),
        *make_room(rows, columns),
        np.zeros((_SOLUTIONS, cells), np.uint8),
        np.empty(cells * side, np.int64),
        np.empty((IMAGES, cells), np.int64),
        np.empty((IMAGES, side + 1), np.uint8),
        np.empty((cells, side + 1), np.int64),
        np.zeros(1, np.int64),
        np.empty((4, cells), np.uint8),
    )
