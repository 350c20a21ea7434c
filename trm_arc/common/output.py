"""What commands print can be shown by every terminal: no control characters out of files, no character that it lacks."""

import codecs
import sys
from typing import Any, TextIO

from trm_arc.common.text import printable

# What is printed where the stream's encoding lacks a character: of the same width, so that boards stay in line.
LOOKALIKES = {"─": "-", "│": "|", "█": "#", "·": ".", "…": "~"} | dict.fromkeys("┌┬┐├┼┤└┴┘", "+")
_ERRORS = "trm_arc.lookalikes"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(LOOKALIKES.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing), error.end


codecs.register_error(_ERRORS, _replace)


class EscapingStream:
    """A stream for people: escapes every control character but the end of a line, and the return that begins a progress bar."""

    def __init__(self, stream: TextIO) -> None:
        self.unescaped = stream

    def write(self, text: str) -> int:
        """Write text; see the class."""
        start = "\r" if text.startswith("\r") else ""
        return self.unescaped.write(start + "\n".join(map(printable, text[len(start) :].split("\n"))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unescaped, name)


def make_output_printable() -> None:
    """From here on, whatever this program prints can be shown; see `EscapingStream`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, EscapingStream):  # closed, or done already
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)
        setattr(sys, name, EscapingStream(stream))


def print_styled(text: str, *, flush: bool = False) -> None:
    """Print text that has colours in it, such as a drawing; whatever of it comes from a file is escaped already."""
    print(text, file=getattr(sys.stdout, "unescaped", sys.stdout), flush=flush)
