"""What is attached to a Kaggle notebook, in any folder.

Kaggle lays inputs out in several ways (`competitions/SLUG/`, `SLUG/`, `datasets/USER/SLUG/`, ...), so files are searched for by
name, and bundles by their manifests.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submission.manifest import MANIFEST, read_manifest
from trm_arc.common.errors import InputError
from trm_arc.data.sources import KAGGLE_INPUT

TEST, EVALUATION = "arc-agi_test_challenges.json", "arc-agi_evaluation_challenges.json"
DEEPEST = 6  # folders below Kaggle's inputs; our files are less deep, and other data sets may be large


@dataclass(frozen=True)
class Bundle:
    """A bundle that is attached.

    Attributes:
        folder: where.
        manifest: what it contains, see `read_manifest`.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def checkpoints(self) -> list[Path]:
        """Its checkpoints."""
        return [self.folder / entry["path"] for entry in self.manifest["checkpoints"]]

    @property
    def slim(self) -> list[Path]:
        """Those of them that training cannot continue from."""
        return [self.folder / entry["path"] for entry in self.manifest["checkpoints"] if not entry.get("whole")]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a notebook, in a folder of Kaggle's."""

    root: Path = KAGGLE_INPUT

    def find_files(self, name: str) -> list[Path]:
        """Every file of a name, for any layout of the inputs; a file that is linked twice is listed once."""
        found, seen = [], set()
        for folder, folders, files in os.walk(self.root, followlinks=True):
            folders.sort()
            real = os.path.realpath(folder)
            if real in seen or len(Path(folder).relative_to(self.root).parts) >= DEEPEST:
                folders.clear()
            if name in files and real not in seen:
                found.append(Path(folder) / name)
            seen.add(real)
        return found

    def find_bundles(self) -> list[Bundle]:
        """Every bundle that is attached; other manifests are ignored."""
        found = []
        for path in self.find_files(MANIFEST):
            try:
                found.append(Bundle(path.parent, read_manifest(path.parent)))
            except InputError:
                continue  # many data sets have a file of this name
        return found

    def find_test(self) -> Path:
        """The competition's test file; of several, the latest year's.

        Raises:
            InputError: no competition is attached.
        """
        bundles = [bundle.folder for bundle in self.find_bundles()]
        found = [path for path in self.find_files(TEST) if not any(folder in path.parents for folder in bundles)]
        if not found:
            raise InputError(f"no {TEST} below it; add the competition to the notebook's inputs", file=self.root)
        return max(found, key=lambda path: ("competitions" in path.parts, path.parent.name))
