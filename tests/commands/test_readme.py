"""README's commands run as they stand there, but for their size."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forked import python
from tests.helpers import ROOT, SETTINGS, make_tasks, write_kaggle

README = (ROOT / "README.md").read_text(encoding="utf-8")
# What each command of README is given besides, so that it takes seconds; a later value of a flag counts.
SHORT = {
    "trm_arc.solve": "",
    "trm_arc.train --preset arc1": f"{shlex.join(SETTINGS)} --data '' --evaluation-data made_challenges.json",
    "trm_arc.train --preset arc1-cpu": f"{shlex.join(SETTINGS)} --prefix 12 --data '' --evaluation-data made_challenges.json",
    "trm_arc.train --preset sudoku-cpu": "--data sudoku-4x4 --evaluation-data sudoku-4x4 --puzzles 20 --width 16 "
    "--latent-steps 1 --batch-size 8 --halt-steps 2 --halt-curriculum '' --steps 2 --precision float32 --compile none",
    "trm_arc.train --preset maze-cpu": "--data maze-8x8 --evaluation-data maze-8x8 --board-rows 8 --board-columns 8 "
    "--puzzles 20 --width 16 --latent-steps 1 --batch-size 8 --halt-steps 2 --steps 2 --precision float32 --compile none "
    "--mixer attention",  # the other one would answer the maze of the next command, whose side is 15
    "trm_arc.evaluate": "--views 2 --device cpu",
    "trm_arc.report": "--no-pictures",
    "submission predict": "--views 2 --device cpu --recipe none",
}
# A `python` that trains in little, and otherwise is the real one.
SMALL_PYTHON = """#!/bin/sh
if [ "$2" = trm_arc.train ]; then set -- "$@" {settings} --prefix 12 --evaluation-data {tasks}; fi
exec {python} "$@"
"""


def test_the_commands_of_the_readme(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that begins with `python -m`, one after the other in one folder; a session has programs of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_kaggle(tmp_path, make_tasks(3, 0), "made")
    shutil.copy("made_challenges.json", "tasks.json")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "maze.txt", "docs")
    lines = [block or span for block, span in re.findall(r"^(python -m .*)$|`(python -m [^`]*)`", README, re.MULTILINE)]
    for line in lines:
        module, *words = shlex.split(line, comments=True)[2:]
        [more] = [more for name, more in SHORT.items() if " ".join([module, *words, ""]).startswith(f"{name} ")]
        words += shlex.split(more)
        if module.startswith("trm_arc."):
            code, _, said = command(module.removeprefix("trm_arc."), *words)
        else:
            ended = subprocess.run([*python(), "-m", module, *words], capture_output=True, text=True)
            code, said = ended.returncode, ended.stderr
        assert code == 0, (line, said)
    made = {path.name for path in (tmp_path / "runs" / "mine").iterdir()} | {path.name for path in tmp_path.iterdir()}
    assert {"settings.toml", "predictions.json", "report.html", "submission.json", "submission-run.json"} <= made
    assert {name for name in SHORT if not any(f"python -m {name}" in line for line in lines)} == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_demo(tmp_path: Path) -> None:
    """The recipe as it stands, but for the installation and the size of the training."""
    tasks = write_kaggle(tmp_path, make_tasks(14, 0), "made")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    program = tmp_path / "venv" / "bin" / "python"
    program.write_text(SMALL_PYTHON.format(settings=shlex.join(SETTINGS), tasks=tasks, python=shlex.join(python())))
    program.chmod(0o755)
    (tmp_path / "venv" / "installed").touch()
    command = ["make", "--directory", str(ROOT), "demo", f"VENV={tmp_path}/venv", f"RUN={tmp_path}/run"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "pass@2" in ended.stdout
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_test(tmp_path: Path) -> None:
    """Installs, lints, and runs pytest, without running it here."""
    shown = subprocess.run(
        ["make", "--directory", str(ROOT), "--dry-run", "test", f"VENV={tmp_path}"], capture_output=True, text=True, check=True
    ).stdout
    programs = [" ".join(line.split()[:3]).replace(f"{tmp_path}/", "") for line in shown.splitlines()]
    places = [
        next(n for n, program in enumerate(programs) if wanted in program) for wanted in ("-m venv", "ruff check", "-m pytest")
    ]
    assert places == sorted(places)
