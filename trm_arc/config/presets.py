"""Presets and recipes: settings in TOML files, of the package or of the user's own.

    extends = "arc1"                   # the preset whose values these change; without it the defaults
    help = "two blocks more"           # a line for `--help`

    [model]                            # tables are the sections of the settings
    layers = 4                         # why

A recipe changes the settings that a model was trained with, whatever they are, so it extends nothing.
"""

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError, did_you_mean
from trm_arc.common.files import require_regular, write_atomic
from trm_arc.common.paths import user_path
from trm_arc.common.records import load_record
from trm_arc.config.old_names import with_new_names
from trm_arc.config.settings import SECTIONS, Config, settings

DEFAULT_PRESET = "arc1"
SETTINGS_FILE = "settings.toml"  # a run's own settings, in its folder
_FOLDER, _ENDING = Path(__file__).parent, ".toml"
# The order in `--help`; what is not named here follows.
_ORDER = (
    *"arc1 arc2 trm trm-mlp single-z multi-z hrm direct arc1-fast arc1-loop arc1-parallel arc1-equilibrium".split(),
    *"sudoku-mlp sudoku-attention maze sudoku-fast sudoku-parallel maze-fast sudoku-small maze-small demo".split(),
    *"own nvarc trelis".split(),
)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A preset or recipe as it is written."""

    extends: str = ""
    help: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)

    def values(self, path: Path) -> dict[str, Any]:
        """Its settings by name, of all sections."""
        found: dict[str, Any] = {}
        for section in SECTIONS:
            values = with_new_names(getattr(self, section), path)
            _check_names(values, section, path)
            found |= values
        return found


def load_preset(name_or_path: str | Path) -> Config:
    """The settings of a preset, by its name or by the path of a file, which ends in .toml.

    Raises:
        InputError: no such preset, or its file is invalid; the file and the setting are named.
    """
    return _load(_find(str(name_or_path)), ())


def write_preset(path: Path, config: Config, help_text: str) -> None:
    """Write all settings as a file that `load_preset` takes back exactly, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    values = config.values()
    lines = [f"help = {_format(help_text)}"]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        lines += [f"{one.name} = {_format(values[one.name])}" for one in settings() if one.section == section]
    try:
        data = "".join(f"{line}\n" for line in lines).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"cannot be written: {error.object[error.start :]!r} is not UTF-8 text", file=path) from None
    write_atomic(path, data)


def _format(value: str | bool | int | float) -> str:
    """A value in TOML, which equals JSON for all types of settings, except for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _load(path: Path, children: Sequence[Path]) -> Config:
    """The settings of a file, on top of those that it extends; `children` are the files that extend it."""
    file = _PRESETS.get(path) or _read(path)
    if path.resolve() in children:
        names = (one.stem for one in (*children[children.index(path.resolve()) :], path))
        raise InputError(f"circular: {' extends '.join(names)}", file=path, place="extends")
    base = Config()
    if file.extends:
        base = _load(_find(file.extends, path), (*children, path.resolve()))
    try:
        return base.override(file.values(path))
    except InputError as error:
        if error.file is not None:
            raise
        raise InputError(error.problem, file=path, place=error.flag or "") from None


def _read(path: Path) -> _File:
    require_regular(path)
    try:
        value = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deeply
        raise InputError(f"not TOML ({error})", file=path) from None
    return load_record(_File, value, path)


def _check_names(names: Iterable[str], section: str, path: Path) -> None:
    """Refuse what is not a setting of this section."""
    sections = {setting.name: setting.section for setting in settings()}
    for name in names:
        if name not in sections:
            raise InputError(f"{name} is not a setting{did_you_mean(name, sections)}", file=path, place=section)
        if sections[name] != section:
            raise InputError(f"{name} belongs in [{sections[name]}]", file=path, place=section)


def _find(name: str, child: Path | None = None) -> Path:
    """The file of a preset, by its name or path; `child` is the file that extends it, to which the path is relative."""
    if name.endswith(_ENDING):
        return child.parent / user_path(name) if child else user_path(name)
    known = {path.stem: path for path in _PRESETS}
    if name not in known:
        advice = did_you_mean(name, _PUBLIC) or f"; there are {', '.join(_PUBLIC)}, or a file's path that ends in {_ENDING}"
        problem = f"{name} is not a preset{advice}"
        raise InputError(problem, file=child, place="extends") if child else InputError(problem, flag="--preset")
    return known[name]


def _order(path: Path) -> tuple[int, str]:
    return _ORDER.index(path.stem) if path.stem in _ORDER else len(_ORDER), path.stem


def _read_all(folder: str) -> dict[Path, _File]:
    return {path: _read(path) for path in sorted((_FOLDER / folder).glob(f"*{_ENDING}"), key=_order)}


# The package's own files.  Those whose names start with _ can only be extended.
_PRESETS, _RECIPES = _read_all("presets"), _read_all("recipes")
_PUBLIC = {path.stem: path for path in _PRESETS if not path.stem.startswith("_")}
PRESETS: dict[str, Config] = {name: _load(path, ()) for name, path in _PUBLIC.items()}
PRESET_HELP: dict[str, str] = {name: _PRESETS[path].help for name, path in _PUBLIC.items()}
RECIPES: dict[str, dict[str, Any]] = {path.stem: file.values(path) for path, file in _RECIPES.items()}
RECIPE_HELP: dict[str, str] = {path.stem: file.help for path, file in _RECIPES.items()}
