"""The folder to upload as a Kaggle data set: the kit's wheel, checkpoints, task data, and a manifest by which damage is found.

BUNDLE/
    trm_arc-0.1.0-py3-none-any.whl
    models/1-arc1/checkpoint-00518880/     what predicting and adapting need; --whole: all of it
    data/arc-prize-2024/                   task sets, laid out as a data folder
    manifest.json                          every file with its size and hash; versions; what the checkpoints are
    dataset-metadata.json                  for Kaggle's client, which does not upload it
"""

import configparser
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch

import trm_arc
from augment import COLOURS
from submission.reading import tasks_to_json
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.data.sources import SOURCE_NAMES, kaggle_place, listed, load_tasks
from trm_arc.model.checkpoint import Checkpoint, save_checkpoint
from trm_arc.model.export import load_newest
from trm_arc.training.adaptation import require_arc

FORMAT, VERSION = "trm_arc bundle", 1
MANIFEST, METADATA = "manifest.json", "dataset-metadata.json"
MODELS, DATA = "models", "data"
LICENCE = "apache-2.0"  # as Kaggle spells it
PLACEHOLDER = "INSERT_USER_HERE"
UPLOAD = "kaggle datasets create -p {} --dir-mode zip"  # without a mode, Kaggle's client leaves folders out
_PACKAGES = ("torch", "numpy", "numba", "safetensors")
_BUILDER = 77  # of setuptools: the oldest that reads our setup.cfg


@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What goes into a bundle.

    Attributes:
        out: the folder to make.
        checkpoint: checkpoints or runs.
        data: task sets, by name or path.
        id: USER/SLUG on Kaggle; None for a placeholder.
        title: of the data set.
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
    whole: bool = False
    overwrite: bool = False
    data_folder: Path | None = None

    def __post_init__(self) -> None:
        if not 6 <= len(self.title) <= 50:
            raise InputError(f"6 to 50 characters are needed, got {len(self.title)}", flag="--title")
        if self.id is not None and not re.fullmatch(r"[\w-]+/[A-Za-z0-9-]{3,50}", self.id):
            problem = f"USER/SLUG is needed, the slug of 3 to 50 letters, digits and hyphens; got {self.id}"
            raise InputError(problem, flag="--id")
        if self.whole and not self.checkpoint:
            raise InputError("does nothing without --checkpoint", flag="--whole")


def bundle(options: BundleOptions, make_wheel: Callable[[Path], str] | None = None) -> int:
    """Make the folder to upload as a Kaggle data set: wheel, checkpoints, task data, manifest.

    Args:
        make_wheel: puts the kit's wheel into a folder and returns its name; `build_wheel` if None.
    """
    out = options.out
    require_arc(options.checkpoint)
    _refuse_folder(out, overwrite=options.overwrite)
    temporary = out.absolute().with_name(f".writing-{out.absolute().name}-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        numbered = enumerate(options.checkpoint, 1)
        checkpoints = [_add_checkpoint(path, temporary, number, whole=options.whole) for number, path in numbered]
        data = [_add_tasks(source, temporary / DATA, options.data_folder) for source in options.data]
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "kit": trm_arc.__version__,
            "versions": {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
            "wheel": (make_wheel or build_wheel)(temporary),
            "checkpoints": checkpoints,
            "data": data,
        }
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        manifest["files"] = {path.relative_to(temporary).as_posix(): _fingerprint(path) for path in files}
        write_atomic(temporary / MANIFEST, to_json(manifest, pretty=True))
        metadata = {"title": options.title, "id": options.id or f"{PLACEHOLDER}/trm-arc", "licenses": [{"name": LICENCE}]}
        write_atomic(temporary / METADATA, to_json(metadata, pretty=True))
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        raise InputError(
            f"the bundle cannot be written ({error.strerror}); free space, or name another --out", file=out
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    first = "" if options.id else f"replace {PLACEHOLDER} by your Kaggle name in {out / METADATA}, then "
    print(f"wrote {out}: {size / 1e6:,.1f} MB in {len(manifest['files'])} files; next: {first}{UPLOAD.format(out)}")
    return 0


def verify(folder: Path) -> int:
    """Compare every file of a bundle with its manifest; exit code 1 if one is damaged or missing."""
    manifest = read_manifest(folder)
    faults = find_damage(folder, manifest)
    for fault in faults:
        print(f"{folder}: {fault}")
    files = manifest["files"]
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    unknown = [name for name in found if name not in files and name not in (MANIFEST, METADATA)]
    if unknown:
        print(f"note: not in the manifest: {shorten(sorted(unknown))}")
    if faults:
        print(f"{len(faults)} of {len(files)} files damaged: make or upload the bundle again")
        return 1
    print(f"{folder}: all {len(files)} files are intact, as written by trm_arc {manifest['kit']}")
    return 0


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        InputError: there is none, or it is not a bundle's.
    """
    manifest = read_json(folder / MANIFEST)
    kinds = {"version": int, "kit": str, "wheel": str, "checkpoints": list, "files": dict}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError("not the manifest of a bundle of trm_arc", file=folder / MANIFEST)
    invalid = [name for name, kind in kinds.items() if not isinstance(manifest.get(name), kind)]
    if not invalid:
        places = [entry.get("path") if isinstance(entry, dict) else None for entry in manifest["checkpoints"]]
        invalid = [str(place) for place in [*places, *manifest["files"]] if not _lies_inside(place)]
        invalid += [name for name, entry in manifest["files"].items() if not isinstance(entry, dict)]
    if invalid or manifest["version"] != VERSION:
        what = shorten(invalid) if invalid else "version"
        raise InputError(f"damaged, or of another version of trm_arc ({what})", file=folder / MANIFEST)
    return manifest


def _lies_inside(place: object) -> bool:
    """Whether a manifest's path stays below the bundle."""
    return isinstance(place, str) and not PurePosixPath(place).is_absolute() and ".." not in PurePosixPath(place).parts


def find_damage(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """What is missing from a bundle or differs from its manifest (see `read_manifest`), one sentence for each file."""
    faults = []
    for name, expected in manifest["files"].items():
        path = folder / name
        try:
            found = _fingerprint(path)
        except OSError as error:
            faults.append(f"{name}: {'missing' if not path.exists() else f'cannot be read ({error.strerror})'}")
            continue
        if found["bytes"] != expected.get("bytes"):
            faults.append(f"{name}: {found['bytes']} bytes, not {expected.get('bytes')}")
        elif found != expected:
            faults.append(f"{name}: damaged; its size is right, its bytes are not")
    return faults


def slim(checkpoint: Checkpoint) -> Checkpoint:
    """What predicting and adapting to unseen tasks need of a checkpoint: the averaged weights, the mean task embedding, and which
    answers were trained on.  The embeddings of its own tasks, the optimizers' states and the active samples are left out."""
    weights = {f"model.{name}": tensor for name, tensor in checkpoint.reasoner().state_dict().items()}
    mean = checkpoint.mean_embedding()
    tensors = weights | {
        "embedding.table": mean[None].clone(),
        "mean": mean,
        "plan.table": torch.tensor([[0, *range(COLOURS)]], dtype=torch.uint8),
        "plan.starts": torch.tensor([0, 1]),
        "counts": checkpoint.tensors["counts"],
        "trained": checkpoint.tensors["trained"],
    }
    tasks = [(f"(mean of the embeddings of {len(checkpoint.tasks)} tasks)", "")]
    metadata = replace(checkpoint.metadata, active_samples=())
    training = checkpoint.config.training
    data = ",".join(Path(name).name for name in listed(training.data))  # the folders of this machine have no meaning elsewhere
    config = checkpoint.config.override({"data": data, "evaluation_data": Path(training.evaluation_data).name})
    return Checkpoint(config, checkpoint.step, tasks, tensors, metadata, checkpoint.where)


def build_wheel(folder: Path) -> str:
    """Build the wheel of the kit out of the source tree that it was imported from.

    Args:
        folder: where to put it.

    Returns:
        The wheel's name.

    Raises:
        InputError: there is no source tree, or it cannot be built.
    """
    tree = Path(trm_arc.__file__).parents[1]
    settings = configparser.ConfigParser()
    settings.read(tree / "setup.cfg", encoding="utf-8")
    if not settings.has_section("options.packages.find"):
        raise InputError("not a source tree of trm_arc, which is needed to build the wheel; run this in a clone", file=tree)
    with tempfile.TemporaryDirectory(prefix="trm_arc-") as name:  # a copy: building leaves files of its own in the tree
        source = Path(name) / "source"
        for pattern in settings["options.packages.find"]["include"].split():
            package = pattern.rstrip("*")
            shutil.copytree(tree / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(tree / file, source)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation"] if _has_builder() else []  # else pip fetches one
        done = subprocess.run([*command, "--wheel-dir", name, str(source)], capture_output=True, text=True, check=False)
        built = sorted(Path(name).glob("*.whl"))
        if done.returncode or not built:
            words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            why = words[-1] if words else "pip said nothing"
            raise InputError(f"the wheel cannot be built: {why}; `pip install pip 'setuptools>={_BUILDER}'` may help")
        shutil.move(built[0], folder / built[0].name)
    return built[0].name


def _has_builder() -> bool:
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= _BUILDER
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return False


def _refuse_folder(out: Path, *, overwrite: bool) -> None:
    """Check that a bundle may be written in place of what is there."""
    if not out.exists():
        return
    ours = out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file())
    if not ours:
        raise InputError("exists and is not a bundle, so it is not replaced; name another --out", file=out)
    if not overwrite:
        raise InputError("exists already; replace it with --overwrite, or name another --out", file=out)


def _add_checkpoint(path: Path, folder: Path, number: int, *, whole: bool) -> dict[str, Any]:
    """Write a checkpoint into a bundle; what the manifest says of it."""
    checkpoint = load_newest(path)
    run = Path(checkpoint.where).absolute().parent.name
    name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{number}-{run}")
    target = save_checkpoint(folder / MODELS / name, checkpoint if whole else slim(checkpoint), 1)
    model = repr(checkpoint.reasoner()).splitlines()
    return {
        "path": target.relative_to(folder).as_posix(),
        "step": checkpoint.step,
        "whole": whole,
        "model": model[0].removeprefix("Reasoner: "),
        "unlike_trm": model[-1].split(maxsplit=2)[-1],
        "trained_hashes": len(checkpoint.tensors["trained"]),
    }


def _add_tasks(source: str, folder: Path, data_folder: Path | None) -> str:
    """Write a task set into a bundle's data folder, where its name, or else its path, finds it again."""
    tasks = load_tasks(source, data_folder)
    stem = Path(source).name.removesuffix(".json").removesuffix("_challenges")
    place = kaggle_place(source) if source in SOURCE_NAMES else Path(f"{stem}_challenges.json")
    target = folder / place
    if target.exists():
        raise InputError(f"--data {source}: two sets would be called {place}; give one of them another name")
    write_atomic(target, to_json(tasks_to_json(tasks)))
    if tasks.has_solutions:
        solutions = {task.id: [pair.output for pair in task.test] for task in tasks}
        write_atomic(target.with_name(target.name.replace("_challenges", "_solutions")), to_json(solutions))
    return source if source in SOURCE_NAMES else place.name


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
