"""The checkpoints on a disk: where they are, and what their headers say; without their tensors, and without torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json
from trm_arc.common.launch import command_line
from trm_arc.common.modes import STEP
from trm_arc.config import Config
from trm_arc.config.old_names import HEADER
from trm_arc.data.domains import Domain, domain_by_name
from trm_arc.data.domains.arc import ARC

FILES = "checkpoint.json", "tensors.safetensors"  # of a checkpoint, see trm_arc.model.checkpoint
EXPORT = Path("export") / "export.json"  # of a run, see trm_arc.model.export
_NAME = re.compile(r"checkpoint-(\d{8})")


def checkpoint_name(step: int) -> str:
    """What the folder of a step's checkpoint is called."""
    return f"checkpoint-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name) and path.is_dir())


def pool_checkpoints(paths: Sequence[Path], count: int) -> list[Path]:
    """The checkpoints that vote together: the newest `count` of each run, and those that are named themselves."""
    return [one for path in paths for one in (list_checkpoints(path)[::-1][:count] or [path])]


def newest_checkpoint(runs: Path, domain: Domain | None = None) -> Path:
    """The checkpoint saved last, of all runs below `runs`.

    Args:
        domain: the kind of puzzle that it answers; None: any.

    Raises:
        InputError: there is none.
    """
    found = [path for folder in [runs, *runs.glob("*")] for path in list_checkpoints(folder)]
    found.sort(
        key=lambda path: ((path / FILES[0]).stat().st_mtime_ns if (path / FILES[0]).exists() else 0, path.name), reverse=True
    )
    newest = next((path for path in found if domain is None or may_answer(path, domain)), None)
    if newest is None:
        train = command_line("python -m trm_arc.train")
        raise InputError(f"no checkpoint here; train one with `{train}`, or name one with --checkpoint", file=runs)
    return newest


def may_answer(path: Path, domain: Domain) -> bool:
    """Whether a checkpoint, or the newest of a run, answers a kind of puzzle; one that cannot be read is taken to answer any."""
    try:
        header = _peek(path)
        config = header.get("config")
        model = config.get("model") if isinstance(config, dict) else None
        return answers(_domain_of(header), model.get("mixer") if isinstance(model, dict) else None, domain)
    except InputError:
        return True


def answers(trained: Domain, mixer: str | None, domain: Domain) -> bool:
    """Whether a network that was trained on one kind of puzzle answers another: one of its own kind, and of any size where
    cells meet in a convolution alone, as then nothing in it belongs to a position."""
    return domain is trained or (mixer == "convolution" and domain.shares_rules(trained))


def _peek(path: Path) -> dict[str, Any]:
    """The header of a checkpoint, or of the newest of a run; empty if it is none."""
    there = list_checkpoints(path)
    header = read_json((there[-1] if there else path) / FILES[0])
    return rename_fields(header) if isinstance(header, dict) else {}


def _domain_of(header: dict[str, Any]) -> Domain:
    return domain_by_name(str(header.get("domain") or ARC.name))


def run_of(path: Path) -> Path:
    """The folder of the run that a checkpoint belongs to; for any other path, the path itself."""
    return path.parent if path.name.startswith("checkpoint-") else path


def read_step(path: Path) -> int | None:
    """The step of a checkpoint, or of the newest of a run, without its tensors; None if it cannot be read."""
    try:
        step = _peek(path).get("step")
    except InputError:
        return None
    return step if type(step) is int else None


def read_config(path: Path) -> Config:
    """The settings of a checkpoint, or of the newest of a run, without its tensors."""
    return Config.from_dict(_peek(path).get("config") or {}, str(path))


def domain_of_checkpoint(path: Path) -> Domain:
    """The kind of puzzle that a checkpoint, or the newest of a run, answers, without its tensors."""
    return _domain_of(_peek(path))


def read_task_ids(path: Path) -> set[str]:
    """The ids of the tasks whose embeddings a checkpoint, or the newest of a run, has; none if it cannot be read."""
    try:
        tasks = _peek(path).get("tasks")
    except InputError:
        return set()
    listed = [task[0] for task in tasks if isinstance(task, list) and task] if isinstance(tasks, list) else []
    return {name for name in listed if isinstance(name, str)}


def rename_fields(header: dict[str, Any]) -> dict[str, Any]:
    """A header under the current names."""
    if header.get("compiled") is True:  # of the first checkpoints, which compiled whole steps or nothing
        header = {"compile_mode": STEP} | header
    return {HEADER.get(name, name): value for name, value in header.items() if name != "compiled"}
