"""The eight symmetries of the square, numbered as in the public TRM code, with their tables derived from what they do.

Everything a kernel or a caller needs (which cell goes where, which symmetry undoes which, what two in a row amount to) is
read off the operations themselves by applying them to a small probe, so that no table can disagree with them.
"""

from collections.abc import Callable

import numpy as np

# The order is that of `dihedral_transform` in the original, so that published augmentation names mean the same here.
OPERATIONS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda grid: grid,
    lambda grid: np.rot90(grid, 1),
    lambda grid: np.rot90(grid, 2),
    lambda grid: np.rot90(grid, 3),
    np.fliplr,
    np.flipud,
    np.transpose,
    lambda grid: np.fliplr(np.rot90(grid, 1)),
)
SYMMETRIES = len(OPERATIONS)
NAMES = (
    "as it is",
    "turned left",
    "turned round",
    "turned right",
    "mirrored left to right",
    "mirrored top to bottom",
    "transposed",
    "mirrored at the other diagonal",
)

# Two rows, three columns, all cells different: enough to distinguish all eight, and transposition by its shape.
_PROBE = np.arange(6).reshape(2, 3)


def _derive_sources() -> np.ndarray:
    """Rows (transposes, flips rows, flips columns) of every symmetry, read off the cell that lands in the corner."""
    sources = np.empty((SYMMETRIES, 3), np.int64)
    for symmetry, operation in enumerate(OPERATIONS):
        image = operation(_PROBE)
        row, column = divmod(int(image[0, 0]), _PROBE.shape[1])
        sources[symmetry] = image.shape != _PROBE.shape, row > 0, column > 0
    return sources


def _derive_compositions() -> np.ndarray:
    """`table[first, second]`: the one symmetry that equals `first` followed by `second`."""
    images = {operation(_PROBE).tobytes() + bytes(operation(_PROBE).shape): s for s, operation in enumerate(OPERATIONS)}
    table = np.empty((SYMMETRIES, SYMMETRIES), np.int64)
    for first, apply_first in enumerate(OPERATIONS):
        for second, apply_second in enumerate(OPERATIONS):
            image = apply_second(apply_first(_PROBE))
            table[first, second] = images[image.tobytes() + bytes(image.shape)]
    return table


SOURCES = _derive_sources()
COMPOSE = _derive_compositions()
INVERSE = np.argmin(COMPOSE, axis=1)  # the identity is number 0, and occurs once in every row
for _table in (SOURCES, COMPOSE, INVERSE):
    _table.flags.writeable = False


def apply_symmetry(grid: np.ndarray, symmetry: int) -> np.ndarray:
    """Turn or mirror a grid.

    Args:
        grid: array (rows, columns) of any dtype.
        symmetry: 0 identity, 1 to 3 quarter turns to the left, 4 left-right, 5 up-down, 6 transposition, 7 the other diagonal.

    Returns:
        A new contiguous array; quarter turns (1 and 3) and the diagonals swap rows and columns.

    Raises:
        ValueError: `symmetry` is not one of the eight, or `grid` is not two-dimensional.
    """
    if not 0 <= symmetry < SYMMETRIES:
        raise ValueError(f"a symmetry is a number from 0 to {SYMMETRIES - 1}, got {symmetry!r}")
    if grid.ndim != 2:
        raise ValueError(f"a grid has rows and columns, got an array of shape {grid.shape}")
    return np.array(OPERATIONS[symmetry](grid), order="C")
