"""Adaptation within a submission: `trm_arc.adapt` as a separate program, started again on fewer devices when it fails."""

import os
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from submission.programs import end, is_stopped, list_devices, machine_environment, stderr_tail
from submission.run_log import RunLog
from submission.settings import Settings
from submission.worker_pool import WorkerPool
from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import format_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_lines, to_json, write_atomic
from trm_arc.config import load_preset
from trm_arc.data.task import TaskSet
from trm_arc.data.task_files import tasks_to_json
from trm_arc.model.checkpoint_files import list_checkpoints, read_config, read_task_ids
from trm_arc.training.adaptation import adaptation_config
from trm_arc.training.options import METRICS_FILE

TRIES = 4  # the last but one on one device, the last on the CPU
SAVING = 0.1, 5.0  # share of its time that an adaptation gets to save and end, and the most seconds of it
GRACE = 5.0  # seconds beyond, before it is ended
REPORT = 60.0  # seconds between lines on its progress


def choose_recipe(settings: Settings, tasks: TaskSet, deadline: Deadline) -> str | None:
    """How to adapt if no recipe was named: by the checkpoint's own settings if there is a time limit and it has not been trained
    on all of the tasks; None: not at all."""
    if not settings.checkpoints:
        return "own"
    trained = all({task.id for task in tasks} <= read_task_ids(path) for path in settings.checkpoints)
    return None if trained or deadline.limit is None else "own"


class Adaptation:
    """One run of `trm_arc.adapt`.

    Args:
        base: the checkpoint; None from scratch.
        folder: of the adapted run; the tasks to adapt to are beside it.
    """

    def __init__(
        self, pool: WorkerPool, settings: Settings, log: RunLog, tasks: TaskSet, base: Path | None, folder: Path
    ) -> None:
        self.pool, self.settings, self.log, self.base = pool, settings, log, base
        self.folder, self.challenges = folder, folder.with_name("challenges.json")
        self.reported = 0.0
        write_atomic(self.challenges, to_json(tasks_to_json(tasks)))

    def run(self, deadline: Deadline) -> Path | None:
        """Adapt until the deadline; without a limit, for as many steps as the recipe has.

        Returns:
            The folder of the adapted run; None if there is no checkpoint in it.

        Raises:
            StoppedError: the run must end.
        """
        share, most = SAVING
        saving = min(most, share * (deadline.limit or 0.0))
        devices = self.pool.devices
        for attempt in range(TRIES):
            if deadline.left < 2 * self.pool.startup:
                break
            code, words = self._attempt(devices, deadline, deadline.earlier(saving).left)
            if code == 0:
                break
            self.log.warn(f"adaptation on {', '.join(devices)} ended with code {code}: {words}")
            if code == 2:  # an input error; another try would end the same way
                break
            devices = list_devices(self.settings.device, min(120.0, max(0.0, deadline.left) / 4), self.pool.stopping)
            devices = devices if attempt == 0 else devices[:1] if attempt == 1 else ["cpu"]
        there = list_checkpoints(self.folder)
        if there:
            self.log.info(f"adapted: {there[-1].name}{self._describe()}")
        return self.folder if there else None

    def _flags(self, devices: list[str], seconds: float) -> list[str]:
        """The command line of `trm_arc.adapt`; the time that it has becomes text, as another program reads it."""
        flags = ["--out", str(self.folder), "--start", self.settings.start, *self.settings.adaptation_flags]
        flags += ["--precision", self.settings.precision, "--device", "cpu" if "cpu" in devices else "auto"]
        flags += ["--compile", self.settings.inference.compile]
        flags += ["--log-every", "5", "--keep", str(max(2, self.settings.pool_checkpoints))]
        if seconds < float("inf"):
            flags += ["--time-limit", f"{seconds:.1f}s", "--save-every", f"{min(600.0, max(5.0, seconds / 10)):.0f}s"]
        if list_checkpoints(self.folder):
            return [*flags, "--resume"]
        base = ["--checkpoint", str(self.base)] if self.base else ["--preset", self.settings.preset]
        return [*flags, "--overwrite", "--challenges", str(self.challenges), "--recipe", self.settings.recipe, *base]

    def _attempt(self, devices: list[str], deadline: Deadline, seconds: float) -> tuple[int, str]:
        """Run it once on some devices; its exit code, and the last line that it wrote if that is not 0.

        Args:
            seconds: for training, of what is left until the deadline.
        """
        devices = devices[: self._sharers(len(devices))]
        command = [*self.settings.adapter, *self._flags(devices, seconds)]
        with ExitStack() as files:
            logs = [files.enter_context(tempfile.TemporaryFile()) for _ in devices]
            programs = [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True)
                for log, environment in zip(logs, _environments(devices), strict=True)
            ]
            try:
                while any(program.poll() is None for program in programs) and not any(program.poll() for program in programs):
                    self.pool.check()
                    if any(map(is_stopped, programs)):
                        return 124, "it was stopped"
                    if deadline.left < -min(GRACE, seconds):
                        return 124, "it did not end in time"
                    self._report(deadline)
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
            base = read_config(self.base) if self.base else load_preset(self.settings.preset)
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

    def _report(self, deadline: Deadline) -> None:
        if time.monotonic() - self.reported > REPORT:
            self.reported = time.monotonic()
            until = "" if deadline.limit is None else f", {format_duration(max(deadline.left, 0))} left"
            self.log.info(f"adapting{self._describe()}{until}")


def _environments(devices: list[str]) -> list[dict[str, str]]:
    """The environments of the programs that train together, one on each device: as `accelerate launch` would set them."""
    environment = machine_environment(devices)
    indices = [device.partition(":")[2] for device in devices]
    if all(indices):  # an accelerator may be missing; those that are left get new numbers
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
