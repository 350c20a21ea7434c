"""The canonical form of Sudoku boards: equal for two boards exactly when a symmetry of Sudoku brings one to the other.

Symmetries rename digits, permute bands, stacks, rows within a band and columns within a stack, and transpose where boxes are
square.  The method is that of graph canonisers (McKay's individualisation and refinement): every row, column and digit gets a
64-bit label that says what it looks like from its clues, by rounds of order-free sums; sorting by label gives a board.  Where
lines tie, each of the tied is tried in turn, and of the boards that come out the least is the form.  Labels only ever order
what symmetries keep apart, and ties are decided by comparing boards, so a collision of hashes costs time and nothing else.
"""

import numpy as np

from augment.compiling import jit
from augment.kernels import mix
from trm_arc.puzzles.sudoku.rules import Boxes, require_boards

_CHOSEN = np.uint64(0xD1B54A32D192ED03)  # marks the line that is tried
_DIGIT = np.uint64(0x9E6C63D0876A9A47)  # odd numbers that distinguish kinds of labels in a sum
_COLUMN = np.uint64(0xA0761D6478BD642F)
_ZERO, _ONE, _THREE = np.uint64(0), np.uint64(1), np.uint64(3)
# An array of labels holds rows, columns, digits in turn, and an array of lines rows and columns; `clues` has a row each for the
# row, the column and the digit (from 0) of every clue.


@jit
def _sum_groups(labels, start, side, size, sums):
    """For bands or stacks of `size` lines, a word of the labels of their lines."""
    for group in range(side // size):
        total = _ZERO
        for line in range(group * size, (group + 1) * size):
            total += labels[start + line]
        sums[group] = mix(total)


@jit
def _count_classes(labels, side):
    """How many different labels rows, columns and digits have."""
    classes = 0
    for first in range(0, 3 * side, side):
        for i in range(first, first + side):
            classes += 1
            for j in range(first, i):
                if labels[i] == labels[j]:
                    classes -= 1
                    break
    return classes


@jit
def _refine(clues, count, rows, columns, labels, work):
    """Rounds of sums, until they distinguish no more rows, columns and digits."""
    side = rows * columns
    bands, stacks, boxes, old_boxes, sums = work[0], work[1], work[2], work[3], work[4]
    boxes[:side] = _ZERO
    classes, rounds = 0, 0
    while True:
        _sum_groups(labels, 0, side, rows, bands)
        _sum_groups(labels, side, side, columns, stacks)
        for i in range(side):
            old_boxes[i] = mix(boxes[i])
            boxes[i] = _ZERO
        sums[: 3 * side] = _ZERO
        for i in range(count):
            row, column, digit = clues[0, i], clues[1, i], clues[2, i]
            band, stack = row // rows, column // columns
            box = band * rows + stack
            # rows and columns enter alike, so that a transposed board gets the same labels
            lines = labels[row] + labels[side + column] + bands[band] + stacks[stack]
            word = mix(lines + labels[2 * side + digit] * _DIGIT + old_boxes[box])
            boxes[box] += word
            sums[row] += word
            sums[side + column] += word
            sums[2 * side + digit] += word
        for i in range(side):
            labels[i] = mix(labels[i] * _THREE + sums[i] + bands[i // rows])
            labels[side + i] = mix(labels[side + i] * _THREE + sums[side + i] + stacks[i // columns])
            labels[2 * side + i] = mix(labels[2 * side + i] * _THREE + sums[2 * side + i])
        rounds += 1
        if rounds > 1:
            now = _count_classes(labels, side)
            if now == classes or now == 3 * side:
                return
            classes = now


@jit
def _add_cycles(board, first, second, step, labels, line, other, crossing, where):
    """Labels from two full lines: the digits of the one, put on those of the other, fall into cycles, however columns lie.

    `first` and `second` are where the lines begin in the flat board and `step` leads along them.  How long the cycles are goes
    into the labels of both lines (`line`, `other`), and the length of its own into those of each crossing line and digit.
    """
    side = len(where) - 1
    for k in range(side):
        where[board[first + k * step]] = k
    kind = _ZERO
    for fill in range(2):
        for k in range(side):
            length, at = 1, where[board[second + k * step]]
            while at != k:
                length += 1
                at = where[board[second + at * step]]
            if fill == 0:
                kind += mix(np.uint64(length))
            else:
                word = mix(kind + np.uint64(length))
                labels[crossing + k] += word
                labels[2 * side + board[first + k * step] - 1] += word
    labels[line] += mix(kind)
    labels[other] += mix(kind)


@jit
def _is_full(board, side):
    """Whether every row and every column has each digit once."""
    for line in range(side):
        row, column = 0, 0
        for k in range(side):
            row |= 1 << np.int64(board[line * side + k])
            column |= 1 << np.int64(board[k * side + line])
        if row != (1 << (side + 1)) - 2 or column != row:
            return False
    return True


@jit
def _first_labels(board, rows, columns, labels):
    """Labels before any refinement: all alike, but for the cycles of full boards, of whose clues refinement sees nothing."""
    side = rows * columns
    labels[:] = _ONE
    if not _is_full(board, side):
        return
    where = np.empty(side + 1, np.int64)
    for i in range(side):
        for j in range(i - i % rows, i):
            _add_cycles(board, i * side, j * side, 1, labels, i, j, side, where)
        for j in range(i - i % columns, i):
            _add_cycles(board, i, j, side, labels, side + i, side + j, 0, where)


@jit
def _class_size(labels, filled, start, side, line):
    """How many lines with clues share a line's label, itself included, and whether it is the first of them."""
    size, first = 0, True
    for i in range(start, start + side):
        if filled[i] and labels[i] == labels[line]:
            size += 1
            first &= i >= line
    return size, first


@jit
def _find_tied(labels, filled, side, members):
    """The lines with clues to choose among, which share a label: how many (0 where none tie), their numbers.

    They are rows or columns, whichever have fewer labels and do tie (the choice of a row and a column tells more of a full
    board than that of two rows), and of those the smallest class, then that of the least label.
    """
    best, best_label, best_start, fewest = 0, _ZERO, 0, 2 * side
    for start in range(0, 2 * side, side):
        classes, smallest, smallest_label = 0, side + 1, _ZERO
        for i in range(start, start + side):
            size, first = _class_size(labels, filled, start, side, i)
            classes += filled[i] > 0 and first
            if filled[i] and size > 1 and (size < smallest or (size == smallest and labels[i] < smallest_label)):
                smallest, smallest_label = size, labels[i]
        if smallest <= side and classes < fewest:
            best, best_label, best_start, fewest = smallest, smallest_label, start, classes
    size = 0
    for i in range(best_start, best_start + side):
        if best and filled[i] and labels[i] == best_label:
            members[size] = i
            size += 1
    return size


@jit
def _trace(labels, side):
    """One word of all labels, the same whatever the order of rows, columns and digits."""
    total = _ZERO
    for i in range(side):
        total += labels[i] + labels[side + i] * _COLUMN + labels[2 * side + i] * _DIGIT
    return mix(total)


@jit
def _place_lines(labels, filled, start, side, size, order, places):
    """Where each line goes: lines with clues by label, those of one band together, empty ones last."""
    count = 0
    for line in range(side):
        if filled[start + line]:
            at = count
            while at > 0 and labels[start + order[at - 1]] > labels[start + line]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = line
            count += 1
    for line in range(side):
        if not filled[start + line]:
            order[count] = line
            count += 1
    places[start : start + side] = -1
    groups = 0
    for i in range(side):
        group = order[i] // size
        if places[start + order[i]] < 0:
            at = groups * size
            for j in range(i, side):
                if order[j] // size == group:
                    places[start + order[j]] = at
                    at += 1
            groups += 1


@jit
def _write_board(clues, count, places, side, names, board):
    """The board with its lines in place and its digits numbered as they appear."""
    board[:] = 0
    for i in range(count):
        board[places[clues[0, i]] * side + places[side + clues[1, i]]] = clues[2, i] + 1
    names[:] = 0
    named = 0
    for at in range(side * side):
        digit = board[at]
        if digit:
            if names[digit] == 0:
                named += 1
                names[digit] = named
            board[at] = names[digit]


@jit
def _compare(first, second):
    """-1, 0 or 1: which board comes first."""
    for at in range(len(first)):
        if first[at] != second[at]:
            return -1 if first[at] < second[at] else 1
    return 0


@jit
def _try_each(clues, count, rows, columns, filled, labels, spare, members, traces, work):
    """Choose each of the tied lines in turn and refine: how many are tied (0 at a leaf), the least trace."""
    side = rows * columns
    tied = _find_tied(labels, filled, side, members)
    least = _ZERO
    for i in range(tied):
        _choose(clues, count, rows, columns, labels, members[i], spare, work)
        traces[i] = _trace(spare, side)
        if i == 0 or traces[i] < least:
            least = traces[i]
    return tied, least


@jit
def _choose(clues, count, rows, columns, labels, line, chosen, work):
    """The labels after `line` is chosen among its equals."""
    chosen[:] = labels
    chosen[line] = mix(labels[line] ^ _CHOSEN)
    _refine(clues, count, rows, columns, chosen, work)


@jit
def _shared_prefix(path, best_path, places, best_places, depth):
    """How many choices two equal leaves share, or -1 where the symmetry between them moves one of those."""
    for level in range(depth):
        if path[level] != best_path[level]:
            return level
        if places[path[level]] != best_places[path[level]]:
            return -1
    return -1


@jit
def _search(clues, count, rows, columns, filled, words, ints, board, trial):
    """The least board over the leaves of the tree of choices, into `board`; words[0] holds refined labels.

    Leaves are compared by the traces along their path, then by board.  Two equal leaves show a symmetry of the clues: the
    branch in which the later one lies is the image of one already seen, and is left at once.
    """
    side = rows * columns
    levels = 2 * side + 1
    labels, traces, least, best_least, work = (
        words[:levels],
        words[levels : 2 * levels],
        words[2 * levels],
        words[2 * levels + 1],
        words[2 * levels + 2 :],
    )
    members, tied, following = ints[:levels], ints[levels], ints[levels + 1]
    path, best_path, places, best_places = ints[levels + 2], ints[levels + 3], ints[levels + 4], ints[levels + 5]
    depth, best_depth, better, fresh = 0, -1, True, True
    while depth >= 0:
        if fresh:
            fresh = False
            tied[depth], least[depth] = _try_each(
                clues, count, rows, columns, filled, labels[depth], labels[depth + 1], members[depth], traces[depth], work
            )
            following[depth] = 0
            if tied[depth] == 0:
                _place_lines(labels[depth], filled, 0, side, rows, ints[levels + 6], places)
                _place_lines(labels[depth], filled, side, side, columns, ints[levels + 6], places)
                _write_board(clues, count, places, side, ints[levels + 6], trial)
                order = -1 if better or depth < best_depth else _compare(trial, board)
                if order < 0:
                    board[:] = trial
                    best_least[:] = least
                    best_path[:] = path
                    best_places[:] = places
                    best_depth, better = depth, False
                elif order == 0:
                    shared = _shared_prefix(path, best_path, places, best_places, depth)
                    if shared >= 0:
                        depth = shared
                        continue
                depth -= 1
                continue
            if not better:
                if depth >= best_depth or least[depth] > best_least[depth]:
                    depth -= 1
                    continue
                better = least[depth] < best_least[depth]
        at = following[depth]
        while at < tied[depth] and traces[depth, at] != least[depth]:
            at += 1
        following[depth] = at + 1
        if at >= tied[depth]:
            depth -= 1
            continue
        path[depth] = members[depth, at]
        _choose(clues, count, rows, columns, labels[depth], path[depth], labels[depth + 1], work)
        depth += 1
        fresh = True


@jit
def _swap(clues, filled, labels, side):
    """Transpose: rows and columns change places."""
    for i in range(clues.shape[1]):
        clues[0, i], clues[1, i] = clues[1, i], clues[0, i]
    for i in range(side):
        filled[i], filled[side + i] = filled[side + i], filled[i]
        labels[i], labels[side + i] = labels[side + i], labels[i]


@jit
def _canonise(boards, rows, columns, forms):
    side = rows * columns
    levels = 2 * side + 1
    words, ints = np.empty((2 * levels + 7, 3 * side), np.uint64), np.empty((levels + 7, 2 * side + 1), np.int64)
    clues, filled = np.empty((3, side * side), np.int64), np.empty(2 * side, np.int64)
    trial, turned, first = np.empty(side * side, np.uint8), np.empty(side * side, np.uint8), np.empty(3 * side, np.uint64)
    for n in range(len(boards)):
        count = 0
        filled[:] = 0
        for row in range(side):
            for column in range(side):
                digit = np.int64(boards[n, row * side + column])
                if digit:
                    clues[0, count], clues[1, count], clues[2, count] = row, column, digit - 1
                    count += 1
                    filled[row] += 1
                    filled[side + column] += 1
        _first_labels(boards[n], rows, columns, words[0])
        _refine(clues, count, rows, columns, words[0], words[2 * levels + 2 :])
        across, down = _ZERO, _ZERO
        for i in range(side):
            across += words[0, i]
            down += words[0, side + i]
        if rows == columns and down < across:
            _swap(clues, filled, words[0], side)
        first[:] = words[0]
        _search(clues, count, rows, columns, filled, words, ints, forms[n], trial)
        if rows == columns and down == across:
            words[0] = first
            _swap(clues, filled, words[0], side)
            _search(clues, count, rows, columns, filled, words, ints, turned, trial)
            if _compare(turned, forms[n]) < 0:
                forms[n] = turned


def canonical(boards: np.ndarray, boxes: Boxes) -> np.ndarray:
    """The canonical form of every board.

    Two boards have equal forms exactly when one becomes the other by renaming digits, permuting bands, stacks, rows within a
    band and columns within a stack, and, where boxes are square, transposing.  A form is such an image of its board, but
    not the least of them in any simple order.  Boards need not keep the rules.

    Args:
        boards: uint8 (n, side, side), 0 where blank.

    Returns:
        uint8 (n, side, side).

    Raises:
        ValueError: boards of another shape or type, or a digit above the side.
    """
    boards = require_boards("boards", boards, boxes)
    if boards.size and boards.max() > boxes.side:
        raise ValueError(f"boards: digits up to {boxes.side} are expected, got {boards.max()}")
    forms = np.empty((len(boards), boxes.side**2), np.uint8)
    _canonise(boards.reshape(len(boards), -1), boxes.rows, boxes.columns, forms)
    return forms.reshape(boards.shape)
