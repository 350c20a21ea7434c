"""Paths as a user writes them: `~` is the home folder in flags, variables, lists of names and presets."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import make_tasks, messages, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.common.paths import path_variable, user_path
from trm_arc.config import load_preset
from trm_arc.data import puzzle_sources
from trm_arc.data.puzzle_sources import CACHE_VARIABLE, cache_folder, domain_of_data, generate_set, load_puzzles
from trm_arc.data.sources import DATA_VARIABLE, load_listed, load_tasks

says = messages(__name__)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir("/")
    return tmp_path


def test_only_a_home_is_replaced(home: Path) -> None:
    assert user_path("~/a") == home / "a"
    assert user_path("~") == home
    for same in ("a/~/b", "~no-such-user/a", "~draft.json", "./~", "/a~"):
        assert str(user_path(same)) == str(Path(same))


def test_nothing_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable) -> None:
    challenges = write_kaggle(tmp_path, make_tasks(2, 1, "one"), "one")
    (tmp_path / "one_solutions.json").unlink()
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["show", "a", "--data", ""],
        ["submission", "predict", "--challenges", "", "--preset", "demo"],
        ["submission", "score", "--solutions", "", "--submission", challenges],
    ):
        code, _, error = command(*arguments)
        assert (code, says("nothing-is-given") in error) == (2, True)


def test_sets_are_found_at_home(home: Path, command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kaggle(home / "arc", make_tasks(2, 1, "one"), "one")
    write_kaggle(home / "arc", make_tasks(2, 2, "two"), "two")
    assert load_tasks("~/arc/one_challenges.json").has_solutions
    assert len(load_listed("~/arc/one_challenges.json, ~/arc/two_challenges.json")) == 4
    for file in ("~/train.csv", "~/test.csv.gz"):
        assert command("generate", "sudoku-4x4", "--puzzles", 3, f"--out={file}")[0] == 0
    assert puzzle_sources.test_of("~/train.csv") == str(home / "test.csv.gz")
    assert domain_of_data("~/train.csv").name == "sudoku-4x4"
    assert len(load_puzzles("~/train.csv,~/test.csv.gz", "train")) == 6
    (home / "small.toml").write_text('extends = "demo"\nhelp = "small"\n')
    assert load_preset("~/small.toml")
    monkeypatch.setenv(DATA_VARIABLE, "~/nowhere")
    with pytest.raises(InputError) as refused:
        load_tasks("concept")
    assert refused.value.file == home / "nowhere"


def test_results_are_written_at_home(home: Path, base: Path, command: Callable) -> None:
    write_kaggle(home / "arc", make_tasks(2, 1, "one"), "one")
    shutil.copytree(base, home / "run")
    named = ["--data", "~/arc/one_challenges.json", "--out=~/out", "--views", 1, "--no-report"]
    assert command("evaluate", "--checkpoint", "~/run", "~/run/checkpoint-00000002", *named)[0] == 0
    challenges, answers = "--challenges=~/arc/one_challenges.json", "--submission=~/out/submission.json"
    assert command("submission", "check", challenges, answers)[0] == 0


def test_the_cache_needs_no_home(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "~/kept")
    assert cache_folder() == home / "kept"
    monkeypatch.setenv("HOME", "~")  # as expanduser answers where there is none
    monkeypatch.setenv(CACHE_VARIABLE, str(home / "kept"))
    assert cache_folder() == home / "kept"
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder() is None
    assert len(generate_set("sudoku-4x4-easy", "test", 3)) == 3
    assert says("set-cache") in capsys.readouterr().out
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert cache_folder() == home / "trm_arc"


def test_no_home_is_said(command: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "~")
    monkeypatch.setenv("PLACE", "~/a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        path_variable("PLACE")
    assert refused.value.file == Path("~/a")
    code, _, _ = command("generate", "sudoku-4x4", "--puzzles", 3, "--out", "~/a.csv")
    assert code == 2
    assert command.refused.file == Path("~/a.csv")
    assert not list(tmp_path.iterdir())
