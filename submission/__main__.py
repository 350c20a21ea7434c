"""The competition entry as commands: python -m submission predict | check | score"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trm_arc.answer import answer_tasks
from trm_arc.attempts import ATTEMPTS, find_faults, read_attempts, write_submission
from trm_arc.checkpoint import load_checkpoint
from trm_arc.command import Parser, add_machine_flags, run
from trm_arc.device import find_device
from trm_arc.errors import InputError
from trm_arc.files import check_writable, read_json, to_json
from trm_arc.score import ranks, score, score_table
from trm_arc.sources import load_tasks
from trm_arc.task import parse_grid

PAIR = (1, 2)  # a submission has two attempts, so pass@1 and pass@2 are all that it can be scored by


def predict(values: argparse.Namespace) -> int:
    """Answer a challenges file with a checkpoint."""
    tasks = load_tasks(values.challenges, values.data_folder).without_solutions()
    checkpoint = load_checkpoint(values.checkpoint)
    check_writable(values.out.parent, (values.out.name,))
    device = find_device(values.device, values.precision)
    print(f"{tasks}, on {device.reason}")
    answers = answer_tasks(
        checkpoint, tasks, device, views=values.views, steps=values.steps, batch_size=values.batch_size, keep=len(ATTEMPTS)
    )
    write_submission(values.out, tasks, [[candidate.grid for candidate in candidates] for candidates in answers])
    silent = sum(not candidates for candidates in answers)
    print(f"wrote {values.out} (checked): {len(tasks)} tasks, {tasks.outputs} test inputs, two attempts each")
    if silent:
        print(f"{silent} test inputs got no answer from the model, and two guesses instead")
    return 0


def check(values: argparse.Namespace) -> int:
    """List every fault of a submission; exit code 1 if there is one."""
    tasks = load_tasks(values.challenges, values.data_folder)
    document = read_json(values.submission)
    faults = find_faults(document, tasks.test_counts, tasks.name)
    for fault in faults:
        print(f"{values.submission}: {fault}")
    if faults:
        print(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: not fit to submit")
        return 1
    equal = sum(answer[ATTEMPTS[0]] == answer[ATTEMPTS[1]] for answers in document.values() for answer in answers)
    print(f"{values.submission}: fit to submit; {len(tasks)} tasks, {tasks.outputs} test inputs, two attempts each")
    if equal:
        print(f"note: {equal} answers give the same grid twice, which wastes the second attempt")
    return 0


def score_submission(values: argparse.Namespace) -> int:
    """Score a submission against a solutions file."""
    solutions = read_json(values.solutions)
    where = str(values.solutions)
    listed = isinstance(solutions, dict) and all(isinstance(grids, list) and grids for grids in solutions.values())
    if not listed or not solutions:
        raise InputError(f"{where}: solutions are an object of task ids, each with a list of grids")
    truths = {
        task_id: [parse_grid(grid, f"{where}: task {task_id}, solution {number}") for number, grid in enumerate(grids)]
        for task_id, grids in solutions.items()
    }
    expected = {task_id: len(grids) for task_id, grids in truths.items()}
    attempts, broken = read_attempts(read_json(values.submission), expected, str(values.submission))
    if broken:
        print(f"{values.submission}: {broken} attempts are no grids and count as wrong; see `check`", file=sys.stderr)
    places = ranks(list(truths.values()), attempts)
    if values.json:
        print(to_json(score(places, PAIR), pretty=True).decode(), end="")
    else:
        print(score_table(places, PAIR))
    return 0


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m submission",
        usage="%(prog)s COMMAND [options]",
        description="Make, check and score a submission.json.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="python -m submission")

    entry = commands.add_parser("predict", help="answer a challenges file with a checkpoint", description=predict.__doc__)
    entry.add_argument("--challenges", required=True, help="Kaggle's challenges file, or any task set by name or path")
    entry.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint or a run's folder")
    entry.add_argument("--out", type=Path, default=Path("submission.json"), help="the file to write")
    entry.add_argument("--views", type=int, default=1000, help="augmented views of a test input at most")
    entry.add_argument("--steps", type=int, help="supervision steps (default: as many as in training)")
    entry.add_argument("--batch-size", type=int, default=256, help="views at a time")
    add_machine_flags(entry)
    entry.set_defaults(work=predict)

    entry = commands.add_parser("check", help="list every fault of a submission", description=check.__doc__)
    entry.add_argument("--challenges", required=True, help="Kaggle's challenges file, or any task set by name or path")
    entry.add_argument("--submission", type=Path, required=True, help="the file to check")
    entry.add_argument("--data-folder", type=Path, help="folder with the named task sets")
    entry.set_defaults(work=check)

    entry = commands.add_parser("score", help="score a submission", description=score_submission.__doc__)
    entry.add_argument("--submission", type=Path, required=True, help="the file to score")
    entry.add_argument("--solutions", type=Path, required=True, help="Kaggle's solutions file")
    entry.add_argument("--json", action="store_true", help="print JSON instead of a table")
    entry.set_defaults(work=score_submission)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, and do what the subcommand says.

    Args:
        arguments: the command line.
    """
    values = make_parser().parse(arguments)
    return values.work(values)


if __name__ == "__main__":
    run(main)
