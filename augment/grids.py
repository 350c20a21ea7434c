"""Many small grids in one block of memory, and the hash by which grids are compared."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from augment.kernels import hash_packed

BOARD = 30  # largest number of rows or columns of an ARC grid
COLOURS = 10


@dataclass(frozen=True)
class PackedGrids:
    """Grids of different sizes, end to end: a byte a cell, and no Python object for each.

    Attributes:
        cells: uint8 (total cells,), the grids row by row, one after the other.
        offsets: int64 (count + 1,); grid i is cells[offsets[i]:offsets[i + 1]].
        shapes: int64 (count, 2), rows and columns.
    """

    cells: np.ndarray
    offsets: np.ndarray
    shapes: np.ndarray

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> np.ndarray:
        """Grid number `index` as a uint8 array (rows, columns); a view, not a copy."""
        return self.cells[self.offsets[index] : self.offsets[index + 1]].reshape(self.shapes[index])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.cells.nbytes + self.offsets.nbytes + self.shapes.nbytes


def pack_grids(grids: Iterable[np.ndarray]) -> PackedGrids:
    """Pack grids (each an integer array (rows, columns) of colours 0 to 9, at most 30 x 30).

    Raises:
        ValueError: an array that is not such a grid, named by its position.
    """
    flat, shapes = [], []
    for position, grid in enumerate(grids):
        if grid.ndim != 2 or not (0 < grid.shape[0] <= BOARD and 0 < grid.shape[1] <= BOARD):
            raise ValueError(f"grid {position}: 1 to {BOARD} rows and columns are needed, got shape {grid.shape}")
        if grid.min() < 0 or grid.max() >= COLOURS:
            raise ValueError(f"grid {position}: colours are 0 to {COLOURS - 1}, got {grid.min()} to {grid.max()}")
        flat.append(grid.astype(np.uint8, copy=False).reshape(-1))
        shapes.append(grid.shape)
    sizes = [len(cells) for cells in flat]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    cells = np.concatenate(flat) if flat else np.empty(0, np.uint8)
    return PackedGrids(cells, offsets, np.array(shapes, np.int64).reshape(-1, 2))


def hash_grids(grids: PackedGrids) -> np.ndarray:
    """Hash every grid: uint64 (count,).

    Equal grids have equal hashes; different ones differ but for a chance of about 2**-60 a pair.  The hash is the same on
    every machine and in every run.
    """
    return hash_packed(grids.cells, grids.offsets, grids.shapes)
