"""Programs that a submission starts: their devices, their environment, their end."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

import psutil

LIST_DEVICES = """
from submission.child import end_with_session
end_with_session()
import torch
kind = torch.accelerator.current_accelerator(check_available=True)
for device in [f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())] if kind else []:
    try:
        if torch.ones(8, device=device).sum().item() == 8:
            print(device, flush=True)
    except RuntimeError:
        continue
"""


def list_devices(
    wanted: str,
    seconds: float = 30.0,
    stopping: Sequence[float] = (),
    warn: Callable[[str], None] = lambda what: None,
    script: str = LIST_DEVICES,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """The devices to work on, each tried out, in a program of its own, so that this one never holds an accelerator.

    Args:
        wanted: "auto" for all accelerators, or the CPU where there is none; or names by commas.
        seconds: to wait for them at most; those that have answered by then are used.
        stopping: not empty as soon as the run is to stop.
        warn: called with a sentence if they did not all answer in time.
        script: the program; it prints a line for each accelerator that works.
    """
    if wanted != "auto":
        return [name.strip() for name in wanted.split(",")]
    ends = clock() + seconds
    with tempfile.TemporaryFile() as found:  # no pipe: a program that hangs in its driver may never close it
        command = [sys.executable, "-c", script]
        try:
            streams = {"stdin": subprocess.PIPE, "stdout": found, "stderr": subprocess.DEVNULL}
            program = subprocess.Popen(command, **streams, start_new_session=True)
        except OSError:
            return ["cpu"]
        try:
            while program.poll() is None and clock() < ends and not stopping:
                time.sleep(0.02)
            late = program.poll() is None and not stopping
        finally:
            end(program)
            program.stdin.close()
        found.seek(0)
        devices = found.read().decode("utf-8", "replace").split() or ["cpu"]
    if late:
        warn(f"the accelerators did not answer within {seconds:.0f} s: continuing with {', '.join(devices)}")
    return devices


def machine_environment(devices: Sequence[str]) -> dict[str, str]:
    """The environment of one of several programs on `devices`: the CPU's cores are shared out evenly."""
    environment = dict(os.environ)
    sharers = sum(device == "cpu" for device in devices)
    if sharers > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // sharers)))
    return environment


def stderr_tail(log: IO[bytes]) -> str:
    """The last line that a program wrote to its log, which mostly says why it ended."""
    try:
        log.seek(0)
        lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except (OSError, ValueError):
        lines = []
    return lines[-1][-300:] if lines else "nothing on stderr"


def is_stopped(process: subprocess.Popen) -> bool:
    """Whether a program was stopped, as by SIGSTOP, and does nothing until it is continued."""
    with suppress(psutil.Error):
        return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    return False


def end(process: subprocess.Popen) -> None:
    """Kill a program that still runs, and all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
