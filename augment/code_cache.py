"""How numba compiles a kernel: without the interpreter's lock, and kept on disk where there is a place for it.

The compiled code is kept in the folder that NUMBA_CACHE_DIR names, or beside the source, in the user's cache folder, or in a
temporary folder: the first that can be written.  So only the first run of a machine waits for the compiler.  Where none can be
written, each program compiles for itself.
"""

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError

import numba
from numba.core.caching import FunctionCache
from numba.core.types import unliteral


class _Cache(FunctionCache):
    """Compiled code on disk; a file that cannot be read or written costs no more than the time to compile."""

    def load_overload(self, *arguments: object) -> object:
        """The code that was kept; None where there is none, or none that can be read."""
        try:
            return super().load_overload(*arguments)
        except (EOFError, UnpicklingError):  # a crash left an empty or a cut file
            self._write(self.flush)
        except OSError:
            pass
        return None

    def save_overload(self, *arguments: object) -> None:
        """Keep code, where there is room for it."""
        self._write(super().save_overload, *arguments)

    @staticmethod
    def _write(write: Callable[..., None], *arguments: object) -> None:
        with suppress(OSError):  # a full disk
            write(*arguments)


def compile_kernel(function: Callable, **options: object) -> Callable:
    """A kernel that numba compiles for each new kind of arguments, or finds on disk."""
    kernel = numba.njit(nogil=True, error_model="numpy", **options)(function)
    if numba.config.DISABLE_JIT:
        return kernel  # the function itself
    find_code = kernel.get_call_template
    # A number written in a call is a type of its own to numba, which would compile what is called again for each.
    kernel.get_call_template = lambda arguments, named: find_code(
        tuple(map(unliteral, arguments)), {name: unliteral(kind) for name, kind in named.items()}
    )
    for find_place in (_check_home, _use_temporary_folder):
        try:
            find_place()
            kernel._cache = _Cache(function)
            break
        except (RuntimeError, OSError):  # numba finds no folder that it can write
            continue
    return kernel


def find_kept(kernel: Callable) -> tuple[str | None, bool]:
    """Where the code of a kernel is kept, and whether it is there, as new as the source.

    Returns:
        The folder, None where none can be written, and whether code is in it.
    """
    cache = kernel._cache
    if not isinstance(cache, _Cache):
        return None, False
    try:
        return cache.cache_path, bool(cache._cache_file._load_index())
    except (EOFError, UnpicklingError, OSError):  # as in `_Cache`
        return cache.cache_path, False


def _check_home() -> None:
    """Without a home, numba would make a folder called `~` where the program runs."""
    if os.path.expanduser("~") == "~" and not {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"} & os.environ.keys():
        raise RuntimeError("no home")


def _use_temporary_folder() -> None:
    """Let numba keep code in a folder that only this user can read and write, as it runs what it finds there."""
    folder = os.path.join(tempfile.gettempdir(), f"trm_arc-kernels-{os.getuid()}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise
    numba.config.CACHE_DIR = folder
