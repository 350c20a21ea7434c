"""The commands as a user types them: the whole path, and every mistake answered by one sentence and exit code 2."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from safetensors.torch import load_file

from augment import Transform
from submission.predict import ONLY_GUESSES
from tests.forked import python
from tests.helpers import ROOT, SETTINGS, make_tasks, messages, write_kaggle
from trm_arc.common.files import exclusive
from trm_arc.config import PRESET_HELP, RECIPE_HELP
from trm_arc.data.task import Pair, TaskSet
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints
from trm_arc.training import supervision
from trm_arc.training.loss import Losses, supervise

says = messages(__name__)
HUGE = str(2**31)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Challenges files of a training and an evaluation set, each with its solutions beside it."""
    folder = tmp_path_factory.mktemp("data")
    training = write_kaggle(folder, make_tasks(5, 1, "train"), "train")
    return training, write_kaggle(folder, make_tasks(4, 2, "eval"), "eval")


def train_flags(data: tuple[Path, Path], out: Path) -> list[object]:
    return [*SETTINGS, "--data", data[0], "--evaluation-data", data[1], "--out", out]


@pytest.fixture(scope="module")
def trained(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "small"
    command = [sys.executable, "-m", "trm_arc.train", *map(str, train_flags(data, out))]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return out


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- the whole path


def test_train_evaluate_and_submit(data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert [path.name for path in list_checkpoints(trained)] == ["checkpoint-00000006"]

    out = tmp_path / "results"
    code, text, _ = command("evaluate", "--checkpoint", trained, "--out", out, "--views", 5, "--show", "--device", "cpu")
    assert code == 0
    assert says("4-tasks-6-test") in text
    assert says("pass-2-is-the") in text
    assert "attempt 2" in text
    assert "\x1b" not in text  # no colour codes where there is no terminal
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["outputs"] == 6
    predictions = json.loads((out / "predictions.json").read_text())
    assert list(predictions["tasks"]) == ["eval00", "eval01", "eval02", "eval03"]
    tests = predictions["results"]
    assert len(tests) == 6
    assert all(sum(c["votes"] for c in test["candidates"]) <= sum(test["views"]) == 5 for test in tests)

    # The submission command gives the same file, from the challenges alone.
    blind = tmp_path / "blind_challenges.json"
    blind.write_bytes(data[1].read_bytes())
    path = tmp_path / "submission.json"
    code, text, _ = command(
        "submission", "predict", "--challenges", blind, "--checkpoint", trained, "--out", path, "--views", 5, "--device", "cpu"
    )
    assert code == 0
    assert path.read_bytes() == (out / "submission.json").read_bytes()
    code, text, _ = command("submission", "check", "--challenges", blind, "--submission", path)
    assert (code, says("valid-submission-4-tasks") in text) == (0, True)
    solutions = data[1].with_name("eval_solutions.json")
    code, text, _ = command("submission", "score", "--submission", path, "--solutions", solutions, "--json")
    assert code == 0
    assert json.loads(text)["per_output"]["pass@2"] == metrics["per_output"]["pass@2"]


def test_commands_without_a_checkpoint_take_the_newest_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = command("publish", "--out", "shared")  # `evaluate` would take a network of the kit
    advice = "train one with `python -m trm_arc.train`, or name one with --checkpoint"
    assert (code, error) == (2, f"error: runs: no checkpoint here; {advice}\n")
    assert command.refused.file == Path("runs")
    (tmp_path / "runs").symlink_to(trained.parent)
    code, text, _ = command("evaluate")
    assert code == 0
    assert text.startswith("runs/small/checkpoint-00000006, step 6: 4 tasks")
    assert (tmp_path / "runs" / "small" / "submission.json").exists()


def test_solutions_apart_are_read_without_naming_the_tasks_again(trained: Path, tmp_path: Path, command: Callable) -> None:
    for flags in ([], ["--data", trained.parent.parent / "nowhere"]):
        code, _, error = command("evaluate", "--checkpoint", trained, *flags, "--solutions", tmp_path / "none.json")
        assert code == 2
        assert says("none-json-no-such") in error or "nowhere" in error


def test_tasks_never_seen_are_answered_all_the_same(trained: Path, tmp_path: Path, command: Callable) -> None:
    """Larger than the window, unknown to the checkpoint, without solutions: a full submission comes out."""
    path = write_kaggle(tmp_path, make_tasks(3, 9, "new", largest=12), "new")
    (tmp_path / "new_solutions.json").unlink()
    code, text, _ = command("evaluate", "--checkpoint", trained, "--data", path, "--out", tmp_path, "--views", 3, "--no-report")
    assert code == 0
    assert says("3-of-3-tasks") in text
    assert "no score" in text
    assert not (tmp_path / "metrics.json").exists()
    code, _, _ = command("submission", "check", "--challenges", path, "--submission", tmp_path / "submission.json")
    assert code == 0


def test_left_out_tasks_are_named(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    code, text, _ = command("train", *train_flags(data, tmp_path / "run"), "--leave-out", "train01")
    assert code == 0
    assert text.startswith("left out train01, as set\nanswering 4 tasks")
    assert says("and-4-tasks-of") in text


def test_the_mlp_mixer_says_what_it_cannot_hold(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    mlp = [*train_flags(data, tmp_path / "run"), "--mixer", "mlp", "--positions", "none"]
    code, _, error = command("train", *mlp)
    assert (code, says("set-board-rows-and") in error) == (2, True)
    assert command("train", *mlp, "--board-rows", 5, "--board-columns", 5)[0] == 0
    large = write_kaggle(tmp_path, make_tasks(1, 9, "large", largest=12), "large")
    code, _, error = command("evaluate", "--checkpoint", tmp_path / "run", "--data", large)
    assert (code, says("does-not-hold-large00") in error) == (2, True)
    assert command("evaluate", "--checkpoint", tmp_path / "run", "--views", 2, "--no-report")[0] == 0


def test_real_scorer_fixture(shared: Path, command: Callable) -> None:
    submission = shared / "data" / "scorer" / "arc1" / "submission.json"
    solutions = shared / "data" / "arc" / "arc-agi_evaluation_solutions.json"
    code, text, error = command("submission", "score", "--submission", submission, "--solutions", solutions, "--json")
    values = json.loads(text)
    assert code == 0
    assert values["per_task_mean"]["pass@2"]["value"] == 0.385
    assert values["per_task_mean"]["pass@1"]["value"] == 0.34375
    assert (values["per_output"]["pass@2"]["solved"], values["per_output"]["pass@2"]["trials"]) == (163, 419)
    assert says("2-attempts-are-no") in error
    challenges = solutions.with_name("arc-agi_evaluation_challenges.json")
    code, text, _ = command("submission", "check", "--challenges", challenges, "--submission", submission)
    assert code == 1
    assert says("task-5b692c0f-test-input") in text
    assert says("invalid-submission-2-faults") in text


# --- interruption


def test_resume_continues_with_the_checkpoints_settings(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command("train", *train_flags(data, whole))[0] == 0
    assert command("train", *train_flags(data, parts), "--save-every", 4, "--keep", 5)[0] == 0
    later = list_checkpoints(parts)[-1]
    for file in later.iterdir():
        file.unlink()
    later.rmdir()
    code, text, _ = command("train", "--resume", "--out", parts, "--device", "cpu", "--precision", "float32", "--log-every", 2)
    assert code == 0
    assert says("resumed-at-step-4") in text
    assert files_below(whole / "checkpoint-00000006") == files_below(parts / "checkpoint-00000006")
    logs = [[json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (whole, parts)]
    assert logs[0] == logs[1]


def train_sixty(data: tuple[Path, Path], out: Path) -> list[str]:
    """The command of a run of 60 steps with some checkpoints."""
    flags = [*train_flags(data, out), "--steps", 60, "--save-every", 10, "--keep", 2]
    return [*python(), "-m", "trm_arc.train", *map(str, flags)]


@pytest.fixture(scope="module")
def undisturbed(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The last checkpoint of a run that nobody stops."""
    out = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(train_sixty(data, out), cwd=ROOT, check=True, capture_output=True)
    return files_below(out / "checkpoint-00000060")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_resumes_to_the_same_end(
    number: signal.Signals, data: tuple[Path, Path], undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(train_sixty(data, tmp_path), **options) as process:
        while not list_checkpoints(tmp_path) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(number)
        output, _ = process.communicate()
    assert process.returncode == (-number if number == signal.SIGKILL else 0)
    assert number == signal.SIGKILL or b"resume" in output or b"trained" in output
    load_checkpoint(tmp_path)  # the newest is whole
    resumed = ["--resume", "--out", str(tmp_path), "--device", "cpu", "--precision", "float32"]
    subprocess.run([*python(), "-m", "trm_arc.train", *resumed], check=True, **options)
    assert files_below(tmp_path / "checkpoint-00000060") == undisturbed


# --- mistakes


@pytest.mark.parametrize(
    ("name", "arguments", "flag", "message"),
    [
        ("train", ["--widht", "8"], "--widht", says("no-such-flag-did")),
        ("train", ["--learning-rat=1"], "--learning-rat", says("no-such-flag-did-you")),
        ("train", ["stray"], "stray", says("no-such-flag")),
        ("train", ["--zzz"], "--zzz", says("no-such-flag-see")),
        ("train", ["--preset", "arc9"], "--preset", says("arc9-is-not-a")),
        ("train", ["--width", "many"], "--width", says("invalid-int-value-many")),
        ("train", ["--width", "9"], "width", says("must-be-a-multiple")),
        ("train", ["--vocabulary", "9"], "vocabulary", says("arc-needs-12-tokens")),
        ("train", ["--board-rows", "4"], None, says("do-not-fit-the")),
        ("train", ["--save-every", "0"], "--save-every", says("at-least-1-is")),
        ("train", ["--device", "abacus"], "--device", says("abacus-is-not-a")),
        ("train", ["--precision", "int4"], "--precision", says("choose-auto-or-one")),
        ("train", ["--device", "meta"], "--device", says("meta-is-not-on")),
        ("train", ["--data", "arc7"], None, says("error-arc7-no-such")),
        ("train", ["--smallest", "99"], None, says("the-99-smallest-of")),
        ("evaluate", ["--checkpoit", "x"], "--checkpoit", says("no-such-flag-did-you-mean")),
        ("evaluate", ["--checkpoint", "nowhere"], "--checkpoint", says("error-nowhere-not-a")),
        ("submission", [], None, says("the-following-arguments-are")),
        ("submission", ["chek"], None, says("invalid-choice-chek")),
        ("submission", ["check", "--challenge", "x"], "--challenge", says("no-such-flag-did-you-mean-challenges")),
        ("submission", ["predict", "--out", "x"], None, says("the-following-arguments-are-required")),
        ("train", ["--board-rows", "31"], "board_rows", says("must-be-at-most")),
        ("train", ["--vocabulary", "30"], "vocabulary", says("arc-needs-12-tokens-got")),
        ("train", ["--expansion", "inf"], "expansion", says("must-be-a-finite")),
        ("train", ["--leave-out", "train01,nobody"], "leave_out", says("nobody-is-not-in")),
        ("train", ["--learning-rate", "1e38"], "learning_rate", says("must-be-above-0")),
        ("train", ["--seed", "99999999999999999999"], "--seed", says("must-be-below-2")),
        ("train", ["--width", "200000000"], None, says("error-not-enough-memory")),
        ("train", ["--matrix-learning-rate", "0.1"], "--matrix-learning-rate", says("does-nothing-without-matrix")),
        (
            "train",
            ["--halt-exploration", "0.1", "--halting", "never"],
            "--halt-exploration",
            says("does-nothing-without-rows"),
        ),
        ("train", ["--bucket-sides", "5,9"], "--bucket-sides", says("does-nothing-without-canvas")),
        ("train", ["--matrix-momentum", "0.6"], "--matrix-momentum", says("does-nothing-without-matrix")),
        ("train", ["--newton-schulz-steps", "3"], "--newton-schulz-steps", says("does-nothing-without-matrix")),
        ("train", ["--attention-weight-decay", "0.1"], "--attention-weight-decay", says("does-nothing-without-matrix")),
        ("train", ["--matrix-parts", "heads"], "--matrix-parts", says("does-nothing-without-matrix")),
        (
            "train",
            ["--matrix-parts", "heads", "--matrix-optimizer", "muon", "--mixer", "mlp", "--positions", "none"],
            "--matrix-parts",
            says("does-nothing-without-mixer"),
        ),
        (
            "train",
            ["--matrix-scale", "spectral", "--matrix-optimizer", "muon"],
            "--matrix-scale",
            says("does-nothing-without-normuon"),
        ),
        ("train", ["--normuon-nesterov"], "--normuon-nesterov", says("does-nothing-without-normuon")),
        ("train", ["--decay-shape", "cosine"], "--decay-shape", says("does-nothing-without-decay")),
        ("train", ["--carry-best"], "--carry-best", says("does-nothing-without-latents")),
        ("train", ["--shared-start"], "--shared-start", says("does-nothing-without-latents")),
        ("train", ["--pool-votes"], "--pool-votes", says("does-nothing-without-evaluate")),
        ("train", ["--evaluate-views", "4"], "--evaluate-views", says("does-nothing-without-evaluate")),
        ("train", ["--export-size", "1KB"], "--export-size", says("at-least-65536-bytes")),
        ("train", ["--canvas", "buckets", "--bucket-sides", "auto:0"], "bucket_sides", says("sides-by-commas-are")),
        ("train", ["--batch-size", "4096"], "batch_size", says("4096-rows-are-more")),
        ("train", ["--batch-size", "10000000000"], "batch_size", says("must-be-below-2-31")),
        ("train", ["--keep", HUGE], "--keep", says("must-be-below-2-31")),
        ("train", ["--log-every", HUGE], "--log-every", says("must-be-below-2-31")),
        ("train", ["--max-skips", HUGE], "--max-skips", says("must-be-below-2-31")),
        ("train", ["--accumulation-steps", HUGE], "--accumulation-steps", says("must-be-below-2-31")),
        ("train", ["--save-every", HUGE], "--save-every", says("must-be-below-2-31")),
        ("train", ["--evaluate-every", HUGE], "--evaluate-every", says("must-be-below-2-31")),
        ("evaluate", ["--views", HUGE], "--views", says("must-be-below-2-31")),
        ("evaluate", ["--answer-steps", HUGE], "--answer-steps", says("must-be-below-2-31")),
        ("evaluate", ["--batch-size", HUGE], "--batch-size", says("must-be-below-2-31")),
        ("evaluate", ["--rollouts", HUGE], "--rollouts", says("must-be-below-2-31")),
        ("evaluate", ["--patience", HUGE], "--patience", says("must-be-below-2-31")),
        ("evaluate", ["--pool-checkpoints", HUGE], "--pool-checkpoints", says("must-be-below-2-31")),
        ("submission", ["predict", "--challenges", "x", "--views", "2147483648"], "--views", says("must-be-below-2-31")),
        (
            "submission",
            ["predict", "--challenges", "x", "--answer-steps", "2147483648"],
            "--answer-steps",
            says("must-be-below-2-31"),
        ),
        (
            "submission",
            ["predict", "--challenges", "x", "--batch-size", "2147483648"],
            "--batch-size",
            says("must-be-below-2-31"),
        ),
        (
            "submission",
            ["predict", "--challenges", "x", "--pool-checkpoints", "2147483648"],
            "--pool-checkpoints",
            says("must-be-below-2-31"),
        ),
        ("sweep", ["--answer-steps", HUGE], "--answer-steps", says("must-be-below-2-31")),
        ("sweep", ["--rollouts", HUGE], "--rollouts", says("must-be-below-2-31")),
        ("sweep", ["--views", HUGE], "--views", says("must-be-below-2-31")),
        ("solve", ["1" * 16, "--views", HUGE], "--views", says("must-be-below-2-31")),
        ("generate", ["sudoku-4x4", "--out", "x.csv", "--puzzles", HUGE], "--puzzles", says("must-be-below-2-31")),
        ("train", ["--evaluation-data", ""], "evaluation_data", says("must-be-a-name")),
        ("train", ["--evaluation-data", "a" * 300], None, says("cannot-be-looked-up")),
        ("train", ["--task-embedding-weight-decay", "-5"], "task_embedding_weight_decay", says("must-be-at-least")),
        (
            "submission",
            ["score", "--submission", "a", "--solutions", "b", "--jsn"],
            "--jsn",
            says("no-such-flag-did-you-mean-json"),
        ),
    ],
)
def test_mistakes_get_one_sentence(
    name: str, arguments: list[str], flag: str | None, message: str, data: tuple[Path, Path], tmp_path: Path, command: Callable
) -> None:
    if name == "train":
        arguments = [*map(str, train_flags(data, tmp_path / "out")), *arguments]
    code, _, error = command(name, *arguments)
    assert code == 2
    assert message in error
    assert (command.refused and command.refused.flag) == flag
    assert error.splitlines()[-1].startswith("error: ")  # a progress bar may stand before it
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("train", ["--preset", "{}.toml"]),
        ("train", ["--data", "{}.json"]),
        ("train", ["--data", "{}.csv", "--evaluation-data", "{}.csv"]),
        ("train", ["--data", "{}.csv.gz", "--evaluation-data", "{}.csv.gz"]),
        ("adapt", ["--preset", "demo", "--challenges", "{}.json"]),
        ("generate", ["sudoku-4x4", "--out", "x.csv", "--exclude", "{}.csv"]),
        ("submission", ["check", "--challenges", "{}.json", "--submission", "x"]),
        ("submission", ["score", "--solutions", "{}.json", "--submission", "{}.json"]),
        ("submission", ["predict", "--preset", "demo", "--challenges", "{}.json"]),
        ("evaluate", ["--checkpoint", "run", "--data", "{}.json"]),
        ("evaluate", ["--checkpoint", "run/checkpoint-00000006"]),
    ],
)
def test_a_pipe_is_no_input(
    name: str, arguments: list[str], trained: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, as nobody may ever write to it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "run")
    pipes = {Path(argument.format("pipe")) for argument in arguments if "{}" in argument}
    if "run/checkpoint-00000006" in arguments:
        (tensors := Path("run/checkpoint-00000006/tensors.safetensors")).unlink()
        pipes.add(tensors)
    for pipe in pipes:
        os.mkfifo(pipe)
    code, _, error = command(name, *[argument.format("pipe") for argument in arguments])
    assert code == 2, error
    assert error.count("\n") == 1
    assert command.refused.file in pipes


def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    for arguments in (
        ("train", *train_flags(data, blocked / "run")),
        ("evaluate", "--checkpoint", trained, "--out", blocked / "results"),
    ):
        code, out, error = command(*arguments)
        assert (code, error.count("\n")) == (2, 1), error
        assert says("cannot-be-written") in error or says("is-a-folder") in error
        assert "view" not in out
    assert blocked.read_text() == "x"


def test_a_run_is_not_overwritten_by_accident(data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable) -> None:
    before = files_below(trained)
    code, _, error = command("train", *train_flags(data, trained))
    assert (code, says("go-on-with-resume") in error) == (2, True)
    assert command.refused.file == trained
    code, _, error = command("train", *train_flags(data, tmp_path / "new"), "--resume")
    assert (code, says("no-checkpoint-to-resume") in error) == (2, True)
    assert command.refused.file == tmp_path / "new"
    code, _, error = command("train", *train_flags(data, trained), "--resume", "--overwrite")
    assert (code, says("cannot-be-given-together") in error) == (2, True)
    assert command.refused.flag == "--resume"
    assert files_below(trained) == before


def test_bad_data_and_a_bad_checkpoint_still_give_a_valid_file(
    data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable
) -> None:
    path = tmp_path / "submission.json"
    path.write_text("{}")
    code, _, error = command("submission", "predict", "--challenges", data[1], "--checkpoint", tmp_path / "no", "--out", path)
    assert (code, says("no-such-folder") in error, path.read_text()) == (2, True, "{}")  # a slip of the pen is refused at once
    assert (command.refused.flag, command.refused.file) == ("--checkpoint", tmp_path / "no")
    bad = tmp_path / "bad_challenges.json"
    document = orjson.loads(data[1].read_bytes())
    document["eval01"]["test"][1]["input"] = [[1, 2], [3, 10]]
    bad.write_bytes(orjson.dumps(document))
    truncated = tmp_path / "truncated"
    truncated.mkdir()
    for file in list_checkpoints(trained)[-1].iterdir():
        (truncated / file.name).write_bytes(file.read_bytes()[:2000] if file.suffix == ".safetensors" else file.read_bytes())
    code, _, error = command("submission", "predict", "--challenges", bad, "--checkpoint", truncated, "--out", path)
    assert code == ONLY_GUESSES
    assert f"{bad}: task eval01, test pair 1, input, row 1, column 1: " in error
    assert says("a-colour-is-an") in error
    assert says("truncated-or-damaged") in error
    code, text, error = command("submission", "check", "--challenges", data[1], "--submission", path)
    assert (code, "valid submission" in text) == (0, True), error


def break_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> Losses:
        losses = supervise(*arguments)
        return losses._replace(cells=losses.cells * float("nan"))

    monkeypatch.setattr(supervision, "supervise", broken)


def test_a_run_that_does_not_stay_finite_says_so(
    data: tuple[Path, Path], tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_the_loss(monkeypatch)
    code, _, error = command("train", *train_flags(data, tmp_path), "--max-skips", 4)
    assert code == 2
    assert says("step-4-the-loss") in error
    assert says("train-again-with-lower") in error
    assert list_checkpoints(tmp_path) == []
    assert set(load_file(tmp_path / "bad-batch.safetensors")) == {"tokens", "labels", "rows", "transforms"}


def test_overwrite_keeps_the_old_run_until_the_new_one_is_saved(
    data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder = tmp_path / "run"
    shutil.copytree(trained, run_folder)
    (run_folder / "submission.json").write_text("stale")
    flags = [*train_flags(data, run_folder), "--overwrite"]
    with monkeypatch.context() as patch:
        break_the_loss(patch)
        assert command("train", *flags, "--max-skips", 2)[0] == 2
    assert [path.name for path in list_checkpoints(run_folder)] == ["checkpoint-00000006"]
    assert (run_folder / "submission.json").exists()
    assert command("train", *flags, "--steps", 3)[0] == 0
    assert [path.name for path in list_checkpoints(run_folder)] == ["checkpoint-00000003"]
    assert not (run_folder / "submission.json").exists()


def test_one_folder_holds_one_run_at_a_time(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    with exclusive(tmp_path):
        code, _, error = command("train", *train_flags(data, tmp_path))
    assert (code, says("another-run-is-writing") in error) == (2, True)
    assert command.refused.file == tmp_path
    assert command("train", *train_flags(data, tmp_path))[0] == 0


def test_resuming_keeps_the_precision_unless_another_is_asked_for(
    data: tuple[Path, Path], tmp_path: Path, command: Callable
) -> None:
    flags = train_flags(data, tmp_path)
    assert command("train", *flags, "--precision", "bfloat16", "--save-every", 3, "--keep", 9)[0] == 0
    shutil.rmtree(tmp_path / "checkpoint-00000006")
    before = (tmp_path / "checkpoint-00000003" / "checkpoint.json").read_text()
    assert json.loads(before)["precision"] == "bfloat16"
    code, text, _ = command("train", "--resume", "--out", tmp_path)
    assert (code, says("bfloat16-as-before") in text) == (0, True)
    shutil.rmtree(tmp_path / "checkpoint-00000006")
    assert command("train", "--resume", "--out", tmp_path, "--precision", "float32")[0] == 0
    loaded = load_checkpoint(tmp_path)
    assert (loaded.metadata.precision, loaded.tensors["carry.0.y"].dtype) == ("float32", torch.float32)


def test_metrics_of_a_killed_run_are_mended(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"a": 1}\nhello}\n{"step": 2, "lo')
    (tmp_path / ".lock").touch()
    assert command("train", *train_flags(data, tmp_path))[0] == 0
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2, 4, 6]
    (tmp_path / "second" / "metrics.jsonl").mkdir(parents=True)
    assert command("train", *train_flags(data, tmp_path / "second"))[0] == 2
    assert command.refused.file == tmp_path / "second" / "metrics.jsonl"


def test_what_was_trained_on_is_not_scored(data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable) -> None:
    code, _, error = command("evaluate", "--checkpoint", trained, "--data", data[0], "--out", tmp_path)
    assert code == 2
    assert says("trained-on-test-answers") in error
    mixed = write_kaggle(tmp_path, TaskSet([*make_tasks(2, 1, "train"), *make_tasks(2, 8, "fresh")], "mixed"), "mixed")
    arguments = ["--checkpoint", trained, "--data", mixed, "--out", tmp_path, "--views", 2, "--no-report"]
    assert command("evaluate", *arguments)[0] == 2
    code, text, _ = command("evaluate", *arguments, "--drop-leaks")
    assert code == 0
    assert says("left-out-2-of") in text
    assert json.loads((tmp_path / "metrics.json").read_text())["tasks"] == 2
    # Nor the image of a demonstration of the tasks that the run learned to answer.
    shown, turn = make_tasks(4, 2, "eval")[0].train[1], Transform(6, (0, 3, 1, 2, 4, 5, 6, 7, 8, 9))
    asked, _ = make_tasks(2, 8, "fresh")
    asked = replace(asked, test=(Pair(turn.apply(shown.input), turn.apply(shown.output)),))
    path = write_kaggle(tmp_path, TaskSet([asked], "image"), "image")
    assert command("evaluate", "--checkpoint", trained, "--data", path, "--out", tmp_path)[0] == 2
    assert f"1 of 1 tasks of {path.name}: {asked.id}" in str(command.refused)
    assert command("evaluate", "--checkpoint", trained, "--out", tmp_path, "--views", 2, "--no-report")[0] == 0


def test_results_of_other_tasks_do_not_mix(trained: Path, tmp_path: Path, command: Callable) -> None:
    run_folder = tmp_path / "run"
    shutil.copytree(trained, run_folder)
    assert command("evaluate", "--checkpoint", run_folder, "--views", 2, "--no-report")[0] == 0
    before = files_below(run_folder)
    path = write_kaggle(tmp_path, make_tasks(2, 11, "new"), "new")
    code, _, error = command("evaluate", "--checkpoint", run_folder, "--data", path, "--views", 2, "--no-report")
    assert code == 0, error
    after = files_below(run_folder)
    assert {name: after[name] for name in before} == before
    assert "new_challenges/submission.json" in after
    (tmp_path / "blocked" / "submission.json").mkdir(parents=True)
    code, text, error = command("evaluate", "--checkpoint", run_folder, "--out", tmp_path / "blocked")
    assert (code, says("is-a-folder") in error, "device" in text) == (2, True, False)
    assert command.refused.file == tmp_path / "blocked" / "submission.json"


def test_a_leak_is_refused_by_default_and_dropped_on_request(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    flags = train_flags(data, tmp_path / "run")
    flags[flags.index("--data") + 1] = f"{data[0]},{data[1]}"
    code, _, error = command("train", *flags, "--leave-out", "train01")
    assert code == 2
    assert says("holds-test-answers-of") in error
    code, text, _ = command("train", *flags, "--drop-leaks")
    assert code == 0
    assert says("dropped-4-training-tasks") in text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("train", []), ("train", ["--preset", "demo"]), ("evaluate", []), ("upstream", []), ("submission", []), ("adapt", [])]
    + [("submission", [part]) for part in ("predict", "check", "score")],
)
def test_help_is_there_and_fits(name: str, arguments: list[str], command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = command(name, *arguments, "--help-all")
    assert code == 0
    assert "None" not in text
    assert "==SUPPRESS==" not in text
    assert max(map(len, text.splitlines())) <= 80
    table = [line for line in text.splitlines() if line.split(" ")[0] in {*PRESET_HELP, *RECIPE_HELP}]
    assert all(line[16:18] == "  " and line[18:] in {*PRESET_HELP.values(), *RECIPE_HELP.values()} for line in table)
    if name in ("train", "adapt"):
        assert len(table) == len(PRESET_HELP) + len(RECIPE_HELP) * (name == "adapt")


# --- mistakes in files of others


def test_what_cannot_be_is_said_before_any_work(
    trained: Path, data: tuple[Path, Path], tmp_path: Path, command: Callable
) -> None:
    flags = ["--out", tmp_path / "run"]
    for start in (["--checkpoint", trained], ["--preset", "demo"]):
        code, _, error = command("adapt", "--challenges", "maze-8x8", *start, *flags)
        assert (code, says("maze-8x8-holds-maze") in error) == (2, True), error
        assert command.refused.flag == "--challenges"
    for name, advice in (("sudoku-9x9-esy", says("no-such-puzzles-there")), ("maze_hard", "maze-hard")):
        for call in (("train", "--preset", "sudoku-small"), ("evaluate", "--checkpoint", trained)):
            code, _, error = command(*call, "--data", name, *flags)
            assert (code, error.startswith(f"error: {name}"), advice in error) == (2, True, True), error
    code, _, error = command("train", *train_flags(data, tmp_path / "run"), "--fit", "--time-limit", "9s", "--steps", 3)
    assert (code, says("lets-the-time-limit") in error) == (2, True), error
    assert command.refused.flag == "--fit"
    code, _, error = command("submission", "bundle", "--whole", "--data", "arc1-training", "--id", "a/bcd", *flags)
    assert (code, says("does-nothing-without-checkpoint") in error) == (2, True), error
    assert command.refused.flag == "--whole"
    (tmp_path / "pieces").mkdir()
    (tmp_path / "pieces" / "export.json").write_bytes(b"{}")
    code, _, error = command("train", "--resume", "--out", tmp_path / "pieces")
    assert (code, says("put-them-into-a") in error) == (2, True), error


def test_checkpoints_of_two_kinds_are_refused_before_the_first_answers(trained: Path, tmp_path: Path, command: Callable) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    header = list_checkpoints(other)[-1] / "checkpoint.json"
    header.write_bytes(orjson.dumps(orjson.loads(header.read_bytes()) | {"domain": "sudoku-4x4"}))
    code, text, error = command("evaluate", "--checkpoint", trained, other, "--out", tmp_path / "out")
    assert (code, says("answers-sudoku-4x4-and") in error) == (2, True), error
    assert command.refused.file == header.parent
    assert "device:" not in text
