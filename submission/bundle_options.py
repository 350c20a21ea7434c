"""What a user asks of a bundle."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_arc.common.errors import InputError

COMPETITION, MACHINE = "arc-prize-2026-arc-agi-2", "NvidiaL4"  # Kaggle's name of a machine with four L4
DATA = "data"  # its folder of task sets


@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What goes into a bundle.

    Attributes:
        out: the folder to make.
        checkpoint: checkpoints or runs.
        data: task sets, by name or path.
        id: USER/SLUG on Kaggle; None for a placeholder.
        title: of the data set.
        competition: the one that the notebook is for: the last part of its address on Kaggle.
        machine: of the notebook, by Kaggle's name.
        whole: keep all of the checkpoints.
        overwrite: replace a bundle that is there.
        data_folder: where to look for named task sets first.

    Raises:
        InputError: a value that Kaggle does not take, or one that has no effect.
    """

    out: Path
    checkpoint: Sequence[Path] = ()
    data: Sequence[str] = ()
    id: str | None = None
    title: str = "trm_arc bundle"
    competition: str = COMPETITION
    machine: str = MACHINE
    whole: bool = False
    overwrite: bool = False
    data_folder: Path | None = None

    def __post_init__(self) -> None:
        if not 6 <= len(self.title) <= 50:
            raise InputError(f"6 to 50 characters are needed, got {len(self.title)}", flag="--title")
        if self.id is not None and not re.fullmatch(r"[\w-]+/[A-Za-z0-9-]{3,50}", self.id):
            problem = f"USER/SLUG is needed, the slug of 3 to 50 letters, digits and hyphens; got {self.id}"
            raise InputError(problem, flag="--id")
        if not re.fullmatch("[a-z0-9-]+", self.competition):
            problem = (
                f"the last part of the competition's address on Kaggle is needed, such as {COMPETITION}; got {self.competition}"
            )
            raise InputError(problem, flag="--competition")
        if not re.fullmatch("[A-Za-z0-9]+", self.machine):
            raise InputError(f"Kaggle's name of a machine is needed, such as {MACHINE}; got {self.machine}", flag="--machine")
        if self.whole and not self.checkpoint:
            raise InputError("does nothing without --checkpoint", flag="--whole")
