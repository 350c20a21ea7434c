"""The workers of a submission, seen from the program that gives them their orders: started, listened to, ended."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from submission.worker import unpack_predictions
from trm_arc.files import to_json
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

    number: int
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
        self.began = time.monotonic()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker lives)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment, start_new_session=True
        )
        self.alive = True
        self.outbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.outbox.put(hello | {"device": device})
        for work in (self._listen, self._tell):  # a worker that neither reads nor writes must not hold up the others
            threading.Thread(target=work, daemon=True).start()

    def order(self, unit: Unit) -> None:
        """Give the worker something to do."""
        self.unit, self.began = unit, time.monotonic()
        self.outbox.put({"unit": unit.number, "checkpoint": unit.checkpoint, "slots": unit.slots, "views": unit.views})

    def end(self) -> None:
        """End the worker at once."""
        self.alive = False
        end(self.process)

    def _tell(self) -> None:
        try:
            while True:
                self.process.stdin.write(to_json(self.outbox.get()))
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
