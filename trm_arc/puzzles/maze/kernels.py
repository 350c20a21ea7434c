"""The numba kernels of mazes.  They compute and check nothing: the public functions in maze.py and maze_generate.py do.

A maze is searched with its rows as bits: the cells within m + 1 moves of a start are those within m moves, shifted by one to
every side, where there is no wall.  Four vector instructions do that for all rows, whatever the number of cells, so that a
level of a breadth-first search takes about 15 ns, and no queue is kept.
"""

import numpy as np

from augment.compiling import jit
from augment.kernels import mix
from augment.symmetry import SOURCES

WALL, FREE, START, GOAL, PATH = 0, 1, 2, 3, 4
SIDE = 30  # the most rows, and the most columns
MOVES = ((1, 0), (0, -1), (0, 1), (-1, 0))  # Down, Left, Right, Up: the order in which a label prefers them
_BITS = 34  # 32 words of a row each, which vectorises without a remainder, between two that stay empty
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint32(1)
SHARE_BITS = 16
LEAST_SHARE, MOST_SHARE = 19661, 32768  # of walls, in steps of 2**-16: 0.3 to 0.5, the latter left out


def empty_levels() -> np.ndarray:
    """Room for `flood`: uint32 (levels, words), as many levels as there can be moves and one."""
    return np.zeros((SIDE * SIDE, _BITS), np.uint32)


def empty_rows() -> np.ndarray:
    """Room for the rows of one maze as bits: uint32 (words,); row r is word r + 1, column c is bit c."""
    return np.zeros(_BITS, np.uint32)


@jit
def has(rows, row, column):
    """Whether a cell is in a set of cells that is held as bits."""
    return (rows[row + 1] >> np.uint32(column)) & _ONE != 0


@jit
def spread(levels, level, free):
    """Make the next level of levels[level]: its cells and their free neighbours; zero if there is no new one.

    Rows of `levels` are not handed over as arrays of their own: to make one of those takes longer than this.
    """
    changed = np.uint32(0)
    for i in range(_BITS - 2):
        here = levels[level, i + 1]
        around = here | (here << _ONE) | (here >> _ONE) | levels[level, i] | levels[level, i + 2]
        around &= free[i + 1]
        levels[level + 1, i + 1] = around
        changed |= around ^ here
    return changed


@jit
def flood(levels, free, start, goal, most):
    """Moves from `start` to `goal` (row, column), if at most `most`, else -1; levels[m] becomes the cells within m moves.

    Returns that, and the number of the last level written.
    """
    levels[0] = np.uint32(0)
    levels[0, start[0] + 1] = _ONE << np.uint32(start[1])
    word, bit = goal[0] + 1, _ONE << np.uint32(goal[1])
    if levels[0, word] & bit:
        return 0, 0
    for level in range(min(most, len(levels) - 1)):
        if spread(levels, level, free) == 0:
            return -1, level
        if levels[level + 1, word] & bit:
            return level + 1, level + 1
    return -1, min(most, len(levels) - 1)


@jit
def read_maze(maze, free):
    """Write the cells of a question that are no wall into `free`; returns the cells of S and G, and whether it has just those."""
    start, goal = (0, 0), (0, 0)
    starts, goals, others = 0, 0, 0
    free[:] = 0
    for row in range(maze.shape[0]):
        word, special = np.uint32(0), False
        for column in range(maze.shape[1]):
            word |= np.uint32(maze[row, column] != WALL) << np.uint32(column)
            special |= maze[row, column] > FREE
        free[row + 1] = word
        if not special:  # most rows: what follows is slow, what stands above is vectorised
            continue
        for column in range(maze.shape[1]):
            if maze[row, column] == START:
                start, starts = (row, column), starts + 1
            elif maze[row, column] == GOAL:
                goal, goals = (row, column), goals + 1
            elif maze[row, column] > FREE:
                others += 1
    return start, goal, starts == 1 and goals == 1 and others == 0


@jit
def label_mazes(mazes, answers, moves, levels, free):
    """Draw Maze-Hard's shortest path into `answers`, copies of `mazes`; moves[i] is its length, -1 where there is none."""
    for i in range(len(mazes)):
        start, goal, right = read_maze(mazes[i], free)
        moves[i] = flood(levels, free, goal, start, len(levels))[0] if right else -1
        row, column = start
        for left in range(moves[i] - 1, 0, -1):
            for down, across in MOVES:
                r, c = row + down, column + across
                if 0 <= r < mazes.shape[1] and 0 <= c < mazes.shape[2] and has(levels[left], r, c):
                    break
            row, column = r, c
            answers[i, row, column] = PATH


@jit
def count_path(question, answer):
    """Cells of path in an answer that changes nothing else, and no cell but a free one; -1 if it does."""
    count, wrong = 0, 0
    for row in range(question.shape[0]):
        for column in range(question.shape[1]):
            asked, said = question[row, column], answer[row, column]
            count += said == PATH
            wrong += (asked != said) & ((asked != FREE) | (said != PATH))
    return -1 if wrong else count


@jit
def walk_path(answer, start, most):
    """Moves from S to G along the path of an answer, never straight back; -1 where it ends, or has not come to G after `most`."""
    row, column = start
    last_row, last_column = -1, -1
    for moves in range(1, most + 1):
        ended = True
        for down, across in MOVES:
            r, c = row + down, column + across
            if not (0 <= r < answer.shape[0] and 0 <= c < answer.shape[1]) or (r == last_row and c == last_column):
                continue
            if answer[r, c] == GOAL:
                return moves
            if answer[r, c] == PATH:
                ended = False
                break
        if ended:
            return -1
        last_row, last_column, row, column = row, column, r, c
    return -1


@jit
def check_answers(questions, answers, right, levels, free):
    """Set right[i] where answer i is question i with one shortest path.

    No cell of a shortest path touches another one but its neighbours on the path, so walking it never meets a choice; and a
    walk with as many moves as the shortest has visits as many cells.
    """
    for i in range(len(questions)):
        right[i] = False
        path = count_path(questions[i], answers[i])
        if path < 0:
            continue
        start, goal, is_maze = read_maze(questions[i], free)
        if is_maze and walk_path(answers[i], start, path + 1) == path + 1:
            right[i] = flood(levels, free, start, goal, path + 1)[0] == path + 1


@jit
def walk_image(shape, symmetry):
    """Where the first cell of an image lies in the flat grid (rows, columns), and the steps along its columns and its rows."""
    rows, columns = shape
    transposes, flips_rows, flips_columns = SOURCES[symmetry]
    start = (rows - 1) * columns * flips_rows + (columns - 1) * flips_columns
    row_step = columns * (1 - 2 * flips_rows)
    column_step = 1 - 2 * flips_columns
    return (start, column_step, row_step) if transposes else (start, row_step, column_step)


@jit
def is_smaller(cells, shape, first, second):
    """Whether one image of flat `cells` comes before another (each as from `walk_image`), cell by cell."""
    for row in range(shape[0]):
        a, b = first[0] + row * first[1], second[0] + row * second[1]
        for _ in range(shape[1]):
            if cells[a] != cells[b]:
                return cells[a] < cells[b]
            a += first[2]
            b += second[2]
    return False


@jit
def smallest_images(flat, shape, out):
    """Write the smallest image of the mazes `flat` (uint8 (n, cells)), of those that have the same shape, into `out`."""
    for i in range(len(flat)):
        cells = flat[i]
        best = walk_image(shape, 0)
        for symmetry in range(1, len(SOURCES)):
            image = walk_image(shape, symmetry)
            if (not SOURCES[symmetry, 0] or shape[0] == shape[1]) and is_smaller(cells, shape, image, best):
                best = image
        for row in range(shape[0]):
            at = best[0] + row * best[1]
            for column in range(shape[1]):
                out[i, row, column] = cells[at]
                at += best[2]


@jit
def sample_below(state, bound):
    """A whole number from 0 to bound - 1, each as likely as the others to within bound / 2**32; and the next state."""
    return np.int64(((mix(state) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)), state + _GOLDEN


@jit
def sample_walls(state, share, wanted):
    """64 cells as bits, each a wall with a chance of share / 2**16; and the next state.

    Every cell compares a random number with the share, bit by bit from the top, 64 cells a word.  It ends when the cells
    of `wanted` are decided; every bit decides half of the others.
    """
    walls, undecided = np.uint64(0), wanted
    for bit in range(SHARE_BITS - 1, -1, -1):
        if undecided == 0:
            break
        word = mix(state)
        state += _GOLDEN
        if (share >> bit) & 1:
            walls |= undecided & ~word
            undecided &= word
        else:
            undecided &= ~word
    return walls, state


@jit
def sample_field(state, side, free):
    """Sample a share of walls, then walls; write other cells into `free`; returns whether they are two or more, and the state."""
    share, state = sample_below(state, MOST_SHARE - LEAST_SHARE)
    row_cells = (np.uint64(1) << np.uint64(side)) - np.uint64(1)
    for row in range(0, side, 2):
        wanted = row_cells | (row_cells << np.uint64(32)) if row + 1 < side else row_cells
        walls, state = sample_walls(state, share + LEAST_SHARE, wanted)
        free[row + 1] = np.uint32(wanted & ~walls)
        free[row + 2] = np.uint32((wanted & ~walls) >> np.uint64(32))
    cells = 0
    for row in range(side):
        word = free[row + 1]
        cells += (word != 0) + (word & (word - _ONE) != 0)  # none, one or more in the row
    return cells >= 2, state


@jit
def sample_cell(state, side, free):
    """A random free cell, row and column, of which there has to be one; and the next state."""
    while True:
        cell, state = sample_below(state, side * side)
        if has(free, cell // side, cell % side):
            return (cell // side, cell % side), state


@jit
def search_maze(state, least_moves, tries, levels, free, out):
    """Sample mazes until S and G are `least_moves` apart, `tries` times at most; writes the maze into `out`, if there is one.

    Returns whether there is, and the next state.
    """
    side = len(out)
    for _ in range(tries):
        enough, state = sample_field(state, side, free)
        if not enough:
            continue
        start, state = sample_cell(state, side, free)
        goal = start
        while goal == start:
            goal, state = sample_cell(state, side, free)
        if flood(levels, free, start, goal, len(levels))[0] >= least_moves:
            for row in range(side):
                for column in range(side):
                    out[row, column] = FREE if has(free, row, column) else WALL
            out[start], out[goal] = START, GOAL
            return True, state
    return False, state
