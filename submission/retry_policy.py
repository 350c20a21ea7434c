"""What happens to work and devices when workers fail: decided from events alone, without processes and clocks.

A failure does not say what is at fault: the device, the checkpoint, or one of the views.  So an item of work that failed goes to
a device that has not tried it.  Where there is none left, a checkpoint that cannot be loaded is rejected, and other items are
halved until the view that fails is alone, which is dropped.  A device that fails several times in a row, without predicting
anything in between, is disabled; the CPU takes over from the last one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

MAX_FAILURES = 3  # of a device in a row
PATIENCE = 120.0  # seconds that a worker may be silent, besides the time that its work should take
_HALF = 2**-20  # halves of an item get numbers of their own, just above the item's


@dataclass(eq=False)
class DeviceSlot:
    """A device, or a share of one, that runs one worker at a time.

    Attributes:
        device: its name.
        failures: of its workers in a row, without a view predicted in between.
        has_loaded: whether a checkpoint was ever loaded there.
        has_predicted: whether a view was ever predicted there.
    """

    device: str
    failures: int = 0
    has_loaded: bool = False
    has_predicted: bool = False

    @property
    def is_enabled(self) -> bool:
        """Whether a worker that has ended is replaced, and whether work of other devices is passed on to this one."""
        return self.failures < MAX_FAILURES


@dataclass(frozen=True, eq=False)
class WorkItem:
    """Views to predict; with none of them, a checkpoint to load.

    Attributes:
        number: of the item, which orders the votes.
        checkpoint: its path.
        test_indices: int64 (n,), the test input of each view.
        views: int64 (n,), its number.
        tried: where workers failed at it.
    """

    number: float
    checkpoint: str
    test_indices: np.ndarray
    views: np.ndarray
    tried: tuple[DeviceSlot, ...] = ()


@dataclass(frozen=True)
class CheckpointLoaded:
    """A worker has loaded a checkpoint."""

    slot: DeviceSlot


@dataclass(frozen=True)
class ItemDone:
    """A worker has done an item."""

    slot: DeviceSlot
    item: WorkItem


@dataclass(frozen=True)
class ItemFailed:
    """A worker says that it cannot do an item, because of its checkpoint or otherwise, and runs on."""

    slot: DeviceSlot
    item: WorkItem
    why: str
    is_unusable_checkpoint: bool = False


@dataclass(frozen=True)
class WorkerExited:
    """A worker has ended: by itself, or because it was silent for too long or sent what cannot be read.

    Attributes:
        slot: where.
        item: that it had.
        was_ready: whether its device had worked before.
    """

    slot: DeviceSlot
    item: WorkItem | None
    was_ready: bool


@dataclass(frozen=True)
class NoWorkerLeft:
    """No worker runs, and no device is enabled."""


Event = CheckpointLoaded | ItemDone | ItemFailed | WorkerExited | NoWorkerLeft


@dataclass(frozen=True)
class Retry:
    """Hand an item, or a part of one, to a worker again; `why` where a device leaves it to the others."""

    item: WorkItem
    why: str = ""


@dataclass(frozen=True)
class RejectCheckpoint:
    """Drop an item, as its checkpoint cannot be used."""

    item: WorkItem
    why: str


@dataclass(frozen=True)
class GiveUpView:
    """Drop an item of a single view, which cannot be predicted."""

    item: WorkItem
    why: str


@dataclass(frozen=True)
class DisableDevice:
    """End the worker of a device, and start no other."""

    slot: DeviceSlot


@dataclass(frozen=True)
class UseCPU:
    """Continue with the CPU in place of all devices, which are listed."""

    devices: tuple[str, ...]


@dataclass(frozen=True)
class Stop:
    """Nothing is left to work with."""


Decision = Retry | RejectCheckpoint | GiveUpView | DisableDevice | UseCPU | Stop


class RetryPolicy:
    """Counts failures, and decides; the same events always give the same decisions."""

    def __init__(self, devices: Sequence[str], *, patience: float = PATIENCE) -> None:
        self.slots = [DeviceSlot(device) for device in devices]
        self.patience = patience
        self._given_up: set[int] = set()  # test inputs
        self._halves = 0

    def decide(self, event: Event) -> list[Decision]:
        """What to do after an event."""
        match event:
            case CheckpointLoaded(slot):
                slot.has_loaded = True
            case ItemDone(slot, item) if len(item.views):
                slot.failures, slot.has_predicted = 0, True
            case ItemFailed():
                return self._on_failure(event)
            case WorkerExited():
                return self._on_exit(event)
            case NoWorkerLeft():
                if any(slot.device == "cpu" for slot in self.slots):
                    return [Stop()]
                devices = tuple(slot.device for slot in self.slots)
                self.slots = [DeviceSlot("cpu")]
                return [UseCPU(devices)]
        return []

    def may_try(self, slot: DeviceSlot, item: WorkItem) -> bool:
        """Whether an item is for this device: it has not tried it, or all others have too."""
        return slot not in item.tried or not self._is_left(item)

    def longest_silence(self, views: int, seconds_per_view: float, loading: float = 0.0, left: float = math.inf) -> float:
        """Seconds without an answer after which a worker hangs.

        Args:
            views: that it was asked for.
            seconds_per_view: as measured so far.
            loading: seconds that a slow disk takes to read the checkpoint; 0 if it is loaded already.
            left: seconds that the run had left when it asked; half of them stay for another worker.
        """
        return min(self.patience + max(30 * views * seconds_per_view, loading), left / 2)

    def _is_left(self, item: WorkItem) -> bool:
        """Whether there is an enabled device that has not tried an item."""
        return any(slot.is_enabled and slot not in item.tried for slot in self.slots)

    def _on_exit(self, event: WorkerExited) -> list[Decision]:
        event.slot.failures += 1
        if event.item is None:
            return []
        if not event.was_ready:  # the device is at fault: the item was never begun
            return [Retry(event.item)]
        item = replace(event.item, tried=(*event.item.tried, event.slot))
        if len(item.tried) < 2 or self._is_left(item):
            return [Retry(item)]
        # Where no checkpoint was ever loaded, accelerators may be at fault: only a failure on the CPU rejects it.
        if not len(item.views) and not any(slot.has_loaded or slot.device == "cpu" for slot in item.tried):
            return [Retry(item)]
        return self._narrow(item, "workers exited while they worked on it")

    def _on_failure(self, event: ItemFailed) -> list[Decision]:
        slot, item = event.slot, replace(event.item, tried=(*event.item.tried, event.slot))
        slot.failures += 1
        if self._is_left(item):
            decisions: list[Decision] = [Retry(item, event.why)]
        elif event.is_unusable_checkpoint:
            self._undo_failures(item)
            decisions = [RejectCheckpoint(item, event.why)]
        else:
            decisions = self._narrow(item, event.why)
        # The worker on the CPU is kept where there is nothing else: it still runs, and may do what is next.
        others = any(other is not slot and other.is_enabled for other in self.slots)
        if not slot.is_enabled and (others or slot.device != "cpu"):
            decisions.append(DisableDevice(slot))
        return decisions

    def _narrow(self, item: WorkItem, why: str) -> list[Decision]:
        """Halve an item that no device can do, to find the view that fails; give that one up."""
        if not len(item.views):
            self._undo_failures(item)
            return [RejectCheckpoint(item, why)]
        if len(item.views) > 1:
            self._undo_failures(item)
            middle = len(item.views) // 2
            return [Retry(self._part(item, slice(None, middle))), Retry(self._part(item, slice(middle, None)))]
        # Where views of one test input after another fail, the device is at fault; but not a CPU that has predicted others.
        index = int(item.test_indices[0])
        if index in self._given_up or any(slot.device == "cpu" and slot.has_predicted for slot in item.tried):
            self._undo_failures(item)
        self._given_up.add(index)
        return [GiveUpView(item, why)]

    def _part(self, item: WorkItem, part: slice) -> WorkItem:
        self._halves += 1
        number = item.number + self._halves * _HALF
        return replace(item, number=number, test_indices=item.test_indices[part], views=item.views[part])

    def _undo_failures(self, item: WorkItem) -> None:
        """Do not count the failures at an item against its devices: they were not at fault."""
        for slot in item.tried:
            slot.failures = max(0, slot.failures - 1)
