"""Solutions by the ids of their tasks, from a solutions file or from any task set whose solutions are known."""

from pathlib import Path

from trm_arc.common.errors import InputError
from trm_arc.common.paths import user_path
from trm_arc.data.sources import SOURCE_NAMES, load_tasks
from trm_arc.data.task import Grid, TaskSet, parse_grid
from trm_arc.data.task_files import read_document


def load_solutions(source: str | Path | TaskSet, folder: Path | None = None) -> dict[str, list[Grid]]:
    """The right outputs of every task, by its id.

    Args:
        source: Kaggle's solutions file, or a task set with solutions, by its name, its path or itself.
        folder: where to look for named sets first.

    Raises:
        InputError: it cannot be read, or holds no solutions.
    """
    if isinstance(source, TaskSet):
        return dict(zip(source.test_counts, source.solutions, strict=True))
    source = str(source)
    path = user_path(source)
    solutions = read_document(path) if source not in SOURCE_NAMES and path.is_file() else []
    if isinstance(solutions, list) or (isinstance(solutions, dict) and _are_tasks(solutions)):
        return load_solutions(load_tasks(source, folder))
    listed = isinstance(solutions, dict) and all(isinstance(grids, list) and grids for grids in solutions.values())
    if not listed or not solutions:
        raise InputError("an object of task ids is needed, each with a list of grids, or a task set with solutions", file=path)
    return {
        task_id: [parse_grid(grid, source, task_id, f"solution {number}") for number, grid in enumerate(grids)]
        for task_id, grids in solutions.items()
    }


def _are_tasks(value: dict[str, object]) -> bool:
    return bool({"train", "test"} & value.keys()) or any(isinstance(task, dict) for task in value.values())
