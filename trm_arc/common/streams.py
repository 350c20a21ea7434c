"""The standard streams of a command: words that cannot be printed do not end it, a result that cannot be printed does.

A stream may be closed (`2>&-`), a pipe without a reader (`| head -1`), or a file on a full disk.
"""

import errno
import io
import os
import re
import select
import sys
import warnings
from typing import TextIO

from tqdm.std import tqdm

from trm_arc.common.errors import InputError
from trm_arc.common.text import is_terminal


class _Output(io.FileIO):
    """A standard stream as a file that keeps its first error instead of raising it."""

    error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        """Write what can be written; the rest is lost."""
        try:
            while (written := super().write(data)) is None:  # full for now, and others have set it to return at once
                select.select([], [self], [])
            return written
        except OSError as error:
            self.error = self.error or error
            return len(data)


def guard_streams() -> None:
    """Replace the standard streams by ones that never raise.  A stream that a program has replaced already stays."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: without this, the next file that is opened would receive what is written to this stream
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is getattr(sys, f"__{name}__"):
            setattr(sys, name, _guard(getattr(sys, name)))


def _guard(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # for as long as the program runs
    lines = stream.line_buffering or stream.write_through
    output = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(output, stream.encoding, stream.errors, line_buffering=lines)


def printing_error() -> OSError | None:
    """Why some of the standard output was lost; None if all of it was printed so far.  Only of a stream that is guarded."""
    sys.stdout.flush()
    output = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return output.error if isinstance(output, _Output) else None


def require_printed(code: int = 0) -> int:
    """The exit code of a command whose result is what it printed.

    Raises:
        BrokenPipeError: nobody reads the standard output any more.
        InputError: it cannot be written.
    """
    error = printing_error()
    if isinstance(error, BrokenPipeError):
        raise error
    if error is not None:
        raise InputError(f"the result cannot be printed ({error.strerror}); free space, or print it elsewhere")
    return code


def report_lost_output() -> None:
    """Say on standard error that some of the standard output could not be written, unless its reader wanted no more."""
    error = printing_error()
    if error is not None and error.errno != errno.EPIPE:
        print(f"note: some lines could not be printed ({error.strerror}); files are not affected", file=sys.stderr)


def make_progress_bar(
    total: int,
    unit: str,
    *,
    initial: int = 0,
    label: str | None = None,
    shape: str | None = None,
    shown: bool = True,
    leave: bool = True,
    line: int = 0,
) -> tqdm:
    """A progress bar: in a notebook a widget, elsewhere on standard error; drawn rarely where that is no terminal, and not at
    all where it is closed.

    Args:
        shape: what to draw, in the language of tqdm; None: as tqdm does.
        leave: whether the bar stays at its end.
        line: of the terminal, counted from the first bar's.
    """
    kind = _choose_bar()
    if kind is not tqdm and shape is not None:
        shape = re.sub(r"\{bar:\d+\}", "{bar}", shape)  # the widget puts its bar there, but only in place of one without a width
    return kind(
        total=total,
        unit=unit,
        initial=initial,
        desc=label,
        bar_format=shape,
        leave=leave,
        position=line or None,
        mininterval=0.5 if is_terminal(sys.stderr) or kind is not tqdm else 20,
        dynamic_ncols=True,
        disable=not shown or sys.stderr is None,
    )


def _choose_bar() -> type[tqdm]:
    """The widget of a notebook that has ipywidgets, else the bar of a terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no widgets, of which a notebook has no need
        from tqdm.autonotebook import tqdm as chosen  # `tqdm.auto` without its use of asyncio
    return chosen
