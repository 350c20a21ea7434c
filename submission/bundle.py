"""The folder to upload as a Kaggle data set: the kit's wheel, checkpoints, task data, and a manifest by which damage is found.

BUNDLE/
    trm_arc-0.1.0-py3-none-any.whl
    models/1-arc1/checkpoint-00518880/     what predicting and adapting need; --whole: all of it
    data/arc-prize-2024/                   task sets, laid out as a data folder
    manifest.json                          every file with its size and hash; versions; what the checkpoints are
    dataset-metadata.json                  for `kaggle datasets create`, which does not upload it
    kaggle_submission.ipynb                the notebook that answers; without checkpoints, kaggle_pretrain.ipynb
    kernel-metadata.json                   for `kaggle kernels push`: the notebook's inputs and machine
"""

import configparser
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trm_arc
from submission.bundle_options import DATA, BundleOptions
from submission.manifest import (
    EDITABLE,
    FORMAT,
    KERNEL,
    MANIFEST,
    METADATA,
    NOTEBOOKS,
    VERSION,
    Manifest,
    fingerprint,
    read_manifest,
)
from trm_arc.common.durations import format_size
from trm_arc.common.errors import InputError
from trm_arc.common.files import to_json, write_atomic
from trm_arc.common.folders import new_folder, require_replaceable
from trm_arc.data.sources import SOURCE_NAMES, kaggle_place, load_tasks
from trm_arc.data.task_files import tasks_to_json
from trm_arc.model.checkpoint import save_checkpoint
from trm_arc.model.export import load_newest
from trm_arc.model.sharing import slim
from trm_arc.training.adaptation import require_arc

MODELS = "models"
LICENCE = "apache-2.0"  # as Kaggle spells it
PLACEHOLDER = "INSERT_USER_HERE"
# Without a mode, Kaggle's client leaves folders out.  The second command saves and runs the notebook.
UPLOAD = "`kaggle datasets create -p {0} --dir-mode zip`; when Kaggle has unpacked it, `kaggle kernels push -p {0}`"
_PACKAGES = ("torch", "numpy", "numba", "safetensors")
_BUILDER = 77  # of setuptools: the oldest that reads our setup.cfg


def bundle(options: BundleOptions, make_wheel: Callable[[Path], str] | None = None) -> int:
    """Make the folder to upload as a Kaggle data set: wheel, checkpoints, task data, manifest.

    Args:
        make_wheel: puts the kit's wheel into a folder and returns its name; `build_wheel` if None.
    """
    out = options.out
    require_arc(options.checkpoint)
    _refuse_folder(out, overwrite=options.overwrite)
    try:
        manifest = _fill(options, make_wheel or build_wheel)
    except OSError as error:
        raise InputError(
            f"the bundle cannot be written ({error.strerror}); free space, or name another --out", file=out
        ) from None
    size = sum(entry.bytes for entry in manifest.files.values())
    first = "" if options.id else f"replace {PLACEHOLDER} by your Kaggle name in {out / METADATA} and {out / KERNEL}, then "
    upload = UPLOAD.format(shlex.quote(str(out)))
    print(f"wrote {out}: {format_size(size)} in {len(manifest.files)} files; next: {first}{upload}")
    return 0


def _fill(options: BundleOptions, make_wheel: Callable[[Path], str]) -> Manifest:
    """Write a bundle whole or not at all; its manifest."""
    with new_folder(Path(os.path.realpath(options.out))) as temporary:
        numbered = enumerate(options.checkpoint, 1)
        checkpoints = [_add_checkpoint(path, temporary, number, whole=options.whole) for number, path in numbered]
        data = [_add_tasks(source, temporary / DATA, options.data_folder) for source in options.data]
        wheel = make_wheel(temporary)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            kit=trm_arc.__version__,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
            wheel=wheel,
            checkpoints=checkpoints,
            data=data,
            files={path.relative_to(temporary).as_posix(): fingerprint(path) for path in files},
        )
        write_atomic(temporary / MANIFEST, to_json(manifest, pretty=True))
        data_set = options.id or f"{PLACEHOLDER}/trm-arc"
        metadata = {"title": options.title, "id": data_set, "licenses": [{"name": LICENCE}]}
        write_atomic(temporary / METADATA, to_json(metadata, pretty=True))
        _add_notebook(temporary, data_set, options)
        _refuse_folder(options.out, overwrite=options.overwrite)  # again: building took a while
    return manifest


def _add_notebook(folder: Path, data_set: str, options: BundleOptions) -> None:
    """Write the notebook that answers, or where there are no checkpoints the one that trains, and what Kaggle needs to run it."""
    name, title = NOTEBOOKS[0 if options.checkpoint else 1], f"trm arc {'submission' if options.checkpoint else 'pretraining'}"
    write_atomic(folder / name, (source_tree() / "notebooks" / name).read_bytes())
    metadata = {
        "id": f"{data_set.split('/')[0]}/{title.replace(' ', '-')}",  # as Kaggle derives it from the title
        "title": title,
        "code_file": name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": options.machine,
        "dataset_sources": [data_set],
        "competition_sources": [options.competition],
        "kernel_sources": [],
        "model_sources": [],
    }
    write_atomic(folder / KERNEL, to_json(metadata, pretty=True))


def source_tree() -> Path:
    """The folder of the source tree that the kit was imported from.

    Raises:
        InputError: it was not imported from one.
    """
    tree = Path(trm_arc.__file__).parents[1]
    if not (tree / "setup.cfg").is_file() or not (tree / "notebooks" / NOTEBOOKS[0]).is_file():
        raise InputError("not a source tree of trm_arc, which is needed to build the wheel; run this in a clone", file=tree)
    return tree


def build_wheel(folder: Path) -> str:
    """Build the wheel of the kit out of the source tree that it was imported from.

    Returns:
        The wheel's name.

    Raises:
        InputError: there is no source tree, or it cannot be built.
    """
    tree = source_tree()
    settings = configparser.ConfigParser()
    settings.read(tree / "setup.cfg", encoding="utf-8")
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
            why = words[-1] if words else "pip printed no message"
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
    unlisted = "which its manifest does not list"
    require_replaceable(out, "a bundle", lambda: {MANIFEST, *EDITABLE, *read_manifest(out).files}, unlisted, overwrite=overwrite)


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
