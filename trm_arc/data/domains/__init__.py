"""What differs between kinds of puzzles, for everything that they share: tokens, symmetries, canvases, what makes two inputs one.

ARC stands here; Sudoku and mazes, whose boards all have one size, in `trm_arc.data.domains.board`.
"""

from abc import ABC, abstractmethod

import numpy as np

from augment import COLOURS, SYMMETRIES, PackedGrids, Transform, Window, hash_undone, paint, tokens_to_grid
from augment.kernels import EMPTY, FIRST_COLOUR
from augment.symmetry import NAMES as SYMMETRY_NAMES
from augment.transform import ROW_BYTES


class Domain(ABC):
    """A kind of puzzle.

    Attributes:
        name: as checkpoints hold it.
        title: as people read it.
        vocabulary: how many tokens there are.
        row_bytes: of a transform in a table.
        measure: the score that says which checkpoint is the best.
        default_views: of a test input, if nothing else is asked for.
        orientations: names of the ways a view may lie, by which votes are told apart; empty where that says nothing.
    """

    name: str
    title: str
    vocabulary: int
    row_bytes: int
    measure: str
    default_views: int
    orientations: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @abstractmethod
    def paint(
        self,
        grids: PackedGrids,
        index: np.ndarray,
        table: np.ndarray,
        window: Window,
        corners: np.ndarray | None = None,
        empty: int = EMPTY,
    ) -> np.ndarray:
        """Transformed grids as canvases of tokens: uint8 (n, rows, columns); see `augment.paint`."""

    @abstractmethod
    def hash_undone(self, canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo the transforms of predicted canvases: bool (n,), whether there is an answer, and uint64 (n,), its hash."""

    @abstractmethod
    def undo(self, canvas: np.ndarray, row: np.ndarray) -> np.ndarray:
        """The answer on one canvas with its transform undone, uint8 (rows, columns)."""

    @abstractmethod
    def are_transforms(self, table: np.ndarray) -> bool:
        """Whether all rows (uint8 (n, row_bytes)) are transforms of this kind."""

    def orient(self, table: np.ndarray) -> np.ndarray:
        """The number of the orientation of each row (uint8 (n, row_bytes)), int64 (n,); all 0 where they are not told apart."""
        return np.zeros(len(table), np.int64)


class ArcDomain(Domain):
    """ARC: grids of up to 30 x 30 colours somewhere on a window, their right and lower edges marked."""

    name, title, vocabulary, row_bytes = "arc", "ARC", FIRST_COLOUR + COLOURS, ROW_BYTES
    measure, default_views, orientations = "pass@2 of outputs", 1000, SYMMETRY_NAMES

    def paint(self, *arguments: object, **options: object) -> np.ndarray:
        """See `augment.paint`."""
        return paint(*arguments, **options)

    def hash_undone(self, canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo the transforms of predicted canvases.

        Args:
            canvases: uint8 (n, rows, columns) of tokens.
            table: uint8 (n, 11).
        """
        sizes, hashes = hash_undone(canvases, table)
        return sizes[:, 0] > 0, hashes

    def undo(self, canvas: np.ndarray, row: np.ndarray) -> np.ndarray:
        """The answer on one canvas.

        Args:
            canvas: uint8 (rows, columns) of tokens.
            row: uint8 (11,), its transform.
        """
        return Transform.from_row(row).undo(tokens_to_grid(canvas))

    def are_transforms(self, table: np.ndarray) -> bool:
        """Whether all rows are a symmetry and a palette."""
        return bool((table[:, 0] < SYMMETRIES).all() and (np.sort(table[:, 1:], axis=1) == np.arange(COLOURS)).all())

    def orient(self, table: np.ndarray) -> np.ndarray:
        """The symmetry of each row (uint8 (n, 11)), int64 (n,)."""
        return table[:, 0].astype(np.int64)


ARC = ArcDomain()
