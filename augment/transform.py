"""A reversible transform of a grid: one of eight symmetries, then a palette."""

from dataclasses import dataclass

import numpy as np

from augment.grids import COLOURS
from augment.palette import IDENTITY_PALETTE, check_palette
from augment.symmetry import COMPOSE, INVERSE, SYMMETRIES, apply_symmetry

ROW_BYTES = 1 + COLOURS  # how a transform is stored in a plan: the symmetry, then the palette


@dataclass(frozen=True)
class Transform:
    """One symmetry and one palette; `undo` is the exact inverse of `apply`.

    Attributes:
        symmetry: number of the symmetry, see `augment.symmetry`.
        palette: ten colours; colour c becomes palette[c], and black stays black.

    Raises:
        ValueError: the symmetry or the palette is not one.
    """

    symmetry: int = 0
    palette: tuple[int, ...] = IDENTITY_PALETTE

    def __post_init__(self) -> None:
        if not 0 <= self.symmetry < SYMMETRIES:
            raise ValueError(f"a symmetry is a number from 0 to {SYMMETRIES - 1}, got {self.symmetry!r}")
        check_palette(self.palette)

    @classmethod
    def from_row(cls, row: np.ndarray) -> "Transform":
        """Read a row of a plan: uint8 (11,), the symmetry and then the palette."""
        return cls(int(row[0]), tuple(int(colour) for colour in row[1:]))

    def to_row(self) -> np.ndarray:
        """Write the row of a plan that `from_row` reads: uint8 (11,)."""
        return np.array([self.symmetry, *self.palette], np.uint8)

    def apply(self, grid: np.ndarray) -> np.ndarray:
        """Transform a grid: uint8 (rows, columns) in, a new uint8 array out."""
        return np.asarray(self.palette, np.uint8)[apply_symmetry(grid, self.symmetry)]

    def undo(self, grid: np.ndarray) -> np.ndarray:
        """Undo `apply`: `t.undo(t.apply(grid))` equals `grid`."""
        return self.inverse().apply(grid)

    def inverse(self) -> "Transform":
        """The transform that undoes this one."""
        return Transform(int(INVERSE[self.symmetry]), tuple(int(c) for c in np.argsort(self.palette)))

    def then(self, other: "Transform") -> "Transform":
        """The one transform that equals this one followed by `other`."""
        palette = tuple(other.palette[colour] for colour in self.palette)
        return Transform(int(COMPOSE[self.symmetry, other.symmetry]), palette)
