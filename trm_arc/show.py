"""Show a task in the terminal, with a run's answers to it: python -m trm_arc.show 007bbfb7"""

from collections.abc import Sequence
from pathlib import Path

from trm_arc.cli import Parser, add_data_flag
from trm_arc.common.errors import InputError
from trm_arc.common.output import print_styled
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed
from trm_arc.common.text import wants_colour
from trm_arc.data.lookup import Match, TaskFinder
from trm_arc.data.puzzle_text import mark_puzzles
from trm_arc.evaluation.result_files import find_results
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.select import select_results
from trm_arc.report.drawing import fill, head, render_answers, render_puzzle, render_task


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.show",
        description="Print tasks or puzzles as colour blocks, or as digits without colour, and a run's answers to them.",
        usage="%(prog)s TASK [TASK ...] [options]",
    )
    task = "a task's id, or its JSON file; for puzzles: a row number, or a Sudoku or maze as for solve"
    parser.add_argument("tasks", metavar="TASK", nargs="+", help=task)
    named = "a run's folder, or its predictions.json: show its answers, its votes and the cells it got wrong"
    flag = parser.group("input")
    flag("--run", type=Path, dest="run_folder", metavar="RUN", help=named)
    source = "set of the ids or rows: a name or path (default: what the run was asked, else every named ARC set)"
    flag("--data", metavar="SET", help=source)
    flag("--solutions", type=Path, metavar="FILE", help="solutions file, if it is not beside the challenges file")
    add_data_flag(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, find, show."""
    values = make_parser().parse(mark_puzzles(arguments))
    if values.solutions and not values.data and not any(text.lower().endswith(".json") for text in values.tasks):
        raise InputError("needs a challenges file; name it with --data", flag="--solutions")
    results = find_results(values.run_folder) if values.run_folder else None
    finder = TaskFinder(values.data, values.data_folder, values.solutions, results and results.tasks)
    shown, colour = [], wants_colour()
    for match in map(finder.find, values.tasks):
        answers = results and select_results(results, match.tasks)
        missing = f"{values.run_folder} has no answer for it." if results and not answers else ""
        shown.append(format_match(match, answers, (match.note, missing), colour=colour))
    print_styled("\n\n".join(shown))
    return require_printed()


def format_match(match: Match, results: Results | None, notes: Sequence[str], *, colour: bool) -> str:
    """A task or puzzle as text for the terminal, with its solution or with what a run answered.

    Args:
        results: of this task alone; None where no run was asked.
        notes: sentences below the headline; empty ones are left out.
    """
    tasks, parts = match.tasks, [fill(note) for note in notes if note]
    title = match.title
    if tasks.demonstrations:
        parts.append(render_task(tasks[0], colour, tests=not results) + "\n" * bool(results))
    elif results:
        title = f"{tasks.name}: {tasks.domain.name}"  # the answer's headline has the rest
    else:
        parts.append(render_puzzle(tasks, 0, colour))
    answers = [render_answers(results, colour, tables=True)] if results else []
    return "\n".join([head(title, colour), *parts, *answers])


if __name__ == "__main__":
    run(main)
