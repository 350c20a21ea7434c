"""A Sudoku solver whose number of guesses says how hard a puzzle is.  Packed masks of digits in numba.

A *segment* is where a row or a column crosses a box: the rows by the boxes of a band form a *square* of segments, and so do
the columns by the boxes of a stack.  Within a square every digit lies in one segment of each line and in one of each box, and
a segment of k cells holds k digits.  All deduction looks at one square at a time; a board has a square for each band, then
one for each stack.

A word packs one mask of digits a box of the square, box 0 lowest, so that a line of segments is one word and a line of cells
one word for each place in a segment.  Words are int64 used as 64 bits: whatever comes out of a right shift is masked.
"""

import itertools
import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from augment.compiling import jit
from trm_arc.puzzles.sudoku.rules import Boxes, require_boards

MAY, SURE, TWICE, READ, KNOWN, BEFORE, WAYS = range(7)  # rows of a solver's scratch
_MOST_LINES = 5
NO_LIMIT = 1 << 60  # guesses

# A call counts references to its arrays, which takes longer than these small functions.
_inlined = partial(jit, inline="always")


@dataclass(frozen=True)
class Solved:
    """What `solve` found of n boards.

    Attributes:
        solutions: uint8 (n, side, side), the first solution found; zeros where there is none.
        counts: int64 (n,), solutions found, at most the limit.
        guesses: int64 (n,), guesses made on the way to the first solution (to the end where there is none).
    """

    solutions: np.ndarray
    counts: np.ndarray
    guesses: np.ndarray


def _spread_tables() -> tuple[np.ndarray, np.ndarray]:
    """How a digit can spread over squares of up to five lines: how many spreads there are, and each one's line in every box.

    Even permutations come first, then the odd ones read from the last box, both in order: the solver tdoku's order for three.
    """
    counts = np.zeros(_MOST_LINES + 1, np.int64)
    table = np.zeros((_MOST_LINES + 1, math.factorial(_MOST_LINES), _MOST_LINES), np.int64)
    for lines in range(2, _MOST_LINES + 1):
        orders = list(itertools.permutations(range(lines)))
        odd = {order: sum(a > b for a, b in itertools.combinations(order, 2)) % 2 for order in orders}
        orders.sort(key=lambda order: (odd[order], order[::-1] if odd[order] else order))
        counts[lines] = len(orders)
        table[lines, : len(orders), :lines] = orders
    return counts, table


SPREADS, SPREAD_LINES = _spread_tables()


@jit
def count_bits(word):
    """How many bits of a word are set (LLVM knows the pattern as one instruction)."""
    bits = np.uint64(word)
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@jit
def layout(rows, columns):
    """For bands and for stacks: lines of the square, cells a segment, and the words with each mask at 1, at its top bit, full."""
    side = rows * columns
    table = np.zeros((2, 5), np.int64)
    for kind in range(2):
        lines = rows if kind == 0 else columns
        ones = 0
        for box in range(lines):
            ones |= 1 << (box * side)
        table[kind] = lines, side // lines, ones, ones << (side - 1), ones * ((1 << side) - 1)
    return table


@jit
def _filled(word, side, ones, high):
    """A full mask wherever the word's mask is not empty."""
    low = high - ones
    return ((((word & low) + low | word) & high) >> (side - 1) & ones) * ((1 << side) - 1)


@jit
def _turned(word, steps, lines, side, full):
    """The word with every mask moved `steps` boxes up, around the end."""
    if lines * side == 64:
        return word << (steps * side) | (word >> ((lines - steps) * side)) & ((1 << (steps * side)) - 1)
    return (word << (steps * side) | word >> ((lines - steps) * side)) & full


@_inlined
def _read_square(words, base, lines, each, side, ones, high, scratch):
    """The digits that each segment may hold, those whose cell is known, and those that several of its cells may hold.

    Returns False where two cells of a segment have the same digit.
    """
    for line in range(lines):
        union, single, twice = 0, 0, 0
        for k in range(each):
            word = words[base + line * each + k]
            known = word & ~_filled(word & (word - ones), side, ones, high)
            if single & known:
                return False
            single |= known
            twice |= union & word
            union |= word
        scratch[MAY, line] = union
        scratch[SURE, line] = single
        scratch[TWICE, line] = twice
        scratch[READ, line] = union
        scratch[KNOWN, line] = single
    return True


@_inlined
def _find_sure(lines, each, side, full, scratch):
    """Widen what each segment must hold: digits with no other place, and all of a segment that may hold no more than `each`."""
    once_box, twice_box = 0, 0
    for line in range(lines):
        word = scratch[MAY, line]
        twice_box |= once_box & word
        once_box |= word
        once, twice = word, 0
        for steps in range(1, lines):
            turned = _turned(word, steps, lines, side, full)
            twice |= once & turned
            once |= turned
        if once != full:
            return False
        scratch[SURE, line] |= word & ~twice
    if once_box != full:
        return False
    for line in range(lines):
        scratch[SURE, line] |= scratch[MAY, line] & ~twice_box
        for box in range(lines):
            lane = ((1 << side) - 1) << (box * side)
            may = count_bits(scratch[MAY, line] & lane)
            if may < each:
                return False
            if may == each:
                scratch[SURE, line] |= scratch[MAY, line] & lane
    return True


@_inlined
def _restrict(lines, each, side, full, scratch):
    """Deduce among the segments of a square until nothing changes; False at a contradiction."""
    changed = True
    while changed:
        if not _find_sure(lines, each, side, full, scratch):
            return False
        changed = False
        box_sure = 0
        for line in range(lines):
            if box_sure & scratch[SURE, line]:
                return False
            box_sure |= scratch[SURE, line]
        for line in range(lines):
            elsewhere = 0
            for steps in range(1, lines):
                elsewhere |= _turned(scratch[SURE, line], steps, lines, side, full)
            if elsewhere & scratch[SURE, line]:
                return False
            word = scratch[MAY, line] & ~(elsewhere | (box_sure & ~scratch[SURE, line]))
            for box in range(lines):
                lane = ((1 << side) - 1) << (box * side)
                must = count_bits(scratch[SURE, line] & lane)
                if must > each:
                    return False
                if must == each:
                    word &= scratch[SURE, line] | ~lane
            changed |= word != scratch[MAY, line]
            scratch[MAY, line] = word
    return True


@_inlined
def _write_line(words, at, each, side, ones, high, hidden, scratch, line):
    """Narrow a line's cells to the segments' digits: known digits leave their segment's other cells, hidden ones get their cell.

    Returns the digits whose cell is known now; -1 where a cell is left without a digit.
    """
    known = 0
    for k in range(each):
        word = words[at + k] & scratch[MAY, line]
        word &= ~(scratch[KNOWN, line] & _filled(word & (word - ones), side, ones, high))
        word &= hidden | ~_filled(word & hidden, side, ones, high)
        if _filled(word, side, ones, high) != ones * ((1 << side) - 1):
            return -1
        known |= word & ~_filled(word & (word - ones), side, ones, high)
        words[at + k] = word
    return known


@_inlined
def _propagate_square(words, table, side, number, scratch):
    """Deduce within one square.

    Returns -1 at a contradiction, otherwise a bit for each square to look at for what changed.
    """
    columns = table[0, 1]
    kind = 0 if number < columns else 1
    lines, each, ones, high, full = table[kind, 0], table[kind, 1], table[kind, 2], table[kind, 3], table[kind, 4]
    base = number * side
    if not _read_square(words, base, lines, each, side, ones, high, scratch):
        return -1
    if not _restrict(lines, each, side, full, scratch):
        return -1
    # the same cell in the squares of the other kind: box becomes square, place in the segment becomes line
    lane = (1 << side) - 1
    other, shift = (columns, number * side) if kind == 0 else (0, (number - columns) * side)
    again = 0
    for line in range(lines):
        hidden = scratch[SURE, line] & ~scratch[TWICE, line]
        struck = scratch[TWICE, line] & scratch[KNOWN, line]
        if scratch[MAY, line] == scratch[READ, line] and hidden & ~scratch[KNOWN, line] == 0 and struck == 0:
            continue
        at = base + line * each
        for k in range(each):
            scratch[BEFORE, k] = words[at + k]
        known = _write_line(words, at, each, side, ones, high, hidden, scratch, line)
        if known == -1:
            return -1
        if known != scratch[KNOWN, line]:
            again |= 1 << number
        for k in range(each):
            gone = scratch[BEFORE, k] ^ words[at + k]
            if gone:
                for box in range(lines):
                    digits = (gone >> (box * side)) & lane
                    if digits:
                        again |= 1 << (other + box)
                        words[(other + box) * side + k * lines + line] &= ~(digits << shift)
    return again


@jit
def propagate(words, table, side, waiting, scratch):
    """Deduce until no square yields more, or a contradiction (False).  `waiting` has a bit for each square to look at."""
    while waiting:
        number = 0
        while not (waiting >> number) & 1:
            number += 1
        again = _propagate_square(words, table, side, number, scratch)
        if again < 0:
            return False
        waiting = (waiting & ~(1 << number)) | again
    return True


@_inlined
def _count_spreads(words, table, side, number, scratch):
    """How many spreads the digits of an open square have in all, NO_LIMIT where the square is known throughout.

    Fills scratch[MAY] with the digits that each segment may hold and scratch[WAYS] with the digits that have each spread.
    """
    kind = 0 if number < table[0, 1] else 1
    lines, each = table[kind, 0], table[kind, 1]
    places = 0
    for line in range(lines):
        union = 0
        for k in range(each):
            union |= words[number * side + line * each + k]
        scratch[MAY, line] = union
        places += count_bits(union)
    if places == side * lines:
        return NO_LIMIT
    total = 0
    for spread in range(SPREADS[lines]):
        digits = (1 << side) - 1
        for box in range(lines):
            digits &= scratch[MAY, SPREAD_LINES[lines, spread, box]] >> (box * side)
        scratch[WAYS, spread] = digits
        total += count_bits(digits)
    return total


@jit
def _choose(words, table, side, scratch):
    """The guess to make: square, line, box and digit; square -1 where every cell is known, -2 where a digit has no spread."""
    best, fewest = -1, NO_LIMIT
    for number in range(table[0, 0] + table[0, 1]):
        total = _count_spreads(words, table, side, number, scratch)
        if total < fewest:
            best, fewest = number, total
            for i in range(scratch.shape[1]):
                scratch[READ, i] = scratch[MAY, i]
                scratch[BEFORE, i] = scratch[WAYS, i]
    if best < 0:
        return -1, 0, 0, 0
    kind = 0 if best < table[0, 1] else 1
    lines, ones = table[kind, 0], table[kind, 2]
    digit, fewest = 0, NO_LIMIT
    for d in range(side):
        total = 0
        for spread in range(SPREADS[lines]):
            total += (scratch[BEFORE, spread] >> d) & 1
        if total == 0:
            return -2, 0, 0, 0
        if 1 < total < fewest:
            digit, fewest = d, total
    spread = 0
    while not (scratch[BEFORE, spread] >> digit) & 1:
        spread += 1
    box = 0
    while count_bits(scratch[READ, SPREAD_LINES[lines, spread, box]] & (ones << digit)) < 2:
        box += 1
    return best, SPREAD_LINES[lines, spread, box], box, digit


@jit
def _strike(words, table, side, number, line, box, digit):
    """Strike a digit from the cells of one segment."""
    columns = table[0, 1]
    kind = 0 if number < columns else 1
    lines, each = table[kind, 0], table[kind, 1]
    other, shift = (columns * side, number * side) if kind == 0 else (0, (number - columns) * side)
    for k in range(each):
        words[number * side + line * each + k] &= ~(1 << (box * side + digit))
        words[other + box * side + k * lines + line] &= ~(1 << (shift + digit))


@jit
def search(stack, table, side, limit, most, found, scratch):  # noqa: C901 (calls would slow it down)
    """Count the solutions of the words in stack[0], up to `limit`: (solutions, guesses before the first, guesses in all).

    As many as it holds go to `found` (uint8 (k, side * side)).  `stack` and `scratch` come from `make_room`.  Gives up before
    guess number `most` + 1, with -1 solutions.
    """
    columns = table[0, 1]
    depth, count, guesses, before_first = 0, 0, 0, 0
    stack[0, -1] = (1 << (table[0, 0] + columns)) - 1
    while depth >= 0:
        words = stack[depth]
        number = -1
        alive = propagate(words, table, side, stack[depth, -1], scratch)
        if alive:
            number, line, box, digit = _choose(words, table, side, scratch)
            alive = number != -2
        if number >= 0:
            if guesses >= most:
                return -1, guesses, guesses
            guesses += 1
            for i in range(len(words)):
                stack[depth + 1, i] = words[i]
            _strike(words, table, side, number, line, box, digit)
            depth += 1
            lines = table[0, 0] if number < columns else columns
            for n in range(lines):
                if n != box:
                    _strike(stack[depth], table, side, number, line, n, digit)
                if n != line:
                    _strike(stack[depth], table, side, number, n, box, digit)
            crossing = columns if number < columns else 0
            stack[depth - 1, -1] = 1 << number | 1 << (crossing + box)
            stack[depth, -1] = 1 << number | ((1 << lines) - 1) << crossing
            continue
        if alive:
            if count == 0:
                before_first = guesses
            if count < len(found):
                read_solution(words, table, side, found[count])
            count += 1
            if count >= limit:
                return count, before_first, guesses
        depth -= 1
    return count, before_first if count else guesses, guesses


@jit
def read_solution(words, table, side, solution):
    """The digits of known cells, row by row."""
    rows, columns = table[0, 0], table[0, 1]
    for at in range(side * side):
        row, column = at // side, at % side
        mask = words[row // rows * side + row % rows * columns + column % columns] >> (column // columns * side)
        digit = 0
        while not (mask >> digit) & 1:
            digit += 1
        solution[at] = digit + 1


@jit
def fill_words(board, table, side, words):
    """The words of a board: one digit for a clue, all of them for a blank."""
    rows, columns = table[0, 0], table[0, 1]
    words[:-1] = 0
    for at in range(side * side):
        row, column = at // side, at % side
        digit = np.int64(board[at])
        mask = 1 << (digit - 1) if digit else (1 << side) - 1
        band, i, stack, k = row // rows, row % rows, column // columns, column % columns
        words[band * side + i * columns + k] |= mask << (stack * side)
        words[(columns + stack) * side + k * rows + i] |= mask << (band * side)


@jit
def make_room(rows, columns):
    """What `search` works in: a stack of boards, the squares to look at in the last column, and scratch rows."""
    side = rows * columns
    width = max(side, SPREADS[max(rows, columns)])
    return np.empty((side * side + 1, (rows + columns) * side + 1), np.int64), np.empty((7, width), np.int64)


@jit
def _solve_all(boards, rows, columns, limit, solutions, counts, guesses):
    side = rows * columns
    table = layout(rows, columns)
    stack, scratch = make_room(rows, columns)
    found = np.zeros((1, side * side), np.uint8)
    for i in range(len(boards)):
        fill_words(boards[i], table, side, stack[0])
        counts[i], guesses[i], _all = search(stack, table, side, limit, NO_LIMIT, found, scratch)
        if counts[i]:
            solutions[i] = found[0]


def solve(boards: np.ndarray, boxes: Boxes, limit: int = 2) -> Solved:
    """Solve boards, and count the guesses on the way to the first solution, which say how hard each is.

    The solver deduces until nothing changes: within the square of a band, and of a stack, it takes from every segment the
    digits that no way of placing them leaves there, and those that its cells must hold from everywhere else.  Then it
    guesses where a digit can stand in a line of segments, the digit with the fewest ways first, and counts every guess,
    wrong ones, too.  The order is that of the public solver tdoku, whose guesses are the ratings of Sudoku-Extreme: 94
    percent of those are met exactly, the correlation is 0.997.

    Args:
        boards: uint8 (n, side, side), 0 where blank; digits from 1 to the side.
        boxes: the box shape; at most five boxes side by side.
        limit: solutions after which to stop; 2 tell whether there is exactly one.

    Raises:
        ValueError: boards of another shape or type.
    """
    boards = require_boards("boards", boards, boxes)
    count, side = len(boards), boxes.side
    solutions = np.zeros((count, side * side), np.uint8)
    counts, guesses = np.empty(count, np.int64), np.empty(count, np.int64)
    _solve_all(boards.reshape(count, side * side), boxes.rows, boxes.columns, limit, solutions, counts, guesses)
    return Solved(solutions.reshape(count, side, side), counts, guesses)
