"""What a submission's run did and when: printed as it happens, and kept in a JSON file beside the submission."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from trm_arc.common.deadline import program_start
from trm_arc.common.durations import parse_duration, seconds_until, show_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import to_json, write_atomic
from trm_arc.common.text import printable


class Clock:
    """The time that a run has, from the start of its program.

    Args:
        limit: seconds in all; None for no end.
    """

    def __init__(self, limit: float | None) -> None:
        self.began = program_start()
        self.limit = limit

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return float("inf") if self.limit is None else self.limit - self.spent


def find_limit(time_limit: str | None, deadline: str | None) -> float | None:
    """Seconds that a run has, from the start of its program.

    Args:
        time_limit: a duration, as 11h30m.
        deadline: a time of day, as 17:45 (today, or else tomorrow), or a date and time in ISO form.

    Raises:
        InputError: neither a time, nor one that is still to come; or both were given.
    """
    if time_limit and deadline:
        raise InputError("--time-limit and --deadline: give one of them")
    if not deadline:
        return parse_duration(time_limit) if time_limit else None
    return seconds_until(deadline) + time.monotonic() - program_start()


def say(line: str, screen: TextIO | None = None) -> None:
    """Print a line; a screen that has gone, is full or lacks a letter is no reason to stop.

    Args:
        line: what to print.
        screen: where; standard output if None.
    """
    screen = screen or sys.stdout
    with suppress(OSError, ValueError):  # a reader that has seen enough, a full disk, a closed file
        try:
            print(line, file=screen, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "backslashreplace").decode(), file=screen, flush=True)


def leave_screen() -> None:
    """Give up what the screens would not take: else Python complains of it at its end, and ends with an exit code of its own."""
    for screen in (sys.stdout, sys.stderr):
        if screen is not None:
            try:
                screen.flush()
            except (OSError, ValueError):
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), screen.fileno())


class RunLog:
    """Prints what a run does, line by line, and keeps it in a JSON file; a file that cannot be written does not stop the run."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path, self.clock, self._saved = path, clock, True
        self.content: dict[str, Any] = {"time_limit": clock.limit, "plans": [], "events": [], "result": {}}

    def info(self, what: str) -> None:
        """Print and keep a sentence on what happened."""
        self._add(what, {}, "", sys.stdout)

    def warn(self, what: str) -> None:
        """Print and keep a sentence on what went wrong."""
        self._add(what, {"wrong": True}, "WARNING: ", sys.stderr)

    def plan(self, what: str, **numbers: float) -> None:
        """Print and keep how the time that is left will be spent.

        Args:
            what: a sentence.
            numbers: what the plan follows from.
        """
        self.content["plans"].append({"seconds": round(self.clock.spent, 2), **{n: round(v, 6) for n, v in numbers.items()}})
        self.info(f"plan: {what}")

    def save(self) -> None:
        """Write the file; one warning if that fails, until it succeeds again."""
        saved = self._saved
        try:
            write_atomic(self.path, to_json(self.content, pretty=True))
            self._saved = True
        except (OSError, ValueError, TypeError) as error:  # the last two are orjson's, too
            self._saved = False
            if saved:
                self.warn(f"the run's log is only printed for now: {error}")

    def _add(self, what: str, more: dict[str, bool], mark: str, screen: TextIO | None) -> None:
        spent, what = self.clock.spent, printable(what)
        self.content["events"].append({"seconds": round(spent, 2), "what": what, **more})
        say(f"[{show_duration(spent):>12}] {mark}{what}", screen)
        self.save()
