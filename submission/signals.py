"""What a session does with signals: the first ask it to stop, and at its end none may interrupt it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from trm_arc.common.signals import may_catch, stop_signals


@contextmanager
def stop_or_hang_up() -> Iterator[list[float]]:
    """`stop_signals`, and the closing of the terminal as one more of them, unless `nohup` has that ignored."""
    with stop_signals() as stopping:
        before = signal.getsignal(signal.SIGHUP)
        if before is signal.SIG_DFL and may_catch():
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        try:
            yield stopping
        finally:
            if may_catch():
                signal.signal(signal.SIGHUP, before)


def ignore_signals() -> None:
    """Ignore from now on all signals that `stop_or_hang_up` handles."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if may_catch() else ():
        signal.signal(number, signal.SIG_IGN)
