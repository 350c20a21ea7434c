"""The folder of a bundle: only a bundle is replaced, and only if it holds nothing but what its manifest lists."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from submission.bundle import bundle
from submission.bundle_options import BundleOptions
from submission.manifest import KERNEL, MANIFEST, METADATA, NOTEBOOKS
from trm_arc.common.errors import InputError


def make(out: Path, wheel: str = "kit.whl", *, overwrite: bool = False, meanwhile: Callable[[], object] = bool) -> None:
    """Make a bundle of a wheel alone; `meanwhile` happens while the wheel is built."""

    def build(folder: Path) -> str:
        (folder / wheel).write_text(wheel)
        meanwhile()
        return wheel

    assert bundle(BundleOptions(out=out, overwrite=overwrite), build) == 0


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuses(out: Path, **options: object) -> None:
    """Check that nothing is replaced, and that nothing is left beside it."""
    before, beside = files(out), sorted(os.listdir(out.parent))
    with pytest.raises(InputError) as caught:
        make(out, overwrite=True, **options)
    assert caught.value.file == out
    assert (files(out), sorted(os.listdir(out.parent))) == (before, beside)


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "",
        "{}",
        '{"format": "other"}',
        '{"format": "trm_arc bundle"}',
        '{"format": "trm_arc bundle", "version": 1, "kit": "", "wheel": "", "checkpoints": [], "files": {"../thesis.txt": {}}}',
    ],
)
def test_a_folder_that_is_no_bundle_stays(tmp_path: Path, manifest: str | None) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (tmp_path / "mine" / "manifest.json").write_text(manifest)
    refuses(tmp_path / "mine")


@pytest.mark.parametrize("name", ["README.md", "models/notes.txt", ".git/config", "kit.whl.bak"])
def test_what_was_added_to_a_bundle_stays(tmp_path: Path, name: str) -> None:
    make(tmp_path / "bundle")
    (tmp_path / "bundle" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "bundle" / name).write_text("mine")
    refuses(tmp_path / "bundle")
    (tmp_path / "bundle" / name).unlink()
    make(tmp_path / "bundle", "other.whl", overwrite=True)
    assert set(files(tmp_path / "bundle")) == {"other.whl", MANIFEST, METADATA, KERNEL, NOTEBOOKS[1]}


def test_what_is_added_while_the_wheel_is_built_stays(tmp_path: Path) -> None:
    make(tmp_path / "bundle")
    with pytest.raises(InputError):
        make(tmp_path / "bundle", overwrite=True, meanwhile=(tmp_path / "bundle" / "thesis").touch)
    assert (tmp_path / "bundle" / "thesis").exists()
    with pytest.raises(InputError):
        make(tmp_path / "new", meanwhile=lambda: make(tmp_path / "new", "theirs.whl"))
    assert "theirs.whl" in files(tmp_path / "new")


def test_a_damaged_bundle_is_replaced(tmp_path: Path) -> None:
    """As `verify` advises."""
    make(tmp_path / "bundle")
    (tmp_path / "bundle" / "kit.whl").write_text("damaged")
    make(tmp_path / "bundle", overwrite=True)
    assert (tmp_path / "bundle" / "kit.whl").read_text() == "kit.whl"
    (tmp_path / "bundle" / "kit.whl").unlink()
    make(tmp_path / "bundle", overwrite=True)


def test_a_link_to_a_bundle_stays_one(tmp_path: Path) -> None:
    make(tmp_path / "far")
    (tmp_path / "near").symlink_to("far")
    make(tmp_path / "near", "other.whl", overwrite=True)
    assert (tmp_path / "near").is_symlink()
    assert "other.whl" in json.loads((tmp_path / "far" / "manifest.json").read_text())["files"]


@pytest.mark.parametrize("put", [os.mkfifo, lambda path: path.write_text("mine"), lambda path: path.symlink_to("/dev/full")])
def test_what_is_no_folder_stays(tmp_path: Path, put: Callable) -> None:
    put(tmp_path / "bundle")
    before = (tmp_path / "bundle").lstat()
    with pytest.raises(InputError) as caught:
        make(tmp_path / "bundle", overwrite=True)
    assert caught.value.file == tmp_path / "bundle"
    assert (tmp_path / "bundle").lstat().st_ino == before.st_ino
