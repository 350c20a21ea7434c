"""Names that changed: files and command lines with the old names keep working.

Settings of a checkpoint or of a preset's file take their new names when they are read; a renamed flag prints its new name, once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.launch import SUBMIT

SETTINGS: dict[str, str] = {
    "thoughts": "latent_steps",
    "window": "canvas",
    "lanes": "bucket_sides",
    "transform_slots": "transform_tokens",
}  # old name: new name
TENSORS = {"symmetry_slot": "symmetry_token", "palette_slots": "palette_tokens"}  # weights of a network
HEADER = {"family": "domain", "fused": "compile_mode", "rows_in_flight": "active_samples"}  # of a checkpoint
RESULTS = {"steps_of_thought": "supervision_steps"}  # of an evaluation, beside those of settings
VALUES: dict[str, dict[str, str]] = {
    "canvas": {"lanes": "buckets"}
}  # new name of a setting or another flag: its old values, with the new ones
# Flags that are not settings: old name: new name, and the commands that had the old one.
FLAGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "forming": ("trace", ("report",)),
    "steps": ("answer_steps", ("evaluate", "solve", "sweep", "kaggle", *SUBMIT)),
    "count": ("puzzles", ("generate",)),
}


def with_new_names(settings: Mapping[str, Any], file: Path | str) -> dict[str, Any]:
    """Settings read from a file, under their current names and values.

    Raises:
        InputError: a setting is given under its old and its new name.
    """
    renewed: dict[str, Any] = {}
    for old, value in settings.items():
        name = SETTINGS.get(old, old)
        if name in renewed or (name != old and name in settings):
            raise InputError(f"{old} is now called {name}, and both are given; keep one of them", file=file)
        values = VALUES.get(name, {})
        renewed[name] = values.get(value, value) if isinstance(value, str) else value
    return renewed


def new_flag(flag: str, command: str) -> str | None:
    """The current name of a command's flag that was renamed, with its dashes; None if it was not."""
    flags = {old: new for old, (new, commands) in FLAGS.items() if command in commands}
    names = {old.replace("_", "-"): new.replace("_", "-") for old, new in {**flags, **SETTINGS}.items()}
    for dashes in ("--no-", "--"):
        if flag.startswith(dashes) and (new := names.get(flag.removeprefix(dashes))):
            return f"{dashes}{new}"
    return None


def new_value(flag: str, value: str) -> str | None:
    """The current name of a flag's value that was renamed; None if it was not."""
    return VALUES.get(flag.removeprefix("--").replace("-", "_"), {}).get(value)
