"""The plan: the transforms of a task.  Eleven bytes a row; augmented grids are never stored."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from augment import kernels
from augment.grids import PackedGrids
from augment.palette import sample_palettes
from augment.symmetry import SYMMETRIES
from augment.transform import ROW_BYTES, Transform

# The public TRM code gives up after five draws for every transform wanted: a task of few colours has few distinct images.
DRAWS_PER_TRANSFORM = 5


@dataclass(frozen=True)
class Plan:
    """The transforms of several tasks.

    Attributes:
        table: uint8 (rows, 11): the symmetry, then the palette.
        starts: int64 (tasks + 1,); rows starts[t] to starts[t + 1] belong to task t, the identity first.
    """

    table: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.table)

    def transform(self, row: int) -> Transform:
        """Row `row` as a Transform."""
        return Transform.from_row(self.table[row])

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Some rows of the table, by their numbers (int64 (n,))."""
        return self.table[index]

    @classmethod
    def concatenate(cls, tables: list[np.ndarray]) -> "Plan":
        """One plan of the tables of `sample_plan`, a table a task."""
        starts = np.concatenate([[0], np.cumsum([len(table) for table in tables], dtype=np.int64)]).astype(np.int64)
        return cls(np.concatenate(tables) if tables else np.empty((0, ROW_BYTES), np.uint8), starts)


@dataclass(frozen=True)
class SampledPlan:
    """Transforms that are not stored at all: each is sampled when it is needed, from the key of its task and its number.

    Attributes:
        keys: uint64 (tasks,), one a task.
        count: transforms of each, the identity first.
        sample: gives the transforms (uint8 (n, bytes of a row)) of keys (uint64 (n,)) and numbers (int64 (n,)).
    """

    keys: np.ndarray
    count: int
    sample: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.keys) * self.count

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 (tasks + 1,), as of a `Plan`."""
        return np.arange(len(self.keys) + 1, dtype=np.int64) * self.count

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Some transforms, by their numbers (int64 (n,)) among those of all tasks."""
        task, number = np.divmod(index, self.count)
        return self.sample(self.keys[task], number)


def sample_transforms(count: int, generator: np.random.Generator) -> np.ndarray:
    """Symmetries and palettes, sampled uniformly with repetition: uint8 (count, 11)."""
    symmetries = generator.integers(SYMMETRIES, size=(count, 1)).astype(np.uint8)
    return np.concatenate([symmetries, sample_palettes(count, generator)], axis=1)


def sample_plan(grids: PackedGrids, pairs: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Sample transforms under which a task looks different each time, the identity first.

    Two transforms are duplicates when the augmented tasks are equal, whatever the order of the pairs (so two palettes that
    differ in a colour the task does not use are one).  Sampling stops after five draws for every transform wanted, as in the
    public TRM code, so a task with few distinct images gets fewer rows.

    Args:
        pairs: int64 (p, 2), the input and output grid of every pair; an output of -1 is unknown.
        count: how many rows at most, the identity included.

    Returns:
        uint8 (rows, 11), rows <= count.

    Raises:
        ValueError: `count` below 1, or pairs that name grids that do not exist.
    """
    if count < 1:
        raise ValueError(f"a plan has at least one row (the identity), got count {count}")
    if len(pairs) == 0 or pairs[:, 0].min() < 0 or pairs.max() >= len(grids):
        raise ValueError(f"pairs name grids 0 to {len(grids) - 1}, got {pairs.tolist()}")
    table = Transform().to_row()[None]
    if count == 1:
        return table
    sums = kernels.colour_sums(grids.cells, grids.offsets, grids.shapes)
    for _round in range(DRAWS_PER_TRANSFORM):
        table = np.concatenate([table, sample_transforms(count - 1, generator)])
        hashes = kernels.hash_transforms(sums, grids.shapes, pairs, table)
        first_seen = np.sort(np.unique(hashes, return_index=True)[1])
        table = table[first_seen[:count]]
        if len(table) == count:
            break
    return table
