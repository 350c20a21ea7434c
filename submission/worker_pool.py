"""The workers of a submission, seen from the program that gives them their orders: started, listened to, ended."""

import itertools
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from submission.reading import tasks_to_json
from submission.run_log import RunLog
from submission.settings import WORKER, Settings
from submission.worker import unpack_predictions
from trm_arc.common.deadline import Deadline
from trm_arc.common.files import to_json
from trm_arc.data.task import TaskSet
from trm_arc.inference.votes import Predictions

SLOW_DISK = 20e6  # bytes a second
_LIST_DEVICES = """
import torch
kind = torch.accelerator.current_accelerator(check_available=True)
for device in [f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())] if kind else []:
    try:
        if torch.ones(8, device=device).sum().item() == 8:
            print(device, flush=True)
    except RuntimeError:
        continue
"""


@dataclass(eq=False)
class DeviceSlot:
    """Where one worker at a time works: a device, or a share of one.

    Attributes:
        device: its name.
        failures: of its workers in a row, without any views done in between.
        loaded: whether a checkpoint was ever read there.
        worked: whether any views were ever done there.
    """

    device: str
    failures: int = 0
    loaded: bool = False
    worked: bool = False


@dataclass
class WorkItem:
    """Views to predict, as one order.

    Attributes:
        number: of the item.
        checkpoint: whose.
        test_indices: int64, the test input of each view.
        views: int64, which view of it.
        tried: where a worker died of it, or could not do it.
    """

    number: float
    checkpoint: str
    test_indices: np.ndarray
    views: np.ndarray
    tried: list[DeviceSlot] = field(default_factory=list)


class Event(NamedTuple):
    """What a worker did: it "answered", or "ended".

    Attributes:
        worker: which.
        kind: see above.
        header: the answer's line; of an end, {"code": exit code}.
        parts: predictions, if the answer has any.
    """

    worker: "WorkerProcess"
    kind: str
    header: dict[str, Any]
    parts: list[Predictions]


def list_devices(
    wanted: str, seconds: float = 30.0, stopping: Sequence[float] = (), tell: Callable[[str], None] = lambda what: None
) -> list[str]:
    """The devices to work on, each tried out, in a program of its own, so that this one never holds an accelerator.

    Args:
        wanted: "auto" for all accelerators, or the CPU where there is none; or names by commas.
        seconds: to wait for them at most; those that have answered by then are taken.
        stopping: not empty as soon as nobody waits any more.
        tell: takes a sentence if they did not all answer in time.
    """
    if wanted != "auto":
        return [name.strip() for name in wanted.split(",")]
    ends = time.monotonic() + seconds
    with tempfile.TemporaryFile() as found:  # no pipe: a program that hangs in its driver may never close it
        try:
            program = subprocess.Popen(
                [sys.executable, "-c", _LIST_DEVICES], stdout=found, stderr=subprocess.DEVNULL, start_new_session=True
            )
        except OSError:
            return ["cpu"]
        try:
            while program.poll() is None and time.monotonic() < ends and not stopping:
                time.sleep(0.02)
            late = program.poll() is None and not stopping
        finally:
            end(program)
        found.seek(0)
        devices = found.read().decode("utf-8", "replace").split() or ["cpu"]
    if late:
        tell(f"the accelerators did not answer within {seconds:.0f} s: going on with {', '.join(devices)}")
    return devices


def machine_environment(devices: Sequence[str]) -> dict[str, str]:
    """The environment of one of several programs on `devices`: the CPU's cores are shared out evenly."""
    environment = dict(os.environ)
    sharers = sum(device == "cpu" for device in devices)
    if sharers > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // sharers)))
    return environment


def stderr_tail(log: Any) -> str:
    """The last line that a program wrote to its log, which mostly says what it died of."""
    try:
        log.seek(0)
        lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except (OSError, ValueError):
        return "nothing on stderr"
    return lines[-1][-300:] if lines else "nothing on stderr"


def end(process: subprocess.Popen, patience: float = 0.0) -> None:
    """End a program and all that it started, at once or after `patience` seconds of grace."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if process.poll() is None and seconds > 0:
            try:
                os.killpg(process.pid, number)
                process.wait(seconds)
            except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                continue


def reading_seconds(path: str) -> float:
    """Seconds that a slow disk takes to read a checkpoint."""
    try:
        return sum(file.stat().st_size for file in Path(path).rglob("*")) / SLOW_DISK
    except OSError:
        return 0.0


class WorkerProcess:
    """A running worker.

    Args:
        slot: where it works.
        init_message: its first line, without the device.
        events: where its answers, and its end, are put.
        environment: of the program.
        command: the program.
    """

    def __init__(
        self,
        slot: DeviceSlot,
        init_message: dict[str, Any],
        events: "queue.SimpleQueue[Event]",
        environment: dict[str, str],
        command: Sequence[str] = WORKER,
    ) -> None:
        self.slot, self.device, self.events = slot, slot.device, events
        self.item: WorkItem | None = None  # that it is at
        self.born = self.heard = time.monotonic()
        self.ready = False  # its device has worked
        self.path = ""  # of the checkpoint that it holds
        self.done = 0  # items
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker lives)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment, start_new_session=True
        )
        self.alive = True
        self.outbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.outbox.put(init_message | {"device": self.device})
        # In threads: a worker that neither reads nor writes must not hold up the others.
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._tell)]
        for thread in self.threads:
            thread.start()

    def order(self, item: WorkItem) -> None:
        """Give the worker something to do."""
        self.item, self.heard = item, time.monotonic()
        self.outbox.put({"unit": item.number, "checkpoint": item.checkpoint, "slots": item.test_indices, "views": item.views})

    def end(self) -> None:
        """End the worker at once."""
        self.alive = False
        end(self.process)
        self.outbox.put(None)
        for thread in self.threads:
            thread.join(5)
        for file in (self.process.stdin, self.process.stdout, self.log):
            with suppress(OSError):  # what it left unread goes with it
                file.close()

    def _tell(self) -> None:
        try:
            while (line := self.outbox.get()) is not None:
                self.process.stdin.write(to_json(line))
                self.process.stdin.flush()
        except (OSError, ValueError):
            return  # it has ended; the listener says so

    def _listen(self) -> None:
        out = self.process.stdout
        try:
            while line := out.readline():
                header = orjson.loads(line)
                data = out.read(header["size"]) if "size" in header else b""
                if len(data) < header.get("size", 0):
                    break
                self.events.put(Event(self, "answered", header, unpack_predictions(data) if data else []))
        except Exception as error:  # whatever it wrote, it is of no more use
            self.log.write(f"answered what cannot be read: {error}\n".encode())
            end(self.process)
        self.events.put(Event(self, "ended", {"code": self.process.wait()}, []))


class StoppedError(Exception):
    """The run must end, and says why: the time is up, someone asked for it, or nothing is left to work with."""


class WorkerPool:
    """All workers of a run, one for each device; those that die are replaced, and in the end by the CPU.

    Args:
        settings: of the session.
        tasks: what to answer.
        deadline: of the run.
        log: where trouble is told.
        stopping: signals that asked for an end; filled by a handler.
        reserve: tells the seconds that must be left at the end.
    """

    RESTARTS = 2  # of a device's worker in a row, without any views done in between
    PROBE = 0.25, 120.0  # share of the time that is left for the devices to answer, and the most seconds of it
    PATIENCE = 120.0  # seconds without an answer after which a worker is taken for dead, beside many times what it should take

    def __init__(
        self,
        settings: Settings,
        tasks: TaskSet,
        deadline: Deadline,
        log: RunLog,
        stopping: list[int],
        reserve: Callable[[], float],
    ) -> None:
        self.settings, self.deadline, self.log, self.stopping, self.reserve = settings, deadline, log, stopping, reserve
        how = {"precision": settings.precision, "inference": asdict(settings.inference)}
        self.init_message = {"tasks": tasks_to_json(tasks)} | how
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        share, most = self.PROBE
        seconds = min(most, share * max(0.0, deadline.left))
        found = list_devices(settings.device, seconds, stopping, log.warn)
        self.slots = [DeviceSlot(device) for device in found]
        self.workers: list[WorkerProcess] = []
        self.known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.refused: dict[str, str] = {}
        self.complaints: set[str] = set()  # of workers whose work others took over
        self.given_up: set[int] = set()  # test inputs
        self.startup = self.seconds_per_view = 0.0
        self.splits = itertools.count(2**-20, 2**-20)  # halves of an item have numbers of their own, behind the whole's
        self._start()

    @property
    def devices(self) -> list[str]:
        """The devices to work on, whether they work or not."""
        return [slot.device for slot in self.slots]

    @property
    def num_alive(self) -> int:
        """Number of running workers, at least 1."""
        return max(1, sum(worker.alive for worker in self.workers))

    def check(self) -> None:
        """Raise StoppedError if the run must end now."""
        if self.stopping:
            raise StoppedError("asked to stop: the answers so far stand")
        if self.deadline.left <= self.reserve():
            raise StoppedError("the time is up: the answers so far stand")

    def work(
        self,
        source: Callable[[int], WorkItem | None],
        done: Callable[[WorkItem, list[Predictions]], None],
        seconds: float = math.inf,
    ) -> None:
        """Do items of work until there are no more.

        Args:
            source: gives an item of about as many views as it is asked for, or None.
            done: takes each with its predictions.
            seconds: after which no more are begun.

        Raises:
            StoppedError: the run must end.
        """
        began, again = self.deadline.spent, []
        while True:
            self.check()
            self._start()
            for worker in self.workers:
                if worker.alive and worker.item is None:
                    late = self.deadline.spent - began >= seconds
                    item = self._left_over(worker, again) or (None if late else source(self._size()))
                    if item is not None:
                        worker.order(item)
            if not any(worker.item for worker in self.workers if worker.alive):
                return
            try:
                event = self.events.get(timeout=0.1)
            except queue.Empty:
                self._end_hanging()
                continue
            again += self._mourn(event) if event.kind == "ended" else self._take(event, done)

    def end(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.end()

    def _start(self) -> None:
        """See that every device that is any good has a worker."""
        self.workers = [worker for worker in self.workers if worker.alive]
        occupied = {id(worker.slot) for worker in self.workers}
        for slot in self.slots:
            if id(slot) not in occupied and slot.failures <= self.RESTARTS:
                environment = machine_environment(self.devices)
                self.workers.append(WorkerProcess(slot, self.init_message, self.events, environment, self.settings.worker))
        if not self.workers:
            if "cpu" in self.devices:
                raise StoppedError("no worker is left: the answers so far stand")
            self.log.warn(f"none of {', '.join(self.devices)} works any more: going on with the CPU")
            self.slots = [DeviceSlot("cpu")]
            self._start()

    def _elsewhere(self, item: WorkItem) -> bool:
        """Whether there is a device left that has not failed at an item."""
        return any(slot not in item.tried and slot.failures <= self.RESTARTS for slot in self.slots)

    def _left_over(self, worker: WorkerProcess, again: list[WorkItem]) -> WorkItem | None:
        """An item to be done again that is for this worker, taken from those that there are."""
        for number, item in enumerate(again):  # the oldest first: of halves, both before their quarters
            if worker.slot not in item.tried or not self._elsewhere(item):
                return again.pop(number)
        return None

    def _size(self) -> int:
        """Views of an item: some seconds of work, less when little time is left."""
        if not self.seconds_per_view:
            return 16
        target = min(20.0, max(0.5, self.deadline.left / 40))
        return max(1, min(4 * self.settings.inference.batch_size, int(target / self.seconds_per_view)))

    def _take(self, event: Event, done: Callable[[WorkItem, list[Predictions]], None]) -> list[WorkItem]:
        """Take an answer in; what is to be done again."""
        worker, header = event.worker, event.header
        worker.heard = time.monotonic()
        if "counts" in header:
            self.known[header["checkpoint"]] = tuple(np.array(header[name], np.int64) for name in ("counts", "cells"))
            self.startup = max(self.startup, time.monotonic() - worker.born) if not worker.done else self.startup
            worker.path, worker.slot.loaded = header["checkpoint"], True
            return []
        if "device" in header:
            worker.ready = True
            return []
        item = worker.item
        if item is None or header["unit"] != item.number:
            return []
        worker.item = None
        if "error" in header:
            return self._pass_on(worker, item, header["error"], header.get("checkpoint", False))
        if len(item.test_indices):
            here = header["seconds"] / len(item.test_indices)
            if not self.seconds_per_view or worker.done == 1:  # a first item warms up
                self.seconds_per_view = here
            else:
                self.seconds_per_view += 0.2 * (here - self.seconds_per_view)
            worker.done += 1
            worker.slot.failures, worker.slot.worked = 0, True
        done(item, event.parts)
        return []

    def _mourn(self, event: Event) -> list[WorkItem]:
        """What is to be done again after a worker's end."""
        worker, item = event.worker, event.worker.item
        if not worker.alive:  # it was ended here, and counted
            return []
        worker.item = None
        what = f"the worker on {worker.device} ended with code {event.header['code']}: {stderr_tail(worker.log)}"
        worker.end()
        worker.slot.failures += 1
        self.log.warn(what)
        if item is None:
            return []
        if not worker.ready:  # it died of its device, before it began
            return [item]
        item.tried.append(worker.slot)
        if len(item.tried) < 2 or self._elsewhere(item):
            return [item]
        # Where no checkpoint was ever read, an accelerator may be at fault: at last the CPU tells.
        if not len(item.test_indices) and not any(slot.loaded or slot.device == "cpu" for slot in item.tried):
            return [item]
        return self._blame(item, "workers die of it")

    def _pass_on(self, worker: WorkerProcess, item: WorkItem, why: str, of_checkpoint: bool) -> list[WorkItem]:
        """What is to be done again of an item that a worker could not do: all of it by another, or parts of it."""
        slot = worker.slot
        item.tried.append(slot)
        slot.failures += 1
        if self._elsewhere(item):
            again = [item]
            self._complain(f"the worker on {slot.device} leaves work to the others: {why}")
        elif of_checkpoint:
            again = []
            self._forgive(item)
            self.refused[item.checkpoint] = why
            if len(item.test_indices):
                self._complain(f"{item.checkpoint}: {why}")
        else:
            again = self._blame(item, why)
        # The CPU is kept where there is nothing else: it lives, and may do what is next.
        others = any(other is not slot and other.failures <= self.RESTARTS for other in self.slots)
        if slot.failures > self.RESTARTS and (others or slot.device != "cpu"):
            what = f"the worker on {slot.device} is done without: it could not do what it was given {slot.failures} times"
            self.log.warn(what)
            worker.end()
        return again

    def _complain(self, what: str) -> None:
        """Tell of a trouble once, however often it comes."""
        if what not in self.complaints:
            self.complaints.add(what)
            self.log.warn(what)

    def _forgive(self, item: WorkItem) -> None:
        """Take back what the failures at an item cost the devices: they were not at fault."""
        for slot in item.tried:
            slot.failures = max(0, slot.failures - 1)

    def _blame(self, item: WorkItem, why: str) -> list[WorkItem]:
        """Halve an item that cannot be done, to find the view that it is for; give that one up."""
        if len(item.test_indices) > 1:
            self._forgive(item)
            middle = len(item.test_indices) // 2
            numbers = item.number + next(self.splits), item.number + next(self.splits)
            halves = (slice(None, middle), slice(middle, None))
            return [
                WorkItem(number, item.checkpoint, item.test_indices[half], item.views[half], list(item.tried))
                for number, half in zip(numbers, halves, strict=True)
            ]
        self.refused.setdefault(item.checkpoint, why)
        index = int(item.test_indices[0]) if len(item.test_indices) else None
        # Where views of one test input after another fail, the device is at fault; not so a CPU that has done others.
        if index is None or index in self.given_up or any(slot.device == "cpu" and slot.worked for slot in item.tried):
            self._forgive(item)
        if index is not None:
            self.given_up.add(index)
            self.log.warn(f"gave up view {item.views[0]} of test input {index}: {why}")
        return []

    def _end_hanging(self) -> None:
        for worker in self.workers:
            item, silent = worker.item, time.monotonic() - worker.heard
            if not worker.alive or item is None or silent <= self.PATIENCE + 30 * len(item.test_indices) * self.seconds_per_view:
                continue
            if item.checkpoint == worker.path or silent > self.PATIENCE + reading_seconds(item.checkpoint):
                self.log.warn(f"the worker on {worker.device} has been silent for {silent:.0f} s")
                end(worker.process)
