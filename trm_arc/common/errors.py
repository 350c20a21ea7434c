"""The errors that a user's mistake raises: a clear sentence, shown without a traceback, exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral
from pathlib import Path

from trm_arc.common.text import format_value, printable


class InputError(ValueError):
    """Wrong user input: the message says what is wrong, where, and what to do.

    Args:
        problem: the sentence, without its place.
        flag: the flag of the command line, or the setting, that is wrong; put before the sentence.
        file: the file or folder that is wrong; put before the sentence.
        task: the id of the task that is wrong.
        place: where in the task, as "test pair 1, input, row 2".
    """

    def __init__(
        self, problem: str, *, flag: str | None = None, file: Path | str | None = None, task: str | None = None, place: str = ""
    ) -> None:
        self.problem, self.flag, self.task, self.place = problem, flag, task, place
        self.file = Path(file) if file else None
        inside = ", ".join(filter(None, (f"task {task}" if task is not None else "", place)))
        before = (flag, str(file or ""), inside)
        super().__init__(": ".join([*filter(None, before), problem]))

    def of_flag(self, flag: str) -> "InputError":
        """The same error, of the flag that gave what is wrong, unless it names one already."""
        if self.flag is None:
            self.flag, self.args = flag, (f"{flag}: {self}",)
        return self

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, as from a command, and no traceback."""
        return [f"{type(self).__name__}: {printable(str(self))}"]


class NotFoundError(InputError):
    """A set that has a name is in none of the places where it may be."""


class OwnError(InputError):
    """An error that only one of several processes has met, so that this process has to print it."""


class LostProcessError(OwnError):
    """Another process of the run has ended, so that this one has to."""


def require_least(name: str, value: int | None, least: int = 1, bits: int = 31) -> None:
    """Raise InputError unless the value of a flag is at least `least`, and fits the integers of arrays.

    Args:
        name: of the value, as a variable or as the flag.
        value: that was given; None where the flag was left out.
        bits: of a valid value at most.
    """
    flag = "--" + name.removeprefix("--").replace("_", "-")
    if value is not None and not isinstance(value, Integral):
        raise InputError(f"must be a whole number, got {format_value(value)}", flag=flag)
    if value is not None and value < least:
        raise InputError(f"at least {least} is needed, got {value}", flag=flag)
    if value is not None and value >= 2**bits:
        raise InputError(f"must be below 2**{bits}, got {printable(str(value), 40)}", flag=flag)


def did_you_mean(name: str, known: Iterable[str], count: int = 1) -> str:
    """The end of a sentence on an unknown name: the nearest known ones, or nothing if none is near."""
    near = get_close_matches(name, list(known), count)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def shorten(names: list[str], limit: int = 5) -> str:
    """The first few names, control characters escaped, and how many more there are."""
    listed = ", ".join(map(printable, names[:limit]))
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
