"""The manifest of a bundle: every file with its size and hash; what is damaged, missing, or not listed."""

import hashlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json
from trm_arc.common.text import printable

FORMAT, VERSION = "trm_arc bundle", 1
MANIFEST, METADATA, KERNEL = "manifest.json", "dataset-metadata.json", "kernel-metadata.json"
NOTEBOOKS = ("kaggle_submission.ipynb", "kaggle_pretrain.ipynb")  # which Kaggle's client pushes where there are models, or none
EDITABLE = (METADATA, KERNEL, *NOTEBOOKS)  # for Kaggle's client, and for you to change: the manifest does not list them
_LARGEST = 10**7  # bytes; a file takes 150
_KINDS = {"version": int, "kit": str, "wheel": str, "checkpoints": list, "files": dict}


def verify(folder: Path) -> int:
    """Compare a bundle with its manifest; exit code 1 if a file is damaged, missing, or not listed."""
    manifest = read_manifest(folder)
    faults = find_damage(folder, manifest)
    for fault in faults:
        print(f"{printable(str(folder))}: {fault}")
    if faults:
        print(f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}: make or upload the bundle again")
        return 1
    kit = printable(manifest["kit"])
    print(f"{printable(str(folder))}: all {len(manifest['files'])} files are intact, as written by trm_arc {kit}")
    return 0


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        InputError: there is none, it is not a bundle's, or it does not list the wheel and files of every checkpoint.
    """
    path = folder / MANIFEST
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError("not a regular file", file=path)
    if os.path.exists(path) and os.path.getsize(path) > _LARGEST:  # of another data set, whose reading would cost minutes
        raise InputError(f"larger than {_LARGEST // 10**6} MB, so not the manifest of a bundle of trm_arc", file=path)
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("not the manifest of a bundle of trm_arc", file=path)
    invalid = [name for name, kind in _KINDS.items() if type(manifest.get(name)) is not kind]
    if not invalid and manifest["version"] != VERSION:
        invalid = ["version"]
    invalid = invalid or _find_invalid(manifest)
    if invalid:
        raise InputError(f"damaged, or of another version of trm_arc ({printable(shorten(invalid), 300)})", file=path)
    return manifest


def _find_invalid(manifest: dict[str, Any]) -> list[str]:
    """The entries of a manifest that cannot be right; its fields have the right types."""
    files, wheel = manifest["files"], manifest["wheel"]
    invalid = [f"file {name}" for name, entry in files.items() if not (_lies_inside(name) and _is_fingerprint(entry))]
    if wheel not in files or "/" in wheel or not wheel.endswith(".whl"):
        invalid.append(f"wheel {wheel}: no entry of that name among the files")
    for entry in manifest["checkpoints"]:
        path = entry.get("path") if isinstance(entry, dict) else None
        if not _lies_inside(path) or not any(name.startswith(f"{path}/") for name in files):
            invalid.append(f"checkpoint {path or entry}: none of its files is listed")
    if not isinstance(manifest.get("made", ""), str):
        invalid.append("made")
    return invalid


def _lies_inside(name: object) -> bool:
    """Whether a manifest's path names something below the bundle, in one way only."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and str(path) == name and not path.is_absolute() and ".." not in path.parts


def _is_fingerprint(entry: object) -> bool:
    if not isinstance(entry, dict) or type(entry.get("bytes")) is not int:
        return False
    return re.fullmatch("[0-9a-f]{64}", str(entry.get("sha256"))) is not None


def find_damage(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """What differs between a bundle and its manifest (see `read_manifest`), one sentence for each file.

    A file that is not listed is a fault too, and so is everything that is no regular file; only listed files are opened.
    """
    files = manifest["files"]
    found, strange = _list_files(folder, files)
    faults = [f"{printable(name)}: {problem}" for name, problem in sorted(strange.items())]
    for name in [name for name in files if name not in strange]:
        problem = _compare(folder / name, files[name]) if name in found else "missing"
        faults += [f"{printable(name)}: {problem}"] if problem else []
    unlisted = sorted(found - {*files, MANIFEST, *EDITABLE})
    return faults + [f"{printable(name)}: not in the manifest; remove it" for name in unlisted]


def _list_files(folder: Path, listed: dict[str, Any]) -> tuple[set[str], dict[str, str]]:
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


def _compare(path: Path, expected: dict[str, Any]) -> str:
    """What is wrong with a regular file; nothing if it is as it was."""
    try:
        found = fingerprint(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found["bytes"] != expected["bytes"]:
        return f"{found['bytes']} bytes, not {expected['bytes']}"
    return "" if found["sha256"] == expected["sha256"] else "damaged; its size is right, its bytes are not"


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and hash of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
