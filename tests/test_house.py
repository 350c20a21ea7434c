"""House rules as programs: import floors, documented arguments, no sparse corners."""

import ast
import inspect
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

from tests.helpers import ROOT
from trm_arc.config import PRESET_HELP, PRESETS
from trm_arc.model.reasoner import Reasoner

PACKAGES = ("augment", "trm_arc", "submission")
# Imports go down only.  Equal numbers are parts of one floor, or neighbours that do not know each other.
FLOORS = {
    "augment": 0,
    "trm_arc.common": 1,
    "trm_arc.config": 2,
    "trm_arc.puzzles": 3,
    "trm_arc.data": 4,
    "trm_arc.model": 5,
    "trm_arc.training": 6,
    "trm_arc.inference": 6,
    "trm_arc.evaluation": 7,
    "trm_arc.report": 8,
    "trm_arc.command_line": 9,
    "trm_arc.api": 9,
    "trm_arc": 10,  # the commands, and cli.py, which they share
    "submission": 11,
}
STANDARD = ("collections", "contextlib", "dataclasses", "functools", "os", "pathlib", "stat", "tempfile", "types", "typing")
ALONE = ("augment", "numpy", "numba", *STANDARD)  # all that floor 0 may import
# Nothing may take a submission down, whatever it is; and a process tells the others of whatever ends it.
BROAD = ("session.py", "worker_pool.py", "worker.py", "program.py")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).glob("**/*.py"))

MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES}


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> list[str]:
    """Every module that a file imports, at any depth."""
    found = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] == ["UnpicklingError"]:
            continue  # to name an error of torch's; it reads nothing
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their floor"
            found.append(node.module or "")
            found += [inner for alias in node.names if (inner := f"{node.module}.{alias.name}") in MODULES]
    return found


def home(module: str) -> str:
    """The part of the house that a module belongs to: its package below `trm_arc`, or else its top level."""
    part = ".".join(module.split(".")[:2])
    return part if part in FLOORS and not module.endswith(".__main__") else module.split(".")[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_imports_go_down_only() -> None:
    for path in FILES:
        module = module_of(path)
        for other in imports(path):
            top = other.split(".")[0]
            assert top not in ("tests", "benchmarks", "pickle"), f"{path} imports {other}"
            assert home(module) != "augment" or top in ALONE, other
            if top not in PACKAGES:
                continue
            below, here = FLOORS[home(other)], FLOORS[home(module)]
            assert below < here or home(other) == home(module), f"{path} imports {other}: not below it"


def test_one_module_compiles_kernels() -> None:
    """It knows what to do on a machine where numba finds no place for the compiled code."""
    assert [module_of(path) for path in FILES if "numba" in {name.split(".")[0] for name in imports(path)}] == [
        "augment.code_cache"
    ]


def test_nothing_imports_a_command() -> None:
    commands = {module_of(p) for p in (ROOT / "trm_arc").glob("*.py") if p.stem not in ("cli", "__init__")}
    for path in FILES:
        for other in imports(path):
            assert other not in commands, f"{path} imports a command"
            assert not other.endswith("__main__"), f"{path} imports a command"


def test_no_test_imports_another() -> None:
    """What tests share is in modules that hold no test."""
    for path in (ROOT / "tests").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) tests\S*\.(test_|conftest)", path.read_text(encoding="utf-8"), re.MULTILINE), (
            path
        )


def import_without(names: list[str], inside: list[str]) -> None:
    """Import modules in a program where others cannot be imported."""
    code = f"import sys; sys.modules |= dict.fromkeys({names})\nfor name in {inside}: __import__(name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_rules_import_without_torch() -> None:
    """`augment` and the puzzles' rules, solvers and generators."""
    import_without(["torch"], [module_of(path) for path in FILES if home(module_of(path)) in ("augment", "trm_arc.puzzles")])


def test_the_leader_of_a_submission_imports_without_torch() -> None:
    """On a busy machine, importing it takes as long as a short time limit; so does numba, for a quarter of that."""
    import_without(["torch", "numba", "scipy"], ["submission.__main__", "trm_arc.cli"])


def test_public_names_are_documented_and_typed() -> None:
    """Every public name has a docstring, every argument of a public function a type."""
    for path in FILES:
        tree = parse(path)
        assert ast.get_docstring(tree), f"{path}: no module docstring"
        scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
        outer = {node for scope in scopes for node in scope.body}
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.FunctionDef) and node not in outer:
                continue
            assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name} has no docstring"
            if isinstance(node, ast.FunctionDef):
                arguments = [a for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
                kernel = any("jit" in ast.unparse(d) for d in node.decorator_list)
                for argument in arguments:
                    where = f"{path}:{node.lineno} {node.name}: {argument.arg}"
                    assert kernel or argument.annotation is not None, f"{where} has no type"


def test_no_bare_or_broad_except() -> None:
    for path in FILES:
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path}:{node.lineno}"
                if path.name in BROAD:
                    continue
                assert "Exception" not in ast.unparse(node.type).replace(",", " ").split(), f"{path}:{node.lineno}"


def test_notebooks_define_nothing() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert not re.search(r"^\s*(def|class|if|for|while|try|with) |lambda", code, re.MULTILINE), f"{path} holds logic"
        assert all(not cell.get("outputs") for cell in cells), f"{path} is committed with outputs"
        assert all(cell.get("execution_count") is None for cell in cells), f"{path} is committed with execution counts"


def test_every_kernel_is_tested_against_a_twin() -> None:
    """The kernels are those functions that numba compiles; each is reached by a test that compares with tests/naive.py."""
    from augment import kernels

    compiled = [name for name, value in vars(kernels).items() if hasattr(value, "py_func") and not name.startswith("_")]
    text = "".join(
        (ROOT / "tests" / name).read_text(encoding="utf-8") for name in ("augment/test_augment.py", "augment/test_boards.py")
    )
    reached = {
        "mix": "mixed_columns",
        "finish_hash": "grid_hash",
        "hash_packed": "hash_grids",
        "colour_sums": "kernels.colour_sums",
        "hash_transforms": "kernels.hash_transforms",
        "paint_rows": "augment.paint",
        "sample_corners": "corner_offsets",
        "mix_columns": "kernels.mix_columns",
        "hash_boards": "naive.board_hash",
        "permute_boards": "naive.transform_board",
        "undo_and_hash_boards": "hash_undone_boards",
        "sample_sudoku": "naive.sample_sudoku",
    }
    assert set(compiled) == set(reached)
    for kernel, use in reached.items():
        assert use in text, f"{kernel} has no test"


def test_house_names_are_importable() -> None:
    import augment
    import submission
    import trm_arc

    for package in (augment, trm_arc, submission):
        assert inspect.getdoc(package)
        for name in getattr(package, "__all__", []):
            assert getattr(package, name) is not None


def test_docs_count_the_parameters_of_every_preset() -> None:
    """The table of the family names every preset, with the parameters of its network."""
    table = [
        line.split("|") for line in (ROOT / "docs/models.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    told = {name: row[4] for row in table if len(row) == 8 for name in re.findall(r"`([\w-]+)`", row[1])}
    assert set(told) == set(PRESETS) == set(PRESET_HELP)
    for name, preset in PRESETS.items():
        with torch.device("meta"):  # no weight is drawn
            millions = sum(p.numel() for p in Reasoner(preset.model, torch.Generator()).parameters()) / 1e6
        assert told[name].strip().startswith(f"{millions:.2f} M"), name


def test_code_outside_of_domains_does_not_ask_which_domain_it_has() -> None:
    """What differs is a method or an attribute of the domain or the set; the few exceptions are commands for ARC alone."""
    kinds = r"(TaskSet|PuzzleSet|Domain|ArcDomain|BoardDomain|SudokuDomain|MazeDomain)"
    asks = re.compile(
        rf"isinstance\([^()]*(\([^()]*\))?[^()]*\b{kinds}\b|\bis (not )?ARC\b|\b(of_puzzles|are_puzzles)\b"
        r"|\bdomain\.(name|title) (==|!=|in)|\btype\(\w*domain\)"
    )
    inside = (ROOT / "trm_arc" / "data" / "domains", ROOT / "augment")
    files = [path for path in FILES if not any(folder in path.parents for folder in inside)]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text().splitlines()
        if asks.search(line)
    ]
    assert len(found) <= 3, "\n".join(found)


COMMANDS = sorted(
    path for path in FILES if (path.parent.name == "trm_arc" and path.stem not in ("cli", "__init__")) or path.stem == "__main__"
)
PASSED_ON = ("parser.py", "plots.py")  # options that argparse and matplotlib take
LONG = ("search.py", "canonical.py", "solve.py", "reasoner.py")  # the Sudoku search kernels, and the model in one file


def test_files_are_short() -> None:
    """400 lines at most; a command parses, builds and runs in about 120."""
    for path in FILES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 400 or path.name in LONG, f"{path}: {lines} lines"
        assert lines <= 130 or path not in COMMANDS, f"{path}: a command of {lines} lines"


def test_state_is_carried_by_types() -> None:
    """No parsed command line below a command, and no bag of options that takes anything."""
    for path in FILES:
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.FunctionDef):
                continue
            arguments = [*node.args.args, *node.args.kwonlyargs]
            kinds = {a.arg: ast.unparse(a.annotation) for a in arguments if a.annotation}
            assert path in COMMANDS or path.name in ("cli.py", "parser.py") or "Namespace" not in " ".join(kinds.values()), (
                f"{path}:{node.lineno} {node.name}"
            )
            assert kinds.get("settings") != "Any", f"{path}:{node.lineno} {node.name}"
            rest = node.args.kwarg
            takes_anything = rest is not None and ast.unparse(rest.annotation) == "Any"
            assert not takes_anything or path.name in PASSED_ON, f"{path}:{node.lineno} {node.name}"
