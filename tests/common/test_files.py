"""Files: what they replace, which file systems they work on, and locks."""

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import ROOT, messages
from trm_arc.common.errors import InputError
from trm_arc.common.files import check_writable, exclusive, find_target, share, sync, write_atomic

says = messages("common.test_files")


def refuse(number: int) -> Callable:
    """A system call of a file system that does not have it."""

    def call(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """What is no file, by what it is."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link to the pipe").symlink_to("pipe")
    (tmp_path / "link to null").symlink_to(os.devnull)
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    names = ("pipe", "folder", "link to the pipe", "link to null", "loop", "socket")
    return {"null": Path(os.devnull)} | {name: tmp_path / name for name in names}


def test_what_is_no_file_is_never_replaced(places: dict[str, Path]) -> None:
    for name, path in places.items():
        before = path.lstat()
        for write in (lambda path: write_atomic(path, b"x"), find_target):
            with pytest.raises(InputError) as caught:
                write(path)
            assert caught.value.file == path, name
        with pytest.raises(InputError) as caught:
            check_writable(path.parent if name != "null" else places["folder"], [path.name if name != "null" else str(path)])
        assert caught.value.file == path, name
        after = path.lstat()
        assert (before.st_ino, before.st_mode, before.st_nlink) == (after.st_ino, after.st_mode, after.st_nlink), name
    with pytest.raises(InputError, match=says("is-a-named-pipe")):
        write_atomic(places["pipe"], b"x")


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("far/file")
    (tmp_path / "link to the link").symlink_to("link")
    (tmp_path / "to nothing yet").symlink_to("far/new")
    write_atomic(tmp_path / "link to the link", b"new")
    write_atomic(tmp_path / "to nothing yet", b"first")
    assert all((tmp_path / name).is_symlink() for name in ("link", "link to the link", "to nothing yet"))
    assert ((tmp_path / "far" / "file").read_bytes(), (tmp_path / "far" / "new").read_bytes()) == (b"new", b"first")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "far",
        "file",
        "link",
        "link to the link",
        "new",
        "to nothing yet",
    ]


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "ä" * 127):
        write_atomic(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


def test_a_file_has_the_rights_of_an_opened_one(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM])
def test_rights_and_flushing_are_a_courtesy(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on exFAT, CIFS, and mounts of object stores."""
    for name in ("chmod", "fchmod", "fsync", "fdatasync"):
        monkeypatch.setattr(os, name, refuse(number))
    monkeypatch.setattr(Path, "chmod", refuse(number))
    check_writable(tmp_path, ["file"])
    write_atomic(tmp_path / "file", b"x")
    share(tmp_path / "file")
    sync(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failed_flush_is_no_courtesy(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network file systems only say then that the disk is full."""
    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(InputError) as caught:
        write_atomic(tmp_path / "file", b"new")
    assert caught.value.file == tmp_path / "file"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("name", ["replace", "unlink"])
def test_a_folder_where_files_cannot_be_replaced_or_removed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, name, refuse(errno.EPERM))
    with pytest.raises(InputError) as caught:
        check_writable(tmp_path)
    assert caught.value.file == tmp_path


# --- locks


def test_a_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        with pytest.raises(InputError) as caught, exclusive(tmp_path):
            pass
        assert caught.value.file == tmp_path
    with exclusive(tmp_path):
        pass


def test_a_lock_empties_nothing(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.write_text("years of work")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".lock").symlink_to(thesis)
    with pytest.raises(InputError) as caught, exclusive(tmp_path / "linked"):
        pass
    assert caught.value.file == tmp_path / "linked" / ".lock"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / ".lock").write_text("notes")
    with exclusive(tmp_path / "own"):
        pass
    assert (thesis.read_text(), (tmp_path / "own" / ".lock").read_text()) == ("years of work", "notes")
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    with pytest.raises(InputError), exclusive(tmp_path / "folder"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_missing_locks_are_said_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on Lustre without `flock`, and EFS."""
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    with exclusive(tmp_path):
        pass
    assert capsys.readouterr().err.count(says("no-locks-on-this")) == 1


def test_a_lock_s_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    thread = threading.Thread(target=lambda: exclusive(tmp_path).__enter__(), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_what_output_is_printed_to_is_not_replaced(tmp_path: Path) -> None:
    code = "import sys\nfrom pathlib import Path\nfrom trm_arc.common.files import InputError, write_atomic\n"
    code += "for name in sys.argv[1:]:\n    try:\n        write_atomic(Path(name), b'x')\n"
    code += "    except InputError as error:\n        print(error.file)\n"
    names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "log")]
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", code, *names], stdout=log, cwd=ROOT, check=True)
    assert (tmp_path / "log").read_text().splitlines() == names
