"""A module as a program of a session, which it does not outlive: python -m submission.child MODULE [flags]

The session holds the other end of this program's standard input, and the system closes it for a session that was killed.
"""

import ctypes
import os
import runpy
import select
import signal
import sys
import threading
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # of prctl(2), which Linux alone has


def end_with_session() -> None:
    """End this program at once when the session ends, whatever it is doing then: its result is no longer needed."""
    with suppress(OSError, AttributeError):  # also kills a program that is stopped, and runs no thread
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with, args=(os.dup(0),), daemon=True).start()


def _end_with(tie: int) -> None:
    """Wait until the other end of a pipe or socket is closed; nothing is read from it."""
    hung_up = select.poll()
    hung_up.register(tie, 0)
    hung_up.poll()
    os._exit(1)


def main() -> None:
    """Run the module that the command line names, before whose imports the session is watched."""
    end_with_session()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
