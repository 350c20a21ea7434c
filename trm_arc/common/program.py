"""A command as a program: errors as one sentence, exit codes, output that can be shown."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from trm_arc.common.errors import InputError, LostProcessError, OwnError
from trm_arc.common.failures import FAILED, STOPPED, explain, leave
from trm_arc.common.launch import is_first_process
from trm_arc.common.output import make_output_printable
from trm_arc.common.streams import guard_streams, report_lost_output, require_printed
from trm_arc.common.text import first_words, printable


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command and exit with its code; for wrong user input, print one sentence and exit with 2.

    What cannot be printed is lost, and does not end the command; see `require_printed` for those whose result is printed.
    """
    guard_streams()
    make_output_printable()
    try:
        code, several = _call(main)
        if several:  # everything is saved; threads of the group may abort a normal exit
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    except InputError as error:
        # A wrong input is wrong for all processes of a machine, so only the first one prints it.
        if is_first_process() or isinstance(error, OwnError):
            print(f"{_prefix()}error: {printable(str(error))}", file=sys.stderr)
        code = 1 if isinstance(error, LostProcessError) else 2
    except BrokenPipeError:  # the reader of a result, such as `head`, has closed it
        code = 141
    except (Exception, KeyboardInterrupt) as error:
        words = _explain(error)
        if words is None and not isinstance(error, KeyboardInterrupt):
            raise  # a bug, which needs its traceback
        words, code = ("stopped", STOPPED) if words is None else (f"{_prefix()}error: {words}", FAILED)
        leave(words, code)
        print(words, file=sys.stderr)
    sys.exit(code)


def _call(main: Callable[[Sequence[str]], int]) -> tuple[int, bool]:
    """The exit code of a command, whose failure the other processes of its run learn of, and whether there are others."""
    try:
        _require_folder()
        try:
            code = main(sys.argv[1:])
        except SystemExit:  # the help is printed
            require_printed()
            raise
        report_lost_output()
        return code, _leave_process_group()
    except Exception as error:
        if distributed := sys.modules.get("trm_arc.common.distributed"):
            distributed.share_failure(error)
        raise


def _require_folder() -> None:
    """Raise InputError where the current folder is gone: libraries end a program there with other reasons."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the current folder has been removed; change to another one") from None


def _leave_process_group() -> bool:
    """Leave the group, see `trm_arc.common.distributed`; a program that has not imported it is in none."""
    distributed = sys.modules.get("trm_arc.common.distributed")
    return distributed is not None and distributed.leave_process_group()


def _explain(error: BaseException) -> str | None:
    """One sentence for an error whose cause is this machine; None for a bug."""
    device = sys.modules.get("trm_arc.common.device")  # which every program imports that uses torch
    words = explain(error)
    if words is None and isinstance(error, RuntimeError) and device is not None and device.is_out_of_memory(error):
        return f"not enough memory ({first_words(error)}); lower --batch-size or --width"
    if words is None and isinstance(error, OSError) and error.filename is not None:  # such as a folder that may not be searched
        return f"{printable(str(error.filename), 200)}: cannot be accessed ({error.strerror})"
    return words


def _prefix() -> str:
    """Which process prints, if it is not the first."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"process {rank}: "
