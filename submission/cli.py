"""The command line of `python -m submission`: its flags, and the settings that they say."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from submission.bundle_options import COMPETITION, MACHINE, BundleOptions
from submission.kaggle.pretraining import PretrainingOptions
from submission.settings import MERGE_RULES, Settings
from trm_arc.cli import (
    JSON_HELP,
    TRAIN_BRIEF,
    Parser,
    add_compile_flag,
    add_data_flag,
    add_machine_flags,
    add_view_flags,
    chosen_inference,
    make_train_parser,
    train_folder,
)
from trm_arc.config import RECIPES
from trm_arc.data.domains.arc import ARC
from trm_arc.inference.attempts import DEFAULT_FILE, submission_file
from trm_arc.model.locate import ModelName

LIMIT, REHEARSAL = "11h30m", "10m"  # of a Kaggle notebook, which is ended after 12 hours, and of its rehearsal


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m submission",
        usage="%(prog)s COMMAND [options]",
        description="Make, check, score and merge submissions; make a bundle and run in Kaggle notebooks.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", prog="python -m submission")

    def add(name: str, what: str, description: str, brief: str = "") -> Parser:
        return commands.add_parser(name, help=what, description=description, brief=brief)

    within = "Answer a challenges file: adapt, predict under many views, vote; within a time limit, even if something fails."
    entry = add("predict", "answer a challenges file", within, _PREDICT_BRIEF)
    listed = "tasks to answer: Kaggle's challenges file, or any task set by name or path"
    entry.group("input")("--challenges", required=True, metavar="SET", help=listed)
    _add_predict_flags(entry, "no limit")

    entry = add("check", "list every fault of a submission", "List every fault of a submission; exit code 1 if there is one.")
    flag = entry.group("input")
    flag("--submission", type=Path, required=True, metavar="FILE", help="the file to check")
    answered = "Kaggle's challenges file, or any task set by name or path (default: in a notebook, the attached competition's)"
    flag("--challenges", metavar="SET", help=answered)
    entry.group("output")("--json", action="store_true", help=JSON_HELP)
    add_data_flag(entry)

    against = "Score a submission against known solutions; of several, each, and what the last one gains on the others."
    entry = add("score", "score a submission, or compare several", against)
    flag = entry.group("input")
    flag("--submission", type=Path, nargs="+", required=True, metavar="FILE", help="the file to score, or several")
    known = "Kaggle's solutions file, or a task set with solutions, by name or path"
    flag("--solutions", required=True, metavar="SET", help=known)
    entry.group("output")("--json", action="store_true", help=JSON_HELP)
    add_data_flag(entry)

    two = "Make one submission of the answers of several systems: two attempts for each test input."
    entry = add("merge", "merge several submissions into one", two)
    entry.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="a submission.json, or an evaluation's predictions.json"
    )
    entry.group("output")("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    rules = (
        "agree: a first attempt counts 2, a second one 1, and equal answers add up; votes: shares of the votes add up; "
        "first: first attempts in the order of the files, then second ones (default: votes if all files have them, else agree)"
    )
    flag = entry.group("merging")
    flag("--rule", choices=MERGE_RULES, metavar="RULE", help=rules)
    flag("--weights", type=float, nargs="+", metavar="X", help="what each file counts (default: 1)")
    filled = "the tasks, by which attempts that are missing are filled up (default: those of the first file)"
    entry.group("input")("--challenges", metavar="SET", help=filled)
    add_data_flag(entry)

    parts = "Make the folder to upload as a Kaggle data set: wheel, checkpoints, task data, manifest; and the notebook to push."
    _add_bundle_flags(add("bundle", "make the folder to upload to Kaggle", parts))

    compare = "Compare a bundle with its manifest; exit code 1 if a file is damaged, missing, or not listed."
    entry = add("verify", "check whether a bundle is damaged", compare)
    entry.group("input")("--bundle", type=Path, required=True, metavar="DIR", help="the bundle")

    notebook = "In a Kaggle notebook: find the competition and the bundle, answer the test file, or rehearse if not scored."
    entry = add("kaggle", "answer, or rehearse, in a notebook", notebook, _PREDICT_BRIEF)
    asked = "tasks to answer: the test file, or any task set by name or path (default: the attached competition's)"
    entry.group("input")("--challenges", metavar="SET", help=asked)
    public = "time for answering the public evaluation tasks if this is not the scored run"
    entry.group("time")("--rehearsal", metavar="TIME", default=REHEARSAL, help=public)
    _add_predict_flags(entry, LIMIT)

    resume = "Train for one session of a notebook, and continue the run of the session before; all flags of train."
    what = "train across the sessions of a notebook"
    train = make_train_parser()
    same = {"parents": [train], "add_help": False, "brief": TRAIN_BRIEF, "appendix": train.appendix}
    commands.add_parser("pretrain", help=what, description=resume, **same)
    return parser


def read_settings(values: argparse.Namespace) -> Settings:
    """What the flags of `predict` and `kaggle` say."""
    return Settings(
        out=submission_file(values.out),
        checkpoints=tuple(values.checkpoint or ()),
        recipe={None: "auto", "none": None}.get(values.recipe, values.recipe),
        preset=values.preset,
        start=values.start,
        views=values.views,
        pool_checkpoints=values.pool_checkpoints,
        device=values.device,
        precision=values.precision,
        inference=chosen_inference(values),
        settle=values.settle,
        work_folder=values.work_folder,
    )


def read_bundle_options(values: argparse.Namespace) -> BundleOptions:
    """What the flags of `bundle` say."""
    return BundleOptions(**{field.name: getattr(values, field.name) for field in fields(BundleOptions)})


def read_pretraining_options(values: argparse.Namespace, flags: Sequence[str]) -> PretrainingOptions:
    """What the flags of `pretrain` say, which are those of `trm_arc.train`.

    Args:
        flags: the same as text, as the program that trains gets them.
    """
    return PretrainingOptions(
        flags=tuple(flags),
        out=train_folder(values),
        device=values.device,
        find_run=not (values.resume or values.overwrite or values.dry_run),
        find_data=values.data_folder is None,
    )


# What the help of `predict` and `kaggle` shows before --help-all.
_PREDICT_BRIEF = "--challenges --checkpoint --data-folder --recipe --views --answer-steps --time-limit --rehearsal --out --device"


def _add_predict_flags(entry: Parser, default_time: str) -> None:
    """The flags of `predict`, but for what to answer."""
    add_view_flags(entry, ARC.default_views, "with `kaggle`, those of the attached bundles")
    flag = entry.group("time")
    flag("--time-limit", metavar="TIME", help=f"finish within this time, such as 11h30m or 5m (default: {default_time})")
    flag("--deadline", metavar="MOMENT", help="finish by this time, such as 17:45 or 2026-11-22T17:45")
    recipes = "how to adapt to the tasks: none, " + ", ".join(RECIPES)
    flag = entry.group("adaptation")
    default = "own with a time limit, unless the checkpoint was trained to answer these tasks"
    flag("--recipe", choices=("none", *RECIPES), metavar="NAME", help=f"{recipes} (default: {default})")
    flag(
        "--start",
        choices=("mean", "zero"),
        default="mean",
        help="initial value of the task embeddings: the mean of the trained ones, or 0",
    )
    flag("--preset", metavar="NAME|FILE", help="without a checkpoint: train from scratch by these settings")
    kept = "keep adapted runs here, in a new folder for each session (default: not kept)"
    flag("--work-folder", type=Path, metavar="DIR", help=kept)
    entry.group("output")("--out", type=Path, default=DEFAULT_FILE, metavar="FILE", help="the file to write")
    add_compile_flag(entry)
    settle = "skip further views of a test input once its two best answers lead by this many standard deviations"
    entry.group("answering")("--settle", type=float, metavar="Z", help=f"{settle} (default: only when they cannot change)")
    add_machine_flags(entry)


def _add_bundle_flags(entry: Parser) -> None:
    flag = entry.group("input")
    included = "checkpoints or runs to include; all of them vote"
    flag("--checkpoint", type=ModelName, nargs="+", default=[], metavar="MODEL", help=included)
    flag("--data", nargs="+", default=[], metavar="SET", help="task sets to include, by name or path")
    add_data_flag(entry)
    flag = entry.group("output")
    flag("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    flag("--overwrite", action="store_true", help="replace the bundle in --out, with its notebook")
    whole = "keep whole checkpoints, which can also predict their own tasks and be resumed"
    flag("--whole", action="store_true", help=whole)
    flag = entry.group("on Kaggle")
    flag("--id", metavar="USER/SLUG", help="your user name on Kaggle, and the data set's name")
    flag("--title", metavar="TEXT", default="trm_arc bundle", help="the data set's title, 6 to 50 characters")
    flag(
        "--competition",
        default=COMPETITION,
        metavar="SLUG",
        help="the notebook's competition, as in its address on Kaggle",
    )
    flag(
        "--machine",
        default=MACHINE,
        metavar="NAME",
        help="Kaggle's name of the notebook's machine, such as NvidiaL4 (four) or NvidiaTeslaT4",
    )
