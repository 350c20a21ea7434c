"""What commands print can be shown by every terminal: no control characters out of files, no character that it lacks."""

import codecs
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import Any, TextIO

from trm_arc.common.files import to_json
from trm_arc.common.launch import is_first_process
from trm_arc.common.streams import require_printed
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


def say(line: str) -> None:
    """Print a note on standard error, once where there are several processes."""
    if is_first_process():
        print(line, file=sys.stderr)


def words_aside(wanted: bool) -> AbstractContextManager:
    """Within it, what people read goes to standard error, if the standard output is wanted for a program; see `print_json`."""
    return redirect_stdout(sys.stderr) if wanted else nullcontext()


def print_json(document: object, code: int = 0) -> int:
    """Print the result of a command for another program; its exit code.

    Raises:
        BrokenPipeError, InputError: see `require_printed`.
    """
    print(to_json(document, pretty=True).decode(), end="")
    return require_printed(code)
