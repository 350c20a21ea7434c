"""What a machine does not give to a program is one sentence, also while the libraries are loaded; a bug keeps its traceback."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT, messages
from trm_arc.common import failures
from trm_arc.common.failures import explain

says = messages(__name__)
SHARED_OBJECT = "libtorch_cpu.so: failed to map segment from shared object"
NUMPY = f"\n\nIMPORTANT: PLEASE READ THIS\n\nOriginal error was: {SHARED_OBJECT}\n\n"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), says("memory")),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), says("memory")),
        (RuntimeError("can't start new thread"), says("threads")),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), says("threads")),
        (OSError(errno.EMFILE, "Too many open files", "a.json"), says("files")),
        (ImportError(SHARED_OBJECT), says("library")),
        (ImportError(NUMPY), says("library")),
        (OSError(SHARED_OBJECT), says("library")),
        (OSError("Could not find/load shared object file 'libllvmlite.so' from resource location"), says("no-library")),
        (ModuleNotFoundError("", name="psutil"), says("psutil")),
        (ModuleNotFoundError("", name="numba.core"), says("numba")),
    ],
)
def test_what_a_machine_lacks(error: Exception, words: str) -> None:
    sentence = explain(error)
    assert sentence.startswith(words)
    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x"),
        ImportError("cannot import name 'x' from 'trm_arc'"),
        ModuleNotFoundError("", name="trm_arc.x"),
        ModuleNotFoundError(""),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", "a.json"),
        OSError("x"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_no_lack(error: BaseException) -> None:
    assert explain(error) is None


def test_openblas_interrupts_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(failures._thread, "start_new_thread", refuse)
    assert explain(KeyboardInterrupt()).startswith(says("no-threads"))


INTERRUPTIBLE = ("env", "--default-signal=INT")  # a shell's background jobs, as a gate may be one, ignore interrupts
PROGRAMS = (["trm_arc.train"], ["trm_arc", "evaluate"], ["submission", "check", "--submission", "x"], ["submission.worker"])


def start(limits: str, arguments: list[str], *before: str) -> tuple[int, list[str]]:
    shell = ("bash", "-c", f'ulimit -c 0; {limits}; exec "$@"', "bash")
    command = [*INTERRUPTIBLE, *before, *shell, sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.programs
@pytest.mark.parametrize("arguments", PROGRAMS, ids=" ".join)
def test_an_address_space_too_small_for_the_libraries(arguments: list[str]) -> None:
    code, lines = start("ulimit -v 40000", arguments)
    assert (code, len(lines)) == (2, 1)
    assert says("address-space") in lines[0]


@pytest.mark.programs
def test_no_further_threads() -> None:
    """The last line is the program's own; OpenBLAS says four before, and interrupts it."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None or (os.cpu_count() or 1) < 2:
        pytest.skip("needs root, setpriv and two cores")
    rights = ("--inh-caps=+dac_override,+dac_read_search", "--ambient-caps=+dac_override,+dac_read_search")
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *rights)
    code, lines = start("ulimit -u 1; unset OMP_NUM_THREADS OPENBLAS_NUM_THREADS", PROGRAMS[2], *user)
    assert (code, lines[-1]) == (2, says("error-threads"))


@pytest.mark.programs
def test_an_interrupt_while_libraries_are_loaded() -> None:
    code = "import os, signal, trm_arc.__main__ as m; m.runpy.run_module = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
    done = subprocess.run(
        [*INTERRUPTIBLE, sys.executable, "-c", f"{code}m.main()", "train"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (130, "stopped\n")
