"""Boards of one size, and their transforms: a transposition, an order of the rows, one of the columns, other values.

Sudoku and mazes are such boards.  A *value* is what a cell holds (0 blank and the digits; 0 wall, 1 free, ...), a token is the
value plus 1, and token 0 is for padding, of which boards have none.
"""

from dataclasses import dataclass

import numpy as np

from augment import kernels
from augment.grids import PackedGrids
from augment.symmetry import SOURCES

FIRST_VALUE = 1  # the token of value 0


@dataclass(frozen=True)
class BoardTransform:
    """A reversible transform of a board; `undo` is the exact inverse of `apply`.

    Attributes:
        transposes: whether rows and columns change places first; square boards only.
        rows: row r of the image is row rows[r] of what is there then.
        columns: the same of the columns.
        values: value v becomes values[v].

    Raises:
        ValueError: an order is not a permutation, or an oblong board is to be transposed.
    """

    transposes: bool
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "values"):
            order = getattr(self, name)
            if sorted(order) != list(range(len(order))):
                raise ValueError(f"{name}: each number from 0 to {len(order) - 1} once is needed, got {order}")
        if self.transposes and len(self.rows) != len(self.columns):
            raise ValueError(f"a board of {len(self.rows)} x {len(self.columns)} cannot be transposed in place")

    @classmethod
    def from_row(cls, row: np.ndarray, shape: tuple[int, int]) -> "BoardTransform":
        """Read a row of a table.

        Args:
            row: uint8 (1 + rows + columns + values,).
        """
        orders = np.split(row[1:], np.cumsum(shape))
        return cls(bool(row[0]), *(tuple(order.tolist()) for order in orders))

    def to_row(self) -> np.ndarray:
        """Write the row that `from_row` reads."""
        return np.array([self.transposes, *self.rows, *self.columns, *self.values], np.uint8)

    def apply(self, board: np.ndarray) -> np.ndarray:
        """Transform a board: uint8 (rows, columns) in, a new uint8 array out; a cell without a value stays as it is."""
        table = np.arange(256, dtype=np.uint8)
        table[: len(self.values)] = self.values
        source = board.T if self.transposes else board
        return table[source[np.ix_(self.rows, self.columns)]]

    def undo(self, board: np.ndarray) -> np.ndarray:
        """Undo `apply`: `t.undo(t.apply(board))` equals `board`."""
        return self.inverse().apply(board)

    def inverse(self) -> "BoardTransform":
        """The transform that undoes this one."""
        rows, columns, values = (tuple(np.argsort(order).tolist()) for order in (self.rows, self.columns, self.values))
        if self.transposes:
            rows, columns = columns, rows
        return BoardTransform(self.transposes, rows, columns, values)

    def then(self, other: "BoardTransform") -> "BoardTransform":
        """The one transform that equals this one followed by `other`."""
        rows, columns = (self.columns, self.rows) if other.transposes else (self.rows, self.columns)
        return BoardTransform(
            self.transposes != other.transposes,
            tuple(rows[r] for r in other.rows),
            tuple(columns[c] for c in other.columns),
            tuple(other.values[v] for v in self.values),
        )


def pack_boards(boards: np.ndarray) -> PackedGrids:
    """Boards (uint8 (n, rows, columns)) as packed grids, whose cells are a view of them where they are contiguous."""
    count, size = len(boards), boards.shape[1] * boards.shape[2]
    shapes = np.broadcast_to(np.array(boards.shape[1:], np.int64), (count, 2))
    return PackedGrids(np.ascontiguousarray(boards).reshape(-1), np.arange(count + 1, dtype=np.int64) * size, shapes)


def hash_boards(boards: np.ndarray) -> np.ndarray:
    """Hash boards of one shape (uint8 (n, rows, columns)): uint64 (n,), the same on every machine; see `hash_grids`."""
    return kernels.hash_boards(np.ascontiguousarray(boards))


def paint_boards(grids: PackedGrids, index: np.ndarray, table: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Transform boards, as tokens.

    Args:
        index: int64 (n,), which board.
        table: uint8 (n, 1 + rows + columns + values), the transform of each.
        shape: rows and columns of every board.

    Returns:
        uint8 (n, rows, columns) of tokens.

    Raises:
        ValueError: a board that does not exist, or a table for boards of another shape.
    """
    _check_table(len(index), table, shape)
    if len(index) and (index.min() < 0 or index.max() >= len(grids)):
        raise ValueError(f"boards are numbered 0 to {len(grids) - 1}, got {index.min()} to {index.max()}")
    out = np.empty((len(index), *shape), np.uint8)
    kernels.permute_boards(grids.cells.reshape(-1, *shape), np.ascontiguousarray(index, np.int64), table, out)
    return out


def hash_undone_boards(canvases: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Undo the transforms of predicted tokens and hash the boards, without storing them: uint64 (n,), as `hash_boards`.

    Args:
        canvases: uint8 (n, rows, columns) of tokens.
        table: uint8 (n, 1 + rows + columns + values), the transform that each was painted under.

    Raises:
        ValueError: a table for boards of another shape or number.
    """
    _check_table(len(canvases), table, canvases.shape[1:])
    return kernels.undo_and_hash_boards(np.ascontiguousarray(canvases), table)


def _check_table(count: int, table: np.ndarray, shape: tuple[int, ...]) -> None:
    if len(table) != count or table.dtype != np.uint8 or table.shape[1] <= 1 + sum(shape):
        raise ValueError(f"{count} boards of {tuple(shape)} need as many rows of transforms, got {table.dtype} {table.shape}")


def tokens_to_board(canvas: np.ndarray) -> np.ndarray:
    """The values of a canvas of tokens; a cell that holds the token of padding has the value 255, which is never right."""
    return canvas - np.uint8(FIRST_VALUE)


def sample_sudoku_transforms(keys: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """A symmetry of Sudoku for each key: digits, bands, rows in them, stacks, columns in them; of square boxes, transposition.

    Args:
        keys: uint64 (n,); the same key gives the same symmetry on every machine.

    Returns:
        uint8 (n, 1 + 2 side + side + 1), rows for `BoardTransform`; blank stays blank.
    """
    side = box[0] * box[1]
    return kernels.sample_sudoku(np.ascontiguousarray(keys), box[0], box[1], np.empty((len(keys), 2 + 3 * side), np.uint8))


def dihedral_table(shape: tuple[int, int], values: int) -> np.ndarray:
    """The symmetries of the square, or of an oblong board those that keep its shape, the identity first.

    Args:
        values: how many values a cell may have; they stay.

    Returns:
        uint8 (8 or 4, 1 + rows + columns + values), rows for `BoardTransform`.
    """
    table = []
    for transposes, flips_rows, flips_columns in SOURCES.astype(bool).tolist():
        if transposes and shape[0] != shape[1]:
            continue
        flips = (flips_columns, flips_rows) if transposes else (flips_rows, flips_columns)
        orders = [range(length)[::-1] if flip else range(length) for length, flip in zip(shape, flips, strict=True)]
        table.append([transposes, *orders[0], *orders[1], *range(values)])
    return np.array(table, np.uint8)
