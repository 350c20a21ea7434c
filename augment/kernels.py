"""The numba kernels.  They compute and check nothing: the public functions beside them validate what goes in.

Every kernel has a naive twin in tests/naive.py.
"""

import numpy as np

from augment.compiling import jit
from augment.symmetry import SOURCES

EMPTY, MARK, FIRST_COLOUR = 0, 1, 2  # tokens
_SIDE = 30  # the board's side: row and column i, j hash as position i * 30 + j
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@jit
def mix(value):
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the result depends on every bit of the value."""
    value = np.uint64(value) + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _random_words(count: int, salt: int) -> np.ndarray:
    return mix.py_func(np.arange(count, dtype=np.uint64) + np.uint64(salt) * np.uint64(0x10001))  # without numba


# A grid hashes as mix(sum over cells of POSITION[cell] * COLOUR[colour], shape).  The sum is linear in the colours' words,
# so a task's hash under any palette follows from ten sums a grid, without painting it (see `hash_transforms`).
POSITION_WORDS = _random_words(_SIDE * _SIDE, 1)
COLOUR_WORDS = _random_words(10, 2) | np.uint64(1)


@jit
def finish_hash(total, rows, columns):
    """The hash of a grid from its linear sum and its shape."""
    return mix(total ^ mix(np.uint64(rows) * np.uint64(64) + np.uint64(columns)))


@jit
def hash_packed(cells, offsets, shapes):
    """Hash of every packed grid: uint64 (count,)."""
    hashes = np.empty(len(shapes), np.uint64)
    for i in range(len(shapes)):
        rows, columns = shapes[i]
        total, at = np.uint64(0), offsets[i]
        for r in range(rows):
            for c in range(columns):
                total += POSITION_WORDS[r * _SIDE + c] * COLOUR_WORDS[cells[at]]
                at += 1
        hashes[i] = finish_hash(total, rows, columns)
    return hashes


@jit
def colour_sums(cells, offsets, shapes):
    """For every symmetry, grid and colour, the sum of the position words of the cells of that colour: uint64 (8, count, 10)."""
    sums = np.zeros((len(SOURCES), len(shapes), 10), np.uint64)
    for s in range(len(SOURCES)):
        transposes, flips_rows, flips_columns = SOURCES[s]
        for i in range(len(shapes)):
            rows, columns = shapes[i]
            at = offsets[i]
            for source_row in range(rows):
                for source_column in range(columns):
                    row = rows - 1 - source_row if flips_rows else source_row
                    column = columns - 1 - source_column if flips_columns else source_column
                    if transposes:
                        row, column = column, row
                    sums[s, i, cells[at]] += POSITION_WORDS[row * _SIDE + column]
                    at += 1
    return sums


@jit
def hash_transforms(sums, shapes, pairs, table):
    """Hash of a whole task under every transform of `table` (uint8 (n, 11)), whatever the order of its pairs.

    `pairs` (int64 (p, 2)) names the grids of each pair; an output of -1 is unknown.  Ten products a grid and transform.
    """
    hashes = np.zeros(len(table), np.uint64)
    grid_hashes = np.empty(len(shapes), np.uint64)
    for t in range(len(table)):
        symmetry = table[t, 0]
        for i in range(len(shapes)):
            total = np.uint64(0)
            for colour in range(10):
                total += sums[symmetry, i, colour] * COLOUR_WORDS[table[t, 1 + colour]]
            rows, columns = shapes[i]
            if SOURCES[symmetry, 0]:
                rows, columns = columns, rows
            grid_hashes[i] = finish_hash(total, rows, columns)
        for p in range(len(pairs)):
            output = grid_hashes[pairs[p, 1]] if pairs[p, 1] >= 0 else np.uint64(0)
            hashes[t] += mix(grid_hashes[pairs[p, 0]] ^ mix(output + np.uint64(1)))
    return hashes


@jit
def paint_rows(cells, offsets, shapes, index, table, corners, empty, out):
    """Paint grid index[b], transformed by table[b], with its corner at corners[b], onto out[b] (uint8 (n, rows, columns))."""
    height, width = out.shape[1], out.shape[2]
    colours = np.empty(10, np.uint8)
    for b in range(len(index)):
        grid = index[b]
        source_rows, source_columns = shapes[grid]
        transposes, flips_rows, flips_columns = SOURCES[table[b, 0]]
        for colour in range(10):
            colours[colour] = table[b, 1 + colour] + FIRST_COLOUR
        # Walking along a row of the image means walking the source by a fixed step, whatever the symmetry.
        row_step = -source_columns if flips_rows else source_columns
        column_step = -1 if flips_columns else 1
        start = offsets[grid]
        if flips_rows:
            start += (source_rows - 1) * source_columns
        if flips_columns:
            start += source_columns - 1
        rows, columns = source_rows, source_columns
        if transposes:
            rows, columns = columns, rows
            row_step, column_step = column_step, row_step
        top, left = corners[b]
        canvas = out[b]
        canvas[:] = empty
        for r in range(rows):
            at = start + r * row_step
            line = canvas[top + r]
            for c in range(columns):
                line[left + c] = colours[cells[at]]
                at += column_step
            if left + columns < width:
                line[left + columns] = MARK
        if top + rows < height:
            for c in range(columns):
                canvas[top + rows, left + c] = MARK


@jit
def sample_corners(keys, room, fixed):
    """A corner for every row, uniform over the room that its grid leaves, from its key alone: int64 (n, 2).

    `keys` uint64 (n,), `room` int64 (n, 2): how many rows and columns the grid may move; a row that is `fixed` stays at (0, 0).
    """
    corners = np.zeros((len(keys), 2), np.int64)
    for i in range(len(keys)):
        if not fixed[i]:
            first = mix(keys[i])
            corners[i, 0] = first % np.uint64(room[i, 0] + 1)
            corners[i, 1] = mix(first) % np.uint64(room[i, 1] + 1)
    return corners


@jit
def mix_columns(columns):
    """One well-mixed word a row of `columns` (uint64 (n, k)): uint64 (n,)."""
    words = np.empty(len(columns), np.uint64)
    for i in range(len(columns)):
        word = np.uint64(0)
        for k in range(columns.shape[1]):
            word = mix(word ^ columns[i, k])
        words[i] = word
    return words


def generator_seeds(columns: np.ndarray) -> list[int]:
    """A seed for every row of `columns` (integers from 0, (n, k)), of the 63 bits that generators take."""
    return (mix_columns(columns.astype(np.uint64)) >> np.uint64(1)).tolist()


@jit
def _hash_cell(place, value):
    """What a cell of a board adds to its hash."""
    return mix(np.uint64(place) * np.uint64(256) + np.uint64(value))


@jit
def hash_boards(boards):
    """Hash of every board of one shape: uint64 (n,)."""
    hashes = np.zeros(len(boards), np.uint64)
    for i in range(len(boards)):
        cells = boards[i].reshape(-1)
        for place in range(len(cells)):
            hashes[i] += _hash_cell(place, cells[place])
    return hashes


@jit
def permute_boards(boards, index, table, out):
    """Board index[b], transformed by table[b], as tokens on out[b] (uint8 (n, rows, columns)); a token is its value plus 1."""
    rows, columns = out.shape[1], out.shape[2]
    for b in range(len(index)):
        board, line = boards[index[b]], table[b]
        for r in range(rows):
            for c in range(columns):
                row, column = line[1 + r], line[1 + rows + c]
                value = board[column, row] if line[0] else board[row, column]
                out[b, r, c] = line[1 + rows + columns + value] + np.uint8(1)


@jit
def undo_and_hash_boards(canvases, table):
    """The hash of every board of tokens after its transform is undone: uint64 (n,); see `hash_boards`."""
    count, rows, columns = canvases.shape
    hashes = np.zeros(count, np.uint64)
    came_from = np.empty(256, np.uint8)
    for b in range(count):
        line = table[b]
        for value in range(256):
            came_from[value] = value
        for value in range(len(line) - 1 - rows - columns):
            came_from[line[1 + rows + columns + value]] = value
        for r in range(rows):
            for c in range(columns):
                row, column = line[1 + r], line[1 + rows + c]
                place = column * columns + row if line[0] else row * columns + column
                hashes[b] += _hash_cell(place, came_from[np.uint8(canvases[b, r, c] - np.uint8(1))])
    return hashes


@jit
def _shuffle(order, word):
    """Put the numbers of `order` (uint8 (n,)) into a random order; returns the next random word."""
    for i in range(len(order) - 1, 0, -1):
        word = mix(word)
        j = word % np.uint64(i + 1)
        order[i], order[j] = order[j], order[i]
    return word


@jit
def sample_sudoku(keys, box_rows, box_columns, table):
    """A symmetry of Sudoku for every key, into `table` (uint8 (n, 2 + 3 side)), which is returned."""
    side = box_rows * box_columns
    inner, outer = np.empty(side, np.uint8), np.empty(side, np.uint8)
    for i in range(len(keys)):
        word = mix(keys[i])
        table[i, 0] = np.uint8(word & np.uint64(1)) if box_rows == box_columns else np.uint8(0)
        for axis in range(2):
            height = box_columns if axis else box_rows  # of a stack's columns, or of a band's rows
            groups = side // height
            for g in range(groups):
                outer[g] = g
            word = _shuffle(outer[:groups], word)
            for g in range(groups):
                for k in range(height):
                    inner[k] = k
                word = _shuffle(inner[:height], word)
                for k in range(height):
                    table[i, 1 + axis * side + g * height + k] = outer[g] * height + inner[k]
        digits = table[i, 1 + 2 * side :]
        for value in range(side + 1):
            digits[value] = value
        word = _shuffle(digits[1:], word)
    return table
