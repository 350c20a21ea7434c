"""What a machine does not give to a program: memory, threads, open files, libraries.  Each is one sentence, and no traceback.

Libraries are loaded before a command begins, so an error of loading them reaches no handler but `sys.excepthook`.
"""

import _thread
import errno
import os
import re
import sys
from contextlib import suppress
from types import TracebackType

from trm_arc.common.launch import command_line
from trm_arc.common.text import printable

OWN = ("augment", "submission", "trm_arc")
FAILED, STOPPED = 2, 130  # exit codes
_NO_THREAD = "can't start new thread"  # Python's own words, of a RuntimeError
_TOO_LITTLE = b"error: not enough memory\n"  # made while there is some
_LIBRARY = re.compile(r"\S+\.(?:so[\d.]*|dylib|dll): .*|.*(?:shared object|dynamic link|DLL).*", re.IGNORECASE)


def explain(error: BaseException, *, loading: bool = False) -> str | None:
    """What this machine lacks and what to do, if that is what an error says; None if it says something else.

    Args:
        error: that ends a program.
        loading: whether the program was still loading its libraries, which no flag makes smaller.
    """
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        less = "end other programs" if loading else "lower --batch-size, --width, --views or --augmentations"
        return f"not enough memory{' to load the libraries' if loading else ''}; {less}{_address_space()}"
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many open files; raise their limit (`ulimit -n`)"
    interrupted = isinstance(error, KeyboardInterrupt) and not _starts_threads()  # as OpenBLAS does where it can start none
    if interrupted or (isinstance(error, RuntimeError) and _NO_THREAD in str(error)) or _is_fork_refused(error):
        return "no more threads or processes can be started; end other programs, or raise their limit (`ulimit -u`)"
    if isinstance(error, ModuleNotFoundError):
        return _explain_missing(error.name or "")
    found = isinstance(error, ImportError | OSError) and _LIBRARY.search(str(error))
    if found:
        again = _address_space() or "; install it again, or what it needs"
        return f"a library cannot be loaded ({printable(found[0].removeprefix('Original error was: '), 120)}){again}"
    return None


def _is_fork_refused(error: BaseException) -> bool:
    return isinstance(error, BlockingIOError) and error.filename is None


def _starts_threads() -> bool:
    try:
        _thread.start_new_thread(int, ())
    except RuntimeError:
        return False
    return True


def _explain_missing(name: str) -> str | None:
    """That a package is not installed; None for a module of the kit, which is a bug."""
    if not name or name.split(".")[0] in OWN:
        return None
    if any(argument.endswith("doctor") for argument in sys.orig_argv[1:4]):  # it lacks itself what all need
        return f"{name} is not installed; install trm_arc again, with all that it needs"
    doctor = command_line("python -m trm_arc.doctor")
    return f"{name} is not installed; `{doctor}` says what is missing and how to get it"


def _address_space() -> str:
    """The end of a sentence where this program's address space is limited; else nothing."""
    with suppress(ImportError):  # systems that have no such limits
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            return f"; its address space is limited to {limit / 1e6:,.0f} MB: raise that (`ulimit -v`)"
    return ""


def explain_loading() -> None:
    """From here on, an error of loading libraries that `explain` knows ends this program with its sentence."""
    sys.excepthook = _end
    sys.unraisablehook = _report_unraisable


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    if not isinstance(unraisable.exc_value, MemoryError):  # of which the program says a sentence at its end
        sys.__unraisablehook__(unraisable)


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    try:
        words = explain(error, loading=True)
    except MemoryError:
        os.write(2, _TOO_LITTLE)
        os._exit(FAILED)
    if words is not None:
        leave(f"error: {words}", FAILED)
    if issubclass(kind, KeyboardInterrupt):
        leave("stopped", STOPPED)
    sys.__excepthook__(kind, error, trace)


def leave(words: str, code: int) -> None:
    """Print the last words of a program and end it at once, if `explain_loading` was called: what libraries do at a regular end
    may fail, too, with words of their own.
    """
    if sys.excepthook is not _end:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed
                stream.flush()
        with suppress(OSError):
            os.write(2, f"{words}\n".encode(errors="backslashreplace"))
    except MemoryError:
        os.write(2, _TOO_LITTLE)
    finally:
        os._exit(code)
