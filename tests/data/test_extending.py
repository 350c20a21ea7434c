"""The page on extending: exactly its code makes a preset, a domain, pairs and an optimizer, and exactly its commands use them."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.helpers import ROOT, make_tasks, messages, write_kaggle
from trm_arc.config import load_preset
from trm_arc.data import domains
from trm_arc.data.puzzle_sources import CACHE_VARIABLE, domain_of_data
from trm_arc.data.sources import load_tasks
from trm_arc.data.task import TaskSet
from trm_arc.evaluation.result_files import find_results

says = messages(__name__)

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PUZZLE, PRESET, AUGMENTATION, OPTIMIZER = "A kind of puzzle", "A preset", "An augmentation", "An optimizer"
MOST_LINES = 125  # of the module, with its docstrings and blank lines


def block(section: str, language: str) -> str:
    """The code in a language below a heading."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    [code] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return code


def commands(section: str) -> Iterator[list[str]]:
    """The words of each command below a heading, without `python -m`."""
    for line in block(section, "sh").splitlines():
        if line.startswith("python -m "):
            yield shlex.split(line)[2:]


@pytest.fixture
def latin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the page, imported as the commands import it."""
    (tmp_path / "latin.py").write_text(block(PUZZLE, "python"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(domains.DOMAINS_VARIABLE, "latin")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    domains._load_kinds.cache_clear()
    assert domains.domain_by_name("latin-4x4").title == "latin-4x4"
    yield sys.modules.pop("latin")
    domains._KINDS.pop("latin")
    domains._load_kinds.cache_clear()
    domains.domain_by_name.cache_clear()


def test_the_domain_is_short() -> None:
    code = block(PUZZLE, "python")
    assert len(code.splitlines()) <= MOST_LINES
    assert len([line for line in code.splitlines() if line.strip() and '"""' not in line]) <= 95


def test_the_commands_of_the_page(latin: ModuleType, command: Callable, tmp_path: Path) -> None:
    assert block(PUZZLE, "sh").splitlines()[0] == f"export {domains.DOMAINS_VARIABLE}=latin"
    printed = {}
    for module, *arguments in commands(PUZZLE):
        name = module.removeprefix("trm_arc.")
        code, printed[name], error = command(name, *arguments)
        assert code == 0, f"{name}\n{error}"
    assert says("learning-60-puzzles-of") in printed["train"]
    assert says("exact-the-expected-answer") in printed["evaluate"]
    results = find_results(tmp_path / "runs" / "latin")
    assert results.tasks.domain is domains.domain_by_name("latin-4x4")
    assert len(results.answers) == 60
    assert json.loads((tmp_path / "runs" / "latin" / "metrics.json").read_bytes())["domain"] == "latin-4x4"
    page = (tmp_path / "runs" / "latin" / "report.html").read_text()
    assert '"style":"symbols"' in page.replace(" ", "")
    assert '"characters":".ABCD"' in page.replace(" ", "")


def test_puzzles_have_one_solution_and_symmetries_keep_it(latin: ModuleType) -> None:
    domain = domains.domain_by_name("latin-5x5")
    questions, answers, ratings = domain.generate(6, 1, False, None, lambda _done: None)
    assert domain.are_questions(questions).all()
    assert domain.are_solutions(questions, answers).all()
    assert (domain.solve(questions)[1] == 1).all()
    assert (ratings == (questions == 0).sum(axis=(1, 2))).all()
    table = domain.sample(np.arange(6, dtype=np.uint64), np.arange(6))
    assert domain.are_transforms(table)
    np.testing.assert_array_equal(table[0], domain.identity())
    transforms = [domains.board.BoardTransform.from_row(row, domain.shape) for row in table]
    moved = [np.stack([t.apply(b) for t, b in zip(transforms, part, strict=True)]) for part in (questions, answers)]
    assert domain.are_solutions(*moved).all()
    np.testing.assert_array_equal(domain.canonical(moved[0]), domain.canonical(questions))


def test_files_are_recognized(latin: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("question,answer\nABC..A..B,ABCBCACAB\n")
    assert domain_of_data(str(tmp_path / "x.csv")).name == "latin-3x3"


# Enough for a few steps on three made tasks; with tokens for symmetry and palette, as the demo has.
TINY = shlex.split(
    "--evaluation-data made_challenges.json --smallest 0 --augmentations 4 --batch-size 8 --steps 4 --compile none"
)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSet:
    """Tasks in the folder that the commands run in."""
    monkeypatch.chdir(tmp_path)
    tasks = make_tasks(3, 0)
    write_kaggle(tmp_path, tasks, "made")
    return tasks


def test_the_preset(made: TaskSet, command: Callable, tmp_path: Path) -> None:
    (tmp_path / "wide.toml").write_text(block(PRESET, "toml"))
    config = load_preset("wide.toml")
    assert config == load_preset("demo").override({"width": 192, "convolution": 3, "steps": 800})
    for _, *arguments in commands(PRESET):
        code, _, error = command("train", *arguments, *TINY)
        assert code == 0, error
    settings = [load_preset(tmp_path / "runs" / name / "settings.toml") for name in ("wide", "wide-slow", "wide-1")]
    assert [one.model.width for one in settings] == [192] * 3
    assert [one.training.ema for one in settings] == [0.99, 0.999, 0.99]
    assert [one.training.seed for one in settings] == [0, 0, 1]


def test_the_augmentation(made: TaskSet, command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kaggle(Path(), make_tasks(4, 1, "more"), "more")
    first, second = block(AUGMENTATION, "sh").splitlines()
    program, data, folder = shlex.split(first)[1:]
    assert (program, data) == ("stretch.py", "arc1-training")
    monkeypatch.setattr(sys, "argv", [program, "more_challenges.json", folder])
    Path(program).write_text(block(AUGMENTATION, "python"))
    runpy.run_path(program)
    pair = load_tasks("more_challenges.json")["more00"].train[0]
    stretched = json.loads(Path(folder, "tasks", "more00.json").read_text())[0]
    np.testing.assert_array_equal(np.array(stretched["output"])[::2, 1::2], pair.output)
    arguments = shlex.split(second.replace(data, "more_challenges.json"))[3:]
    code, printed, error = command("train", *arguments, *TINY)
    assert code == 0, error
    assert says("12-generated-pairs-of") in printed


def test_the_optimizer(made: TaskSet, tmp_path: Path) -> None:
    """In a copy of the package, which a program of its own imports; a resumed run ends in the same bytes."""
    copy = shutil.copytree(ROOT / "trm_arc", tmp_path / "trm_arc", ignore=shutil.ignore_patterns("__pycache__", "networks"))
    for change in block(OPTIMIZER, "diff").split("--- ")[1:]:
        name, *lines = change.splitlines()
        old, new = ("\n".join(line[1:] for line in lines if line[0] == sign) for sign in "-+")
        code = (tmp_path / name).read_text()
        assert code.count(old) == 1, name
        (tmp_path / name).write_text(code.replace(old, new))
    module = copy / "training" / "optim.py"
    head, below = module.read_text().split("class Muon(")
    module.write_text(f"{head}{block(OPTIMIZER, 'python')}\n\nclass Muon({below}")
    [[_, *arguments]] = commands(OPTIMIZER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    program = [sys.executable, "-m", "trm_arc.train"]
    last = tmp_path / "runs" / "lion" / "checkpoint-00000004"
    tensors = []
    for given in ([*arguments, *TINY, *"--save-every 2 --keep 2 --precision float32".split()], ["--resume", *arguments[-2:]]):
        ended = subprocess.run([*program, *given], env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        tensors.append(load_file(last / "tensors.safetensors"))
        shutil.rmtree(last)
    first, again = tensors
    assert any(name.startswith("optimizer.1.") and name.endswith(".m") for name in first)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
