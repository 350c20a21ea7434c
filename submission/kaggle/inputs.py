"""What is attached to a Kaggle notebook, in any folder: the competition's files, and bundles by their manifests."""

from dataclasses import dataclass, field
from pathlib import Path

from submission.manifest import MANIFEST, Manifest, read_manifest
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json
from trm_arc.data.kaggle_files import explain_choice, find_files, rank_file
from trm_arc.data.sources import kaggle_input

TEST, EVALUATION = "arc-agi_test_challenges.json", "arc-agi_evaluation_challenges.json"


@dataclass(frozen=True)
class Bundle:
    """A bundle that is attached.

    Attributes:
        folder: where.
        manifest: what it contains, see `read_manifest`.
    """

    folder: Path
    manifest: Manifest

    @property
    def checkpoints(self) -> list[Path]:
        """Its checkpoints."""
        return [self.folder / path for path in self.manifest.paths]

    @property
    def slim(self) -> list[Path]:
        """Those of them that training cannot continue from."""
        return [self.folder / entry["path"] for entry in self.manifest.checkpoints if not entry.get("whole")]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a notebook, in a folder of Kaggle's."""

    root: Path = field(default_factory=kaggle_input)

    def find_files(self, name: str) -> list[Path]:
        """Every file of a name, for any layout of the inputs; a file that is linked twice is listed once."""
        return find_files(self.root, name)

    def find_bundles(self) -> list[Bundle]:
        """Every bundle that is attached and has a valid manifest."""
        return [bundle for bundle in self._read_manifests() if isinstance(bundle, Bundle)]

    def find_unreadable(self) -> list[InputError]:
        """What is wrong with the manifests that cannot be read and lie beside a wheel of the kit; other manifests are ignored."""
        return [error for error in self._read_manifests() if isinstance(error, InputError)]

    def _read_manifests(self) -> list[Bundle | InputError]:
        found: list[Bundle | InputError] = []
        for path in self.find_files(MANIFEST):
            try:
                found.append(Bundle(path.parent, read_manifest(path.parent)))
            except InputError as error:  # many data sets have a file of this name
                found += [error] if any(path.parent.glob("trm_arc-*.whl")) else []
        return found

    def find_test(self) -> Path:
        """The competition's test file, see `choose_test`."""
        return self.choose_test()[0]

    def choose_test(self) -> tuple[Path, str]:
        """The competition's test file, and why it is that one, as a sentence.

        Of several, the one that lies where the competition does; if that does not tell them apart, the one with the most tasks,
        as the hidden tasks are more than the public ones; then the newest.

        Raises:
            InputError: no competition is attached.
        """
        bundles = [bundle.folder for bundle in self.find_bundles()]
        found = [path for path in self.find_files(TEST) if not any(folder in path.parents for folder in bundles)]
        if not found:
            advice = "add the competition to the notebook's inputs, or name the file with --challenges"
            raise InputError(f"no {TEST} below it; {advice}", file=self.root)
        best = max(rank_file(path, self.root) for path in found)
        equals = [path for path in found if rank_file(path, self.root) == best]
        chosen = max(equals, key=lambda path: (_count_tasks(path), path.stat().st_mtime_ns))
        others = [path for path in found if path != chosen]
        if len(equals) > 1:
            where = shorten([str(path) for path in equals if path != chosen])
            return chosen, f"WARNING: nothing shows whether it or {where} is the competition's; name one with --challenges"
        why = explain_choice(chosen, others, self.root)
        return chosen, why + (f", unlike {shorten([str(path) for path in others])}" if others else "")


def _count_tasks(path: Path) -> int:
    """How many tasks a file has; 0 if it cannot be read."""
    try:
        value = read_json(path)
    except InputError:
        return 0
    return len(value) if isinstance(value, dict) else 0
