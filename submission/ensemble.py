"""The checkpoints that vote together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trm_arc.model.checkpoint_files import list_checkpoints, pool_checkpoints


@dataclass
class EnsembleMember:
    """A checkpoint that votes.

    Attributes:
        candidates: its checkpoints, best first; the first that can be read is used.
        counts: int64, the number of views of every test input; empty until a worker has read the checkpoint.
        cells: int64, the cells of the canvas of every test input.
    """

    candidates: list[Path]
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    cells: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def path(self) -> str:
        """The checkpoint that is used."""
        return str(self.candidates[0])


def find_members(paths: Sequence[Path], pool: int) -> list[EnsembleMember]:
    """The members of an ensemble: the newest `pool` checkpoints of every run, and single checkpoints."""
    members = []
    for path in pool_checkpoints(paths, pool):  # if one is broken, an older one of the same run can be used
        older = [other for other in list_checkpoints(path.parent)[::-1] if other.name < path.name]
        members.append(EnsembleMember([path, *older]))
    return members
