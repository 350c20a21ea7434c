"""Folders that are written whole, the rehearsal of a save, and files of others."""

import errno
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from trm_arc.common.errors import InputError
from trm_arc.common.folders import find_foreign, new_folder, refuse_foreign_file, rehearse_saving, remove_folder

STEPS = [("mkdir", 1), ("replace", 1), ("rename", 1), ("rename", 2), ("rename", 3), ("rmdir", 2)]  # and which call of it fails


def fill(target: Path, content: str) -> None:
    with new_folder(target) as folder:
        (folder / "file").write_text(content)


def fail_at(number: int, real: Callable) -> Callable:
    """A system call that fails the `number`th time, from 1."""
    calls: list[object] = []

    def call(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), "a", None, "b")
        return real(*arguments, **options)

    return call


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "some" / "folder"
    fill(target, "one")
    fill(target, "two")
    assert [path.read_text() for path in target.iterdir()] == ["two"]
    with pytest.raises(TypeError):
        fill(target, 3)
    assert [path.name for path in target.parent.iterdir()] == ["folder"]
    assert (target / "file").read_text() == "two"


@pytest.mark.parametrize("number", [1, 2])
def test_an_old_folder_comes_back_if_the_new_one_cannot_take_its_place(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "folder", "old")
    monkeypatch.setattr(os, "rename", fail_at(number, os.rename))
    with pytest.raises(OSError, match="not permitted"):
        fill(tmp_path / "folder", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "file").read_text() == "old"


def test_the_longest_name(tmp_path: Path) -> None:
    for name in ("x" * 255, "ä" * 127):
        fill(tmp_path / name, "one")
        fill(tmp_path / name, "two")
        assert (tmp_path / name / "file").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_rehearsal_leaves_nothing(tmp_path: Path) -> None:
    rehearse_saving(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "number"), STEPS)
def test_a_rehearsal_finds_what_a_save_needs(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on mounts of object stores, which may have no renaming of folders, or no removal."""
    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail_at(number, getattr(os, name)))
        with pytest.raises(InputError) as caught:
            rehearse_saving(tmp_path)
    assert caught.value.file == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_into_a_folder_is_found_and_kept(tmp_path: Path) -> None:
    fill(tmp_path / "folder", "x")
    (tmp_path / "folder" / "deep" / "er").mkdir(parents=True)
    listed = {"file", "deep/known"}
    assert find_foreign(tmp_path / "folder", listed) is None, "folders alone hold nothing"
    (tmp_path / "folder" / "deep" / "known").touch()
    assert find_foreign(tmp_path / "folder", listed) is None
    for name in ("file.txt", "deep/er/file", "deep/.hidden"):
        (tmp_path / "folder" / name).touch()
        assert find_foreign(tmp_path / "folder", listed) == name
        remove_folder(tmp_path / "folder", listed)
        assert (tmp_path / "folder" / "file").exists()
        (tmp_path / "folder" / name).unlink()
    (tmp_path / "link").symlink_to("folder")
    remove_folder(tmp_path / "link", listed)
    assert (tmp_path / "folder" / "file").exists()
    (tmp_path / "folder" / "linked").symlink_to(tmp_path)
    assert find_foreign(tmp_path / "folder", listed) == "linked"
    (tmp_path / "folder" / "linked").unlink()
    remove_folder(tmp_path / "folder", listed)
    assert not (tmp_path / "folder").exists()


def test_only_a_file_of_the_same_kind_is_replaced(tmp_path: Path) -> None:
    own, file, packed = re.compile(b"ours"), tmp_path / "file", tmp_path / "file.gz"
    refuse_foreign_file(file, own)
    for content in (b"", b"ours and more"):
        file.write_bytes(content)
        packed.write_bytes(gzip.compress(content))
        refuse_foreign_file(file, own)
        refuse_foreign_file(packed, own)
    for path, content in ((file, b"theirs"), (packed, gzip.compress(b"theirs"))):
        path.write_bytes(content)
        with pytest.raises(InputError) as refused:
            refuse_foreign_file(path, own)
        assert refused.value.file == path
        assert path.read_bytes() == content
