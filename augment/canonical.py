"""Pairs of grids up to what training does to them: one symmetry and one palette, the same for input and output."""

import numpy as np

from augment import kernels
from augment.grids import PackedGrids
from augment.symmetry import SOURCES, SYMMETRIES


def hash_pairs(inputs: PackedGrids, outputs: PackedGrids, block: int = 4096) -> np.ndarray:
    """Hash pairs up to a symmetry and a palette that keeps black: uint64 (pairs,).

    Two pairs have equal hashes if one transform (see `Transform`) turns the input and the output of one into those of the
    other; else they differ but for a chance of about 2**-60.  The hash is the same on every machine and in every run.

    Args:
        block: pairs at a time, whose sums take 5 MB; no result depends on it.
    """
    starts = range(0, len(inputs), block)
    blocks = [_hash_block(*(_cut(grids, start, start + block) for grids in (inputs, outputs))) for start in starts]
    return np.concatenate(blocks) if blocks else np.empty(0, np.uint64)


def _cut(grids: PackedGrids, start: int, stop: int) -> PackedGrids:
    """The grids `start` to `stop`."""
    offsets = grids.offsets[start : stop + 1]
    return PackedGrids(grids.cells[offsets[0] : offsets[-1]], offsets - offsets[0], grids.shapes[start:stop])


def _hash_block(*sides: PackedGrids) -> np.ndarray:
    count = len(sides[0])
    sums = [kernels.colour_sums(grids.cells, grids.offsets, grids.shapes) for grids in sides]
    # a word for each colour: where it lies in both grids.  Their sum does not depend on which colour is which.
    words = kernels.mix_columns(np.stack(sums, axis=-1).reshape(-1, 2)).reshape(SYMMETRIES, count, -1)
    columns = [words[..., 0], words[..., 1:].sum(axis=2)]
    transposes = SOURCES[:, :1] > 0
    for shapes in (grids.shapes.astype(np.uint64) for grids in sides):
        columns += [np.where(transposes, shapes[:, 1 - axis], shapes[:, axis]) for axis in (0, 1)]
    return kernels.mix_columns(np.stack(columns, axis=-1).reshape(-1, len(columns))).reshape(SYMMETRIES, count).min(axis=0)
