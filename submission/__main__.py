"""The competition entry as commands: python -m submission predict | check | score | bundle | verify | kaggle | pretrain"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from submission import kaggle
from submission.bundle import add_bundle_flags, bundle, verify
from submission.reading import read_challenges
from submission.run_log import Clock, RunLog, find_limit, leave_screen
from submission.session import Session, Settings, ignore_signals
from trm_arc.cli import Parser, add_machine_flags, add_view_flags, make_train_parser, run
from trm_arc.common.device import PRECISIONS
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import read_json, to_json
from trm_arc.config import RECIPES
from trm_arc.data.domains.arc import ARC
from trm_arc.data.task import TaskSet, parse_grid
from trm_arc.evaluation.score import ranks, score, score_table
from trm_arc.inference.attempts import ATTEMPTS, find_faults, read_attempts
from trm_arc.model.checkpoint import read_task_ids
from trm_arc.training.adaptation import require_arc

PAIR = (1, 2)  # a submission has two attempts, so pass@1 and pass@2 are all that it can be scored by


def predict(values: argparse.Namespace) -> int:
    """Answer a challenges file: adapt, predict under many views, vote; within a time limit, whatever happens."""
    limit = find_limit(values.time_limit, values.deadline)
    for name in ("views", "pool_checkpoints", "batch_size", "steps"):
        require_least(name, getattr(values, name))
    if values.precision not in ("auto", *PRECISIONS):  # asked here, as workers would refuse it one by one
        raise InputError(f"--precision {values.precision}: choose auto or one of {', '.join(PRECISIONS)}")
    if values.settle is not None and not values.settle > 0:
        raise InputError(f"must be above 0, got {values.settle}", flag="--settle")
    if not values.checkpoint and not values.preset:
        raise InputError("name a trained model; or with --preset the settings to train one from scratch", flag="--checkpoint")
    for path in values.checkpoint or ():
        if not os.path.isdir(path):  # what is there and broken is another matter: something may be left to answer with
            raise InputError(f"--checkpoint {path}: no such folder")
    require_arc(values.checkpoint or (), values.preset)
    if values.checkpoint and values.preset:
        raise InputError("is for training from scratch, without --checkpoint", flag="--preset")
    clock = Clock(limit)
    out = kaggle.name_file(values.out)
    challenges = read_challenges(values.challenges, values.data_folder)
    settings = Settings(
        out=out,
        checkpoints=tuple(values.checkpoint or ()),
        recipe=choose_recipe(values, challenges.tasks, limit),
        preset=values.preset,
        adaptation_flags=("--start", values.start),
        views=values.views,
        pool=values.pool_checkpoints,
        device=values.device,
        precision=values.precision,
        batch_size=values.batch_size,
        steps=values.steps,
        window=values.canvas,
        settle=values.settle,
        work_folder=values.work_folder,
    )
    session = Session(challenges, settings, clock, RunLog(out.with_name(f"{out.stem}-run.json"), clock))
    valid = session.run()
    if session.stopping:
        ignore_signals()  # the program is at its end; a repeat must not make a failure of it
    return 0 if valid else 1


def choose_recipe(values: argparse.Namespace, tasks: TaskSet, limit: float | None) -> str | None:
    """How to adapt: as asked; else by the checkpoint's own settings if there is a limit and it has not seen all of the tasks.

    Args:
        values: the command line.
        tasks: what to answer.
        limit: seconds of the run.
    """
    if values.recipe is not None:
        return None if values.recipe == "none" else values.recipe
    if not values.checkpoint:
        return "own"
    seen = all({task.id for task in tasks} <= read_task_ids(path) for path in values.checkpoint)
    return None if seen or limit is None else "own"


def check(values: argparse.Namespace) -> int:
    """List every fault of a submission; exit code 1 if there is one."""
    challenges = read_challenges(values.challenges, values.data_folder)  # as `predict` reads it, which answers broken tasks, too
    counts = challenges.counts
    for note in challenges.notes:
        print(f"note: {note}")
    document = read_json(values.submission)
    faults = find_faults(document, counts, challenges.tasks.name)
    for fault in faults:
        print(f"{values.submission}: {fault}")
    if faults:
        print(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}: not fit to submit")
        return 1
    equal = sum(answer[ATTEMPTS[0]] == answer[ATTEMPTS[1]] for answers in document.values() for answer in answers)
    print(f"{values.submission}: fit to submit; {len(counts)} tasks, {sum(counts.values())} test inputs, two attempts each")
    if equal:
        print(f"note: {equal} answers give the same grid twice, which wastes the second attempt")
    return 0


def score_submission(values: argparse.Namespace) -> int:
    """Score a submission against a solutions file."""
    solutions = read_json(values.solutions)
    where = str(values.solutions)
    listed = isinstance(solutions, dict) and all(isinstance(grids, list) and grids for grids in solutions.values())
    if not listed or not solutions:
        raise InputError("solutions are an object of task ids, each with a list of grids", file=where)
    truths = {
        task_id: [parse_grid(grid, where, task_id, f"solution {number}") for number, grid in enumerate(grids)]
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


def answer_on_kaggle(values: argparse.Namespace) -> int:
    """In a Kaggle notebook: find the competition and the bundle, answer the test file, or rehearse where it is not scored."""
    return kaggle.answer(values, predict)


def add_predict_flags(entry: argparse.ArgumentParser, usual_time: str) -> None:
    """The flags of `predict`, but for what to answer.

    Args:
        entry: where to add.
        usual_time: the time limit where none is given, in words.
    """
    flag = entry.add_argument
    flag("--checkpoint", type=Path, nargs="+", help="a checkpoint or a run's folder; several vote together")
    flag("--out", type=Path, default=kaggle.USUAL_FILE, help="the file to write")
    flag("--time-limit", metavar="TIME", help=f"be done within this time, as 11h30m or 5m (default: {usual_time})")
    flag("--deadline", metavar="MOMENT", help="be done by then, as 17:45 or 2026-11-22T17:45")
    recipes = "how to adapt to the tasks: none, " + ", ".join(RECIPES)
    usual = "own with a time limit, unless the checkpoint was trained to answer these tasks"
    flag("--recipe", choices=("none", *RECIPES), metavar="NAME", help=f"{recipes} (default: {usual})")
    flag("--start", choices=("mean", "zero"), default="mean", help="where task embeddings begin: the mean of those trained, or 0")
    flag("--preset", metavar="NAME|FILE", help="without a checkpoint: train from scratch by these settings")
    add_view_flags(entry, ARC.default_views)
    settling = "stop views of a test input whose two best are unlikely to change, by so many standard deviations"
    flag("--settle", type=float, metavar="Z", help=f"{settling} (default: only when they cannot)")
    flag("--work-folder", type=Path, help="keep adapted runs here, each session in a folder of its own (default: not)")
    add_machine_flags(entry)


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m submission",
        usage="%(prog)s COMMAND [options]",
        description="Make, check and score a submission.json; the bundle and the notebooks of Kaggle.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="python -m submission")

    entry = commands.add_parser("predict", help="answer a challenges file", description=predict.__doc__)
    entry.add_argument("--challenges", required=True, help="Kaggle's challenges file, or any task set by name or path")
    add_predict_flags(entry, "take what it takes")
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

    entry = commands.add_parser("bundle", help="make the folder to upload to Kaggle", description=bundle.__doc__)
    add_bundle_flags(entry)
    entry.set_defaults(work=bundle)

    entry = commands.add_parser("verify", help="tell whether a bundle is damaged", description=verify.__doc__)
    entry.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the bundle")
    entry.set_defaults(work=verify)

    entry = commands.add_parser("kaggle", help="answer, or rehearse, in a notebook", description=answer_on_kaggle.__doc__)
    kaggle.add_kaggle_flags(entry)
    add_predict_flags(entry, kaggle.LIMIT)
    entry.set_defaults(work=answer_on_kaggle)

    training, what = make_train_parser(), "train across the sessions of a notebook"
    description = "Train for one session of a notebook, and go on with the run of the session before; all flags of trm_arc.train."
    entry = commands.add_parser("pretrain", help=what, description=description, parents=[training], add_help=False)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, and do what the subcommand says.

    Args:
        arguments: the command line.
    """
    try:
        values = make_parser().parse(arguments)
    except InputError:
        if arguments[:1] == ["kaggle"]:  # a mistyped flag, too, must not be the reason that there is no file
            with suppress(InputError):
                kaggle.leave_guesses(kaggle.find_test(), kaggle.USUAL_FILE)
        raise
    if values.command == "pretrain":
        return kaggle.pretrain(values, arguments[1:])
    try:
        return values.work(values)
    finally:
        if values.command in ("predict", "kaggle"):
            leave_screen()


if __name__ == "__main__":
    run(main)
