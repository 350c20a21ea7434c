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

from tests.helpers import SMALL, edit_header, make_tasks, messages, small_trainer, write_kaggle
from trm_arc.common.deadline import Deadline
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError, OwnError
from trm_arc.common.program import run
from trm_arc.common.signals import stop_signals
from trm_arc.data.domains.arc import ARC
from trm_arc.data.examples import step_seeds
from trm_arc.evaluation.monitor import make_evaluation
from trm_arc.model import checkpoint
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints
from trm_arc.train import main as train_main
from trm_arc.training import loop, run_folder
from trm_arc.training.loop import BEST, describe_metrics, describe_progress, train
from trm_arc.training.options import LoopConfig, Options
from trm_arc.training.run_folder import best_so_far, drop_later_metrics
from trm_arc.training.state import load_state, save_state
from trm_arc.training.supervision import Metrics
from trm_arc.training.trainer import NotFiniteError, StepRequest, Trainer

says = messages(__name__)

FLAGS = (
    "--width 16 --heads 2 --prefix 2 --cycles 1 --latent-steps 1 --canvas fit --augmentations 4 --batch-size 8 --warmup-steps 2 "
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
    rhythm = LoopConfig(save_every=1, evaluate_every=1, log_every=1)
    train(small_trainer(steps=3), tmp_path, rhythm, peak=1, evaluate=scored(0.1, 0.5, 0.2))
    assert names(tmp_path / BEST) == ["02"]
    longer = small_trainer(steps=4)
    load_state(longer, load_checkpoint(tmp_path))
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
    save_state(later, tmp_path / BEST, 1)
    train(small_trainer(steps=2), tmp_path, LoopConfig(evaluate_every=2), peak=1, evaluate=scored(0.1))
    assert names(tmp_path / BEST) == ["02"]


def test_an_old_run_s_metrics_stay_if_the_new_one_cannot_begin(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--steps", 2]
    assert command("train", *flags, "--out", tmp_path / "run")[0] == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    blind = tmp_path / "blind_challenges.json"
    blind.write_bytes(Path(data[3]).read_bytes())
    flags[flags.index(data[3])] = blind
    code, _, error = command("train", *flags, "--overwrite", "--evaluate-every", 1, "--out", tmp_path / "run")
    assert (code, says("there-is-nothing-to") in error) == (2, True)
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
    assert (other.metadata.half_embeddings, other.metadata.accumulation) == (False, 1)
    assert other.tensors["embedding.table"].dtype == torch.float32


def test_older_checkpoints_say_nothing_of_pieces(tmp_path: Path) -> None:
    saved = save_state(small_trainer(), tmp_path, 1)
    header = edit_header(saved)
    del header["half_embeddings"], header["accumulation"]
    (saved / "checkpoint.json").write_bytes(orjson.dumps(header))
    assert load_checkpoint(saved).metadata.accumulation == 1
    for name, value in (("half_embeddings", 3), ("accumulation", 0), ("accumulation", True)):
        (saved / "checkpoint.json").write_bytes(orjson.dumps(header | {name: value}))
        with pytest.raises(InputError, match=rf"{name}.*the checkpoint is damaged"):
            load_checkpoint(saved)


# --- stops


@pytest.mark.parametrize("why", ["signal", "time"])
def test_a_stop_does_not_wait_for_an_evaluation(
    why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, looks, now = small_trainer(), [], [time.monotonic()]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def evaluate(look: Callable) -> dict[str, float]:
        assert names(tmp_path) == ["02"], "the step is saved before"
        while True:
            looks.append(look())
            now[0] += 0.6
            if why == "signal":
                os.kill(os.getpid(), signal.SIGTERM)

    limit = 1.0 if why == "time" else None
    rhythm = LoopConfig(evaluate_every=2, deadline=Deadline(limit))
    assert not train(trainer, tmp_path, rhythm, peak=1, evaluate=evaluate)
    assert looks
    assert (trainer.step, names(tmp_path)) == (2, ["02"])
    assert says("step-2-the-evaluation") in capsys.readouterr().out


class Slow:
    """A trainer with a clock of its own: a step takes 17 seconds, or what its operations say; a checkpoint takes 9.

    Args:
        trainer: of any settings.
        first: seconds of the first step of every bucket, which may have been compiled.
        per_operation: seconds, instead of the 17.
    """

    def __init__(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, first: int = 17, per_operation: float = 0) -> None:
        self.trainer, self.now, self.requests, self.scored = trainer, 0.0, [], []
        step, save, met = trainer.train_step, loop.save_state, set()

        def train_step(request: StepRequest, *, measure: bool = False) -> Metrics:
            self.requests.append(request)
            bucket = trainer.examples.schedule.at(trainer.step)[0]
            default = per_operation * trainer.operations(bucket, trainer.depth()) or 17
            self.now += default if bucket in met else max(first, default)
            met.add(bucket)
            return step(request, measure=measure)

        def saved(*arguments: object) -> Path:
            self.now += 9
            return save(*arguments)

        monkeypatch.setattr(trainer, "train_step", train_step)
        monkeypatch.setattr(loop, "save_state", saved)
        monkeypatch.setattr(loop.time, "monotonic", lambda: self.now)

    def evaluate(self, look: Callable) -> dict[str, float]:
        for _ in range(10):
            self.now += 10
            look()
        self.scored.append(self.trainer.step)
        return {ARC.measure: 0.5}


@pytest.mark.parametrize("save_every", [5, 1000])
@pytest.mark.parametrize("first", [17, 240])
@pytest.mark.parametrize("fit", [False, True])
def test_a_time_limit_holds_where_steps_are_long(
    fit: bool, first: int, save_every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = small_trainer(steps=100)
    slow = Slow(trainer, monkeypatch, first)
    assert train(trainer, tmp_path, LoopConfig(save_every=save_every, deadline=Deadline(600, 0.0), fit=fit), peak=1) == fit
    assert 600 - 2 * 17 - 9 < slow.now <= 600, "neither too long nor for nothing"
    assert load_checkpoint(tmp_path).step == trainer.step
    lengths = [request.steps for request in slow.requests][2:]
    assert not fit or max(lengths) - min(lengths) <= 4, "the schedule hardly moves"


def test_a_run_is_saved_every_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, times = small_trainer(steps=100), []
    Slow(trainer, monkeypatch)
    save = loop.save_state
    monkeypatch.setattr(loop, "save_state", lambda *arguments: times.append(trainer.step) or save(*arguments))
    assert train(trainer, tmp_path, LoopConfig(), peak=1)
    assert times == [37, 74, 100], "after 36 steps of 17 seconds ten minutes have passed, so that the next one is saved"


@pytest.mark.parametrize("fit", [False, True])
def test_a_time_limit_holds_in_buckets_and_stages(fit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of the largest bucket at the full depth take many times as long as the first ones."""
    changes = {"canvas": "buckets", "bucket_sides": "auto:3", "depth_curriculum": "1/1:0.3"}
    trainer = small_trainer(SMALL.override(changes), steps=1000)
    longest = max(trainer.operations(bucket, None) for bucket in range(len(trainer.examples.buckets)))
    slow = Slow(trainer, monkeypatch, 0, 40 / longest)
    assert train(trainer, tmp_path, LoopConfig(deadline=Deadline(1200, 0.0), fit=fit), peak=1) == fit
    assert 1200 - 2 * 40 - 9 < slow.now <= 1200
    if fit:  # the length that was planned early is about that of the run, though its steps were quick
        assert slow.requests[len(slow.requests) // 4].steps == pytest.approx(trainer.step, rel=0.15)


@pytest.mark.parametrize("fit", [False, True])
def test_a_time_limit_holds_with_evaluations(fit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(steps=100)
    slow = Slow(trainer, monkeypatch)
    rhythm = LoopConfig(evaluate_every=10, deadline=Deadline(620, 0.0), fit=fit)
    assert train(trainer, tmp_path, rhythm, peak=1, evaluate=slow.evaluate) == fit
    assert 620 - 100 - 2 * 17 - 9 < slow.now <= 620
    assert not fit or slow.scored[-1] == trainer.step, "the last weights of a run that fits are scored"


def test_of_several_processes_the_main_one_says_how_long_a_run_that_fits_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = small_trainer(steps=100)
    slow = Slow(trainer, monkeypatch)
    train(trainer, tmp_path, LoopConfig(deadline=Deadline(200, 0.0), fit=True), peak=1)
    assert not any(request.stop for request in slow.requests), "any process can stop all"


def test_a_run_that_fits_is_as_long_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SMALL.override({"decay_share": 0.5, "depth_curriculum": "1/1:0.5"})
    trainer = small_trainer(config, steps=100)
    Slow(trainer, monkeypatch)
    trainer.train_step(StepRequest(steps=20))
    for _ in range(14):
        trainer.train_step(StepRequest())
    save_state(trainer, tmp_path, 1)
    resumed = small_trainer(config, steps=100)
    load_state(resumed, load_checkpoint(tmp_path))
    assert (resumed.step, resumed.steps, resumed.depth()) == (15, 20, None)
    assert resumed.optimizers.schedule(16) == trainer.optimizers.schedule(16) == 0.5
    other = tmp_path / "on"
    slow = Slow(resumed, monkeypatch)
    assert train(resumed, other, LoopConfig(deadline=Deadline(300, 0.0), fit=True), peak=1)
    assert 300 - 2 * 17 - 9 < slow.now <= 300
    done = small_trainer(config, steps=100)
    load_state(done, load_checkpoint(other))
    assert train(done, other, LoopConfig(), peak=1), "it is complete, and does not go on to 100"
    assert done.step == resumed.step


def test_an_evaluation_that_was_given_up_is_made_up_for(data: list[str], tmp_path: Path) -> None:
    flags = [*FLAGS, *data, "--steps", "4", "--out", str(tmp_path)]
    assert train_main([str(flag) for flag in flags]) == 0
    again = ["--resume", "--evaluate-every", "4", "--evaluate-views", "2", "--out", str(tmp_path)]
    assert train_main(again) == 0
    lines = [orjson.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in lines if ARC.measure in line] == [4]
    assert list_checkpoints(tmp_path / BEST)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    assert train_main(again) == 0
    assert (tmp_path / "metrics.jsonl").read_bytes() == before, "once is enough"


def test_the_metrics_of_a_run_that_is_replaced_stay_until_the_new_one_is_saved(data: list[str], tmp_path: Path) -> None:
    old, kept = tmp_path / "metrics.jsonl", tmp_path / "metrics-before.jsonl"
    old.write_bytes(b'{"step":2}\n')
    (tmp_path / ".lock").touch()
    for _ in range(2):  # twice in a row a run that replaces it ends before it has saved
        run_folder.set_metrics_aside(tmp_path, overwrite=True)
        assert (old.exists(), kept.read_bytes()) == (False, b'{"step":2}\n')
        old.write_bytes(b'{"step":1}\n')
    run_folder.set_metrics_aside(tmp_path, overwrite=False)
    assert (old.read_bytes(), kept.exists()) == (b'{"step":2}\n', False)
    flags = [*FLAGS, *data, "--steps", "2", "--out", str(tmp_path), "--overwrite"]
    assert train_main([str(flag) for flag in flags]) == 0
    assert not kept.exists()
    assert [orjson.loads(line)["step"] for line in old.read_bytes().splitlines()] == [2]


def test_embeddings_learn_alone_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(SMALL.override({"embeddings_first": 0.5}), steps=4, dtype=torch.float16)
    for _ in range(4):
        trainer.train_step()
    assert trainer.embedding.table.any()


def test_steps_that_bfloat16_would_lose_are_refused() -> None:
    with pytest.raises(InputError, match=says("half-embeddings-bfloat16-loses")):
        small_trainer(SMALL.override({"task_embedding_learning_rate": 1e-4}), options=Options(half_embeddings=True))


def test_the_two_streams_of_a_step_differ() -> None:
    first, second = step_seeds(0, 5)
    assert first != second
    assert step_seeds(0, 6) != (first, second)


def test_operations_follow_the_curriculum(tmp_path: Path) -> None:
    trainer = small_trainer(SMALL.override({"depth_curriculum": "1/1:0.5"}), steps=4)
    train(trainer, tmp_path, LoopConfig(log_every=1), peak=1)
    lines = [orjson.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()]
    operations = [line["operations"] for line in lines]
    assert operations == [trainer.operations(0, depth) for depth in ((1, 1), (1, 1), None, None)]
    assert operations[0] < operations[-1]


def test_an_evaluation_looks_up_between_batches() -> None:
    trainer, tasks, looks = small_trainer(), make_tasks(3, 2, "eval"), []
    evaluate = make_evaluation(trainer, tasks, 3, False)
    assert ARC.measure in evaluate(lambda: looks.append(1))
    assert looks
    with pytest.raises(KeyError):
        evaluate(lambda: {}["stop"])


def test_a_repeated_signal_is_one_signal() -> None:
    with stop_signals() as received:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert len(received) == 3
    with stop_signals(repeats=-1.0) as received:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert len(received) == 1


# --- what is said


def test_the_progress_line_fits_80_columns() -> None:
    worst = {"loss": 1.234e-05, "exact_at_first": 1.0, "halting_steps": 16.0, "milliseconds_per_step": 86_400.0}
    for seconds in (0.0, 59 * 60 + 59, 23 * 3600 + 59 * 60, 99 * 86_400 + 23 * 3600):
        line = describe_progress(518_880, 518_880, seconds) + describe_metrics(worst, 9)
        assert len(line) < 80, line
    assert line == says("100-518k-518k-99")
    assert describe_progress(79, 518_880, 187_000.0) == "0% 79/518k, 2 d 3 h left"
    assert describe_metrics(worst, 0) == ", loss 1.23e-05 exact@1 100% halt - 86400 ms"


def test_the_forecast_leaves_evaluations_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, told, now = small_trainer(steps=4), [], [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "describe_progress", lambda step, steps, seconds: told.append(seconds) or "")

    def evaluate(_look: Callable) -> dict[str, float]:
        now[0] += 2
        return {ARC.measure: 0.0}

    train(trainer, tmp_path, LoopConfig(evaluate_every=3, log_every=1), peak=1, evaluate=evaluate)
    assert told[-1] == 0
    assert max(told) < 2


# --- full disks


def full_disk(*_: object) -> None:
    raise InputError("metrics.jsonl: cannot be written (No space left on device)")


def test_lost_metrics_do_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "append_line", full_disk)
    assert train(small_trainer(steps=4), tmp_path, LoopConfig(log_every=1), peak=1)
    assert names(tmp_path) == ["04"]
    assert capsys.readouterr().out.count("No space left on device); the run continues, but lines of metrics are lost") == 1


def test_metrics_without_later_lines_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "write_atomic", full_disk)
    assert drop_later_metrics(tmp_path, 3) == []
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step":1,"loss":1.0}\n{"step":3,"loss":0.5}\n')
    assert [line["step"] for line in drop_later_metrics(tmp_path, 3)] == [1, 3]
    with pytest.raises(InputError, match=says("no-space-left")):
        drop_later_metrics(tmp_path, 2)


def test_a_checkpoint_that_does_not_fit_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    trainer.train_step()
    save_state(trainer, tmp_path, 1)

    def save_file(_tensors: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", save_file)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    trainer.train_step()
    with pytest.raises(InputError, match=rf"it needs 0\.\d MB, 1\.0 MB are free on {tmp_path}; older ones are untouched"):
        save_state(trainer, tmp_path, 1)
    assert names(tmp_path) == ["01"]
    load_checkpoint(tmp_path)


# --- several processes


class Beside(ProcessGroup):
    """One of two processes, the other of which has the same rows."""

    def gather_on_host(self, tensor: torch.Tensor) -> torch.Tensor | None:
        return torch.cat([tensor, tensor]) if self.is_main else None


@pytest.mark.parametrize("rank", [0, 1])
def test_the_main_process_writes_the_whole_bad_batch(rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    batch = trainer.examples.batch(0, trainer.config.training)

    def fail(_request: object, *, measure: bool) -> None:
        raise NotFiniteError(1, batch)

    monkeypatch.setattr(trainer, "train_step", fail)
    trainer.processes = Beside(rank, 2)
    with pytest.raises(InputError, match=says("the-last-batch-is")):
        train(trainer, tmp_path, LoopConfig(), peak=1)
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
    monkeypatch.setenv("WORLD_SIZE", "9" if ranks else "1")
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)

    def fail(_arguments: object) -> int:
        raise error

    with pytest.raises(SystemExit):
        run(fail)
    printed = capsys.readouterr().err
    assert printed.startswith(told)
    assert bool(printed) == bool(told)
