"""The errors that a user's mistake raises: a clear sentence, shown without a traceback, exit code 2."""

from pathlib import Path

from trm_arc.common.text import printable


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


class OwnError(InputError):
    """An error that only one of several processes has met, so that this process has to print it."""


def require_least(name: str, value: int | None, least: int = 1) -> None:
    """Raise InputError unless the value of a flag is at least `least`.

    Args:
        name: of the value, as a variable or as the flag.
        value: that was given; None where the flag was left out.
        least: the smallest valid value.
    """
    if value is not None and value < least:
        flag = "--" + name.removeprefix("--").replace("_", "-")
        raise InputError(f"at least {least} is needed, got {value}", flag=flag)


def shorten(names: list[str], limit: int = 5) -> str:
    """The first few names, control characters escaped, and how many more there are."""
    listed = ", ".join(map(printable, names[:limit]))
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
