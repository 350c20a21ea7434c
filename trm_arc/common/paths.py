"""Paths as a user writes them, in flags, variables and settings."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from trm_arc.common.errors import InputError
from trm_arc.common.text import printable

_LONGEST = 4095  # bytes of a path, on Linux
NO_PATH = "a path is needed, but nothing is given; the current folder is ."


def user_path(path: str | Path) -> Path:
    """A path with `~` or `~user` at its start replaced; a shell does not do it after a comma, an equals sign or a quote.

    Raises:
        InputError: nothing is given, or no path, or it begins with `~/`, and this user has no home.
    """
    if not isinstance(path, str | os.PathLike):  # as a program may give
        raise InputError(f"a path is needed, got {type(path).__name__}")
    if path == "":  # as of a variable that is not set; pathlib takes it for the current folder
        raise InputError(NO_PATH)
    whole = os.path.expanduser(path)
    if os.fspath(whole).split(os.sep)[0] == "~":
        raise InputError("this user has no home folder; write the path without ~", file=path)
    return Path(whole)


def optional_path(path: str | Path | None) -> Path | None:
    """The same, where none may be given."""
    return None if path is None else user_path(path)


def path_variable(name: str) -> Path | None:
    """The path in a variable of the environment; None where it is not set, or empty."""
    value = os.environ.get(name)
    return user_path(value) if value else None


def parse_path(text: str) -> Path:
    """A path on a command line, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is empty, or longer than systems take.
    """
    if not text:
        raise argparse.ArgumentTypeError(NO_PATH)
    if len(os.fsencode(text)) > _LONGEST:
        raise argparse.ArgumentTypeError(f"no path has more than {_LONGEST} bytes, got {printable(text, 80)}")
    return Path(text)


def refuse_unreadable(arguments: Iterable[str]) -> None:
    """Raise InputError for what argparse misreads, and for paths that no file of a run can hold."""
    last = None
    for argument in arguments:
        flag, equals, value = argument.partition("=") if argument.startswith("--") else (last, "", argument)
        if equals and value == "--":
            raise InputError("a value is needed, got --", flag=flag)
        try:
            argument.encode()
        except UnicodeEncodeError:
            problem = f"{printable(value or argument, 200)} is not UTF-8 text; give the file or folder another name"
            raise InputError(problem, flag=printable(flag or "", 40) or None) from None
        last = flag
