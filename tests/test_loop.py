"""The loop around the steps: the best checkpoint, stops in the middle of evaluations, what is said, disks that are full."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import make_tasks, write_kaggle
from tests.test_training import small_trainer
from trm_arc import checkpoint, loop
from trm_arc import train as command_line
from trm_arc.checkpoint import list_checkpoints, load_checkpoint
from trm_arc.command import run
from trm_arc.errors import InputError, OwnError
from trm_arc.family import ARC
from trm_arc.loop import BEST, Rhythm, describe_metrics, describe_progress, stop_signals, train
from trm_arc.monitor import make_evaluation
from trm_arc.processes import Processes
from trm_arc.supervision import Metrics
from trm_arc.train import best_so_far, drop_later_metrics
from trm_arc.trainer import NotFiniteError, Wish

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
    return lambda _look: {ARC.measure: next(left)}


# --- the best checkpoint


def test_a_resumed_run_keeps_its_best(tmp_path: Path) -> None:
    rhythm = Rhythm(save_every=1, evaluate_every=1, log_every=1)
    train(small_trainer(steps=3), tmp_path, rhythm, peak=1, evaluate=scored(0.1, 0.5, 0.2))
    assert names(tmp_path / BEST) == ["02"]
    longer = small_trainer(steps=4)
    longer.load(load_checkpoint(tmp_path))
    kept = drop_later_metrics(tmp_path, longer.step)
    assert best_so_far(tmp_path, kept, ARC.measure) == 0.5
    train(longer, tmp_path, rhythm, peak=1, evaluate=scored(0.3), best=best_so_far(tmp_path, kept, ARC.measure))
    assert names(tmp_path / BEST) == ["02"]
    assert best_so_far(tmp_path / "elsewhere", kept, ARC.measure) < 0, "there is no best checkpoint to be better than"


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


def test_an_old_run_s_metrics_stay_if_the_new_one_cannot_begin(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--steps", 2]
    assert command("train", *flags, "--out", tmp_path / "run")[0] == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    blind = tmp_path / "blind_challenges.json"
    blind.write_bytes(Path(data[3]).read_bytes())
    flags[flags.index(data[3])] = blind
    code, _, error = command("train", *flags, "--overwrite", "--evaluate-every", 1, "--out", tmp_path / "run")
    assert (code, "there is nothing to score" in error) == (2, True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before != b""


def test_a_finished_run_is_not_saved_again(data: list[str], tmp_path: Path, command: Callable) -> None:
    assert command("train", *FLAGS, *data, "--steps", 2, "--out", tmp_path)[0] == 0
    before = (tmp_path / "checkpoint-00000002").stat().st_ino
    assert command("train", "--resume", "--out", tmp_path)[0] == 0
    assert (tmp_path / "checkpoint-00000002").stat().st_ino == before


# --- how a run computes


def test_resuming_goes_on_with_pieces_and_half_embeddings(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--steps", 4, "--half-embeddings", "--accumulation-steps", 2, "--save-every", 2, "--keep", 9]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("train", *flags, "--out", whole)[0] == 0

    def resume(*more: object) -> Path:
        shutil.rmtree(parts, ignore_errors=True)
        shutil.copytree(whole / "checkpoint-00000002", parts / "checkpoint-00000002")
        code, _, error = command("train", "--resume", "--out", parts, "--device", "cpu", *more)
        assert code == 0, error
        return parts / "checkpoint-00000004"

    for file in ("tensors.safetensors", "checkpoint.json"):
        assert (resume() / file).read_bytes() == (whole / "checkpoint-00000004" / file).read_bytes(), file
    other = load_checkpoint(resume("--no-half-embeddings", "--accumulation-steps", 1))
    assert (other.extra["half_embeddings"], other.extra["accumulation"]) == (False, 1)
    assert other.tensors["embedding.table"].dtype == torch.float32


def test_older_checkpoints_say_nothing_of_pieces(tmp_path: Path) -> None:
    saved = small_trainer().save(tmp_path, 1)
    header = orjson.loads((saved / "checkpoint.json").read_bytes())
    del header["half_embeddings"], header["accumulation"]
    (saved / "checkpoint.json").write_bytes(orjson.dumps(header))
    assert load_checkpoint(saved).extra["accumulation"] == 1
    for name, value in (("half_embeddings", 3), ("accumulation", 0), ("accumulation", True)):
        (saved / "checkpoint.json").write_bytes(orjson.dumps(header | {name: value}))
        with pytest.raises(InputError, match=rf"damaged \({name}\)"):
            load_checkpoint(saved)


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


@pytest.mark.parametrize(("fit", "first"), [(False, 17), (False, 240), (True, 17)])
def test_a_time_limit_holds_where_steps_are_long(fit: bool, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 17 seconds, the first perhaps longer, as it is compiled; a checkpoint takes 9."""
    trainer, seconds = small_trainer(steps=100), [0]
    step, save = trainer.train_step, trainer.save

    def train_step(wish: Wish) -> Metrics:
        seconds[0] += 17 if trainer.step else first
        return step(wish)

    def saved(*arguments: object) -> Path:
        seconds[0] += 9
        return save(*arguments)

    monkeypatch.setattr(trainer, "train_step", train_step)
    monkeypatch.setattr(trainer, "save", saved)
    monkeypatch.setattr(loop.time, "monotonic", lambda: seconds[0])
    assert train(trainer, tmp_path, Rhythm(save_every=5, time_limit=600, fit=fit), peak=1) == fit
    assert 600 - 17 - 9 < seconds[0] <= 600
    assert load_checkpoint(tmp_path).step == trainer.step


def test_an_evaluation_looks_up_between_batches() -> None:
    trainer, tasks, looks = small_trainer(), make_tasks(3, 2, "eval"), []
    evaluate = make_evaluation(trainer, tasks, 3, False)
    assert ARC.measure in evaluate(lambda: looks.append(1))
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


# --- what is said


def test_the_progress_line_fits_80_columns() -> None:
    worst = {"loss": 1.234e-05, "exact": 1.0, "halting_steps": 16.0, "milliseconds_per_step": 86_400.0}
    for seconds in (0.0, 59 * 60 + 59, 23 * 3600 + 59 * 60, 99 * 86_400 + 23 * 3600):
        line = describe_progress(518_880, 518_880, seconds) + describe_metrics(worst, 9)
        assert len(line) < 80, line
    assert line == "100% 518k/518k, 99 d 23 h left, loss 1.23e-05 exact 100% halt 16.0 86400 ms"
    assert describe_progress(79, 518_880, 187_000.0) == "0% 79/518k, 2 d 3 h left"
    assert describe_metrics(worst | {"exact": 0.0}, 0) == ", loss 1.23e-05 exact - halt - 86400 ms"


def test_the_forecast_leaves_evaluations_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told = small_trainer(steps=4), []
    monkeypatch.setattr(loop, "describe_progress", lambda step, steps, seconds: told.append(seconds) or "")

    def evaluate(_look: Callable) -> dict[str, float]:
        time.sleep(2)
        return {ARC.measure: 0.0}

    train(trainer, tmp_path, Rhythm(evaluate_every=3, log_every=1), peak=1, evaluate=evaluate)
    assert told[-1] == 0
    assert max(told) < 2


# --- full disks


def full_disk(*_: object) -> None:
    raise InputError("metrics.jsonl: cannot be written (No space left on device)")


def test_lost_metrics_do_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "append_line", full_disk)
    assert train(small_trainer(steps=4), tmp_path, Rhythm(log_every=1), peak=1)
    assert names(tmp_path) == ["04"]
    assert capsys.readouterr().out.count("No space left on device); the run goes on, lines of metrics are lost") == 1


def test_metrics_without_later_lines_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "write_atomic", full_disk)
    assert drop_later_metrics(tmp_path, 3) == []
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step":1,"loss":1.0}\n{"step":3,"loss":0.5}\n')
    assert [line["step"] for line in drop_later_metrics(tmp_path, 3)] == [1, 3]
    with pytest.raises(InputError, match="No space left"):
        drop_later_metrics(tmp_path, 2)


def test_a_checkpoint_that_does_not_fit_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    trainer.train_step()
    trainer.save(tmp_path, 1)

    def save_file(_tensors: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    trainer.train_step()
    with pytest.raises(InputError, match=rf"it needs 0\.\d MB, 1\.0 MB are free on {tmp_path}; older ones are untouched"):
        trainer.save(tmp_path, 1)
    assert names(tmp_path) == ["01"]
    load_checkpoint(tmp_path)


# --- several processes


class Beside(Processes):
    """One of two processes, the other of which has the same rows."""

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor, tensor])


@pytest.mark.parametrize("rank", [0, 1])
def test_the_main_process_writes_the_whole_bad_batch(rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    batch = trainer.examples.batch(0, trainer.config.training)

    def fail(_wish: object) -> None:
        raise NotFiniteError(1, batch)

    monkeypatch.setattr(trainer, "train_step", fail)
    trainer.processes = Beside(rank, 2)
    with pytest.raises(InputError, match="the last batch is in"):
        train(trainer, tmp_path, Rhythm(), peak=1)
    path = tmp_path / "bad-batch.safetensors"
    assert path.exists() == (rank == 0)
    if rank == 0:
        assert len(load_file(path)["rows"]) == 2 * len(batch.rows)


@pytest.mark.parametrize(
    ("ranks", "error", "told"),
    [
        ({}, InputError("x"), "error: x\n"),
        ({"RANK": "0", "LOCAL_RANK": "0"}, OwnError("x"), "error: x\n"),
        ({"RANK": "1", "LOCAL_RANK": "1"}, InputError("x"), ""),
        ({"RANK": "1", "LOCAL_RANK": "1"}, OwnError("x"), "process 1: error: x\n"),
        ({"RANK": "8", "LOCAL_RANK": "0"}, InputError("x"), "process 8: error: x\n"),
        ({"RANK": "3", "LOCAL_RANK": "3"}, MemoryError(), "process 3: error: not enough memory; lower"),
    ],
)
def test_who_speaks_of_several_processes(
    ranks: dict[str, str], error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong for all is said once a machine, what one has met alone by that one."""
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)

    def fail(_arguments: object) -> int:
        raise error

    with pytest.raises(SystemExit):
        run(fail)
    printed = capsys.readouterr().err
    assert printed.startswith(told)
    assert bool(printed) == bool(told)
