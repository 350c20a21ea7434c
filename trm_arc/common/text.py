"""Text for a terminal: printable, of its width, in colour if it supports colours."""

import json
import os
import reprlib
import shutil
import sys
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; one that is closed is none."""
    return stream is not None and stream.isatty()


def wants_colour(stream: TextIO | None = None) -> bool:
    """Whether to colour: FORCE_COLOR and NO_COLOR decide, else whether `stream` (None: the standard output) is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (is_terminal(stream or sys.stdout) and os.environ.get("TERM") != "dumb")


def terminal_width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def printable(text: str, limit: int | None = None) -> str:
    """Text in one line, with control characters and lone surrogates escaped; a task id or a folder's name may hold any.

    Args:
        limit: of characters; a longer text is cut in the middle.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if limit is None or len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


def format_value(value: object) -> str:
    """A value of a file for a message: in one line, at most 40 characters; text, truth and nothing as in JSON."""
    try:
        is_plain = isinstance(value, str | bool | None)
        text = json.dumps(value, ensure_ascii=False) if is_plain else reprlib.repr(value)  # short, as it may be vast
    except ValueError:  # more digits than Python writes
        text = "a huge number"
    return printable(text, 40)


def first_words(error: Exception) -> str:
    """The beginning of an error's text, as its first paragraph says what happened."""
    return printable(" ".join(str(error).split("\n\n")[0].split()) or type(error).__name__, 120)
