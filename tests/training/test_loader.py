"""Batches made ahead are those that were asked for, in whatever order, and errors of the thread are the step's."""

import gc
import threading
from collections.abc import Callable
from functools import partial

import pytest
import torch

from tests.helpers import SMALL, small_trainer
from trm_arc.data.batch import Batch
from trm_arc.training.loader import Loader

META = torch.device("meta")  # is no CPU, so that its batches are made ahead


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def make_batch(step: int, asked: list[tuple[int, str]]) -> Batch:
    """A batch that says its step, and who made it."""
    asked.append((step, threading.current_thread().name))
    return Batch(*(torch.full((2,), step) for _ in Batch._fields))


def make_ahead(make: Callable[[int], Batch], pinning: tuple[str, ...] = ()) -> Loader:
    """A loader that works ahead, although its batches stay where their values can be read."""
    ours = Loader(make, META, pinning)
    ours.device = torch.device("cpu")
    return ours


def test_every_step_gets_its_own_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, again, back, and far ahead, as a benchmark asks."""
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: (pinned.append(part), part)[1])  # which needs a driver
    asked: list[tuple[int, str]] = []
    ours = make_ahead(partial(make_batch, asked=asked), ("meta",))
    for step in (0, 1, 2, 2, 7, 8, 3):
        assert all(int(part[0]) == step for part in ours.take(step))
    assert ours.ahead[0] == 4
    ours.ahead[1].result()
    by_thread = [step for step, name in asked if name.startswith("loader")]
    assert {1, 2, 8} <= set(by_thread)  # those that followed in order
    assert len(pinned) == len(asked) * len(Batch._fields)


def test_an_accelerator_trains_on_the_batches_of_the_cpu() -> None:
    """Five steps of a run whose loader works ahead have the batches, and so the weights, of one that does not."""
    plain, ahead = small_trainer(SMALL), small_trainer(SMALL)
    ahead.loader = make_ahead(ahead.loader.make)
    for _ in range(5):
        assert torch.equal(plain.train_step().loss, ahead.train_step().loss)
    assert ahead.loader.ahead is not None
    for ours, theirs in zip(ahead.reasoner.parameters(), plain.reasoner.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_error_of_the_thread_is_that_of_its_step() -> None:
    error = MemoryError("step 1")

    def broken(step: int) -> Batch:
        if step == 1:
            raise error
        return make_batch(step, [])

    ours = Loader(broken, META)
    ours.take(0)  # step 1 fails in the thread, which nobody has asked for yet
    with pytest.raises(MemoryError) as caught:
        ours.take(1)
    assert caught.value is error
    ours.take(2)


def test_the_thread_ends_with_its_run() -> None:
    before = set(loader_threads())  # of other tests' runs, which may end meanwhile
    ours = Loader(partial(make_batch, asked=[]), META)
    ours.take(0)
    threads = set(loader_threads()) - before
    assert len(threads) == 1
    del ours
    gc.collect()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    assert Loader(partial(make_batch, asked=[]), torch.device("cpu")).thread is None
