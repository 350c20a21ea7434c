"""A step's outcome read one step late: as on a CPU, where it is read at once, to the bit."""

from types import SimpleNamespace

import pytest
import torch

from tests.helpers import SMALL, assert_identical, everything, small_trainer
from trm_arc.common.device import Later
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.training.optim import Optimizers
from trm_arc.training.options import Options
from trm_arc.training.state import full_state, load_state, save_state
from trm_arc.training.time_budget import TimeBudget
from trm_arc.training.trainer import NotFiniteError, Trainer


def late_trainer(*arguments: object, **more: object) -> Trainer:
    """A trainer that reads outcomes late, as on an accelerator."""
    trainer = small_trainer(*arguments, **more)
    trainer.late = True
    return trainer


def spoil(trainer: Trainer, steps: set[int], what: str = "loss") -> None:
    """Let the loss of some steps (from 0), or their gradient alone, be no number."""
    real = trainer.supervision_step

    def spoiled(*arguments: object) -> tuple:
        loss, carry, metrics = real(*arguments)
        if trainer.step not in steps:
            return loss, carry, metrics
        nan = float("nan")
        y = carry.state.y * nan if what == "loss" else carry.state.y
        return (
            loss * nan,
            carry._replace(state=carry.state._replace(y=y)),
            metrics if what != "loss" else metrics._replace(loss=metrics.loss * nan),
        )

    trainer.supervision_step = spoiled


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw", "matrix_optimizer": "muon", "gradient_clip": 0.05},
        {"optimizer": "adamw", "matrix_optimizer": "normuon", "ema": 0.0},
        {"matrix_optimizer": "muon", "matrix_parts": "heads", "canvas": "buckets", "bucket_sides": "auto:2"},
        {"embeddings_first": 0.3, "noise": 0.1, "random_start": True},
    ],
)
def test_a_step_that_was_not_finite_changes_nothing(changes: dict, what: str) -> None:
    """Neither of the first steps, which make the optimizers' memory, nor later ones, alone or in a row."""
    config = SMALL.override(changes)
    plain, late = small_trainer(config), late_trainer(config)
    for trainer in (plain, late):
        spoil(trainer, {0, 3, 6, 7}, what)
    for step in range(10):
        before = {name: tensor.clone() for name, tensor in late.reasoner.state_dict().items()}
        assert torch.equal(plain.train_step().loss, late.train_step().loss) or (what == "loss" and step in (0, 3, 6, 7))
        assert_identical(dict(plain.reasoner.state_dict()), dict(late.reasoner.state_dict()))
        assert torch.equal(plain.embedding.table, late.embedding.table)
        if step in (0, 3, 6, 7):
            assert_identical(before, dict(late.reasoner.state_dict()))
    ours, theirs = full_state(late).tensors, full_state(plain).tensors
    fresh = {name for name in ours.keys() - theirs.keys() if name.startswith("optimizer.")}
    assert_identical({name: tensor for name, tensor in ours.items() if name not in fresh}, theirs)
    assert (late.skipped, late.skipped_in_a_row) == (plain.skipped, plain.skipped_in_a_row) == (4, 0)


def test_a_run_whose_only_step_was_not_finite_is_resumed(tmp_path: object) -> None:
    """Its optimizers' memory is that of a run that has done nothing."""
    trainers = small_trainer(), late_trainer()
    for trainer in trainers:
        spoil(trainer, {0})
        trainer.train_step()
    resumed = small_trainer()
    load_state(resumed, load_checkpoint(save_state(trainers[1], tmp_path, keep=1)))
    trainers[0].train_step()
    resumed.train_step()
    assert_identical(everything(trainers[0], tmp_path / "a"), everything(resumed, tmp_path / "b"))


@pytest.mark.parametrize("last", [False, True])
def test_too_many_skipped_steps_end_the_run_one_step_late(last: bool) -> None:
    """The error names the step that was the last straw; at the end of a run there is no later step, and it is said there."""
    trainer = late_trainer(steps=3 if last else 12, options=Options(skips=3))
    spoil(trainer, set(range(9)))
    for _ in range(2 if last else 3):
        trainer.train_step()
    with pytest.raises(NotFiniteError) as caught:
        trainer.train_step()
    assert caught.value.step == 3
    assert trainer.skipped == 3
    assert caught.value.batch.tokens.shape[0] == SMALL.training.batch_size


def test_a_scale_that_was_too_large_is_halved_once() -> None:
    """The step after the first that overflowed had the same scale already; the weights stay until the scale is right."""
    trainer = late_trainer(dtype=torch.float16)
    trainer.scale.value = 1e30
    before = trainer.reasoner.head.clone()
    for expected in (1e30, 5e29, 5e29, 2.5e29):
        trainer.train_step()
        assert trainer.scale.value == expected
    assert torch.equal(trainer.reasoner.head, before)
    assert trainer.skipped == 3


def test_the_time_of_a_step_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that goes on measures the step before: buckets of 2 and 30 seconds a step must not be mixed up."""
    trainer = late_trainer(SMALL.override({"canvas": "buckets", "bucket_sides": "auto:2"}), steps=100)
    now, free = [0.0], [0.0]  # of the host, and when the device will have done its work
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    class Read(Later):
        def __init__(self, value: torch.Tensor) -> None:
            super().__init__(value)
            free[0] = self.done = max(free[0], now[0]) + (2.0, 30.0)[trainer.examples.schedule.at(trainer.step - 1)[0]]

        def read(self) -> bool:
            now[0] = max(now[0], self.done)
            return super().read()

    monkeypatch.setattr("trm_arc.training.trainer.Later", Read)
    seen: dict[int, set[float]] = {0: set(), 1: set()}
    for step in range(30):
        now[0] += 0.5  # of the host itself, which the device works through
        trainer.train_step()
        if step % 7 == 0:
            trainer.finish_step()
            now[0] += 50  # a save, during which the device has nothing to do
        for done, seconds, compiled in trainer.take_timings():
            seen[trainer.examples.schedule.at(done)[0]].add(round(seconds, 6))
            assert not compiled
    assert all(seen[bucket] <= {usual, usual - 0.5, usual + 0.5} for bucket, usual in ((0, 2.0), (1, 30.0)))
    assert all(seen.values())


def test_a_step_that_the_device_is_still_at_counts_against_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = late_trainer()
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    budget = TimeBudget(trainer, SimpleNamespace(left=35.0))
    trainer.train_step()
    trainer.finish_step()
    for _ in range(2):
        budget.add(10.0, 0)
    assert not budget.is_over()  # two more steps take 20 seconds
    trainer.train_step()
    budget.saving = 6.0
    assert budget.is_over()  # 30 with the one at work, and a save
    trainer.finish_step()
    assert not budget.is_over()


def test_a_number_on_its_way_is_waited_for_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    event = SimpleNamespace(record=lambda stream: asked.append(f"record on {stream}"), synchronize=lambda: asked.append("wait"))
    module = SimpleNamespace(Event=lambda: event, current_stream=lambda device: f"{device}'s stream")
    monkeypatch.setattr(torch, "get_device_module", lambda _device: module)
    later = Later(torch.tensor(False), ("cpu",))
    assert asked == ["record on cpu's stream"], "the stream of the tensor's device"
    assert later.read() is False
    assert asked[1:] == ["wait"]


def test_the_fused_adamw_is_adamw() -> None:
    """Where the device has it: one kernel, the same steps to rounding, and states that either can continue from."""
    config = SMALL.override({"optimizer": "adamw"})
    plain = small_trainer(config)
    fused = late_trainer(config)
    fused.optimizers = Optimizers(fused.reasoner, config.training, fused.steps, ("cpu",))
    spoil(plain, {4})
    spoil(fused, {4})
    assert [trainer.optimizers.members[-1].defaults["fused"] for trainer in (plain, fused)] == [False, True]
    for _ in range(6):
        plain.train_step()
        fused.train_step()
    ours, theirs = full_state(fused).tensors, full_state(plain).tensors
    steps = [name for name in ours if name.endswith(".step")]
    assert steps
    assert {float(ours[name]) for name in steps} == {float(theirs[name]) for name in steps} == {5.0}
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    resumed = Optimizers(fused.reasoner, config.training, 12, ("cpu",))
    resumed.load_tensors(plain.optimizers.tensors(), moved=True)
    assert resumed.members[-1].param_groups[0]["fused"]
