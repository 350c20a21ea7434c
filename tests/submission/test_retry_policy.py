"""The retry policy, without a process: what every kind of failure leads to, and that no order of events loses work."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submission.retry_policy import (
    MAX_FAILURES,
    CheckpointLoaded,
    Decision,
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
from tests.helpers import examples

Step = Callable[[DeviceSlot, WorkItem], Event]


def make_item(*indices: int, number: float = 1.0) -> WorkItem:
    return WorkItem(number, "a", np.array(indices, np.int64), np.zeros(len(indices), np.int64))


def loaded(slot: DeviceSlot, _item: WorkItem) -> Event:
    return CheckpointLoaded(slot)


def done(slot: DeviceSlot, item: WorkItem) -> Event:
    return ItemDone(slot, item)


def failed(slot: DeviceSlot, item: WorkItem) -> Event:
    return ItemFailed(slot, item, "why")


def unusable(slot: DeviceSlot, item: WorkItem) -> Event:
    return ItemFailed(slot, item, "why", is_unusable_checkpoint=True)


def exited(slot: DeviceSlot, item: WorkItem) -> Event:
    return WorkerExited(slot, item, was_ready=True)


def exited_early(slot: DeviceSlot, item: WorkItem) -> Event:
    return WorkerExited(slot, item, was_ready=False)


def exited_idle(slot: DeviceSlot, _item: WorkItem) -> Event:
    return WorkerExited(slot, None, was_ready=True)


def follow(policy: RetryPolicy, item: WorkItem, steps: Sequence[tuple[int, Step]]) -> list[Decision]:
    """The decisions after the last of some steps, each on a device by its number; an item goes on as it was decided."""
    decisions: list[Decision] = []
    for number, step in steps:
        decisions = policy.decide(step(policy.slots[number], item))
        item = next((d.item for d in decisions if isinstance(d, Retry)), item)
    return decisions


@pytest.mark.parametrize(
    ("devices", "indices", "steps", "expected", "failures"),
    [
        # what exits is tried again: there, or where it was not tried yet
        (["cpu"], [3], [(0, exited_idle)], [], [1]),
        (["cpu"], [3], [(0, exited)], [Retry], [1]),
        (["cuda:0"], [3], [(0, exited_early)] * 3, [Retry], [3]),
        (["cuda:0", "cuda:1"], [3], [(0, exited), (1, exited)], [GiveUpView], [1, 1]),
        (["cuda:0", "cuda:1", "cuda:2"], [3], [(0, exited), (1, exited)], [Retry], [1, 1, 0]),
        # a second exit on the last device: halves, then the view is given up
        (["cpu"], [3, 4, 5], [(0, exited), (0, exited)], [Retry, Retry], [0]),
        (["cpu"], [3], [(0, exited), (0, exited)], [GiveUpView], [2]),
        (["cpu"], [3], [(0, done), (0, exited), (0, exited)], [GiveUpView], [0]),
        # a checkpoint: rejected where one was loaded before, or on the CPU; an accelerator alone is no judge
        (["cpu"], [], [(0, exited), (0, exited)], [RejectCheckpoint], [0]),
        (["cuda:0"], [], [(0, exited), (0, exited)], [Retry], [2]),
        (["cuda:0"], [], [(0, loaded), (0, exited), (0, exited)], [RejectCheckpoint], [0]),
        # what a worker says that it cannot do goes to another, or is found to be at fault
        (["cpu"], [3, 4], [(0, unusable)], [RejectCheckpoint], [0]),
        (["cpu", "cpu"], [3, 4], [(0, unusable)], [Retry], [1, 0]),
        (["cpu", "cpu"], [3, 4], [(0, unusable), (1, unusable)], [RejectCheckpoint], [0, 0]),
        (["cpu"], [3, 4], [(0, failed)], [Retry, Retry], [0]),
        (["cpu"], [3], [(0, failed)], [GiveUpView], [1]),
        (["cuda:0"], [3], [(0, failed), (0, failed)], [GiveUpView], [1]),  # the same test input: not the device
        # work done between failures forgives them; work without views does not
        (["cpu"], [3], [(0, exited), (0, done)], [], [0]),
        (["cpu"], [], [(0, exited), (0, done)], [], [1]),
    ],
)
def test_what_follows(
    devices: list[str], indices: list[int], steps: list[tuple[int, Step]], expected: list[type], failures: list[int]
) -> None:
    policy = RetryPolicy(devices)
    decisions = follow(policy, make_item(*indices), steps)
    assert [type(decision) for decision in decisions] == expected
    assert [slot.failures for slot in policy.slots] == failures


def test_halves_hold_all_views_and_come_right_after_the_whole() -> None:
    policy = RetryPolicy(["cpu"])
    first, second = (d.item for d in policy.decide(failed(policy.slots[0], make_item(3, 4, 5, number=7))))
    assert [*first.test_indices, *second.test_indices] == [3, 4, 5]
    assert 7 < first.number < second.number < 8


@pytest.mark.parametrize(("devices", "is_disabled"), [(["cpu"], False), (["cuda:0"], True), (["cpu", "cpu"], True)])
def test_a_device_that_fails_in_a_row_is_disabled_unless_it_is_the_only_cpu(devices: list[str], is_disabled: bool) -> None:
    policy = RetryPolicy(devices)
    for index in range(MAX_FAILURES):  # other test inputs each time
        decisions = policy.decide(failed(policy.slots[0], make_item(index)))
    assert (DisableDevice(policy.slots[0]) in decisions) == is_disabled
    assert not policy.slots[0].is_enabled


def test_the_cpu_takes_over_once() -> None:
    policy = RetryPolicy(["cuda:0", "cuda:1"])
    assert policy.decide(NoWorkerLeft()) == [UseCPU(("cuda:0", "cuda:1"))]
    assert [slot.device for slot in policy.slots] == ["cpu"]
    assert policy.decide(NoWorkerLeft()) == [Stop()]


def test_an_item_is_for_those_that_have_not_tried_it() -> None:
    policy = RetryPolicy(["cuda:0", "cuda:1"])
    first, second = policy.slots
    (retry,) = policy.decide(failed(first, make_item(1)))
    assert (policy.may_try(first, retry.item), policy.may_try(second, retry.item)) == (False, True)
    second.failures = MAX_FAILURES
    assert policy.may_try(first, retry.item)


@pytest.mark.parametrize(
    ("views", "pace", "loading", "expected"),
    [(0, 0.0, 0.0, 10.0), (0, 5.0, 50.0, 60.0), (4, 0.5, 0.0, 70.0), (4, 0.5, 50.0, 70.0), (4, 0.5, 90.0, 100.0)],
)
def test_patience_grows_with_the_work(views: int, pace: float, loading: float, expected: float) -> None:
    assert RetryPolicy(["cpu"], patience=10.0).longest_silence(views, pace, loading) == expected


def test_silence_leaves_time_for_another_worker() -> None:
    policy = RetryPolicy(["cpu"])
    assert policy.longest_silence(1, 0.0, left=30.0) == 15.0
    assert policy.longest_silence(64, 1.0, 500.0, left=60.0) == 30.0
    assert policy.longest_silence(1, 0.0, left=3600.0) == 120.0


class Run:
    """A run in which anything may happen, led as the pool leads it; `choose` says what happens next."""

    def __init__(self, devices: list[str], counts: list[int], choose: Callable[[Sequence[Step]], Step]) -> None:
        self.policy, self.choose = RetryPolicy(devices), choose
        self.events, self.ends, self.is_stopped = 0, [], False  # `ends`: views that were done, given up or rejected
        self.waiting = [
            WorkItem(float(n), "a", np.arange(c) + 100 * n, np.zeros(c, np.int64)) for n, c in enumerate([0, *counts], start=1)
        ]
        self.running: dict[DeviceSlot, WorkItem | None] = {}
        while self.begin_work():
            self.happen()

    def begin_work(self) -> bool:
        """Start workers, and give them work; whether any has some."""
        self.running = dict.fromkeys([slot for slot in self.policy.slots if slot.is_enabled]) | self.running
        if not self.running:
            (decision,) = self.policy.decide(NoWorkerLeft())
            self.is_stopped = isinstance(decision, Stop)
            return not self.is_stopped and self.begin_work()
        for slot in [slot for slot, item in self.running.items() if item is None]:
            number = next((n for n, item in enumerate(self.waiting) if self.policy.may_try(slot, item)), None)
            self.running[slot] = None if number is None else self.waiting.pop(number)
        if not any(self.running.values()):
            assert not self.waiting, "work waits that nobody may try"
            return False
        return True

    def happen(self) -> None:
        busy = [(slot, item) for slot, item in self.running.items() if item is not None]
        slot, item = busy[self.events % len(busy)]
        event = self.choose((done, loaded, failed, unusable, exited, exited_early))(slot, item)
        self.events += 1
        if isinstance(event, WorkerExited):
            del self.running[slot]
        elif not isinstance(event, CheckpointLoaded):
            self.running[slot] = None
        if isinstance(event, ItemDone):
            self.ends += item.test_indices.tolist()
        for decision in self.policy.decide(event):
            if isinstance(decision, Retry):
                self.waiting.append(decision.item)
            elif isinstance(decision, DisableDevice):
                del self.running[decision.slot]
            else:
                self.ends += decision.item.test_indices.tolist()


DEVICES = st.sampled_from([["cpu"], ["cpu", "cpu"], ["cuda:0"], ["cuda:0", "cuda:1"], ["cuda:0", "cuda:1", "cuda:2"]])
COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@examples(60)
@given(DEVICES, COUNTS, st.data())
def test_no_order_of_events_loses_a_view_or_counts_it_twice(devices: list[str], counts: list[int], data: st.DataObject) -> None:
    """Unless nothing is left to work with, every view is done, or dropped by a decision, once."""
    drawn = data.draw(st.lists(st.integers(0, 5), max_size=200))
    run = Run(devices, counts, lambda steps: steps[drawn.pop()] if drawn else done)
    expected = [100 * n + index for n, count in enumerate(counts, start=2) for index in range(count)]
    assert run.is_stopped or sorted(run.ends) == expected
    assert set(run.ends) <= set(expected)
    assert len(set(run.ends)) == len(run.ends)


@examples(60)
@given(DEVICES, COUNTS, st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_failures_without_end_end_the_work(devices: list[str], counts: list[int], pattern: list[int]) -> None:
    """Where nothing ever succeeds, in whatever way it fails, the run is over after a bounded number of events."""
    happened = iter(pattern * 10_000)
    run = Run(devices, counts, lambda steps: steps[2 + next(happened)])
    assert run.events <= 2 * (len(devices) + 1) * (2 * sum(counts) + MAX_FAILURES + 1)
