"""The time limit of a program, counted from its start: made once, and passed down."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import psutil

_IMPORTED = time.monotonic()
_LONGEST = 60  # seconds that a program may take to import itself


def program_start() -> float:
    """When this program started, by `time.monotonic`: its imports count towards its time limit.

    The system's start time is used unless it is implausible, as in some sandboxes; then it is when this module was imported.
    """
    started = time.monotonic() - (time.time() - psutil.Process().create_time())
    return started if _IMPORTED - _LONGEST < started <= _IMPORTED else _IMPORTED


@dataclass(frozen=True)
class Deadline:
    """When a program must have finished.

    Attributes:
        limit: seconds from the start; None: no limit.
        start: time by the clock.
        clock: gives seconds; tests use another one than `time.monotonic`, so that no result depends on the machine's load.
    """

    limit: float | None = None
    start: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = field(default=lambda: time.monotonic(), repr=False, compare=False)

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.start

    @property
    def left(self) -> float:
        """Seconds until the end; infinity if there is no limit."""
        return float("inf") if self.limit is None else self.limit - self.spent

    @property
    def has_passed(self) -> bool:
        """Whether the time is up."""
        return self.left <= 0

    def earlier(self, seconds: float) -> "Deadline":
        """A deadline that much before this one, to keep time for what comes after."""
        return self if self.limit is None else replace(self, limit=self.limit - seconds)
