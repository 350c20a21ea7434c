"""Solutions by the ids of their tasks, from a solutions file or from any task set whose solutions are known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.files import to_plain
from trm_arc.common.paths import optional_path, user_path
from trm_arc.data.sources import SOURCE_NAMES, load_tasks
from trm_arc.data.task import Grid, Task, TaskSet, parse_grid
from trm_arc.data.task_files import read_document

Solutions = str | Path | Mapping[str, Any] | TaskSet | Task


def load_solutions(source: Solutions, data_folder: str | Path | None = None) -> dict[str, list[Grid]]:
    """The right outputs of every task, by its id.

    Args:
        source: Kaggle's solutions file, or what it holds, as a dictionary of lists of grids; or a task set with solutions, by its
            name, its path or itself; or one task.
        data_folder: where to look for named sets first.

    Raises:
        InputError: it cannot be read, or holds no solutions.
    """
    if isinstance(source, Task):
        source = TaskSet([source], source.id)
    if isinstance(source, TaskSet):
        return dict(zip(source.test_counts, source.solutions, strict=True))
    if isinstance(source, Mapping):
        return _parse(to_plain(source), "the solutions")
    path = user_path(source)
    solutions = read_document(path) if str(source) not in SOURCE_NAMES and path.is_file() else []
    if isinstance(solutions, list) or (isinstance(solutions, dict) and _are_tasks(solutions)):
        return load_solutions(load_tasks(source, optional_path(data_folder)))
    return _parse(solutions, path)


def _parse(solutions: object, where: Path | str) -> dict[str, list[Grid]]:
    listed = isinstance(solutions, dict) and all(isinstance(grids, list) and grids for grids in solutions.values())
    if not listed or not solutions:
        raise InputError("an object of task ids is needed, each with a list of grids, or a task set with solutions", file=where)
    return {
        task_id: [parse_grid(grid, where, task_id, f"solution {number}") for number, grid in enumerate(grids)]
        for task_id, grids in solutions.items()
    }


def _are_tasks(value: dict[str, object]) -> bool:
    return bool({"train", "test"} & value.keys()) or any(isinstance(task, dict) for task in value.values())
