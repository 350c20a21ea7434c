"""A page of answers as HTML that needs no other file, for notebooks."""

import html
from pathlib import Path

from submission.reading import read_challenges
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json
from trm_arc.data.task import Grid, TaskSet, parse_grid
from trm_arc.evaluation.score import ranks
from trm_arc.inference.attempts import read_attempts
from trm_arc.report import terminal


def show_page(submission_path: str | Path, challenges_path: str | Path, count: int) -> str:
    """A page, as HTML that needs no other file: test inputs, the two attempts at each, and the truth where it is known.

    What cannot be read is said on the page: a notebook must not end in an error for want of a picture.

    Args:
        submission_path: the submission.
        challenges_path: what it answers; the first tasks of it that are in the submission are shown.
        count: tasks to show.
    """
    try:
        tasks = read_challenges(str(challenges_path)).tasks
        document = read_json(Path(submission_path))
        tasks = TaskSet([task for task in tasks if isinstance(document, dict) and task.id in document][:count], tasks.name)
        answers = {task.id: document[task.id] for task in tasks}
        attempts, _ = read_attempts(answers, tasks.test_counts, str(submission_path))
    except InputError as error:
        return make_page(html.escape(str(error)), [])
    truths = _read_truths(Path(challenges_path))
    rows, solved, known = [], 0, 0
    for (task, number), pair in zip(tasks.tests, attempts, strict=True):
        title = html.escape(task.id) + (f", test input {number + 1} of {len(task.test)}" if len(task.test) > 1 else "")
        truth = truths.get((task.id, number))
        grids = [("input", task.test[number].input), ("attempt 1", pair[0]), ("attempt 2", pair[1])]
        if truth is not None:
            place = ranks([[truth]], [pair])[0][0]
            known, solved = known + 1, solved + (place is not None)
            title += ": not solved" if place is None else f": solved by attempt {place + 1}"
            grids.append(("truth", truth))
        figures = "".join(f"<figure><figcaption>{what}</figcaption>{_draw(grid)}</figure>" for what, grid in grids)
        rows.append(f"<section><h4>{title}</h4>{figures}</section>")
    score = f"; {solved} of the {known} shown with their truth are solved" if known else ""
    return make_page(f"{html.escape(Path(submission_path).name)}: the first {len(tasks)} tasks{score}", rows)


def _read_truths(challenges: Path) -> dict[tuple[str, int], Grid]:
    """The outputs that the solutions file beside a challenges file tells; none if there is no such file."""
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


_PAPER = "background:#fff;color:#222;font:14px sans-serif;padding:8px"  # notebooks may be dark
_STYLE = (
    ".trm figure{display:inline-block;margin:0 16px 8px 0;vertical-align:top}"
    ".trm figcaption{color:#666;font-size:12px}.trm h4{margin:12px 0 4px}"
)


def make_page(heading: str, rows: list[str]) -> str:
    """A page of a heading and sections, both HTML."""
    return f'<div class="trm" style="{_PAPER}"><style>{_STYLE}</style><p>{heading}</p>{"".join(rows)}</div>'


def _draw(grid: Grid) -> str:
    """A grid as SVG: a path for each colour, thin lines between the cells."""
    if not grid.size:
        return "<div>no grid</div>"
    rows, columns = grid.shape
    cell = max(5, min(22, 180 // max(rows, columns)))
    shapes = []
    for colour, rgb in enumerate(terminal.RGB):
        cells = "".join(f"M{column} {row}h1v1h-1z" for row, column in zip(*(grid == colour).nonzero(), strict=True))
        if cells:
            shapes.append(f'<path d="{cells}" fill="rgb{rgb}"/>')
    lines = "".join(f"M0 {row}h{columns}" for row in range(rows + 1)) + "".join(f"M{c} 0v{rows}" for c in range(columns + 1))
    shapes.append(f'<path d="{lines}" stroke="#555" stroke-width="{1 / cell:.3f}" fill="none"/>')
    size = f'width="{columns * cell + 1}" height="{rows * cell + 1}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {columns} {rows}">{"".join(shapes)}</svg>'
