"""Where compiled kernels are kept, and that they work where nothing can be kept."""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

from augment.compiling import jit

KERNEL = "from augment.compiling import jit\n\n\n@jit\ndef twice(value):\n    return 2 * value\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Callable]:
    """Load a kernel from a folder that cannot hold its compiled code, as a user whose home cannot either."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "__pycache__").touch()  # no folder can be made there, not even by root
    (source / "kernel.py").write_text(KERNEL)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def load() -> Callable:
        spec = importlib.util.spec_from_file_location("kernel", source / "kernel.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.twice

    return load


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nb[ci]"))


@pytest.mark.parametrize("home", ["/proc/nowhere", "~"], ids=["not writable", "none"])
def test_without_a_home_code_is_kept_in_a_private_temporary_folder(
    home: str, load: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)  # `~` is what expanduser gives where there is none
    monkeypatch.chdir(tmp_path)
    assert load()(21) == 42
    (folder,) = (tmp_path / "temporary").iterdir()
    assert kept(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert load()(21) == 42
    again = load()
    assert again(21) == 42
    assert sum(again.compiled.stats.cache_hits.values()) == 1
    assert not (tmp_path / "~").exists()


def test_code_is_not_taken_from_a_folder_that_others_can_write(load: Callable, tmp_path: Path) -> None:
    assert load()(21) == 42
    (folder,) = (tmp_path / "temporary").iterdir()
    numba.config.CACHE_DIR = ""
    folder.chmod(0o777)
    kernel = load()
    assert kernel(21) == 42
    assert kernel.compiled.stats.cache_path is None


def test_code_is_not_taken_through_a_link(load: Callable, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "temporary" / f"trm_arc-kernels-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    assert load()(21) == 42
    assert not kept(tmp_path / "elsewhere")


def test_without_any_place_code_is_compiled_in_memory(load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    kernel = load()
    assert kernel(21) == 42
    assert kernel.compiled.stats.cache_path is None


@pytest.mark.parametrize("cut", [0, 10, 60])
def test_damaged_code_is_compiled_and_kept_again(cut: int, load: Callable, tmp_path: Path) -> None:
    assert load()(21) == 42
    for file in kept(tmp_path):
        file.write_bytes(file.read_bytes()[:cut])
    assert load()(21) == 42
    again = load()
    assert again(21) == 42
    assert sum(again.compiled.stats.cache_hits.values()) == 1


def test_a_full_disk_does_not_stop_a_kernel(load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = load()

    def refuse(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert kernel(21) == 42


def test_numbers_written_in_a_call_are_one_kind_of_argument() -> None:
    called = jit(lambda value, factor: value * factor)
    scope = {"called": called}
    exec("def calls(value):\n    return called(value, 2) + called(value, factor=3) + called(value, value)", scope)  # noqa: S102
    assert jit(scope["calls"])(7) == 14 + 21 + 49
    assert len(called.compiled.signatures) == 1


def test_without_the_compiler_a_kernel_is_its_function(load: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    kernel = load()
    assert (kernel(21), kernel.compiled.__name__) == (42, "twice")
    assert not hasattr(kernel.compiled, "signatures")
