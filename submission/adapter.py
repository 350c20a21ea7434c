"""`trm_arc.adapt` as a part of a session: it ends with the session, for whatever reason that ends.

The session holds the other end of the standard input, and never writes: the system closes it for one that was killed.
"""

import os
import runpy
import threading


def end_with_session() -> None:
    """Wait for the end of the standard input, then end this program at once, as its result is no longer needed."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_session, daemon=True).start()
    runpy.run_module("trm_arc.adapt", run_name="__main__")
