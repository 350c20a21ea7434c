"""The workers of a submission, seen from the program that controls them: started, read from, ended."""

import math
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np

from submission.messages import (
    ITEM,
    Answer,
    Failed,
    InitMessage,
    Loaded,
    Order,
    Predicted,
    Ready,
    Started,
    decode,
    encode,
    unpack_predictions,
)
from submission.programs import end, is_stopped, list_devices, machine_environment, stderr_tail
from submission.retry_policy import (
    CheckpointLoaded,
    DeviceSlot,
    DisableDevice,
    Event,
    GiveUpView,
    ItemDone,
    ItemFailed,
    NoWorkerLeft,
    RejectCheckpoint,
    Retry,
    RetryPolicy,
    Stop,
    UseCPU,
    WorkerExited,
    WorkItem,
)
from submission.run_log import RunLog
from submission.settings import Settings
from trm_arc.common.deadline import Deadline
from trm_arc.common.modes import NONE, is_too_short
from trm_arc.data.task import TaskSet
from trm_arc.data.task_files import tasks_to_json
from trm_arc.inference.votes import Predictions

SLOW_DISK = 20e6  # bytes a second
STALL = 1.0  # seconds after which a worker that stops in the middle of a message is ended: the pool can do nothing else meanwhile
LARGEST = 2**30  # bytes of a message
GROWTH = 4  # how many times larger than all before an item may be


class StoppedError(Exception):
    """The run must end, and says why: the time is up, someone asked for it, or nothing is left to work with."""


def reading_seconds(path: str) -> float:
    """Seconds that a slow disk takes to read a checkpoint."""
    try:
        return sum(file.stat().st_size for file in Path(path).rglob("*")) / SLOW_DISK
    except OSError:
        return 0.0


class WorkerProcess:
    """A worker, and the connection to it.

    Nothing is sent before it has started, so that no message has to wait for its imports, or forever.
    """

    def __init__(self, slot: DeviceSlot, init_message: InitMessage, clock: Callable[[], float] = time.monotonic) -> None:
        self.slot, self.clock = slot, clock
        self.outbox = [encode(replace(init_message, device=slot.device))]
        self.item: WorkItem | None = None  # that it works on
        self.checkpoint = ""  # that it holds
        self.items_done = 0
        self.left = math.inf  # seconds that the run had left at its last order
        self.alive = self.is_listening = self.is_ready = False

    def start(self, command: Sequence[str], environment: dict[str, str]) -> "WorkerProcess":
        """Start its program."""
        ours, theirs = socket.socketpair()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", *divmod(int(1e6 * STALL), 10**6)))
        self.connection = Connection(ours.detach())
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker lives)
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=self.log,
                stderr=self.log,
                env=environment,
                start_new_session=True,
            )
        self.started = self.heard = self.clock()
        self.alive = True
        return self

    def order(self, item: WorkItem, left: float = math.inf) -> None:
        """Give the worker something to do, when the run has so many seconds left."""
        self.item, self.heard, self.left = item, self.clock(), left
        self.outbox.append(encode(Order(item.number, item.checkpoint, item.test_indices, item.views)))
        self.send()

    def send(self) -> None:
        """Send what waits, if the worker listens; one that does not take it is ended, which `receive` notices."""
        try:
            while self.is_listening and self.outbox:
                self.connection.send_bytes(self.outbox.pop(0))
        except OSError:
            end(self.process)

    def receive(self) -> tuple[Answer, list[Predictions]] | None:
        """The next answer; None if the worker has ended, or must: it sent what cannot be read."""
        self.heard = self.clock()
        try:
            answer, data = decode(Answer, self.connection.recv_bytes(LARGEST))
            return answer, unpack_predictions(data) if data else []
        except BlockingIOError:
            self.log.write(b"stopped in the middle of an answer\n")
        except (EOFError, OSError):  # it has closed the connection: its exit code is its own
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STALL)
        except Exception as error:  # whatever it sent, it can no longer be used
            self.log.write(f"sent an answer that cannot be read: {error}\n".encode())
        end(self.process)
        return None

    @property
    def has_vanished(self) -> bool:
        """Whether it has ended, while a program that it started holds its connection open."""
        return self.process.poll() is not None and not self.connection.poll()

    def end(self) -> None:
        """End the worker at once."""
        self.alive = False
        end(self.process)
        self.connection.close()
        self.log.close()


class WorkerPool:
    """All workers of a run, one for each device; those that end are replaced, and in the end by the CPU."""

    DEVICE_WAIT = 0.25, 120.0  # share of the time that is left for the devices to answer, and the most seconds of it

    def __init__(
        self,
        settings: Settings,
        tasks: TaskSet,
        deadline: Deadline,
        log: RunLog,
        stopping: Sequence[float],
        reserve: Callable[[], float],
    ) -> None:
        """Start nothing yet.

        Args:
            stopping: signals that asked for an end; filled by a handler.
            reserve: the seconds that must be left at the end.
        """
        self.settings, self.deadline, self.log, self.stopping, self.reserve = settings, deadline, log, stopping, reserve
        inference = settings.inference
        if is_too_short(inference.compile, deadline.limit or math.inf):
            inference = replace(inference, compile=NONE)
        self.init_message = InitMessage(tasks_to_json(tasks), "", settings.precision, inference)
        self.policy = RetryPolicy([])
        self.workers: list[WorkerProcess] = []
        self.waiting: list[WorkItem] = []  # items to do again
        self.known: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # checkpoints with their counts and cells
        self.refused: dict[str, str] = {}  # checkpoints, and why
        self.warned: set[str] = set()  # what is logged only once
        self.startup = self.seconds_per_view = 0.0
        self.measured = 0  # views of the largest item that was timed

    def start(self, find_devices: Callable[..., list[str]] = list_devices) -> None:
        """Find the devices, and start a worker on each."""
        share, most = self.DEVICE_WAIT
        seconds = min(most, share * max(0.0, self.deadline.left))
        self.policy = RetryPolicy(find_devices(self.settings.device, seconds, self.stopping, self.log.warn))
        self._start_workers()

    @property
    def devices(self) -> list[str]:
        """The devices to work on, whether they work or not."""
        return [slot.device for slot in self.policy.slots]

    @property
    def num_alive(self) -> int:
        """Number of running workers, at least 1."""
        return max(1, sum(worker.alive for worker in self.workers))

    def check(self) -> None:
        """Raise StoppedError if the run must end now."""
        if self.stopping:
            raise StoppedError("stop requested: the answers so far are kept")
        if self.deadline.left <= self.reserve():
            raise StoppedError("the time is up: the answers so far are kept")

    def work(
        self,
        source: Callable[[int], WorkItem | None],
        done: Callable[[WorkItem, list[Predictions]], None],
        seconds: float = math.inf,
    ) -> None:
        """Do items of work until there are no more.

        Args:
            source: gives an item of about as many views as it is asked for, or None.
            done: called with each item and its predictions.
            seconds: after which no more items are begun.

        Raises:
            StoppedError: the run must end.
        """
        began, self.waiting = self.deadline.spent, []
        while True:
            self.check()
            self._start_workers()
            for worker in self.workers:
                if worker.item is None:
                    late = self.deadline.spent - began >= seconds
                    item = self._next_waiting(worker) or (None if late else source(self._item_size()))
                    if item is not None:
                        worker.order(item, self.deadline.left)
            if not any(worker.item for worker in self.workers):
                return
            readable = wait([worker.connection for worker in self.workers], timeout=0.1)
            for worker in self.workers:
                if worker.connection in readable:
                    received = worker.receive()
                    if received is None:
                        self._on_exit(worker)
                    else:
                        self._on_answer(worker, *received, done)
            if not readable:
                self._end_hanging()

    def end(self) -> None:
        """End all workers, so that no memory of their devices is taken; work that comes later starts new ones."""
        for worker in self.workers:
            worker.end()
        self.workers = []

    def _start_workers(self) -> None:
        """See that every enabled device has a worker."""
        self.workers = [worker for worker in self.workers if worker.alive]
        occupied = [worker.slot for worker in self.workers]
        for slot in self.policy.slots:
            if slot.is_enabled and slot not in occupied:
                worker = WorkerProcess(slot, self.init_message, self.deadline.clock)
                self.workers.append(worker.start(self.settings.worker, machine_environment(self.devices)))
        if not self.workers:
            self._decide(NoWorkerLeft())
            self._start_workers()

    def _next_waiting(self, worker: WorkerProcess) -> WorkItem | None:
        """Take an item that this worker may try from those that wait, the oldest first."""
        for number, item in enumerate(self.waiting):
            if self.policy.may_try(worker.slot, item):
                return self.waiting.pop(number)
        return None

    def _item_size(self) -> int:
        """Views of an item: some seconds of work, less when little time is left; one at first, as it may take minutes."""
        target = min(20.0, max(0.5, self.deadline.left / 40))
        affordable = target / self.seconds_per_view if self.seconds_per_view else math.inf
        return max(1, int(min(GROWTH * self.measured, ITEM * self.settings.inference.batch_size, affordable)))

    def _on_answer(
        self,
        worker: WorkerProcess,
        answer: Answer,
        parts: list[Predictions],
        done: Callable[[WorkItem, list[Predictions]], None],
    ) -> None:
        item = worker.item
        match answer:
            case Started():
                worker.is_listening = True
                worker.send()
            case Ready(_, note):
                worker.is_ready = True
                if note and note not in self.warned:
                    self.warned.add(note)
                    self.log.info(note)
            case Loaded(path, counts, cells):
                self.known[path], worker.checkpoint = (counts, cells), path
                if not worker.items_done:
                    self.startup = max(self.startup, worker.clock() - worker.started)
                self._decide(CheckpointLoaded(worker.slot))
            case Failed(number, error, is_unusable) if item is not None and item.number == number:
                worker.item = None
                self._decide(ItemFailed(worker.slot, item, error, is_unusable))
            case Predicted(number, seconds) if item is not None and item.number == number:
                worker.item = None
                self._measure(worker, len(item.views), seconds)
                self._decide(ItemDone(worker.slot, item))
                done(item, parts)

    def _measure(self, worker: WorkerProcess, views: int, seconds: float) -> None:
        """Keep a moving average of the time that a view takes, from items of the size of the largest so far."""
        if views:
            here = seconds / views
            if worker.items_done == 1 or views > self.measured:  # a first item warms up, and small ones fill no batch
                self.seconds_per_view, self.measured = here, max(views, self.measured)
            else:
                self.seconds_per_view += 0.2 * (here - self.seconds_per_view)
            worker.items_done += 1

    def _on_exit(self, worker: WorkerProcess) -> None:
        code, tail = worker.process.returncode, stderr_tail(worker.log)
        self.log.warn(f"the worker on {worker.slot.device} ended with code {code}: {tail}")
        worker.end()
        self._decide(WorkerExited(worker.slot, worker.item, worker.is_ready))
        worker.item = None

    def _end_hanging(self) -> None:
        """End workers that have been silent for too long; so have those whose program is gone."""
        for worker in self.workers:
            item, silent = worker.item, worker.clock() - worker.heard
            if worker.has_vanished:
                self._on_exit(worker)
            elif item is not None and silent > STALL and is_stopped(worker.process):
                self.log.warn(f"the worker on {worker.slot.device} is stopped: another takes its place")
                end(worker.process)
            elif item is not None and silent > self._longest_silence(worker, item):
                loading = 0.0 if item.checkpoint == worker.checkpoint else reading_seconds(item.checkpoint)
                if silent > self._longest_silence(worker, item, loading):
                    self.log.warn(f"the worker on {worker.slot.device} has been silent for {silent:.0f} s")
                    end(worker.process)

    def _longest_silence(self, worker: WorkerProcess, item: WorkItem, loading: float = 0.0) -> float:
        left = worker.left if worker.is_ready else math.inf  # its imports would take another worker as long
        return self.policy.longest_silence(len(item.views), self.seconds_per_view, loading, left)

    def _decide(self, event: Event) -> None:
        """Let the retry policy decide, and do what it says."""
        for decision in self.policy.decide(event):
            match decision:
                case Retry(item, why):
                    self.waiting.append(item)
                    if why:
                        self._warn_once(f"work is moved from {item.tried[-1].device} to other devices: {why}")
                case RejectCheckpoint(item, why):
                    self.refused[item.checkpoint] = why
                    if len(item.views):
                        self._warn_once(f"{item.checkpoint}: {why}")
                case GiveUpView(item, why):
                    self.log.warn(f"gave up view {item.views[0]} of test input {item.test_indices[0]}: {why}")
                case DisableDevice(slot):
                    self.log.warn(f"{slot.device} is disabled after {slot.failures} failures in a row")
                    next(worker for worker in self.workers if worker.slot is slot).end()
                case UseCPU(devices):
                    self.log.warn(f"none of {', '.join(devices)} works any more: continuing with the CPU")
                case Stop():
                    raise StoppedError("no worker is left: the answers so far are kept")

    def _warn_once(self, what: str) -> None:
        if what not in self.warned:
            self.warned.add(what)
            self.log.warn(what)
