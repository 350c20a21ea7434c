"""The loop around the steps: the best checkpoint, stops in the middle of evaluations, what is said, disks that are full."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import make_tasks, write_kaggle
from tests.test_training import small_trainer
from trm_arc import loop
from trm_arc.checkpoint import list_checkpoints, load_checkpoint
from trm_arc.loop import BEST, Rhythm, stop_signals, train
from trm_arc.monitor import MEASURE, make_evaluation
from trm_arc.train import best_so_far, drop_later_metrics

FLAGS = (
    "--width 16 --heads 2 --prefix 2 --cycles 1 --thoughts 1 --window fit --augmentations 4 --batch-size 8 --warmup-steps 2 "
    "--halt-steps 2 --log-every 2 --precision float32 --device cpu"
).split()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that name a training and an evaluation set."""
    folder = tmp_path_factory.mktemp("data")
    training = write_kaggle(folder, make_tasks(5, 1, "train"), "train")
    return ["--data", str(training), "--evaluation-data", str(write_kaggle(folder, make_tasks(4, 2, "eval"), "eval"))]


def names(folder: Path) -> list[str]:
    return [path.name.removeprefix("checkpoint-000000") for path in list_checkpoints(folder)]


def scored(*scores: float) -> Callable:
    """An evaluation that gives these scores, one after the other."""
    left = iter(scores)
    return lambda _look: {MEASURE: next(left)}


# --- the best checkpoint


def test_a_resumed_run_keeps_its_best(tmp_path: Path) -> None:
    rhythm = Rhythm(save_every=1, evaluate_every=1, log_every=1)
    train(small_trainer(steps=3), tmp_path, rhythm, peak=1, evaluate=scored(0.1, 0.5, 0.2))
    assert names(tmp_path / BEST) == ["02"]
    longer = small_trainer(steps=4)
    longer.load(load_checkpoint(tmp_path))
    kept = drop_later_metrics(tmp_path, longer.step)
    assert best_so_far(tmp_path, kept) == 0.5
    train(longer, tmp_path, rhythm, peak=1, evaluate=scored(0.3), best=best_so_far(tmp_path, kept))
    assert names(tmp_path / BEST) == ["02"]
    assert best_so_far(tmp_path / "elsewhere", kept) < 0, "there is no best checkpoint to be better than"


def test_a_new_run_s_best_replaces_the_old_one_s(data: list[str], tmp_path: Path, command: Callable) -> None:
    """By path: the old run's may be of a later step, or of the same."""
    flags = [*FLAGS, *data, "--evaluate-views", 2, "--out", tmp_path]
    assert command("train", *flags, "--steps", 6, "--evaluate-every", 6)[0] == 0
    assert names(tmp_path / BEST) == ["06"]
    before = (tmp_path / BEST / "checkpoint-00000006" / "tensors.safetensors").read_bytes()
    code, _, error = command("train", *flags, "--steps", 5, "--evaluate-every", 2, "--overwrite", "--seed", 1)
    assert code == 0, error
    assert names(tmp_path / BEST) == ["02"]
    assert names(tmp_path) == ["02", "04", "05"][-2:]
    assert command("train", *flags, "--steps", 6, "--evaluate-every", 6, "--overwrite", "--seed", 2)[0] == 0
    assert names(tmp_path / BEST) == ["06"]
    assert (tmp_path / BEST / "checkpoint-00000006" / "tensors.safetensors").read_bytes() != before
    assert command("train", *flags[:-4], "--steps", 1, "--overwrite", "--out", tmp_path)[0] == 0
    assert names(tmp_path / BEST) == [], "the best of a run that is no more"


def test_the_best_is_kept_by_its_place_not_by_its_step(tmp_path: Path) -> None:
    later = small_trainer(steps=12)
    for _ in range(5):
        later.train_step()
    later.save(tmp_path / BEST, 1)
    train(small_trainer(steps=2), tmp_path, Rhythm(evaluate_every=2), peak=1, evaluate=scored(0.1))
    assert names(tmp_path / BEST) == ["02"]


# --- stops


@pytest.mark.parametrize("why", ["signal", "time"])
def test_a_stop_does_not_wait_for_an_evaluation(why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer, looks = small_trainer(), []

    def evaluate(look: Callable) -> dict[str, float]:
        assert names(tmp_path) == ["02"], "the step is saved before"
        while True:
            looks.append(look())
            time.sleep(0.01)
            if why == "signal":
                os.kill(os.getpid(), signal.SIGTERM)

    limit = 1.0 if why == "time" else None
    rhythm = Rhythm(evaluate_every=2, time_limit=limit)
    assert not train(trainer, tmp_path, rhythm, peak=1, evaluate=evaluate)
    assert looks
    assert (trainer.step, names(tmp_path)) == (2, ["02"])
    assert "step 2: the evaluation was given up, as the run has to stop; the step is saved" in capsys.readouterr().out


def test_an_evaluation_looks_up_between_batches() -> None:
    trainer, tasks, looks = small_trainer(), make_tasks(3, 2, "eval"), []
    evaluate = make_evaluation(trainer, tasks, 3, False)
    assert MEASURE in evaluate(lambda: looks.append(1))
    assert looks
    with pytest.raises(KeyError):
        evaluate(lambda: {}["stop"])


def test_a_repeated_signal_is_one_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    with stop_signals() as received:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert len(received) == 3
        monkeypatch.setattr(loop, "REPEATS", 0.0)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
