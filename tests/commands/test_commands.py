"""The commands as a user types them: the whole path, and every mistake answered by one sentence and exit code 2."""

import json
import os
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
from safetensors.torch import load_file

from tests.helpers import ROOT, SETTINGS, make_tasks, write_kaggle
from trm_arc.common.files import exclusive
from trm_arc.config import PRESET_HELP, RECIPE_HELP
from trm_arc.data.task import TaskSet
from trm_arc.model.checkpoint import list_checkpoints, load_checkpoint
from trm_arc.training import supervision
from trm_arc.training.loss import Losses, supervise


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
    assert "4 tasks, 6 test outputs of eval_challenges.json" in text
    assert "pass@2 is the ARC Prize score" in text
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
    assert (code, "valid submission; 4 tasks, 6 test inputs" in text) == (0, True)
    solutions = data[1].with_name("eval_solutions.json")
    code, text, _ = command("submission", "score", "--submission", path, "--solutions", solutions, "--json")
    assert code == 0
    assert json.loads(text)["per_output"]["pass@2"] == metrics["per_output"]["pass@2"]


def test_evaluate_without_arguments_takes_the_newest_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = command("evaluate")
    advice = "train one with `python -m trm_arc.train`, or name one with --checkpoint"
    assert (code, error) == (2, f"error: runs: no checkpoint here; {advice}\n")
    (tmp_path / "runs").symlink_to(trained.parent)
    code, text, _ = command("evaluate")
    assert code == 0
    assert text.startswith("runs/small/checkpoint-00000006, step 6: 4 tasks")
    assert (tmp_path / "runs" / "small" / "submission.json").exists()


def test_solutions_apart_are_read_without_naming_the_tasks_again(trained: Path, tmp_path: Path, command: Callable) -> None:
    for flags in ([], ["--data", trained.parent.parent / "nowhere"]):
        code, _, error = command("evaluate", "--checkpoint", trained, *flags, "--solutions", tmp_path / "none.json")
        assert code == 2
        assert "none.json: no such file" in error or "nowhere" in error


def test_tasks_never_seen_are_answered_all_the_same(trained: Path, tmp_path: Path, command: Callable) -> None:
    """Larger than the window, unknown to the checkpoint, without solutions: a full submission comes out."""
    path = write_kaggle(tmp_path, make_tasks(3, 9, "new", largest=12), "new")
    (tmp_path / "new_solutions.json").unlink()
    code, text, _ = command("evaluate", "--checkpoint", trained, "--data", path, "--out", tmp_path, "--views", 3)
    assert code == 0
    assert "3 of 3 tasks are new to this checkpoint" in text
    assert "no score" in text
    assert not (tmp_path / "metrics.json").exists()
    code, _, _ = command("submission", "check", "--challenges", path, "--submission", tmp_path / "submission.json")
    assert code == 0


def test_left_out_tasks_are_named(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    code, text, _ = command("train", *train_flags(data, tmp_path / "run"), "--leave-out", "train01")
    assert code == 0
    assert text.startswith("left out train01, as set\nanswering 4 tasks")
    assert "and 4 tasks of train_challenges.json" in text


def test_the_mlp_mixer_says_what_it_cannot_hold(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    mlp = [*train_flags(data, tmp_path / "run"), "--mixer", "mlp", "--positions", "none"]
    code, _, error = command("train", *mlp)
    assert (code, "set --board-rows and --board-columns to 5" in error) == (2, True)
    assert command("train", *mlp, "--board-rows", 5, "--board-columns", 5)[0] == 0
    large = write_kaggle(tmp_path, make_tasks(1, 9, "large", largest=12), "large")
    code, _, error = command("evaluate", "--checkpoint", tmp_path / "run", "--data", large)
    assert (code, "does not hold large00" in error) == (2, True)
    assert command("evaluate", "--checkpoint", tmp_path / "run", "--views", 2)[0] == 0


def test_real_scorer_fixture(shared: Path, command: Callable) -> None:
    submission = shared / "data" / "scorer" / "arc1" / "submission.json"
    solutions = shared / "data" / "arc" / "arc-agi_evaluation_solutions.json"
    code, text, error = command("submission", "score", "--submission", submission, "--solutions", solutions, "--json")
    values = json.loads(text)
    assert code == 0
    assert values["per_task_mean"]["pass@2"]["value"] == 0.385
    assert values["per_task_mean"]["pass@1"]["value"] == 0.34375
    assert (values["per_output"]["pass@2"]["solved"], values["per_output"]["pass@2"]["trials"]) == (163, 419)
    assert "2 attempts are not grids" in error
    challenges = solutions.with_name("arc-agi_evaluation_challenges.json")
    code, text, _ = command("submission", "check", "--challenges", challenges, "--submission", submission)
    assert code == 1
    assert "task 5b692c0f, test input 0, attempt_1" in text
    assert "invalid submission: 2 faults" in text


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
    assert "resumed at step 4 of 6" in text
    assert files_below(whole / "checkpoint-00000006") == files_below(parts / "checkpoint-00000006")
    logs = [[json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (whole, parts)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_resumes_to_the_same_end(number: signal.Signals, data: tuple[Path, Path], tmp_path: Path) -> None:
    steps = ["--steps", "60", "--save-every", "10", "--keep", "2"]
    base = [sys.executable, "-m", "trm_arc.train"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = {"cwd": ROOT, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run([*base, *map(str, train_flags(data, whole)), *steps], check=True, **options)
    with subprocess.Popen([*base, *map(str, train_flags(data, parts)), *steps], **options) as process:
        while not list_checkpoints(parts) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(number)
        output, _ = process.communicate()
    assert process.returncode == (-number if number == signal.SIGKILL else 0)
    assert number == signal.SIGKILL or b"resume" in output or b"trained" in output
    load_checkpoint(parts)  # the newest is whole
    subprocess.run([*base, "--resume", "--out", str(parts), "--device", "cpu", "--precision", "float32"], check=True, **options)
    assert files_below(whole / "checkpoint-00000060") == files_below(parts / "checkpoint-00000060")


# --- mistakes


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("train", ["--widht", "8"], "error: --widht: no such flag; did you mean --width?"),
        ("train", ["--learning-rat=1"], "error: --learning-rat: no such flag; did you mean --learning-rate?"),
        ("train", ["stray"], "error: stray: no such flag"),
        ("train", ["--zzz"], "error: --zzz: no such flag; see `python -m trm_arc.train --help`"),
        ("train", ["--preset", "arc9"], "error: --preset: arc9 is not a preset; did you mean arc2?"),
        ("train", ["--width", "many"], "invalid int value: 'many'"),
        ("train", ["--width", "9"], "error: width: must be a multiple of 2 x heads (2), got 9"),
        ("train", ["--vocabulary", "9"], "error: vocabulary: ARC needs 12 tokens, got 9"),
        ("train", ["--board-rows", "4"], "do not fit the board of (4, 30)"),
        ("train", ["--save-every", "0"], "error: --save-every: at least 1 is needed, got 0"),
        ("train", ["--device", "abacus"], "error: --device: abacus is not a kind of device"),
        ("train", ["--precision", "int4"], "error: --precision: choose auto or one of float32"),
        ("train", ["--device", "meta"], "error: --device: meta is not on this machine"),
        ("train", ["--data", "arc7"], "error: arc7: no such file or folder, and not one of the names"),
        ("train", ["--smallest", "99"], "the 99 smallest of 4 tasks were asked for"),
        ("evaluate", ["--checkpoit", "x"], "error: --checkpoit: no such flag; did you mean --checkpoint?"),
        ("evaluate", ["--checkpoint", "nowhere"], "error: nowhere: not a checkpoint"),
        ("submission", [], "the following arguments are required: COMMAND"),
        ("submission", ["chek"], "invalid choice: 'chek'"),
        ("submission", ["check", "--challenge", "x"], "error: --challenge: no such flag; did you mean --challenges?"),
        ("submission", ["check", "--submission", "x"], "the following arguments are required: --challenges"),
        ("train", ["--board-rows", "31"], "error: board_rows: must be at most 30, got 31"),
        ("train", ["--vocabulary", "30"], "error: vocabulary: ARC needs 12 tokens, got 30"),
        ("train", ["--expansion", "inf"], "error: expansion: must be a finite number, got inf"),
        ("train", ["--leave-out", "train01,nobody"], "error: leave_out: nobody is not in train_challenges.json"),
        ("train", ["--learning-rate", "1e38"], "error: learning_rate: must be above 0 and at most 1000"),
        ("train", ["--seed", "99999999999999999999"], "error: seed: must be below 2**63"),
        ("train", ["--width", "200000000"], "error: not enough memory"),
        ("train", ["--matrix-learning-rate", "0.1"], "--matrix-learning-rate: does nothing without --matrix-optimizer"),
        ("train", ["--halt-exploration", "0.1", "--halting", "never"], "--halt-exploration: does nothing without rows that may"),
        ("train", ["--bucket-sides", "5,9"], "--bucket-sides: does nothing without --canvas buckets"),
        ("train", ["--pool-votes"], "--pool-votes: does nothing without --evaluate-every"),
        ("train", ["--evaluate-views", "4"], "--evaluate-views: does nothing without --evaluate-every"),
        ("train", ["--export-size", "1KB"], "--export-size: at least 65536 bytes are needed, got 1000"),
        (
            "train",
            ["--canvas", "buckets", "--bucket-sides", "auto:0"],
            "bucket_sides: comma-separated sides, such as 10,20,30, or auto are expected",
        ),
        ("train", ["--batch-size", "4096"], "batch_size: 4096 rows are more than the 170 examples of this run"),
        ("train", ["--batch-size", "10000000000"], "batch_size: must be below 2**31"),
        ("train", ["--evaluation-data", ""], "error: evaluation_data: must be a name or path"),
        ("train", ["--evaluation-data", "a" * 300], "cannot be accessed"),
        ("train", ["--task-embedding-weight-decay", "-5"], "task_embedding_weight_decay: must be at least 0"),
        ("submission", ["score", "--submission", "a", "--solutions", "b", "--jsn"], "--jsn: no such flag; did you mean --json?"),
    ],
)
def test_mistakes_get_one_sentence(
    name: str, arguments: list[str], message: str, data: tuple[Path, Path], tmp_path: Path, command: Callable
) -> None:
    if name == "train":
        arguments = [*map(str, train_flags(data, tmp_path / "out")), *arguments]
    code, _, error = command(name, *arguments)
    assert code == 2
    assert message in error
    assert error.splitlines()[-1].startswith("error: ")  # a progress bar may stand before it
    assert "Traceback" not in error


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
        assert "cannot be written" in error or "is a folder" in error
        assert "view" not in out
    assert blocked.read_text() == "x"


def test_a_run_is_not_overwritten_by_accident(data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable) -> None:
    before = files_below(trained)
    code, _, error = command("train", *train_flags(data, trained))
    assert (code, "continue it with --resume, replace it with --overwrite" in error) == (2, True)
    code, _, error = command("train", *train_flags(data, tmp_path / "new"), "--resume")
    assert (code, "no checkpoint to resume" in error) == (2, True)
    code, _, error = command("train", *train_flags(data, trained), "--resume", "--overwrite")
    assert (code, "--resume: cannot be given together with --overwrite" in error) == (2, True)
    assert files_below(trained) == before


def test_bad_data_and_a_bad_checkpoint_still_give_a_valid_file(
    data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable
) -> None:
    path = tmp_path / "submission.json"
    path.write_text("old")
    code, _, error = command("submission", "predict", "--challenges", data[1], "--checkpoint", tmp_path / "no", "--out", path)
    assert (code, "no: no such folder" in error, path.read_text()) == (2, True, "old")  # a slip of the pen is refused at once
    bad = tmp_path / "bad_challenges.json"
    document = orjson.loads(data[1].read_bytes())
    document["eval01"]["test"][1]["input"] = [[1, 2], [3, 10]]
    bad.write_bytes(orjson.dumps(document))
    truncated = tmp_path / "truncated"
    truncated.mkdir()
    for file in list_checkpoints(trained)[-1].iterdir():
        (truncated / file.name).write_bytes(file.read_bytes()[:2000] if file.suffix == ".safetensors" else file.read_bytes())
    code, _, error = command("submission", "predict", "--challenges", bad, "--checkpoint", truncated, "--out", path)
    assert code == 0
    assert f"{bad}: task eval01, test pair 1, input, row 1, column 1: a colour is an integer from 0 to 9, got 10; its" in error
    assert "truncated or damaged" in error
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
    assert "step 4: the loss was not finite in 4 steps in a row, which were skipped; last batch:" in error
    assert "train again with lower learning rates" in error
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
    assert (code, "another run is writing here" in error) == (2, True)
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
    assert (code, "bfloat16 (as before)" in text) == (0, True)
    shutil.rmtree(tmp_path / "checkpoint-00000006")
    assert command("train", "--resume", "--out", tmp_path, "--precision", "float32")[0] == 0
    loaded = load_checkpoint(tmp_path)
    assert (loaded.metadata.precision, loaded.tensors["carry.0.y"].dtype) == ("float32", torch.float32)


def test_metrics_of_a_killed_run_are_mended(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"a": 1}\nhello}\n{"step": 2, "lo')
    assert command("train", *train_flags(data, tmp_path))[0] == 0
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [2, 4, 6]
    (tmp_path / "second" / "metrics.jsonl").mkdir(parents=True)
    code, _, error = command("train", *train_flags(data, tmp_path / "second"))
    assert (code, "metrics.jsonl: cannot be read" in error) == (2, True)


def test_what_was_trained_on_is_not_scored(data: tuple[Path, Path], trained: Path, tmp_path: Path, command: Callable) -> None:
    code, _, error = command("evaluate", "--checkpoint", trained, "--data", data[0], "--out", tmp_path)
    assert code == 2
    assert "trained on test answers of 5 of 5 tasks of train_challenges.json: train00" in error
    mixed = write_kaggle(tmp_path, TaskSet([*make_tasks(2, 1, "train"), *make_tasks(2, 8, "fresh")], "mixed"), "mixed")
    arguments = ["--checkpoint", trained, "--data", mixed, "--out", tmp_path, "--views", 2]
    assert command("evaluate", *arguments)[0] == 2
    code, text, _ = command("evaluate", *arguments, "--drop-leaks")
    assert code == 0
    assert "left out 2 of 4 tasks whose answers were trained on: train00, train01" in text
    assert json.loads((tmp_path / "metrics.json").read_text())["tasks"] == 2


def test_results_of_other_tasks_do_not_mix(trained: Path, tmp_path: Path, command: Callable) -> None:
    run_folder = tmp_path / "run"
    shutil.copytree(trained, run_folder)
    assert command("evaluate", "--checkpoint", run_folder, "--views", 2)[0] == 0
    before = files_below(run_folder)
    path = write_kaggle(tmp_path, make_tasks(2, 9, "new"), "new")
    assert command("evaluate", "--checkpoint", run_folder, "--data", path, "--views", 2)[0] == 0
    after = files_below(run_folder)
    assert {name: after[name] for name in before} == before
    assert "new_challenges/submission.json" in after
    (tmp_path / "blocked" / "submission.json").mkdir(parents=True)
    code, text, error = command("evaluate", "--checkpoint", run_folder, "--out", tmp_path / "blocked")
    assert (code, "is a folder" in error, "device" in text) == (2, True, False)


def test_a_leak_is_refused_by_default_and_dropped_on_request(data: tuple[Path, Path], tmp_path: Path, command: Callable) -> None:
    flags = train_flags(data, tmp_path / "run")
    flags[flags.index("--data") + 1] = f"{data[0]},{data[1]}"
    code, _, error = command("train", *flags, "--leave-out", "train01")
    assert code == 2
    assert "holds test answers of 4 tasks of eval_challenges.json that will be scored: eval00" in error
    code, text, _ = command("train", *flags, "--drop-leaks")
    assert code == 0
    assert "dropped 4 training tasks that hold a scored answer" in text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("train", []), ("train", ["--preset", "demo"]), ("evaluate", []), ("upstream", []), ("submission", []), ("adapt", [])]
    + [("submission", [part]) for part in ("predict", "check", "score")],
)
def test_help_is_there_and_fits(name: str, arguments: list[str], command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = command(name, *arguments, "--help")
    assert code == 0
    assert "None" not in text
    assert "==SUPPRESS==" not in text
    assert max(map(len, text.splitlines())) <= 80
    table = [line for line in text.splitlines() if line.split(" ")[0] in {*PRESET_HELP, *RECIPE_HELP}]
    assert all(line[16:18] == "  " and line[18:] in {*PRESET_HELP.values(), *RECIPE_HELP.values()} for line in table)
    if name in ("train", "adapt"):
        assert len(table) == len(PRESET_HELP) + len(RECIPE_HELP) * (name == "adapt")


# --- mistakes that strangers made


def test_what_cannot_be_is_said_before_any_work(
    trained: Path, data: tuple[Path, Path], tmp_path: Path, command: Callable
) -> None:
    flags = ["--out", tmp_path / "run"]
    for start in (["--checkpoint", trained], ["--preset", "demo"]):
        code, _, error = command("adapt", "--challenges", "maze-8x8", *start, *flags)
        assert (code, "--challenges: maze-8x8 holds maze-8x8 puzzles, not ARC tasks" in error) == (2, True), error
    for name, advice in (("sudoku-9x9-esy", "no such puzzles; there are sudoku-extreme"), ("maze_hard", "maze-hard")):
        for call in (("train", "--preset", "sudoku-small"), ("evaluate", "--checkpoint", trained)):
            code, _, error = command(*call, "--data", name, *flags)
            assert (code, error.startswith(f"error: {name}"), advice in error) == (2, True, True), error
    code, _, error = command("train", *train_flags(data, tmp_path / "run"), "--fit", "--time-limit", "9s", "--steps", 3)
    assert (code, "--fit: takes the number of steps from the time limit" in error) == (2, True), error
    code, _, error = command("submission", "bundle", "--whole", "--data", "arc1-training", "--id", "a/bcd", *flags)
    assert (code, "--whole: does nothing without --checkpoint" in error) == (2, True), error
    (tmp_path / "pieces").mkdir()
    (tmp_path / "pieces" / "export.json").write_bytes(b"{}")
    code, _, error = command("train", "--resume", "--out", tmp_path / "pieces")
    assert (code, "put them into a folder RUN/export, and resume RUN" in error) == (2, True), error


def test_checkpoints_of_two_kinds_are_refused_before_the_first_answers(trained: Path, tmp_path: Path, command: Callable) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    header = list_checkpoints(other)[-1] / "checkpoint.json"
    header.write_bytes(orjson.dumps(orjson.loads(header.read_bytes()) | {"domain": "sudoku-4x4"}))
    code, text, error = command("evaluate", "--checkpoint", trained, other, "--out", tmp_path / "out")
    assert (code, "answers sudoku-4x4, but eval_challenges.json holds ARC" in error) == (2, True), error
    assert "device:" not in text
