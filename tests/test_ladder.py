"""Ladders: what a file asks for, what is done once, stopped and continued, and the tables."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_rel

from benchmarks.common import read_results
from benchmarks.ladder import RESULTS, Group, Ladder, Runner, climb, list_rungs, read_ladder
from benchmarks.ladder_table import TABLE, Outcome, difference, format_table, write_tables
from tests.forked import python
from tests.helpers import ROOT, messages
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_lines
from trm_arc.model.checkpoint_files import list_checkpoints

says = messages(__name__)

TINY: dict[str, Any] = {"data": "sudoku-4x4-easy", "evaluation_data": "sudoku-4x4-easy", "puzzles": 20, "evaluation_puzzles": 4}
TINY |= {"board_rows": 4, "board_columns": 4, "vocabulary": 6, "width": 16, "heads": 2, "batch_size": 4, "halt_steps": 1}
FILE = """
minutes = 2
seeds = 2
[groups.a]
preset = "sudoku-small"
settings = {width = 64}
variants = {as-it-is = {}, wide = {width = 128}}
[groups.b]
preset = "demo"
variants = {as-it-is = {}}
"""


def write(folder: Path, text: str) -> Path:
    """A file of a ladder."""
    path = folder / "ladder.toml"
    path.write_text(text)
    return path


def test_runs_are_listed_round_by_round_and_told_apart_by_their_settings(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    rungs = list_rungs(read_ladder(path), path)
    names = [("a", "as-it-is"), ("a", "wide"), ("b", "as-it-is")]
    assert [(rung.group, rung.variant, rung.seed) for rung in rungs] == [(*name, seed) for seed in (0, 1) for name in names]
    assert [rung.config.model.width for rung in rungs[:2]] == [64, 128]
    assert len({rung.digest for rung in rungs}) == 3
    assert len({rung.name for rung in rungs}) == 6
    longer = write(tmp_path, FILE.replace("minutes = 2", "minutes = 3"))
    assert not {rung.key for rung in list_rungs(read_ladder(longer), path)} & {rung.key for rung in rungs}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/ladders").iterdir()), ids=lambda path: path.stem)
def test_the_ladders_of_the_project_ask_for_what_there_is(path: Path) -> None:
    ladder = read_ladder(path)
    rungs = list_rungs(ladder, path)
    assert len({rung.digest for rung in rungs}) * ladder.seeds == len(rungs)  # every variant changes something
    assert all(rung.config.training.dev_share > 0 for rung in rungs)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("minutes = ", says("not-toml")),
        (FILE.replace("minutes = 2", ""), says("no-budget")),
        (FILE.replace("minutes = 2", "minutes = 2\noperations = 1e9"), says("no-budget")),
        (FILE.replace("seeds = 2", "seeds = 0"), says("nothing-to-do")),
        (FILE.replace("variants = {as-it-is = {}}", "variants = {}"), says("nothing-to-do")),
        (FILE.replace("seeds = 2", "seeds = 9999999999999999999999"), says("too-many-seeds")),
        (FILE.replace("as-it-is", '"../x"'), says("no-name")),
        (FILE.replace("wide = {width", "wide = {widht"), says("unknown-setting")),
        (FILE.replace("{width = 64}", "{width = -1}"), says("wrong-value")),
        (FILE.replace('"demo"', '"dmeo"'), says("unknown-preset")),
        (FILE + "minute = 3", says("unknown-key")),
    ],
)
def test_a_file_that_asks_for_something_else_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=problem) as caught:
        list_rungs(read_ladder(path), path)
    assert caught.value.file == path


def test_differences_are_those_of_a_paired_t_test() -> None:
    one, other = {0: 3.0, 1: 5.5, 2: 4.0, 7: 99.0}, {2: 3.5, 1: 4.0, 0: 3.5, 9: 0.0}
    mean, half = difference(one, other)
    expected = ttest_rel([3.0, 5.5, 4.0], [3.5, 4.0, 3.5]).confidence_interval(0.95)
    assert mean - half == pytest.approx(expected.low)
    assert mean + half == pytest.approx(expected.high)
    mean, half = difference({0: 2.0}, {0: 1.0, 1: 5.0})
    assert (mean, half != half) == (1.0, True)
    assert difference({0: 2.0}, {})[0] != difference({0: 2.0}, {})[0]  # nan


def test_a_table_has_the_best_first_and_says_what_failed(tmp_path: Path) -> None:
    runs = [Outcome("a", "as-it-is", seed, "x", solved=seed, asked=10, loss=1.0) for seed in (0, 1)]
    runs += [Outcome("a", "wide", seed, "y", solved=4 + seed, asked=10, loss=0.5) for seed in (1, 0)]
    runs += [Outcome("a", "deep", 0, "z", failed="trm_arc.train ended with 2: error: no | memory"), Outcome("b", "wide", 0, "v")]
    rows = [line.split(" | ") for line in format_table("a", ["as-it-is", "wide", "deep"], runs).splitlines()]
    assert [row[0] for row in rows[2:4]] == ["| wide", "| as-it-is"]
    assert rows[2][1:6] == ["4, 5 of 10", "45.0", "+40.0 (+40.0 to +40.0)", "0.500", "-0.500 (-0.500 to -0.500)"]
    assert rows[3][1:6] == ["0, 1 of 10", "5.0", "-", "1.000", "-"]
    assert rows[4][0].startswith("| deep, seed 0")
    text = write_tables({"a": ["as-it-is", "wide", "deep"], "b": ["wide"]}, runs[:5], "head", tmp_path)
    assert (tmp_path / TABLE).read_text() == text
    assert (tmp_path / "ladder.svg").stat().st_size > 1000


def test_each_run_is_made_once_with_the_steps_that_its_operations_allow(tmp_path: Path) -> None:
    group = Group("sudoku-small", {"as-it-is": {}, "large": {"batch_size": 10**6}}, TINY, train=("--log-every", "1"))
    ladder = Ladder({"a": group}, operations=2e9, seeds=1)
    rungs, runner = list_rungs(ladder, tmp_path), Runner(ladder, tmp_path, (*python(), "-m", "submission.child"))
    outcomes = {outcome.variant: outcome for outcome in climb(rungs, runner, 2)}
    done, failed = outcomes["as-it-is"], outcomes["large"]
    assert (done.asked, done.failed) == (4, "")
    assert 0.5 * ladder.operations < done.operations <= ladder.operations
    lines = read_lines(tmp_path / "runs" / rungs[0].name / "metrics.jsonl")
    assert done.steps == lines[-1]["step"] > 1
    assert done.loss == pytest.approx(sum(line["loss"] for line in lines[-3:]) / 3)
    assert says("trained-nothing") in failed.failed
    assert read_results(Outcome, tmp_path / RESULTS, "a ladder") == [done]  # the failed one is tried again
    forbidden = Runner(ladder, tmp_path, ("false",))
    assert list(climb(rungs[:1], forbidden, 1)) == [done]


@pytest.mark.slow
def test_a_killed_ladder_goes_on_with_what_is_left_of_the_time(tmp_path: Path) -> None:
    path, out = tmp_path / "ladder.toml", tmp_path / "out"
    settings = ", ".join(f"{name} = {value!r}" for name, value in TINY.items()).replace("'", '"')
    path.write_text(f'minutes = 0.7\nseeds = 1\n[groups.a]\npreset = "sudoku-small"\nvariants = {{as-it-is = {{{settings}}}}}\n')
    command = [sys.executable, "-m", "benchmarks.ladder", str(path), "--out", str(out)]
    ladder = read_ladder(path)
    [rung] = list_rungs(ladder, path)
    run = out / "runs" / rung.name
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command, cwd=ROOT)
        before = len(read_lines(run / "metrics.jsonl"))
        while len(read_lines(run / "metrics.jsonl")) < before + 3:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == (1 if number == signal.SIGTERM else -number)
        assert list_checkpoints(run)
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    [outcome] = read_results(Outcome, out / RESULTS, "a ladder")
    assert outcome == replace(outcome, failed="", asked=4)
    assert outcome.seconds < 60 * ladder.minutes
