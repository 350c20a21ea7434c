"""The other processes of a run, watched through a store that all of them reach: one that fails, ends or stops ends all, with a
sentence that says why."""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import NamedTuple

import psutil
from torch.distributed import TCPStore

from trm_arc.common.text import printable

ADVICE = "run it again (train: with --resume)"
_FAILED = "trm_arc/failed"


class Patience(NamedTuple):
    """How long processes wait for one another, in seconds.

    Attributes:
        beat: between signs of life.
        grace: in which a process may end by itself, with a sentence of its own, once another one has failed.
        silence: without a sign of life, after which a process is given up: the others would wait for it for ever.
    """

    beat: float = 1.0
    grace: float = 3.0
    silence: float = 300.0


class Peers:
    """The processes of a run as this one sees them; two threads of it watch the others until the run ends.

    A process that takes long, but runs, is waited for.  Beats are counted, not seconds, so that a pause of the whole machine is
    no silence.
    """

    def __init__(self, rank: int, count: int, patience: Patience) -> None:
        self.rank, self.count, self.patience = rank, count, patience
        where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = TCPStore(*where, is_master=False, wait_for_workers=False)
        self.host = socket.gethostname()
        self.store.set(f"trm_arc/process/{rank}", f"{self.host} {os.getpid()}")
        self.beats = [0] * count  # of each process, as last seen; of this one, how often it has looked
        self.failure = ""  # why the run cannot go on
        self.leaving = self.ending = False  # with all others, or alone, because of an error
        for task in (self._beat, self._watch):
            threading.Thread(target=task, daemon=True).start()

    def fail(self, why: str) -> None:
        """Tell the others that this process has failed; the first that does so is the one that they name."""
        self.ending = True
        with suppress(RuntimeError):  # the store is gone: no process is left to be informed
            if self.store.add(f"{_FAILED}/count", 1) == 1:
                self.store.set(_FAILED, f"process {self.rank} of {self.count} failed: {printable(why)}")
            if self.rank == 0:  # it may keep the store, so the others read it first
                self._wait_for("informed", range(1, self.count), self.patience.grace)

    def describe_failure(self) -> str:
        """Why the run cannot go on, so that this process ends, empty if no other process is the cause; waits a moment to know.

        Meanwhile a signal to stop, which a launcher sends as soon as one process has ended, changes nothing.
        """
        self.ending = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.monotonic() + self.patience.grace
        while not self.failure and time.monotonic() < end:
            self._look()
            time.sleep(self.patience.beat / 50)
        return self.failure

    def leave(self) -> None:
        """Wait for all processes, however long one of them writes; process 0, which may keep the store, is the last to go."""
        self._wait_for("done", range(self.count))
        self.leaving = True
        if self.rank == 0:
            self._wait_for("gone", range(1, self.count), seconds=10)
        else:
            self.store.set(f"trm_arc/gone/{self.rank}", "")

    def _wait_for(self, what: str, ranks: range, seconds: float = float("inf")) -> None:
        self.store.set(f"trm_arc/{what}/{self.rank}", "")
        end = time.monotonic() + seconds
        while not self.store.check([f"trm_arc/{what}/{rank}" for rank in ranks]) and time.monotonic() < end:
            time.sleep(0.05)

    def _beat(self) -> None:
        while not self.failure:
            self._look()
            time.sleep(self.patience.beat)

    def _look(self) -> None:
        """Give a sign of life, and see how the others are."""
        others = [other for other in range(self.count) if other != self.rank]
        try:
            self.store.add(f"trm_arc/alive/{self.rank}", 1)
            for other in others:
                self.beats[other] = self.store.add(f"trm_arc/alive/{other}", 0)
            self.beats[self.rank] += 1
            if self.store.check([_FAILED]):
                self.failure = self.store.get(_FAILED).decode()
                self.store.set(f"trm_arc/informed/{self.rank}", "")
            elif ended := [other for other in others if self._has_ended(other)]:
                self.failure = f"process {ended[0]} of {self.count} has ended: it was killed, or ran out of memory"
        except RuntimeError:  # the store is gone
            self.failure = f"process 0 of {self.count} has ended"

    def _has_ended(self, rank: int) -> bool:
        """Whether a process of this machine is gone, and not because the run is over."""
        name = f"trm_arc/process/{rank}"
        if not self.store.check([name]) or self.store.check([f"trm_arc/done/{rank}"]):
            return False
        host, number = self.store.get(name).decode().rsplit(" ", 1)
        with suppress(psutil.NoSuchProcess):
            return host == self.host and psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE
        return host == self.host

    def _watch(self) -> None:
        beat, silence = self.patience.beat, self.patience.silence
        before, silent = list(self.beats), [0.0] * self.count
        while not self.failure and max(silent) < silence:
            time.sleep(beat)
            silent = [0.0 if now > then else s + beat for now, then, s in zip(self.beats, before, silent, strict=True)]
            before = list(self.beats)
        if not self.failure:
            lost = 0 if silent[self.rank] >= silence else silent.index(max(silent))  # process 0 keeps the store of the beats
            self.failure = (
                f"process {lost} of {self.count} has not responded for {silence:.0f} s: it was stopped, or its machine "
                "failed; end it"
            )
        time.sleep(self.patience.grace)
        if not (self.ending or self.leaving):
            print(f"process {self.rank}: error: {self.failure}; {ADVICE}", file=sys.stderr, flush=True)
            os._exit(1)
