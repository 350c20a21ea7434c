"""Adaptation within a submission: `trm_arc.adapt` as a program of its own, begun again on fewer devices when it fails."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from submission.journal import Journal
from submission.programs import end, list_devices, machine_environment, stderr_tail
from submission.reading import tasks_to_json
from submission.worker_pool import WorkerPool
from trm_arc.adapt import adaptation_config
from trm_arc.common.durations import show_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_lines, to_json, write_atomic
from trm_arc.config import PRESETS
from trm_arc.data.task import TaskSet
from trm_arc.model.checkpoint import list_checkpoints, read_config
from trm_arc.training.loop import METRICS_FILE

ADAPTER = (sys.executable, "-m", "submission.adapter")
TRIES = 4  # the last but one on one device, the last on the CPU
SAVING = 0.1, 5.0  # share of its time that an adaptation gets to save and end, and the most seconds of it
GRACE = 5.0  # seconds beyond, before it is ended
TELL = 60.0  # seconds between words on how it goes


class Adaptation:
    """One run of `trm_arc.adapt`.

    Args:
        crew: the worker pool; knows the clock, and when to stop.
        settings: of the session.
        journal: where it is told.
        tasks: what to adapt to.
        base: the checkpoint; None from scratch.
        folder: of the adapted run; what to adapt to lies beside it.
    """

    def __init__(
        self, crew: WorkerPool, settings: Any, journal: Journal, tasks: TaskSet, base: Path | None, folder: Path
    ) -> None:
        self.crew, self.settings, self.journal, self.base = crew, settings, journal, base
        self.folder, self.challenges = folder, folder.with_name("challenges.json")
        self.told = 0.0
        write_atomic(self.challenges, to_json(tasks_to_json(tasks)))

    def run(self, seconds: float) -> Path | None:
        """Adapt.

        Args:
            seconds: that it may take; infinity for as many steps as the recipe has.

        Returns:
            The folder of the adapted run; None if there is no checkpoint in it.

        Raises:
            StoppedError: the run must end.
        """
        ends = time.monotonic() + seconds
        share, most = SAVING
        saving = min(most, share * seconds) if seconds < float("inf") else 0.0
        devices = self.crew.devices
        for attempt in range(TRIES):
            left = ends - time.monotonic()
            if left < 2 * self.crew.startup:
                break
            code, words = self._attempt(devices, left - saving, ends)
            if code == 0:
                break
            self.journal.tell(f"adaptation on {', '.join(devices)} ended with code {code}: {words}", loudly=True)
            if code == 2:  # its own sentence on what is wrong; another try would end the same way
                break
            devices = list_devices(self.settings.device, min(120.0, max(0.0, ends - time.monotonic()) / 4), self.crew.stopping)
            devices = devices if attempt == 0 else devices[:1] if attempt == 1 else ["cpu"]
        there = list_checkpoints(self.folder)
        if there:
            self.journal.tell(f"adapted: {there[-1].name}{self._describe()}")
        return self.folder if there else None

    def _attempt(self, devices: list[str], left: float, ends: float) -> tuple[int, str]:
        """Run it once on some devices; its exit code, and the last line that it wrote if that is not 0."""
        devices = devices[: self._sharers(len(devices))]
        flags = ["--out", str(self.folder), *self.settings.adaptation_flags, "--precision", self.settings.precision]
        flags += ["--log-every", "5", "--keep", str(max(2, self.settings.pool))]
        flags += ["--device", "cpu" if "cpu" in devices else "auto"]
        if left < float("inf"):
            flags += ["--time-limit", f"{left:.1f}s", "--save-every", f"{min(600.0, max(5.0, left / 10)):.0f}s"]
        if list_checkpoints(self.folder):
            flags += ["--resume"]
        else:
            start = ["--checkpoint", str(self.base)] if self.base else ["--preset", self.settings.preset]
            flags += ["--overwrite", "--challenges", str(self.challenges), "--recipe", self.settings.recipe, *start]
        command = [*(self.settings.adapter or ADAPTER), *flags]
        with ExitStack() as files:
            logs = [files.enter_context(tempfile.TemporaryFile()) for _ in devices]
            programs = [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True)
                for log, environment in zip(logs, _environments(devices), strict=True)
            ]
            try:
                while any(program.poll() is None for program in programs) and not any(program.poll() for program in programs):
                    self.crew.check()
                    if time.monotonic() > ends + min(GRACE, left):
                        return 124, "it did not end in time"
                    self._tell(ends)
                    time.sleep(0.1)
            finally:
                failed = next((number for number, program in enumerate(programs) if program.poll()), 0)
                for program in programs:
                    end(program)
                    program.stdin.close()
            code = max((program.returncode for program in programs), key=abs)
            return code, stderr_tail(logs[failed]) if code else ""

    def _sharers(self, count: int) -> int:
        """How many of `count` programs can share the batch evenly."""
        try:
            base = read_config(self.base) if self.base else PRESETS[self.settings.preset]
            batch = adaptation_config(base, self.settings.recipe, "any").training.batch_size
        except InputError:
            return 1
        return next(sharers for sharers in range(count, 0, -1) if batch % sharers == 0)

    def _describe(self) -> str:
        lines = [line for line in read_lines(self.folder / METRICS_FILE) if isinstance(line, dict) and "loss" in line]
        if not lines:
            return ""
        step, loss, exact, pace = (lines[-1].get(name, 0) for name in ("step", "loss", "exact", "milliseconds_per_step"))
        return f", step {step}, loss {loss or 0:.3f}, exact {exact:.0%}, {pace:,.0f} ms a step"

    def _tell(self, ends: float) -> None:
        if time.monotonic() - self.told > TELL:
            self.told = time.monotonic()
            left = ends - self.told
            until = f", {show_duration(max(left, 0))} left" if left < float("inf") else ""
            self.journal.tell(f"adapting{self._describe()}{until}")


def _environments(devices: list[str]) -> list[dict[str, str]]:
    """The environments of the programs that train together, one on each device: as `accelerate launch` would set them."""
    environment = machine_environment(devices)
    indices = [device.partition(":")[2] for device in devices]
    if all(indices):  # an accelerator may have gone; those that are left are numbered anew
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        named = visible.split(",") if visible else [str(number) for number in range(1 + max(map(int, indices)))]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(named[int(index)] for index in indices)
    if len(devices) == 1:
        return [environment]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = environment | {"WORLD_SIZE": str(len(devices)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(len(devices))]
