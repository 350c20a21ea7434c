"""Values out of range, and folders that this user may not look into, are refused in one sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import ROOT, SETTINGS, make_tasks, messages, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.model.official import read_settings
from trm_arc.puzzles.sudoku import generate as sudoku_generate

says = messages(__name__)
MANY = "9" * 5000


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--save-every", MANY),
        ("--log-every", "9" * 20),
        ("--seed", str(2**64)),
        ("--keep", str(-(2**70))),
    ],
)
def test_numbers_that_no_array_holds_are_refused(flag: str, value: str, command: Callable) -> None:
    code, _, error = command("train", *SETTINGS, flag, value)
    assert (code, command.refused.flag) == (2, flag)
    assert len(error) < 200


@pytest.mark.parametrize("flag", ["--seed", "--views", "--export-size", "--time-limit"])
def test_a_long_number_is_not_printed_whole(flag: str, command: Callable) -> None:
    name = "evaluate" if flag == "--views" else "train"
    code, _, error = command(name, flag, f"{MANY}GB" if flag == "--export-size" else MANY)
    assert code == 2
    assert len(error) < 600


@pytest.mark.parametrize("value", ["", "--", "folder\udcff"], ids=["nothing", "dashes", "no UTF-8"])
@pytest.mark.parametrize(("name", "flag"), [("train", "--out"), ("sweep", "--checkpoint"), ("submission", "--bundle")])
def test_values_that_are_no_path_are_refused(name: str, flag: str, value: str, command: Callable) -> None:
    code, _, error = command(name, *["verify"] * (name == "submission"), f"{flag}={value}")
    assert code == 2
    assert isinstance(command.refused, InputError)
    assert len(error) < 200


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (["sweep", "--puzzles", "1.5"], "--puzzles"),
        (["sweep", "--puzzles", "1_0"], "--puzzles"),
        (["sweep", "--puzzles", "\u0663"], "--puzzles"),
        (["sweep", "--puzzles"], "--puzzles"),
        (["train", "--learning-rate", "1,5"], "--learning-rate"),
        (["train", "--learning-rate", "1_0"], "--learning-rate"),
        (["publish", "--out", ""], "--out"),
        (["publish", "--out", "a/" * 2048], "--out"),
        (["publish", "--out", "x", "--checkpoint", ""], "--checkpoint"),
        (["publish", "--out", "x", "--checkpoint", "nobody"], "--checkpoint"),
        (["publish", "--out", "folder\udcff"], "--out"),
        (["publish", "--out", "x", "--name=\udcff"], "--name"),
        (["submission", "merge", "a", "b", "--out", "x", "--rule", "x"], "--rule"),
        (["submission", "merge", "a", "b", "--out", "x", "--weights", "1", "many"], "--weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_argparse_refuses_is_of_its_flag(arguments: list[str], flag: str, command: Callable) -> None:
    code, _, error = command(*arguments)
    assert (code, command.refused.flag) == (2, flag)
    assert error.startswith(f"error: {flag}: ")
    assert len(error) < 300


def test_a_link_to_itself_is_no_run(command: Callable, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    code, _, error = command("report", tmp_path / "loop")
    assert (code, error.count("\n")) == (2, 1)


def test_a_setting_that_does_nothing_in_an_adaptation(command: Callable, base: Path, tmp_path: Path) -> None:
    challenges = write_kaggle(tmp_path, make_tasks(2, 5, "one"), "one")
    given = [
        "--challenges",
        challenges,
        "--out",
        tmp_path / "out",
        "--matrix-learning-rate",
        "0.1",
        "--steps",
        2,
        "--device",
        "cpu",
    ]
    code, _, _ = command("adapt", "--checkpoint", base, *given)
    assert (code, command.refused.flag) == (2, "--matrix-learning-rate")


@pytest.mark.parametrize("flag", ["--time-limit", "--export-size", "--deadline"])
def test_an_empty_limit_is_not_no_limit(flag: str, command: Callable, tmp_path: Path) -> None:
    predict = ["predict", "--challenges", "x", "--preset", "demo", "--out", tmp_path / "x.json"]
    name, flags = ("submission", predict) if flag == "--deadline" else ("train", [*SETTINGS, "--out", tmp_path / "run"])
    code, _, error = command(name, *flags, flag, "")
    assert (code, says("is-not") in error) == (2, True)


@pytest.mark.parametrize("name", ["generate", "report", "submission"])
def test_a_file_that_holds_something_else_is_not_replaced(name: str, command: Callable, tmp_path: Path) -> None:
    challenges = write_kaggle(tmp_path, make_tasks(2, 1, "one"), "one")
    (tmp_path / "checkpoint-00000001").mkdir()
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    out = tmp_path / "mine.csv"
    out.write_bytes(b"my thesis")
    code, _, _ = command(name, *{
        "generate": ["sudoku-4x4", "--puzzles", 1, "--out", out],
        "report": [tmp_path, "--out", out],
        "submission": ["predict", "--challenges", challenges, "--preset", "demo", "--time-limit", "1s", "--out", out],
    }[name])  # fmt: skip
    assert code == 2
    assert command.refused.file == out
    assert out.read_bytes() == b"my thesis"


@pytest.mark.parametrize("rank", ["1", "abc"])
def test_a_rank_without_other_processes_silences_no_error(rank: str, command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    code, _, error = command("generate", "sudoku-4x4", "--puzzles", 0, "--out", "x.csv")
    assert (code, error.count("\n")) == (2, 1)


def test_the_current_folder_is_gone(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _, error = command("generate", "sudoku-4x4", "--puzzles", 1, "--out", tmp_path / "x.csv")
    assert (code, says("current-folder") in error) == (2, True)


def test_more_puzzles_than_there_are(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sudoku_generate, "generate", partial(sudoku_generate.generate, tries=0))
    code, _, error = command("generate", "sudoku-4x4", "--puzzles", 2**31 - 1, "--out", tmp_path / "x.csv")
    assert code == 2
    assert says("tries-found-only") in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 2000 + "]" * 2000,
        "\n".join(" " * depth + "a:" for depth in range(1500)),
        f"hidden_size: {MANY}",
        "hidden_size: 2026-13-45",
        "hidden_size: 2026-01-01T25:00:00",
        "hidden_size: !!int x",
    ],
    ids=["lists", "mappings", "digits", "month", "hour", "no number"],
)
def test_settings_that_yaml_cannot_hold_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "trm.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        read_settings(tmp_path / "trm.yaml")
    assert refused.value.file == tmp_path / "trm.yaml"
    assert len(str(refused.value)) < 300


def run_as_user(*arguments: object) -> subprocess.CompletedProcess:
    """A command without root's right to pass over permissions."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may look into every folder, and there is no setpriv")
    command = [*(drop if os.geteuid() == 0 else []), sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evaluate", "adapt", "show", "check", "verify", "report", "upstream", "generate", "predict"])
def test_a_folder_that_may_not_be_searched(name: str, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    challenges = write_kaggle(tmp_path, make_tasks(2, 1, "one"), "one")
    inside = locked / "run" / "file.json"
    inside.parent.mkdir(parents=True)
    inside.write_text("{}")
    locked.chmod(0)
    try:
        done = run_as_user(*{
            "evaluate": ["trm_arc.evaluate", "--checkpoint", inside.parent, "--data", challenges],
            "adapt": ["trm_arc.adapt", "--checkpoint", inside.parent, "--challenges", challenges, "--out", tmp_path / "out"],
            "show": ["trm_arc.show", "a", "--data", inside],
            "check": ["submission", "check", "--challenges", challenges, "--submission", inside],
            "verify": ["submission", "verify", "--bundle", inside.parent],
            "report": ["trm_arc.report", inside.parent],
            "upstream": ["trm_arc.upstream", inside, "--config", inside, "--out", tmp_path / "out"],
            "generate": ["trm_arc.generate", "sudoku-4x4", "--puzzles", 1, "--out", locked / "x.csv"],
            "predict": ["submission", "predict", "--checkpoint", inside.parent, "--challenges", challenges],
        }[name])  # fmt: skip
    finally:
        locked.chmod(0o700)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
