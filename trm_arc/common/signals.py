"""Signals that ask a program to stop."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REPEATS = 3.0  # seconds: schedulers send a signal more than once


@contextmanager
def stop_signals(repeats: float = REPEATS) -> Iterator[list[float]]:
    """Collect SIGINT and SIGTERM, as the moments of their arrival, so that a step in progress is completed; a second one
    that does not just repeat the first interrupts at once.

    Args:
        repeats: seconds within which further signals repeat the first.
    """
    received: list[float] = []

    def remember(_number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if received and now - received[0] > repeats:
            raise KeyboardInterrupt
        received.append(now)

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
