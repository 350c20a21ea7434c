"""How this program was started: as which command, and with which other processes; a launcher says so, and people do by hand."""

import os
import re
import sys

from trm_arc.common.errors import InputError, OwnError
from trm_arc.common.text import printable

PROGRAMS = ("trm-arc", "python -m trm_arc")  # that have all commands, as they are typed
SUBMIT = "predict", "submit"  # the one command that has another name there
ADVICE = "unset it, or start the processes with `accelerate launch`"

# Variables that libraries read as a number of threads, or of processes that compile.  What is no such number ends some of them
# by a traceback of their own, and is passed over by others; far too many threads are started without a question.
THREADS = (
    *("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("NUMBA_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"),
)
MOST_THREADS = 4096


def check_threads() -> None:
    """Raise InputError for a number of threads in the environment that is none; `2,1` is one for each level of OpenMP."""
    for name in THREADS:
        value = os.environ.get(name, "").strip()
        numbers = value.split(",") if name == "OMP_NUM_THREADS" else [value]
        if value and not all(re.fullmatch(r" *[0-9]{1,9} *", one) and 1 <= int(one) <= MOST_THREADS for one in numbers):
            problem = f"a number of threads from 1 to {MOST_THREADS} is needed, got {printable(value, 40)!r}; correct or unset it"
            raise InputError(problem, flag=name)


def command_line(command: str) -> str:
    """How to start a command of the kit in the way in which this program was started, for help and messages.

    Args:
        command: `python -m trm_arc.train`, or `python -m submission check`; anything else is returned as it is.

    Returns:
        The same, or `trm-arc train` where the user typed such a command.
    """
    found = re.fullmatch(r"python -m (?:trm_arc\.|submission )(\w+)", command)
    if found is None or sys.argv[:1] not in ([program] for program in PROGRAMS):
        return command
    return f"{sys.argv[0]} {SUBMIT[1] if found[1] == SUBMIT[0] else found[1]}"


def is_first_process() -> bool:
    """Whether this process speaks for those of its machine; one that is alone does, whatever a shell says of its rank."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("LOCAL_RANK", "0") == "0"


def launch_number(name: str, default: int) -> int:
    """A whole number in the environment; `default` where it is not set.

    Raises:
        OwnError: something else is there.
    """
    value = os.environ.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise OwnError(f"a whole number is needed, got {printable(value, 40)!r}; {ADVICE}", flag=name)
    return int(value)


def count_processes() -> int:
    """How many processes were launched together.

    Raises:
        OwnError: there are several, and what they need to find one another is missing, or cannot be.
    """
    count = launch_number("WORLD_SIZE", 1)
    if count <= 1:
        return 1
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise OwnError(f"says that there are {count} processes, but {missing[0]} is not set; {ADVICE}", flag="WORLD_SIZE")
    for name, end in (("RANK", count), ("MASTER_PORT", 2**16)):
        if launch_number(name, 0) >= end:
            raise OwnError(f"must be below {end}, got {os.environ[name]}; {ADVICE}", flag=name)
    launch_number("LOCAL_WORLD_SIZE", count)
    launch_number("LOCAL_RANK", 0)
    return count
