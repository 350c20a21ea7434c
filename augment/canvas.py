"""Canvases: a window of the board with one grid on it, painted and read back in bulk."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from augment import kernels
from augment.grids import BOARD, COLOURS, PackedGrids
from augment.symmetry import OPERATIONS, SOURCES

_PLACES = kernels.POSITION_WORDS.reshape(BOARD, BOARD)
_BLOCK = 1024  # canvases that are cropped at a time, so that little memory is needed
_SIDES = BOARD + 1  # how many lengths a side may have


class Window(NamedTuple):
    """Rows and columns of the part of the board that a canvas shows; it starts at the board's corner."""

    rows: int = BOARD
    columns: int = BOARD

    @property
    def cells(self) -> int:
        """Number of cells, which is the number of tokens of a canvas."""
        return self.rows * self.columns


def smallest_window(shapes: Iterable[tuple[int, int]]) -> Window:
    """The smallest square window that holds grids of these shapes under every symmetry.

    Raises:
        ValueError: no shapes were given.
    """
    side = max((max(shape) for shape in shapes), default=0)
    if side == 0:
        raise ValueError("no shapes: give at least one")
    return Window(int(side), int(side))


def transformed_shapes(shapes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Shapes (int64 (n, 2)) of grids after the transforms in `table` (uint8 (n, 11))."""
    swaps = SOURCES[table[:, 0], 0].astype(bool)
    return np.where(swaps[:, None], shapes[:, ::-1], shapes)


def corner_offsets(keys: np.ndarray, shapes: np.ndarray, window: Window, fixed: np.ndarray) -> np.ndarray:
    """Where to put grids that may be translated.

    Args:
        keys: uint64 (n,), one a placement; the same key gives the same place on every machine.
        shapes: int64 (n, 2), the space that the grid (or both grids of a pair) takes.
        fixed: bool (n,), rows that keep the corner.

    Returns:
        int64 (n, 2), the row and column of each grid's corner.
    """
    room = np.array(window, np.int64) - shapes
    if len(room) and room.min() < 0:
        row = int(np.argmin(room.min(axis=1)))
        raise ValueError(f"row {row}: a grid of {tuple(shapes[row])} does not fit a window of {tuple(window)}")
    return kernels.sample_corners(keys, room, fixed)


def paint(
    grids: PackedGrids,
    index: np.ndarray,
    table: np.ndarray,
    window: Window,
    corners: np.ndarray | None = None,
    empty: int = kernels.EMPTY,
) -> np.ndarray:
    """Paint grids onto canvases: transform, place, mark the right and lower edge where they fit, as tokens.

    Args:
        index: int64 (n,), which grid goes on which canvas.
        table: uint8 (n, 11), the transform of each, as rows of a plan.
        corners: int64 (n, 2), row and column of each grid's corner; the window's corner if None.
        empty: the token of cells outside the grid and its marks.

    Returns:
        uint8 (n, rows, columns) of tokens.

    Raises:
        ValueError: a grid that does not exist, a row that is not a transform, or a grid that would leave its window.
    """
    index = np.ascontiguousarray(index, np.int64)
    if corners is None:
        corners = np.zeros((len(index), 2), np.int64)
    if table.shape != (len(index), 11) or corners.shape != (len(index), 2):
        raise ValueError(f"{len(index)} rows need tables of (n, 11) and (n, 2), got {table.shape} and {corners.shape}")
    out = np.empty((len(index), *window), np.uint8)
    if len(index) == 0:
        return out
    if index.min() < 0 or index.max() >= len(grids):
        raise ValueError(f"grids are numbered 0 to {len(grids) - 1}, got {index.min()} to {index.max()}")
    if table[:, 0].max() >= len(SOURCES) or table[:, 1:].max() > 9:
        raise ValueError("a transform row is a symmetry from 0 to 7 and ten colours from 0 to 9")
    ends = corners + transformed_shapes(grids.shapes[index], table)
    outside = (corners < 0).any(axis=1) | (ends > np.array(window)).any(axis=1)
    if outside.any():
        row = int(np.argmax(outside))
        shape = tuple(int(side) for side in grids.shapes[index[row]])
        raise ValueError(f"row {row}: a grid of {shape} at {corners[row].tolist()} leaves a window of {tuple(window)}")
    kernels.paint_rows(grids.cells, grids.offsets, grids.shapes, index, table, corners, np.uint8(empty), out)
    return out


def tokens_to_grid(canvas: np.ndarray, corner: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The grid on one canvas (see `crop`), as a uint8 array; an array of shape (0, 0) if there is none."""
    return crop(canvas[None], np.array([corner], np.int64))[0]


def crop(canvases: np.ndarray, corners: np.ndarray | None = None) -> list[np.ndarray]:
    """Read grids back from canvases: the largest rectangle from the corner that is free of marks and empties.

    Args:
        canvases: uint8 (n, rows, columns) of tokens.
        corners: int64 (n, 2) where each grid starts; if None, the topmost row and leftmost column that hold a colour.

    Returns:
        n arrays of colours; shape (0, 0) where no cell at the corner holds a colour.

    Raises:
        ValueError: arrays of other shapes, a token above 11, or a corner off its canvas.
    """
    _check_canvases(canvases)
    if corners is None:
        coloured = canvases >= kernels.FIRST_COLOUR
        corners = np.stack([coloured.any(axis=2).argmax(axis=1), coloured.any(axis=1).argmax(axis=1)], axis=1)
    elif corners.shape != (len(canvases), 2) or (corners < 0).any() or (corners >= canvases.shape[1:]).any():
        raise ValueError(f"corners are (n, 2) and lie on canvases of {canvases.shape[1:]}, got shape {corners.shape}")
    parts = [canvas[top:, left:] for canvas, (top, left) in zip(canvases, corners, strict=True)]
    sizes = [_largest_rectangles(part[None])[0] for part in parts]
    return [part[:rows, :columns] - np.uint8(kernels.FIRST_COLOUR) for part, (rows, columns) in zip(parts, sizes, strict=True)]


def _largest_rectangles(canvases: np.ndarray) -> np.ndarray:
    """The largest rectangle of colours at the corner of every canvas (uint8 (n, rows, columns)); of equals, the least tall one.

    The scan of the public TRM code: for every number of rows, the widest run that all of them have.

    Returns:
        int64 (n, 2), its rows and columns; (0, 0) where the cell at the corner holds no colour.
    """
    ends = np.ones((*canvases.shape[:2], canvases.shape[2] + 1), bool)
    np.less(canvases, kernels.FIRST_COLOUR, out=ends[:, :, :-1])
    widths = np.minimum.accumulate(ends.argmax(axis=2), axis=1)
    rows = (widths * np.arange(1, canvases.shape[1] + 1)).argmax(axis=1)
    columns = widths[np.arange(len(canvases)), rows]
    return np.stack([np.where(columns > 0, rows + 1, 0), columns], axis=1)


def hash_undone(canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop predictions at the window's corner, undo their transforms and hash them, without storing the grids.

    Args:
        canvases: uint8 (n, rows, columns) of tokens below 12.
        table: uint8 (n, 11), the transform that each was painted under.

    Returns:
        int64 (n, 2), the sizes of the grids on the canvases, (0, 0) where there is none; and uint64 (n,), the hashes that
        `hash_grids` gives the undone grids.

    Raises:
        ValueError: arrays of other shapes or dtypes, or a token above 11.
    """
    # Without numba: its compiler takes as long as a short time limit, and what counts the votes must not wait for it.
    _check_canvases(canvases)
    if table.shape != (len(canvases), 11):
        raise ValueError(f"{len(canvases)} canvases need a table (n, 11), got {table.shape}")
    sizes, hashes = np.empty((len(canvases), 2), np.int64), np.empty(len(canvases), np.uint64)
    for begin in range(0, len(canvases), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        sizes[block], hashes[block] = _hash_block(canvases[block], table[block])
    return sizes, hashes


def _hash_block(canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`hash_undone` of a few canvases: those whose grids have one size and one symmetry at a time."""
    sizes = _largest_rectangles(canvases)
    undone = transformed_shapes(sizes, table)
    words = np.zeros((len(table), kernels.FIRST_COLOUR + COLOURS), np.uint64)  # of every token, as the hash has them of colours
    np.put_along_axis(words, table[:, 1:].astype(np.int64) + kernels.FIRST_COLOUR, kernels.COLOUR_WORDS[None], axis=1)
    totals = np.zeros(len(canvases), np.uint64)
    kinds, kind_of = np.unique(
        np.column_stack([sizes, table[:, 0]]) @ (_SIDES * len(OPERATIONS), len(OPERATIONS), 1), return_inverse=True
    )
    for kind in range(len(kinds)):
        members = np.flatnonzero(kind_of == kind)
        (rows, columns), symmetry = sizes[members[0]], table[members[0], 0]
        places = OPERATIONS[symmetry](_PLACES[slice(undone[members[0], 0]), slice(undone[members[0], 1])])
        tokens = canvases[members, :rows, :columns].reshape(len(members), -1)
        totals[members] = (np.take_along_axis(words[members], tokens.astype(np.int64), axis=1) * places.ravel()).sum(axis=1)
    mix = kernels.mix.py_func
    return sizes, mix(totals ^ mix(undone[:, 0] * 64 + undone[:, 1]))


def _check_canvases(canvases: np.ndarray) -> None:
    if canvases.ndim != 3 or canvases.dtype != np.uint8 or max(canvases.shape[1:]) > BOARD:
        raise ValueError(f"canvases are uint8 (n, rows, columns) of at most {BOARD}, got {canvases.dtype} {canvases.shape}")
    if canvases.size and canvases.max() > kernels.FIRST_COLOUR + 9:
        raise ValueError(f"tokens are 0 to {kernels.FIRST_COLOUR + 9}, got {canvases.max()}")
