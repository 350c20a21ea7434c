"""Reading JSON with clear errors, and writing files completely or not at all."""

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.file_kinds import describe_kind

# What an evaluation leaves in a run's folder.
PREDICTIONS_FILE, ANSWERS_FILE = "predictions.json", "predictions.csv"
SCORES_FILE, SUBMISSION_FILE = "metrics.json", "submission.json"
REPORT_FILE, TRACES_FILE = "report.html", "traces.json"
RESULT_FILES = (PREDICTIONS_FILE, ANSWERS_FILE, SCORES_FILE, SUBMISSION_FILE, REPORT_FILE, TRACES_FILE)
_KEY = re.compile(rb'"\s*:')
_DEEPEST = 100  # levels of nested objects and lists; no file of this kit comes near


def read_json(path: Path) -> object:
    """Parse a JSON file (UTF-8, no key twice in one object).

    Raises:
        InputError: the file is missing, unreadable, empty, not UTF-8, not JSON, nested too deeply, or has a duplicate key.
    """
    try:
        raw = path.read_bytes()
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
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        kind, where = describe_kind(raw), f"line {error.lineno} column {error.colno}"
        problem = f"is {kind}" if kind else f"not valid JSON ({error.msg}, {where}); the file may be truncated"
        raise InputError(problem, file=path) from None
    # orjson silently keeps the last of two equal keys.  If there are fewer keys than colons after strings, look closer.
    try:
        keys = _count_keys(value)
    except RecursionError:
        raise InputError(f"lists and objects are nested more than {_DEEPEST} deep", file=path) from None
    if keys != len(_KEY.findall(raw)):
        json.loads(raw, object_pairs_hook=lambda pairs: _refuse_duplicates(path, pairs))
    return value


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


def to_json(value: object, pretty: bool = False) -> bytes:
    """JSON bytes of plain values and NumPy arrays and scalars, with a line end."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(value, option=options | orjson.OPT_INDENT_2 if pretty else options)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under a temporary name and rename it, so that `path` is the old or the new file, never a part.

    Raises:
        InputError: the folder cannot be made or written, or the disk is full; `path` is then as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        share(Path(temporary))
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot be written ({error.strerror}); name a writable folder", file=path) from None


def share(path: Path) -> None:
    """Give a file the permissions of a normally opened one; temporary files can only be read by their owner."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def check_writable(folder: Path, names: tuple[str, ...] = ()) -> None:
    """Make `folder`, and refuse it if nothing can be written there: before hours of work, not after.

    Raises:
        InputError: the folder cannot be made or written, or one of the names is a folder already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror}); name another folder", file=folder) from None
    for name in names:
        if (folder / name).is_dir():
            raise InputError("is a folder, but a file has to be written there; name another place", file=folder / name)


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
        lines = path.read_bytes().splitlines() if path.exists() else []
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

    Raises:
        InputError: another process holds it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError("another run is writing here; name another --out, or wait for it", file=folder) from None
        yield
