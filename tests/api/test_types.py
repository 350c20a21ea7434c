"""What type checkers know of the Python API, and the two things that are called `trm_arc.train`."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trm_arc
from tests.helpers import ROOT
from trm_arc.api.training import train

USE = """
from typing import assert_type
import trm_arc
import trm_arc.train as command

network = trm_arc.load("sudoku-extreme")
assert_type(network, trm_arc.Network)
assert_type(network.solve("x").is_right, bool)
assert_type(trm_arc.load_tasks("x", data_folder="y"), trm_arc.TaskSet)
assert_type(trm_arc.load_puzzles("x", "train"), trm_arc.PuzzleSet)
assert_type(trm_arc.train("demo", "runs/x", width=16), trm_arc.Network)
assert_type(network.predict("x"), trm_arc.Results)
assert_type(network.predict("x").submission(), dict[str, list[dict[str, list[list[int]]]]])
assert_type(command.main([]), int)
"""
WRONG = "import trm_arc\ntrm_arc.load(3)\ntrm_arc.nothing\n"
# Libraries are not looked into, which would take a minute.
LIBRARIES = ("torch", "numpy", "numba", "scipy", "accelerate", "huggingface_hub", "orjson", "tqdm", "safetensors")
SETTINGS = f"[mypy]\nfollow_imports = silent\n[mypy-{','.join(f'{name}.*' for name in LIBRARIES)}]\nfollow_imports = skip\n"


def test_the_stub_names_what_there_is() -> None:
    nodes = ast.parse((ROOT / "trm_arc" / "__init__.pyi").read_text(encoding="utf-8")).body
    found = {alias.asname: node.module for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert found == trm_arc._HOME
    assert all(alias.name == alias.asname for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names)


@pytest.mark.parametrize(("code", "faults"), [(USE, 0), (WRONG, 2)], ids=["right", "wrong"])
def test_a_type_checker_knows_the_names(code: str, faults: int, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy checks the types")
    (tmp_path / "use.py").write_text(code)
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "mypy.ini", "use.py"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.count("error: ") == faults, done.stdout + done.stderr
    assert (done.returncode == 0) == (faults == 0), done.stderr


def test_the_command_of_the_same_name_is_called_as_the_function() -> None:
    import trm_arc.train as command

    assert callable(command.main)
    assert inspect.signature(trm_arc.train) == inspect.signature(train)
    with pytest.raises(trm_arc.InputError, match="widht"):
        trm_arc.train("demo", widht=3)
    code = "import trm_arc; first = trm_arc.train; import trm_arc.train; print(first is trm_arc.train, callable(trm_arc.train))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "False True\n"
