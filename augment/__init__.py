"""Grids and their transforms: symmetries, palettes, plans, canvases.  NumPy and numba only.

A *grid* is a two-dimensional uint8 array of colours 0 to 9, at most 30 x 30.  A *canvas* is a window of the 30 x 30 board
that holds one grid as tokens: 0 empty, 1 end-of-grid mark, 2 to 11 the colours.  Sudoku and mazes are *boards*, which all have
one size: see `augment.board`.
"""

from augment.board import (
    BoardTransform,
    dihedral_table,
    hash_boards,
    hash_undone_boards,
    pack_boards,
    paint_boards,
    sample_sudoku_transforms,
    tokens_to_board,
)
from augment.canonical import hash_pairs
from augment.canvas import Window, corner_offsets, crop, hash_undone, paint, smallest_window, tokens_to_grid
from augment.grids import BOARD, COLOURS, PackedGrids, hash_grids, pack_grids
from augment.palette import IDENTITY_PALETTE, sample_palettes
from augment.plan import Plan, SampledPlan, sample_plan, sample_transforms
from augment.symmetry import COMPOSE, INVERSE, SYMMETRIES, apply_symmetry
from augment.transform import Transform

__all__ = [
    "BOARD",
    "COLOURS",
    "COMPOSE",
    "IDENTITY_PALETTE",
    "INVERSE",
    "SYMMETRIES",
    "BoardTransform",
    "PackedGrids",
    "Plan",
    "SampledPlan",
    "Transform",
    "Window",
    "apply_symmetry",
    "corner_offsets",
    "crop",
    "dihedral_table",
    "hash_boards",
    "hash_grids",
    "hash_pairs",
    "hash_undone",
    "hash_undone_boards",
    "pack_boards",
    "pack_grids",
    "paint",
    "paint_boards",
    "sample_palettes",
    "sample_plan",
    "sample_sudoku_transforms",
    "sample_transforms",
    "smallest_window",
    "tokens_to_board",
    "tokens_to_grid",
]
