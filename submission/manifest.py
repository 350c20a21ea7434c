"""The manifest of a bundle: every file with its size and hash; what is damaged, missing, or not listed."""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json
from trm_arc.common.records import load_record
from trm_arc.common.text import printable

FORMAT, VERSION = "trm_arc bundle", 1
MANIFEST, METADATA, KERNEL = "manifest.json", "dataset-metadata.json", "kernel-metadata.json"
NOTEBOOKS = ("kaggle_submission.ipynb", "kaggle_pretrain.ipynb")  # which Kaggle's client pushes where there are models, or none
EDITABLE = (METADATA, KERNEL, *NOTEBOOKS)  # for Kaggle's client, and for you to change: the manifest does not list them
_LARGEST = 10**7  # bytes; a file takes 150


@dataclass(frozen=True)
class Fingerprint:
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if re.fullmatch("[0-9a-f]{64}", self.sha256) is None:
            raise ValueError("sha256 must be 64 hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a bundle contains.

    Attributes:
        kit: version of trm_arc.
        made: when, in ISO form; empty in the first version's.
        versions: of Python and the packages.
        wheel: the kit's, one of the files.
        checkpoints: of each the key path, below which some of the files are, and what it is.
        data: the names of the sets.
        files: by their paths below the folder.

    Raises:
        ValueError: a path leads out of the folder, or is not among the files.
    """

    format: Literal["trm_arc bundle"]
    version: Literal[1]
    kit: str
    made: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    wheel: str
    checkpoints: list[dict[str, Any]]
    data: list[str] = field(default_factory=list)
    files: dict[str, Fingerprint]

    def __post_init__(self) -> None:
        invalid = [f"file {name}" for name in self.files if not _lies_inside(name)]
        if self.wheel not in self.files or "/" in self.wheel or not self.wheel.endswith(".whl"):
            invalid.append(f"wheel {self.wheel}: no entry of that name among the files")
        empty = [path for path in self.paths if not any(name.startswith(f"{path}/") for name in self.files)]
        invalid += [f"checkpoint {path}: none of its files is listed" for path in empty]
        if invalid:
            raise ValueError(shorten(invalid))

    @property
    def paths(self) -> list[str]:
        """The paths of the checkpoints."""
        return [str(checkpoint.get("path")) for checkpoint in self.checkpoints]


def verify(folder: Path) -> int:
    """Compare a bundle with its manifest; exit code 1 if a file is damaged, missing, or not listed."""
    manifest = read_manifest(folder)
    faults = find_damage(folder, manifest)
    for fault in faults:
        print(f"{printable(str(folder))}: {fault}")
    if faults:
        print(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}: make or upload the bundle again")
        return 1
    kit = printable(manifest.kit)
    print(f"{printable(str(folder))}: all {len(manifest.files)} files are intact, as written by trm_arc {kit}")
    return 0


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle.

    Raises:
        InputError: there is none, it is not a bundle's, or it does not list the wheel and files of every checkpoint.
    """
    path = folder / MANIFEST
    if os.path.exists(path):
        if not os.path.isfile(path):
            raise InputError("not a regular file", file=path)
        if os.path.getsize(path) > _LARGEST:  # of another data set, whose reading would cost minutes
            raise InputError(f"larger than {_LARGEST // 10**6} MB, so not the manifest of a bundle of trm_arc", file=path)
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError("not the manifest of a bundle of trm_arc", file=path)
    try:
        return load_record(Manifest, document, "")
    except InputError as error:
        raise InputError(f"damaged, or of another version of trm_arc ({printable(str(error), 300)})", file=path) from None


def _lies_inside(name: str) -> bool:
    """Whether a manifest's path names something below the bundle, in one way only."""
    path = PurePosixPath(name)
    return "\0" not in name and bool(path.parts) and str(path) == name and not path.is_absolute() and ".." not in path.parts


def find_damage(folder: Path, manifest: Manifest) -> list[str]:
    """What differs between a bundle and its manifest (see `read_manifest`), one sentence for each file.

    A file that is not listed is a fault too, and so is everything that is no regular file; only listed files are opened.
    """
    files = manifest.files
    found, strange = _list_files(folder, files)
    faults = [f"{printable(name)}: {problem}" for name, problem in sorted(strange.items())]
    for name in [name for name in files if name not in strange]:
        problem = _compare(folder / name, files[name]) if name in found else "missing"
        faults += [f"{printable(name)}: {problem}"] if problem else []
    unlisted = sorted(found - {*files, MANIFEST, *EDITABLE})
    return faults + [f"{printable(name)}: not in the manifest; remove it" for name in unlisted]


def _list_files(folder: Path, listed: Iterable[str]) -> tuple[set[str], dict[str, str]]:
    """The regular files below a folder, and what is wrong with everything else there, by their names in a manifest.

    Links are not followed, and folders without any listed file are not entered.
    """
    parents = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
    found, strange, folders = set(), {}, [""]
    while folders:
        inside = folders.pop()
        try:
            entries = list(os.scandir(folder / inside))
        except OSError as error:
            strange[inside] = f"cannot be listed ({error.strerror})"
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}".removeprefix("/")
            if entry.is_symlink():
                strange[name] = "a symbolic link; a bundle holds files alone"
            elif entry.is_dir(follow_symlinks=False):
                if name in parents:
                    folders.append(name)
                else:
                    strange[name] = "a folder that the manifest does not list; remove it"
            elif entry.is_file(follow_symlinks=False):
                found.add(name)
            else:
                strange[name] = "not a regular file; remove it"
    return found, strange


def _compare(path: Path, expected: Fingerprint) -> str:
    """What is wrong with a regular file; nothing if it is as it was."""
    try:
        found = fingerprint(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found.bytes != expected.bytes:
        return f"{found.bytes} bytes, not {expected.bytes}"
    return "" if found == expected else "damaged; its size is right, its bytes are not"


def fingerprint(path: Path) -> Fingerprint:
    """Size and hash of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Fingerprint(path.stat().st_size, digest)
