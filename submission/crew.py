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
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from submission.journal import Clock, Journal
from submission.reading import tasks_to_json
from submission.worker import unpack_predictions
from trm_arc.files import to_json
from trm_arc.task import TaskSet
from trm_arc.vote import Predictions

WORKER = (sys.executable, "-m", "submission.worker")
_LIST_DEVICES = """
import torch
kind = torch.accelerator.current_accelerator(check_available=True)
for device in [f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())] if kind else []:
    try:
        if torch.ones(8, device=device).sum().item() == 8:
            print(device)
    except RuntimeError:
        continue
"""


@dataclass
class Unit:
    """Views to predict, as one order.

    Attributes:
        number: of the unit.
        checkpoint: whose.
        slots: int64, the test input of each view.
        views: int64, which view of it.
        failures: workers that died of it, or could not do it.
    """

    number: float
    checkpoint: str
    slots: np.ndarray
    views: np.ndarray
    failures: int = 0


class Event(NamedTuple):
    """What a worker did: it "answered", or "ended".

    Attributes:
        worker: which.
        kind: see above.
        header: the answer's line; of an end, {"code": exit code}.
        parts: predictions, if the answer has any.
    """

    worker: "Handle"
    kind: str
    header: dict[str, Any]
    parts: list[Predictions]


def list_devices(wanted: str) -> list[str]:
    """The devices to work on, each tried out, in a program of its own, so that this one never holds an accelerator.

    Args:
        wanted: "auto" for all accelerators, or the CPU where there is none; or names by commas.
    """
    if wanted != "auto":
        return [name.strip() for name in wanted.split(",")]
    try:
        found = subprocess.run([sys.executable, "-c", _LIST_DEVICES], capture_output=True, text=True, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        return ["cpu"]
    return found.stdout.split() or ["cpu"]


def machine_environment(devices: Sequence[str]) -> dict[str, str]:
    """The environment of one of several programs on `devices`: the CPU's cores are shared out evenly."""
    environment = dict(os.environ)
    sharers = sum(device == "cpu" for device in devices)
    if sharers > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // sharers)))
    return environment


def last_words(log: Any) -> str:
    """The last line that a program wrote to its log, which mostly says what it died of."""
    try:
        log.seek(0)
        lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except (OSError, ValueError):
        return "no last words"
    return lines[-1][-300:] if lines else "no last words"


def end(process: subprocess.Popen, patience: float = 0.0) -> None:
    """End a program and all that it started, at once or after `patience` seconds of grace."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if process.poll() is None and seconds > 0:
            try:
                os.killpg(process.pid, number)
                process.wait(seconds)
            except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                continue


class Handle:
    """A running worker.

    Args:
        device: that it works on.
        hello: its first line, without the device.
        events: where its answers, and its end, are put.
        environment: of the program.
        command: the program.
    """

    def __init__(
        self,
        device: str,
        hello: dict[str, Any],
        events: "queue.SimpleQueue[Event]",
        environment: dict[str, str],
        command: Sequence[str] = WORKER,
    ) -> None:
        self.device, self.events = device, events
        self.unit: Unit | None = None  # that it is at
        self.born = self.began = time.monotonic()
        self.done = 0  # units
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker lives)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment, start_new_session=True
        )
        self.alive = True
        self.outbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.outbox.put(hello | {"device": device})
        # In threads: a worker that neither reads nor writes must not hold up the others.
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._tell)]
        for thread in self.threads:
            thread.start()

    def order(self, unit: Unit) -> None:
        """Give the worker something to do."""
        self.unit, self.began = unit, time.monotonic()
        self.outbox.put({"unit": unit.number, "checkpoint": unit.checkpoint, "slots": unit.slots, "views": unit.views})

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


class Crew:
    """All workers of a run, one for each device; those that die are replaced, and in the end by the CPU.

    Args:
        settings: of the session.
        tasks: what to answer.
        clock: of the run.
        journal: where trouble is told.
        stopping: signals that asked for an end; filled by a handler.
        reserve: tells the seconds that must be left at the end.
    """

    RESTARTS = 2  # of a device's worker
    PATIENCE = 120.0  # seconds without an answer after which a worker is taken for dead, beside many times what it should take

    def __init__(
        self, settings: Any, tasks: TaskSet, clock: Clock, journal: Journal, stopping: list[int], reserve: Callable[[], float]
    ) -> None:
        self.settings, self.clock, self.journal, self.stopping, self.reserve = settings, clock, journal, stopping, reserve
        options = ("precision", "steps", "batch_size", "window")
        self.hello = {"tasks": tasks_to_json(tasks)} | {name: getattr(settings, name) for name in options}
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.devices = list_devices(settings.device)
        self.failures = dict.fromkeys(self.devices, 0)
        self.handles: list[Handle] = []
        self.known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.refused: dict[str, str] = {}
        self.startup = self.seconds_per_view = 0.0
        self.splits = itertools.count(2**-20, 2**-20)  # halves of a unit have numbers of their own, behind the whole's
        self._start()

    @property
    def strength(self) -> int:
        """Workers that live."""
        return max(1, sum(handle.alive for handle in self.handles))

    def check(self) -> None:
        """Raise StoppedError if the run must end now."""
        if self.stopping:
            raise StoppedError("asked to stop: the answers so far stand")
        if self.clock.left <= self.reserve():
            raise StoppedError("the time is up: the answers so far stand")

    def work(
        self, source: Callable[[int], Unit | None], done: Callable[[Unit, list[Predictions]], None], seconds: float = math.inf
    ) -> None:
        """Do units of work until there are no more.

        Args:
            source: gives a unit of about as many views as it is asked for, or None.
            done: takes each with its predictions.
            seconds: after which no more are begun.

        Raises:
            StoppedError: the run must end.
        """
        began, again = self.clock.spent, []
        while True:
            self.check()
            self._start()
            for handle in self.handles:
                if handle.alive and handle.unit is None:
                    late = self.clock.spent - began >= seconds
                    unit = again.pop() if again else None if late else source(self._size())
                    if unit is None:
                        break
                    handle.order(unit)
            if not any(handle.unit for handle in self.handles if handle.alive):
                return
            try:
                event = self.events.get(timeout=0.1)
            except queue.Empty:
                self._end_hanging()
                continue
            again += self._mourn(event) if event.kind == "ended" else self._take(event, done)

    def end(self) -> None:
        """End all workers."""
        for handle in self.handles:
            handle.end()

    def _start(self) -> None:
        """See that every device that is any good has a worker."""
        self.handles = [handle for handle in self.handles if handle.alive]
        manned = {handle.device for handle in self.handles}
        if len(self.devices) > len(manned):
            for number, device in enumerate(self.devices):
                taken = sum(handle.device == device for handle in self.handles)
                wanted = self.devices[: number + 1].count(device)
                if taken < wanted and self.failures[device] <= self.RESTARTS:
                    environment = machine_environment(self.devices)
                    self.handles.append(Handle(device, self.hello, self.events, environment, self.settings.worker))
        if not self.handles:
            if "cpu" in self.devices:
                raise StoppedError("no worker lives any more: the answers so far stand")
            self.journal.tell(f"none of {', '.join(self.devices)} works any more: going on with the CPU", loudly=True)
            self.devices, self.failures = ["cpu"], {"cpu": 0}
            self._start()

    def _size(self) -> int:
        """Views of a unit: some seconds of work, less when little time is left."""
        if not self.seconds_per_view:
            return 16
        target = min(20.0, max(0.5, self.clock.left / 40))
        return max(1, min(4 * self.settings.batch_size, int(target / self.seconds_per_view)))

    def _take(self, event: Event, done: Callable[[Unit, list[Predictions]], None]) -> list[Unit]:
        """Take an answer in; what is to be done again."""
        handle, header = event.worker, event.header
        if "counts" in header:
            self.known[header["checkpoint"]] = tuple(np.array(header[name], np.int64) for name in ("counts", "cells"))
            self.startup = max(self.startup, time.monotonic() - handle.born) if not handle.done else self.startup
            return []
        unit, handle.unit = handle.unit, None
        if unit is None or header["unit"] != unit.number:
            return []
        if "checkpoint" in header:
            self.refused[unit.checkpoint] = header["error"]
            return []
        if "error" in header:
            return self._blame(unit, header["error"])
        if len(unit.slots):
            here = header["seconds"] / len(unit.slots)
            if not self.seconds_per_view or handle.done == 1:  # a first unit warms up
                self.seconds_per_view = here
            else:
                self.seconds_per_view += 0.2 * (here - self.seconds_per_view)
            handle.done += 1
        done(unit, event.parts)
        return []

    def _mourn(self, event: Event) -> list[Unit]:
        """What is to be done again after a worker's end."""
        handle, unit = event.worker, event.worker.unit
        handle.unit = None
        what = f"the worker on {handle.device} ended with code {event.header['code']}: {last_words(handle.log)}"
        handle.end()
        self.failures[handle.device] = self.failures.get(handle.device, 0) + 1
        self.journal.tell(what, loudly=True)
        if unit is None:
            return []
        unit.failures += 1
        if unit.failures < 2:
            return [unit]
        if len(unit.slots) > 1:
            self.failures[handle.device] -= 1  # its workers did not die of the device
        return self._blame(unit, "workers die of it")

    def _blame(self, unit: Unit, why: str) -> list[Unit]:
        """Halve a unit that cannot be done, to find the view that it is for; give that one up."""
        if len(unit.slots) > 1:
            middle = len(unit.slots) // 2
            numbers = unit.number + next(self.splits), unit.number + next(self.splits)
            halves = (slice(None, middle), slice(middle, None))
            return [
                Unit(number, unit.checkpoint, unit.slots[half], unit.views[half], 1)
                for number, half in zip(numbers, halves, strict=True)
            ]
        self.refused.setdefault(unit.checkpoint, why)
        if len(unit.slots):
            self.journal.tell(f"gave up view {unit.views[0]} of test input {unit.slots[0]}: {why}", loudly=True)
        return []

    def _end_hanging(self) -> None:
        for handle in self.handles:
            size = len(handle.unit.slots) if handle.unit else 0
            silent = time.monotonic() - handle.began
            if handle.alive and handle.unit and silent > self.PATIENCE + 30 * size * self.seconds_per_view:
                self.journal.tell(f"the worker on {handle.device} has been silent for {silent:.0f} s", loudly=True)
                end(handle.process)
