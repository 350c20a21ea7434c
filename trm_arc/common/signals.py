"""Signals that ask a program to stop."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REPEATS = 3.0  # seconds: schedulers send a signal more than once


def may_catch() -> bool:
    """Whether this thread may handle signals, which Python gives to the main thread alone."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def stop_signals(repeats: float = REPEATS) -> Iterator[list[float]]:
    """Collect SIGINT and SIGTERM, as the moments of their arrival, so that a step in progress is completed; a second one
    that does not just repeat the first interrupts at once.  None are collected in a thread that is not the main one.

    Args:
        repeats: seconds within which further signals repeat the first.
    """
    received: list[float] = []

    def remember(_number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if received and now - received[0] > repeats:
            raise KeyboardInterrupt
        received.append(now)

    numbers = (signal.SIGINT, signal.SIGTERM) if may_catch() else ()
    previous = {number: signal.signal(number, remember) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
