"""Several processes, interruptions and trouble: the same weights whatever happens on the way."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from accelerate.utils import is_tensorboard_available
from torch._inductor.exc import InductorError

from tests.forked import python
from tests.helpers import ROOT, SMALL, assert_identical, everything, make_tasks, messages, small_trainer, write_kaggle
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.durations import format_duration, parse_duration, parse_size
from trm_arc.common.errors import InputError
from trm_arc.evaluation.result_files import read_results
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints
from trm_arc.model.export import export_pieces, load_newest
from trm_arc.model.flops import count_forward, count_training
from trm_arc.training import trainer as trainers
from trm_arc.training.options import Options
from trm_arc.training.state import full_state, load_state, save_state
from trm_arc.training.trainer import LossScale, NotFiniteError, Trainer

says = messages(__name__)

FLAGS = (
    "--width 16 --heads 2 --prefix 2 --cycles 2 --latent-steps 2 --canvas buckets --bucket-sides auto:2 "
    "--augmentations 4 --batch-size 8 "
    "--warmup-steps 2 --halt-steps 3 --ema 0.9 --learning-rate 1e-3 --log-every 2"
).split()
LAUNCH = "--multi_gpu --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that name a training and an evaluation set."""
    folder = tmp_path_factory.mktemp("data")
    training = write_kaggle(folder, make_tasks(5, 1, "train"), "train")
    return ["--data", str(training), "--evaluation-data", str(write_kaggle(folder, make_tasks(4, 2, "eval"), "eval"))]


def start(*arguments: object, processes: int = 1, forked: bool = True) -> subprocess.Popen:
    """Start a command of the kit in a process of its own, or in several."""
    interpreter = python() if forked else [sys.executable]
    command = [*interpreter, "-m", *map(str, arguments)]
    if processes > 1:
        launch = [*interpreter, "-m", "accelerate.commands.launch", *LAUNCH, "--num_processes", str(processes)]
        command = [*launch, "--no_python", *command] if forked else [*launch, *command[1:]]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for the end; gives what was printed."""
    printed = process.communicate(timeout=240)[0]
    assert process.returncode == code, printed
    return printed


def assert_close(first: Path, second: Path) -> None:
    """All tensors of two float64 checkpoints are equal to rounding."""
    a, b = (load_checkpoint(path).tensors for path in (first, second))
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, rtol=1e-9, atol=1e-11, msg=name)


# --- several processes


def test_two_processes_do_what_one_does(data: list[str], tmp_path: Path) -> None:
    """The same weights, task embeddings and active samples, in float64; and a run moves between one process and two."""
    flags = ["trm_arc.train", *FLAGS, *data, "--precision", "float64", "--steps", 8, "--save-every", 4, "--keep", 9]
    flags += ["--noise", 0.1, "--random-start", "--qk-norm", "--output-norm", "--matrix-optimizer", "normuon"]
    flags += ["--matrix-parts", "all", "--gradient-clip", 0.05, "--decay-share", 1, "--decay-shape", "cosine"]
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(*flags, "--out", one))
    text = finish(start(*flags, "--out", two, processes=2, forked=False))  # as a user does
    assert text.count("2 processes") == 1, "each of them spoke"
    assert_close(one, two)
    for run, processes in ((two, 1), (one, 2)):  # go on from the middle of the other's
        moved = tmp_path / f"moved to {processes}"
        shutil.copytree(run / "checkpoint-00000004", moved / "checkpoint-00000004")
        finish(start("trm_arc.train", "--resume", "--out", moved, processes=processes))
        assert load_checkpoint(moved).step == 8
        assert_close(one, moved)


def test_two_processes_answer_as_one_does(data: list[str], tmp_path: Path) -> None:
    flags = [*FLAGS, *data, "--precision", "bfloat16", "--steps", 3, "--out", tmp_path]
    finish(start("trm_arc.train", *flags, processes=2))  # in half precision, whose active samples travel as bytes
    answers = []
    for processes in (1, 2):
        out = tmp_path / f"answers{processes}"
        flags = ["--checkpoint", tmp_path, "--precision", "float64", "--out", out, "--views", 3, "--no-report"]
        assert finish(start("trm_arc.evaluate", *flags, processes=processes)).count("submission.json, checked") == 1
        found = read_results(out / "predictions.json").answers
        answers.append([sorted((c.votes, str(c.grid)) for c in answered.candidates) for answered in found])
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"noise": 0.3, "random_start": True},
        {"noise": 0.3, "halting": "q-learning"},
        {"qk_norm": True, "output_norm": True, "gradient_clip": 0.05},
        {"gradient_clip": 0.05, "matrix_optimizer": "muon", "matrix_parts": "heads", "halting_loss_weight": 0.0},
        {"latents": 2, "carry_best": True, "shared_start": True, "random_start": True},
    ],
)
def test_pieces_of_a_batch_add_up_to_it(changes: dict, tmp_path: Path) -> None:
    config = SMALL.override(changes)
    whole, pieces = (small_trainer(config, dtype=torch.float64, options=Options(accumulation=n)) for n in (1, 4))
    for _ in range(6):
        a, b = whole.train_step(), pieces.train_step()
        torch.testing.assert_close(a.loss, b.loss, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=0)  # shares of cells are summed in float32
    everything(whole, tmp_path / "whole")
    everything(pieces, tmp_path / "pieces")
    assert_close(tmp_path / "whole", tmp_path / "pieces")


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    assert [ProcessGroup(rank, 4).shard(8) for rank in (0, 3)] == [slice(0, 2), slice(6, 8)]
    with pytest.raises(InputError, match=says("8-rows-cannot-be")) as caught:
        ProcessGroup(0, 3).shard(8)
    assert caught.value.flag == "batch_size"
    with pytest.raises(InputError, match=says("batch-size-8-rows")):
        ProcessGroup(0, 16).shard(8)


# --- interruptions


KILLED = """
import os, random, runpy, threading
import trm_arc.training.loop as loop
save, seconds, saves = loop.save_state, random.Random({seed}).random() * 0.15, []
def count(*arguments):
    saves.append(arguments)
    if len(saves) == 3:
        threading.Timer(seconds, os.kill, (os.getpid(), 9)).start()
    return save(*arguments)
loop.save_state = count
runpy.run_module("trm_arc.train", run_name="__main__", alter_sys=True)
"""


def test_a_killed_run_goes_on_bit_for_bit(data: list[str], tmp_path: Path) -> None:
    """SIGKILL at random moments, during saves too: the newest checkpoint is whole, and the end is that of an undisturbed run.

    It comes from a thread of the run, so that a busy machine cannot delay it until the end.
    """
    flags = [*FLAGS, *data, "--precision", "float32", "--steps", 60, "--save-every", 2]
    finish(start("trm_arc.train", *flags, "--out", tmp_path / "undisturbed"))
    out, again = tmp_path / "killed", ["--resume", "--save-every", 2, "--log-every", 2]
    for seed in range(3):
        given = map(str, [*(again if seed else flags), "--out", out])
        killed = subprocess.run([*python(), "-c", KILLED.format(seed=seed), *given], cwd=ROOT, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        load_checkpoint(out)  # whole
    finish(start("trm_arc.train", *again, "--out", out))
    names = ("tensors.safetensors", "checkpoint.json")
    for name in names:
        paths = (tmp_path / run / "checkpoint-00000060" / name for run in ("undisturbed", "killed"))
        first, second = (path.read_bytes() for path in paths)
        assert first == second, name
    steps = [orjson.loads(line)["step"] for line in (out / "metrics.jsonl").read_bytes().splitlines()]
    assert steps == list(range(2, 61, 2))
    assert not list(out.glob(".writing-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_stop_saves_and_says_so(number: int, data: list[str], tmp_path: Path) -> None:
    process = start("trm_arc.train", *FLAGS, *data, "--steps", 100_000, "--save-every", 3, "--out", tmp_path)
    while not list_checkpoints(tmp_path):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(number)
    text = finish(process)
    assert says("stopped-as-asked-saved") in text
    step = load_checkpoint(tmp_path).step
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines()
    assert step >= orjson.loads(lines[-1])["step"]


def test_the_time_limit_ends_a_run(data: list[str], tmp_path: Path, command: Callable) -> None:
    began = time.process_time()  # not of the clock on the wall, which a busy machine moves
    code, text, error = command("train", *FLAGS, *data, "--steps", 100_000, "--time-limit", "2s", "--out", tmp_path)
    assert (code, says("stopped-as-asked-saved-2") in text) == (0, True), error
    assert time.process_time() - began < 30
    assert load_checkpoint(tmp_path).step > 0
    code, _, error = command("train", *FLAGS, *data, "--time-limit", "soon", "--out", tmp_path / "other")
    assert code == 2
    assert says("soon-is-not-a") in error


def test_times_and_sizes_as_people_write_them() -> None:
    assert [parse_duration(t) for t in ("11h30m", "90s", "1.5h", "45m", "20")] == [41_400, 90, 5400, 2700, 20]
    assert [parse_size(t) for t in ("15MiB", "20MB", "100 KiB", "7B")] == [15 * 2**20, 20_000_000, 102_400, 7]
    assert [format_duration(t) for t in (5, 65, 3700, 100_000)] == ["5 s", "1 min 5 s", "1 h 1 min", "1 d 3 h"]
    for text in ("", "0s", "-3s", "3 weeks", "h"):
        with pytest.raises(InputError, match=says("is-not-a-duration")):
            parse_duration(text)
    with pytest.raises(InputError, match=says("is-not-a-size")):
        parse_size("15")


def test_a_run_goes_on_elsewhere_from_pieces(data: list[str], tmp_path: Path, command: Callable) -> None:
    """Small files alone carry a run to another folder; weights are exact, the rest is rounded, active samples are left out."""
    flags = [*FLAGS, *data, "--width", 64, "--steps", 6, "--matrix-optimizer", "normuon", "--export-size", "64KiB"]
    code, text, error = command("train", *flags, "--out", tmp_path / "first")
    assert code == 0, error
    pieces = sorted((tmp_path / "first" / "export").glob("piece-*"))
    assert len(pieces) > 5
    assert max(piece.stat().st_size for piece in pieces) <= 64 * 2**10
    assert f"exported {len(pieces)} pieces" in text
    shutil.copytree(tmp_path / "first" / "export", tmp_path / "second" / "export")
    whole, exported = load_checkpoint(tmp_path / "first"), load_newest(tmp_path / "second")
    assert (exported.step, exported.config, exported.tasks) == (whole.step, whole.config, whole.tasks)
    for name, tensor in whole.tensors.items():
        if name.startswith("carry."):
            assert name not in exported.tensors
        elif name.startswith(("model.", "plan.", "trained", "counts")):
            assert torch.equal(exported.tensors[name], tensor), name
        else:
            torch.testing.assert_close(exported.tensors[name].to(tensor.dtype), tensor, rtol=0.01, atol=1e-6, msg=name)
    code, text, error = command("train", "--resume", "--steps", 9, "--out", tmp_path / "second")
    assert (code, says("resumed-at-step-6") in text) == (2, False), "a longer run is another run"
    code, text, error = command("train", "--resume", "--out", tmp_path / "second", "--save-every", 1)
    assert (code, says("resumed-at-step-6-of") in text) == (0, True), error


def test_a_run_without_training_tasks_goes_into_pieces(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--data", "", "--bucket-sides", "auto:1", "--steps", 2, "--export-size", "64KiB", "--out", tmp_path]
    code, _, error = command("train", *flags)
    assert code == 0, error
    trained = load_checkpoint(tmp_path).tensors["trained"]
    shutil.rmtree(list_checkpoints(tmp_path)[0])
    exported = load_newest(tmp_path)
    assert exported.step == 2
    assert torch.equal(exported.tensors["trained"], trained), "the demonstrations alone"
    assert len(trained)


def test_a_run_that_ran_out_of_time_goes_on_from_pieces(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--steps", 400, "--time-limit", "1s", "--export-size", "1MB"]
    assert command("train", *flags, "--out", tmp_path / "first")[0] == 0
    step = load_checkpoint(tmp_path / "first").step
    assert 0 < step < 400
    shutil.copytree(tmp_path / "first" / "export", tmp_path / "second" / "export")
    code, text, error = command("train", "--resume", "--out", tmp_path / "second", "--time-limit", "1s")
    assert (code, f"resumed at step {step} of 400" in text) == (0, True), error
    assert load_checkpoint(tmp_path / "second").step > step
    assert load_newest(tmp_path / "second").step > step


def test_buckets_without_rows_in_flight_are_resumed(tmp_path: Path) -> None:
    """After an export some buckets have had their steps and have no rows yet; a checkpoint of that moment is whole."""
    config = SMALL.override({"canvas": "buckets", "bucket_sides": "auto:3"})
    trainer = small_trainer(config)
    for _ in range(5):
        trainer.train_step()
    export_pieces(full_state(trainer), tmp_path, 1 << 20)
    elsewhere, again = small_trainer(config), small_trainer(config)
    load_state(elsewhere, load_newest(tmp_path))
    elsewhere.train_step()
    assert sum(carry is not None for carry in elsewhere.carries) == 1
    load_state(again, load_checkpoint(save_state(elsewhere, tmp_path / "elsewhere", keep=1)))
    for _ in range(3):
        elsewhere.train_step()
        again.train_step()
    assert_identical(everything(elsewhere, tmp_path / "a"), everything(again, tmp_path / "b"))


def test_missing_and_damaged_pieces_are_named(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--width", 64, "--steps", 1, "--export-size", "64KiB", "--out", tmp_path]
    assert command("train", *flags)[0] == 0
    shutil.rmtree(list_checkpoints(tmp_path)[0])
    piece = tmp_path / "export" / "piece-0002.safetensors"
    data_of = piece.read_bytes()
    piece.write_bytes(data_of[:-1] + bytes([data_of[-1] ^ 1]))
    code, _, error = command("train", "--resume", "--out", tmp_path)
    assert (code, says("this-piece-is-damaged") in error) == (2, True)
    assert command.refused.file == piece
    piece.unlink()
    code, _, error = command("train", "--resume", "--out", tmp_path)
    assert (code, says("this-piece-is-missing") in error) == (2, True)
    assert command.refused.file == piece
    code, _, error = command("train", *flags[:-4], "--export-size", "1KB", "--out", tmp_path / "other")
    assert (code, says("at-least-65536-bytes") in error) == (2, True)
    assert command.refused.flag == "--export-size"
    assert not (tmp_path / "other").exists(), "refused before any work"


def test_the_pieces_are_not_read_where_a_checkpoint_is_newer(tmp_path: Path) -> None:
    trainer = small_trainer()
    trainer.train_step()
    export_pieces(full_state(trainer), tmp_path, 1 << 20)
    save_state(trainer, tmp_path, keep=1)
    for piece in (tmp_path / "export").glob("piece-*"):
        piece.unlink()
    assert load_newest(tmp_path).step == 1
    shutil.rmtree(list_checkpoints(tmp_path)[0])
    with pytest.raises(InputError, match=says("this-piece-is-missing")) as missing:
        load_newest(tmp_path)
    assert missing.value.file.parent == tmp_path / "export"


# --- trouble


def out_of_memory_above(rows: int, monkeypatch: pytest.MonkeyPatch, trainer: Trainer, side: int = 0) -> None:
    """Let every step with more rows at a time, and windows of this side at least, fail as a full device does."""
    real = trainer.supervision_step

    def limited(reasoner: object, config: object, carry: object, *rest: object) -> object:
        if len(carry.halted) > rows and carry.batch.tokens.shape[1] >= side:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return real(reasoner, config, carry, *rest)

    monkeypatch.setattr(trainer, "supervision_step", limited)


@pytest.mark.parametrize("changes", [{}, {"noise": 0.3}])
def test_out_of_memory_halves_the_pieces_and_keeps_the_batch(
    changes: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain, tight = (small_trainer(SMALL.override(changes), dtype=torch.float64) for _ in range(2))
    out_of_memory_above(3, monkeypatch, tight)
    for _ in range(4):
        a, b = plain.train_step(), tight.train_step()
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    printed = capsys.readouterr().out
    assert printed.count("out of memory at step 1: samples at a time lowered to 4 of 5 x 5") == 1
    assert printed.count("samples at a time lowered to 2 of 5 x 5; the batch size is unchanged") == 1
    everything(plain, tmp_path / "plain")
    everything(tight, tmp_path / "tight")
    assert_close(tmp_path / "plain", tmp_path / "tight")


def test_a_bucket_of_large_windows_halves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(SMALL.override({"canvas": "buckets", "bucket_sides": "4,6"}))
    assert [bucket.window.rows for bucket in trainer.examples.buckets] == [4, 6]
    out_of_memory_above(3, monkeypatch, trainer, side=6)
    while set(trainer.examples.schedule.buckets[: trainer.step].tolist()) != {0, 1}:
        trainer.train_step()
    assert trainer.pieces == [8, 2]


def test_no_memory_for_a_single_row_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    out_of_memory_above(0, monkeypatch, trainer)
    with pytest.raises(InputError, match=says("not-enough-memory-for") + r" \(CUDA out of memory\. Tried"):
        trainer.train_step()


def test_fused_it_halves_the_pieces_too_and_a_fault_of_the_compiler_is_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(options=Options(compile_mode="block"))
    errors = iter(
        [
            RuntimeError("Triton Error [CUDA]: out of memory"),
            InductorError(torch.OutOfMemoryError("CUDA out of memory."), None),
            InductorError(RuntimeError("No valid triton configs. OutOfMemoryError: out of resource"), None),
        ]
    )

    def fail(*_: object) -> None:
        raise next(errors)

    monkeypatch.setattr(trainer, "supervision_step", fail)
    with pytest.raises(InputError) as told:
        trainer.train_step()
    assert told.value.flag == "--compile"
    assert trainer.pieces == [2]


def spoil(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Let the loss of some steps be not a number."""
    real = trainer.supervision_step

    def spoiled(*arguments: object) -> tuple:
        loss, carry, metrics = real(*arguments)
        bad = float("nan") if trainer.step in steps else 1.0
        return loss * bad, carry, metrics._replace(loss=metrics.loss * bad)

    monkeypatch.setattr(trainer, "supervision_step", spoiled)


def test_a_step_without_a_finite_loss_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer = small_trainer()
    spoil(trainer, monkeypatch, {1, 2})
    trainer.train_step()
    before = {name: t.clone() for name, t in trainer.reasoner.state_dict().items()}
    table = trainer.embedding.table.clone()
    trainer.train_step()
    trainer.train_step()
    assert_identical(before, dict(trainer.reasoner.state_dict()))
    assert torch.equal(table, trainer.embedding.table)
    assert (trainer.skipped, trainer.skipped_in_a_row, trainer.step) == (2, 2, 3)
    assert trainer.carries[0].halted.all(), "states that may not be finite go on"
    metrics = trainer.train_step()
    assert np.isfinite(float(metrics.loss))
    assert (trainer.skipped, trainer.skipped_in_a_row) == (2, 0)
    resumed = small_trainer()
    load_state(resumed, load_checkpoint(save_state(trainer, tmp_path, keep=1)))
    assert resumed.skipped == 2


def test_too_many_skipped_steps_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(options=Options(skips=3))
    spoil(trainer, monkeypatch, set(range(9)))
    trainer.train_step()
    trainer.train_step()
    with pytest.raises(NotFiniteError) as caught:
        trainer.train_step()
    assert caught.value.step == 3
    assert caught.value.batch.tokens.shape[0] == SMALL.training.batch_size


def test_float16_is_trained_with_a_scaled_loss() -> None:
    """Small gradients survive; an infinite one halves the scale and skips the step; many good steps double it."""
    exact, half = small_trainer(dtype=torch.float32), small_trainer(dtype=torch.float16)
    assert (exact.scale.value, half.scale.value) == (1, 2**16)
    for _ in range(3):
        a, b = float(exact.train_step().loss), float(half.train_step().loss)
        assert b == pytest.approx(a, rel=0.05)
    half.scale.value = 1e30
    before = half.reasoner.head.clone()
    half.train_step()
    assert torch.equal(half.reasoner.head, before)
    assert half.scale.value == 5e29
    scale = LossScale(enabled=True)
    for _ in range(LossScale.PATIENCE):
        scale.succeed()
    assert scale.value == 2**17
    assert trainers.LossScale(enabled=False).value == 1


# --- memory and forecasts


@pytest.mark.parametrize("options", [Options(host_embeddings=True), Options(half_embeddings=True)])
def test_task_embeddings_elsewhere_or_in_half_precision(options: Options, tmp_path: Path) -> None:
    plain, other = small_trainer(), small_trainer(options=options)
    for _ in range(3):
        a, b = plain.train_step(), other.train_step()
        assert float(b.loss) == pytest.approx(float(a.loss), rel=1e-3)
    assert other.embedding.table.dtype == (torch.bfloat16 if options.half_embeddings else torch.float32)
    torch.testing.assert_close(other.embedding.table.float(), plain.embedding.table, rtol=0.02, atol=2e-3)
    load_state(small_trainer(options=options), load_checkpoint(save_state(other, tmp_path, keep=1)))


def test_dry_run_tells_the_plan_and_writes_nothing(data: list[str], tmp_path: Path, command: Callable) -> None:
    code, text, error = command("train", *FLAGS, *data, "--steps", 50, "--dry-run", "--out", tmp_path / "run")
    assert code == 0, error
    for words in ("canvas    pairs   steps", says("times-fewer-than-on"), "task embeddings", says("steps-50-of-8")):
        assert words in text
    assert not (tmp_path / "run").exists()
    full = ("--canvas", "full", "--dry-run", "--out", tmp_path / "run")
    flags = [flag for flag in FLAGS if flag not in ("--bucket-sides", "auto:2")]
    code, text, error = command("train", *flags, *data, "--steps", 50, *full)
    assert code == 0, error
    assert (says("flops-of-a-step") in text, says("than-on-full-boards") in text) == (True, False)


def test_evaluations_are_logged_and_the_best_is_kept(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--steps", 6, "--evaluate-every", 3, "--evaluate-views", 2, "--pool-votes", "--out", tmp_path]
    code, text, error = command("train", *flags)
    assert code == 0, error
    lines = [orjson.loads(line) for line in (tmp_path / "metrics.jsonl").read_bytes().splitlines()]
    scored = [line for line in lines if says("pass-2-of-outputs") in line]
    assert [line["step"] for line in scored] == [3, 6]
    assert set(scored[0]) == {"step", "seconds"} | {
        f"pass@2 of {what}{kind}" for what in ("outputs", "tasks") for kind in ("", ", pooled")
    }
    assert scored[0]["pass@2 of outputs"] == scored[0]["pass@2 of outputs, pooled"]
    best = list_checkpoints(tmp_path / "best")
    assert len(best) == 1
    needed = {"exact_at_first", "loss", "exact", "halting_steps", "learning_rate", "milliseconds_per_step", "examples_per_second"}
    assert needed <= set(lines[0])
    assert text


def test_tensorboard_gets_the_metrics_or_is_asked_for(data: list[str], tmp_path: Path, command: Callable) -> None:
    flags = [*FLAGS, *data, "--steps", 4, "--tensorboard", "--out", tmp_path]
    code, _, error = command("train", *flags)
    if is_tensorboard_available():
        assert code == 0, error
        assert list(tmp_path.rglob("events.out.tfevents*"))
    else:
        assert (code, says("tensorboard-it-is-not") in error) == (2, True)


def test_operations_of_the_published_network() -> None:
    """By hand: 2 blocks, 916 tokens, 15 calls of which 5 carry gradient."""
    config, training = SMALL.model.__class__(), SMALL.training
    block = 2 * 916 * (4 * 512**2 + 3 * 512 * 1536) + 4 * 916**2 * 512
    head = 2 * 900 * 512 * 12
    assert count_forward(config, 900) == 15 * 2 * block + head
    assert count_training(config, training, 900) == 25 * 2 * block + 3 * head
