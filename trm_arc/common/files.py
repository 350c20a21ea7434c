"""Reading JSON with clear errors, and writing files completely or not at all."""

import errno
import fcntl
import gc
import json
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.file_kinds import describe_kind

# What an evaluation leaves in a run's folder.
PREDICTIONS_FILE, ANSWERS_FILE = "predictions.json", "predictions.csv"
SCORES_FILE, SUBMISSION_FILE = "metrics.json", "submission.json"
REPORT_FILE, TRACES_FILE = "report.html", "traces.json"
LOCK = ".lock"  # in the folder of a run, see `exclusive`
RESULT_FILES = (PREDICTIONS_FILE, ANSWERS_FILE, SCORES_FILE, SUBMISSION_FILE, REPORT_FILE, TRACES_FILE)
_KEY = re.compile(rb'"\s*:')
_DEEPEST = 100  # levels of nested objects and lists; no file of this kit comes near
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)  # of file systems that cannot flush, not of a failed flush


def require_regular(path: Path) -> Path:
    """The path of an input, before it is opened: what is neither a file nor a folder could keep a reader waiting for ever.

    Raises:
        InputError: it is a pipe, a device or a socket.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):
        return path  # the reader reports what is missing
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise InputError(f"is {_KINDS[kind]}; copy its contents into a file, and name that", file=path)
    return path


def read_json(path: Path) -> object:
    """Parse a JSON file (UTF-8, no key twice in one object).

    Raises:
        InputError: the file is missing, not a regular file, unreadable, empty, not UTF-8, not JSON, nested too deeply, or has
            a duplicate key.
    """
    try:
        raw = require_regular(path).read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    if not raw.strip():
        raise InputError("the file is empty; a JSON document is needed", file=path)
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InputError("starts with a byte-order mark; save the file as plain UTF-8 JSON", file=path)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        kind = describe_kind(raw)
        problem = f"is {kind}" if kind else f"not UTF-8 text (byte {error.start}); save the file as UTF-8 JSON"
        raise InputError(problem, file=path) from None
    try:
        return parse_json(raw, path)
    except orjson.JSONDecodeError as error:
        kind, where = describe_kind(raw), f"line {error.lineno} column {error.colno}"
        cut = "; the file may be truncated" if "end of data" in error.msg else ""
        raise InputError(f"is {kind}" if kind else f"not valid JSON ({error.msg}, {where}){cut}", file=path) from None


def parse_json(raw: bytes, path: Path) -> object:
    """The value of a JSON document in a file, without a key twice in one object.

    Raises:
        orjson.JSONDecodeError: not JSON.
        InputError: nested too deeply, or a key is there twice.
    """
    with _without_collection():
        value = orjson.loads(raw)
    # orjson silently keeps the last of two equal keys.  If there are fewer keys than colons after strings, look closer.
    try:
        keys = _count_keys(value)
    except RecursionError:
        raise InputError(f"lists and objects are nested more than {_DEEPEST} deep", file=path) from None
    if keys != len(_KEY.findall(raw)):
        json.loads(raw, object_pairs_hook=lambda pairs: _refuse_duplicates(path, pairs))
    return value


@contextmanager
def _without_collection() -> Iterator[None]:
    """Do not look for cycles among millions of new lists, which takes longer than to make them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _count_keys(value: object, depth: int = 0) -> int:
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        return len(value) + sum(_count_keys(part, depth + 1) for part in value.values())
    if isinstance(value, list) and not {dict, list}.isdisjoint(map(type, value)):  # rows of numbers are many
        return sum(_count_keys(part, depth + 1) for part in value)
    return 0


def _refuse_duplicates(path: Path, pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise InputError(f"duplicate id or key {shorten(twice)}; every id and key may occur only once", file=path)
    return dict(pairs)


def to_json(value: object, *, pretty: bool = False) -> bytes:
    """JSON bytes of plain values and NumPy arrays and scalars, with a line end."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(value, option=options | orjson.OPT_INDENT_2 if pretty else options)


def to_plain(value: Any) -> Any:
    """A document of mappings and sequences, some of which may be arrays, as JSON would give it back."""
    if isinstance(value, Mapping):
        return {name: to_plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def find_target(path: Path) -> Path:
    """The file that is written if `path` is named: itself, or the file that it links to.  There may be none yet.

    Raises:
        InputError: a folder, device, named pipe or socket is there, or what is printed goes there, or it cannot be accessed.
    """
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        raise InputError(f"cannot be written ({getattr(error, 'strerror', error)}); name another file", file=path) from None
    kind = stat.S_IFMT(there.st_mode)
    if kind != stat.S_IFREG:
        raise InputError(f"is {_KINDS[kind]}, but a file has to be written there; name another place", file=path)
    for stream in (1, 2):  # also under the names /dev/stdout and /dev/fd/1
        with suppress(OSError):
            if os.path.samestat(os.fstat(stream), there):
                raise InputError("is the file that output is printed to; name another one", file=path)
    return Path(os.path.realpath(path))


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that `path` is the old or the new file, never a part.

    Where `path` is a link, it stays one, and the file that it links to is written.

    Raises:
        InputError: the folder cannot be made or written, the disk is full, or `path` is there and no file; it is then as it was.
    """
    target = find_target(path)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            _flush(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror}); name a writable folder", file=path) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, where the file system can.

    Raises:
        OSError: a file could not be flushed, so that it may be incomplete.
    """
    is_folder = path.is_dir()
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            _flush(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        if not is_folder:
            raise


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def share(path: Path) -> None:
    """Give a file the permissions of a normally opened one, where the file system has permissions."""
    mask = os.umask(0)
    os.umask(mask)
    with suppress(OSError):
        path.chmod(0o666 & ~mask)


def check_writable(folder: Path, names: Sequence[str] = ()) -> None:
    """Make `folder`, and write, replace and remove a file there: before hours of work, not after.

    Raises:
        InputError: the folder cannot be made or written, or something that is no file has one of the names.
    """
    trial = folder / f".writing-trial-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            write_atomic(trial, b"trial")
        trial.unlink()
    except InputError as error:
        raise InputError(error.problem, file=folder) from None
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror}); name another folder", file=folder) from None
    for name in names:
        find_target(folder / name)


def append_line(path: Path, line: bytes) -> None:
    """Add one line to a log.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.write(line)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", file=path) from None


def read_lines(path: Path) -> list[object]:
    """The values of a log of one JSON a line; an invalid line (half written by a killed run) is skipped.

    Raises:
        InputError: the file is there and cannot be read.
    """
    try:
        lines = require_regular(path).read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    values = []
    for line in lines:
        try:
            values.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    return values


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder for one process; the system releases the lock even when the process is killed.

    Where the file system has no locks, that is printed, and nothing is locked.

    Raises:
        InputError: another process holds it, or its file cannot be opened.
    """
    path = folder / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise InputError(f"cannot be locked ({why}); remove it, or name another --out", file=path) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise InputError("another run is writing here; name another --out, or wait for it", file=folder) from None
    except OSError as error:
        print(f"note: {folder}: no locks on this disk ({error.strerror}); start no other run there meanwhile", file=sys.stderr)
    try:
        yield
    finally:
        os.close(lock)
