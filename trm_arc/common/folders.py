"""Folders that are written completely or not at all, and the care for files of others in folders that are replaced."""

import gzip
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trm_arc.common.errors import InputError
from trm_arc.common.files import sync, write_atomic

_START = 4096  # bytes of a file that show what it is


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder under a temporary name, to be filled, which then takes the place of `target`.

    An older `target` is moved aside before, and removed at the end: one of the two is complete at every moment.  It must hold
    nothing of others, see `find_foreign`.

    Raises:
        OSError: it cannot be written, renamed or moved aside; `target` is then as it was.
    """
    temporary, aside = (target.with_name(f".writing-{target.name[:40]}-{secrets.token_hex(4)}") for _ in range(2))
    try:
        temporary.mkdir(parents=True)
        yield temporary
        sync(temporary)
        if target.exists():
            target.rename(aside)
        try:
            temporary.rename(target)
        except OSError:
            if aside.exists():
                aside.rename(target)
            raise
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def rehearse_saving(folder: Path) -> None:
    """Make, fill, replace and remove a small folder in `folder`, with the steps by which checkpoints are saved.

    Raises:
        InputError: the file system refuses one of them.
    """
    trial = folder / f".writing-trial-{secrets.token_hex(4)}"
    try:
        for content in (b"first", b"second"):  # the second folder replaces the first one
            with new_folder(trial) as inside:
                write_atomic(inside / "trial", content)
        shutil.rmtree(trial)
    except InputError as error:
        raise InputError(f"no checkpoint can be saved here: {error.problem}", file=folder) from None
    except OSError as error:
        step = "be renamed" if error.filename2 else "be made or removed"
        problem = f"no checkpoint can be saved here: a folder cannot {step} ({error.strerror}); name a folder on another disk"
        raise InputError(problem, file=folder) from None
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def walk_files(root: Path) -> list[Path]:
    """Every file below a folder, sorted; links are followed, and what can be reached in two ways is listed once.

    Raises:
        InputError: a folder cannot be listed.
    """
    found: list[Path] = []
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot be listed ({error.strerror})", file=error.filename)

    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        folders.sort()
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
        else:
            found += [Path(folder, file) for file in files]
        seen.add(real)
    return sorted(found)


def find_foreign(folder: Path, listed: Collection[str]) -> str | None:
    """The first file or link below a folder that is not one of those that the kit wrote; None if there is none.

    Args:
        listed: what it wrote, as paths relative to the folder.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in listed and (path.is_symlink() or not path.is_dir()):
            return name
    return None


def not_replaced(folder: Path, why: str) -> InputError:
    """The error where a folder has something that the kit did not write, and would replace."""
    return InputError(f"{why}, so it is not replaced; move it away, or name another --out", file=folder)


def require_replaceable(out: Path, what: str, list_own: Callable[[], Collection[str]], unlisted: str, *, overwrite: bool) -> None:
    """Raise InputError unless a folder may be made: nothing is there, or one of the same kind that is to be replaced.

    Args:
        what: the kind, such as "a bundle".
        list_own: what such a folder holds, as paths relative to it; raises InputError or OSError if it is none.
        unlisted: what is said of a file that is not among them, after its name.
    """
    if not os.path.lexists(out):
        return
    try:
        foreign = find_foreign(out, [] if out.is_dir() and not any(out.iterdir()) else list_own())
    except (InputError, OSError):
        raise not_replaced(out, f"is not {what}") from None
    if foreign is not None:
        raise not_replaced(out, f"holds {foreign}, {unlisted}")
    if not overwrite:
        raise InputError("exists already; replace it with --overwrite, or name another --out", file=out)


def refuse_foreign_file(file: Path, own: re.Pattern[bytes]) -> None:
    """Raise InputError if a result would replace a file that holds something else, such as a checkpoint or an input.

    Args:
        file: where the result goes; one that is missing or empty holds nothing.
        own: how a result of this kind begins.
    """
    start = b""
    read = gzip.open if file.suffix == ".gz" else open
    with suppress(OSError, EOFError), read(file, "rb") as content:  # what cannot be read is reported when it is written
        start = content.read(_START)
    if start and own.match(start) is None:
        raise InputError("holds something else, so it is not replaced; move it away, or name another --out", file=file)


def remove_folder(folder: Path, listed: Collection[str]) -> None:
    """Remove a folder whose files are all among `listed`; any other stays, with all that it holds."""
    if not folder.is_symlink() and find_foreign(folder, listed) is None:
        shutil.rmtree(folder, ignore_errors=True)
