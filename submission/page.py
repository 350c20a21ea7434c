"""A page of answers as HTML that needs no other file, for notebooks."""

from collections.abc import Mapping
from pathlib import Path

from submission.reading import read_challenges
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json
from trm_arc.data.pictures import render_sections
from trm_arc.data.task import Grid, TaskSet, parse_grid
from trm_arc.evaluation.score import ranks
from trm_arc.inference.attempts import read_attempts


def render_page(submission_path: str | Path, challenges_path: str | Path, count: int) -> str:
    """A page, as HTML that needs no other file: test inputs, the two attempts at each, and the truth where it is known.

    Files that cannot be read are named on the page instead: a notebook must not end in an error because a picture is missing.

    Args:
        challenges_path: the test inputs; the first tasks of it that are in the submission are shown.
    """
    try:
        tasks = read_challenges(str(challenges_path)).tasks
    except InputError as error:
        return render_sections(str(error))
    return render_submission(submission_path, tasks, count, _read_truths(Path(challenges_path)))


def render_submission(path: str | Path, tasks: TaskSet, count: int, truths: Mapping[tuple[str, int], Grid] | None = None) -> str:
    """The answers to the first tasks, as HTML; a file that cannot be read is named instead.

    Args:
        tasks: what was answered; the first of these that are in the submission are shown.
        truths: known outputs, by the ids of tasks and the numbers of test inputs.
    """
    try:
        document = read_json(Path(path))
        tasks = TaskSet([task for task in tasks if isinstance(document, dict) and task.id in document][:count], tasks.name)
        answers = {task.id: document[task.id] for task in tasks}
        attempts, _ = read_attempts(answers, tasks.test_counts, str(path))
    except InputError as error:
        return render_sections(str(error))
    sections, solved = [], []
    for (task, number), pair in zip(tasks.tests, attempts, strict=True):
        title = task.id + (f", test input {number + 1} of {len(task.test)}" if len(task.test) > 1 else "")
        truth = (truths or {}).get((task.id, number))
        grids = [("input", task.test[number].input, None)]
        grids += [(f"attempt {place}", grid, truth) for place, grid in enumerate(pair, 1)]
        if truth is not None:
            rank = ranks([[truth]], [pair])[0][0]
            solved.append(rank is not None)
            title += ": not solved" if rank is None else f": solved by attempt {rank + 1}"
            grids.append(("truth", truth, None))
        sections.append((title, grids))
    score = f"; {sum(solved)} of the {len(solved)} shown with their truth are solved" if solved else ""
    return render_sections(f"{Path(path).name}: the first {len(tasks)} tasks{score}", sections)


def _read_truths(challenges: Path) -> dict[tuple[str, int], Grid]:
    """The outputs of the solutions file beside a challenges file; none if there is no such file."""
    path = challenges.with_name(challenges.name.replace("_challenges", "_solutions"))
    if path == challenges or not path.is_file():
        return {}
    truths = {}
    try:
        for task_id, grids in dict(read_json(path)).items():
            truths |= {(task_id, number): parse_grid(grid, task=task_id) for number, grid in enumerate(grids)}
    except (InputError, TypeError, ValueError):
        return {}
    return truths
