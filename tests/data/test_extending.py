"""The page on new domains: exactly its code makes the domain, and exactly its commands use it."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.helpers import ROOT, messages
from trm_arc.data import domains
from trm_arc.data.puzzle_sources import CACHE_VARIABLE, domain_of_data
from trm_arc.evaluation.result_files import find_results

says = messages(__name__)

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
MOST_LINES = 125  # of the module, with its docstrings and blank lines


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def latin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the page, imported as the commands import it."""
    [code] = blocks("python")
    (tmp_path / "latin.py").write_text(code)
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
    [code] = blocks("python")
    assert len(code.splitlines()) <= MOST_LINES
    assert len([line for line in code.splitlines() if line.strip() and '"""' not in line]) <= 95


def test_the_commands_of_the_page(latin: ModuleType, command: Callable, tmp_path: Path) -> None:
    [script] = blocks("sh")
    export, *lines = script.splitlines()
    assert export == f"export {domains.DOMAINS_VARIABLE}=latin"
    printed = {}
    for line in lines:
        python, flag, module, *arguments = shlex.split(line)
        assert (python, flag) == ("python", "-m")
        name = module.removeprefix("trm_arc.")
        code, printed[name], error = command(name, *arguments)
        assert code == 0, f"{line}\n{error}"
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
