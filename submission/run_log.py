"""What a submission's run did and when: printed as it happens, and kept in a JSON file beside the submission."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import format_duration
from trm_arc.common.files import to_json, write_atomic
from trm_arc.common.text import printable


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line, on standard output if `stream` is None; one that is closed or full does not stop the run."""
    with suppress(OSError, ValueError):  # of a stream that `trm_arc.common.streams` does not guard
        print(line, file=stream or sys.stdout, flush=True)


class RunLog:
    """Prints what a run does, line by line, and keeps it in a JSON file; a file that cannot be written does not stop the run."""

    def __init__(self, path: Path, deadline: Deadline, *, shown: bool = True) -> None:
        self.path, self.deadline, self.shown, self._saved = path, deadline, shown, True
        self.content: dict[str, Any] = {"time_limit": deadline.limit, "plans": [], "events": [], "result": {}}

    def info(self, what: str) -> None:
        """Print and keep a sentence on what happened."""
        self._add(what, {}, "", sys.stdout)

    def warn(self, what: str) -> None:
        """Print and keep a sentence on what went wrong."""
        self._add(what, {"wrong": True}, "WARNING: ", sys.stderr)

    def plan(self, what: str, **numbers: float) -> None:
        """Print and keep how the time that is left will be spent."""
        self.content["plans"].append({"seconds": round(self.deadline.spent, 2), **{n: round(v, 6) for n, v in numbers.items()}})
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

    def _add(self, what: str, more: dict[str, bool], mark: str, stream: TextIO | None) -> None:
        spent, what = self.deadline.spent, printable(what)
        self.content["events"].append({"seconds": round(spent, 2), "what": what, **more})
        if self.shown or mark:
            say(f"[{format_duration(spent):>12}] {mark}{what}", stream)
        self.save()
