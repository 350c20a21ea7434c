"""Paths as a user writes them, in flags, variables and settings."""

import os
from pathlib import Path

from trm_arc.common.errors import InputError

NO_PATH = "a path is needed, but nothing is given; the current folder is ."


def user_path(path: str | Path) -> Path:
    """A path with `~` or `~user` at its start replaced; a shell does not do it after a comma, an equals sign or a quote.

    Raises:
        InputError: nothing is given, or it begins with `~/`, and this user has no home.
    """
    if path == "":  # as of a variable that is not set; pathlib takes it for the current folder
        raise InputError(NO_PATH)
    whole = os.path.expanduser(path)
    if os.fspath(whole).split(os.sep)[0] == "~":
        raise InputError("this user has no home folder; write the path without ~", file=path)
    return Path(whole)


def path_variable(name: str) -> Path | None:
    """The path in a variable of the environment; None where it is not set, or empty."""
    value = os.environ.get(name)
    return user_path(value) if value else None
