"""The wheel and the sdist: what is in them, and that the wheel works alone."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import trm_arc
from tests.helpers import ROOT
from trm_arc.config import RECIPES
from trm_arc.model.locate import list_networks

pytestmark = pytest.mark.slow
SUDOKU = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
BUILD = "from setuptools import build_meta; build_meta.build_wheel('{0}'); build_meta.build_sdist('{0}')"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and an sdist, built of a copy of what is committed or would be."""
    folder = tmp_path_factory.mktemp("built")
    source, out = folder / "source", folder / "out"
    out.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-c", BUILD.format(out)], cwd=source, check=True, capture_output=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_what_is_in_the_wheel(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
        about = {name.split("/")[1]: wheel.read(name).decode() for name in names if ".dist-info/" in name}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"augment", "trm_arc", "submission"}
    for folder, pattern in (
        ("trm_arc/config/presets", "*.toml"),
        ("trm_arc/config/recipes", "*.toml"),
        ("trm_arc/report/templates", "*"),
        *((f"trm_arc/networks/{name}", "*") for name in list_networks()),
    ):
        expected = {f"{folder}/{path.name}" for path in (ROOT / folder).glob(pattern)}
        assert expected
        assert expected <= names
    assert len(RECIPES) == len([name for name in names if name.startswith("trm_arc/config/recipes/")])
    assert {"trm_arc/__init__.pyi", *(f"{package}/py.typed" for package in ("augment", "trm_arc", "submission"))} <= names
    modules = {
        str(path.relative_to(ROOT)) for package in ("augment", "trm_arc", "submission") for path in (ROOT / package).rglob("*.py")
    }
    assert modules <= names
    assert "trm-arc = trm_arc.__main__:main" in about["entry_points.txt"]
    for version in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {version}" in about["METADATA"]
    assert "Home-page:" not in about["METADATA"]  # there is no public address
    assert "LICENSE" in "".join(names)


def test_the_sdist_is_the_source_tree(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "setup.cfg", "tests/messages.toml"} <= names
    for folder in ("docs", "notebooks", "trm_arc/networks", "trm_arc/report/templates", "benchmarks/ladders"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in names
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))]


def test_the_wheel_works_alone(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Installed outside of the source tree, beside what it needs."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", built[0]]
    subprocess.run(install, check=True, capture_output=True)
    packages = next((environment / "lib").glob("python*/site-packages"))
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TRM_ARC"))}

    def run(*arguments: str) -> str:
        command = [environment / "bin" / "trm-arc", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=clean, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert str(ROOT) not in done.stderr
        return done.stdout

    assert "right: the solution" in run("solve", SUDOKU, "--device", "cpu")
    assert "All that is needed is here." in run("doctor")
    assert run("train", "--preset", "demo", "--help-all").startswith("usage: trm-arc train")
    assert run("--version").startswith("trm_arc ")


def test_the_api_as_pages(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pdoc writes the pages")
    subprocess.run(
        [sys.executable, "-W", "ignore", "docs/api.py", tmp_path], cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": "."}
    )
    page = (tmp_path / "trm_arc.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in trm_arc.__all__)
    assert 'href="trm_arc/model.html"' in page
    for module in ("augment", "trm_arc/training/trainer", "trm_arc/model/reasoner", "submission/merging"):
        assert (tmp_path / f"{module}.html").is_file()
