"""Flags that several commands have, and what they say.

Torch, which takes seconds to import, is imported only where a command needs it, and not for its flags and help.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from trm_arc.command_line.parser import Parser
from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import parse_duration, parse_size
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.modes import AUTO, BLOCK, NONE, PRECISIONS, STEP
from trm_arc.common.text import printable
from trm_arc.config import DEFAULT_PRESET, PRESET_HELP, SECTIONS, Config, load_preset, settings
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.inference.config import DEFAULT, Canvas, InferenceConfig
from trm_arc.model.locate import RUNS, ModelName
from trm_arc.training.options import EVALUATE_VIEWS, LoopConfig, Machine, Options, RunConfig

JSON_HELP = "print the result as JSON, and all else to standard error"
NEWEST = f"the newest below {RUNS}/"
NEWEST_OR_OURS = f"{NEWEST} that answers such puzzles, else a network of the kit"


def add_settings(parser: Parser, preset: Config | None, without: Sequence[str] = ()) -> None:
    """Add a flag for every setting, in the groups of the settings; the help shows the preset's value as its default.

    Args:
        preset: the preset whose values are the defaults; None if they come from a checkpoint.
        without: settings that have no flag here.
    """
    groups = {section: parser.group(title) for section, title in SECTIONS.items()}
    defaults = preset.values() if preset else {}
    for name, section, kind, help_text in settings():
        if name in without:
            continue
        described = f"{help_text} (default: {_format_default(defaults[name])})" if preset else help_text
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": described.replace("%", "%%")}
        if get_origin(kind) is Literal:
            options |= {"choices": get_args(kind)}
        elif kind is bool:
            options |= {"action": argparse.BooleanOptionalAction}
        else:
            options |= {"type": kind, "metavar": _METAVARS[kind]}
        groups[section](f"--{name.replace('_', '-')}", **options)


_METAVARS = {int: "N", float: "X", str: "TEXT"}


def _format_default(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value == "" else value


def setting_help(name: str) -> str:
    """The help of a setting, for a flag of the same name and meaning."""
    return next(setting.help for setting in settings() if setting.name == name)


def chosen_settings(values: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags."""
    return {setting.name: getattr(values, setting.name) for setting in settings() if setting.name in values}


def add_model_flag(parser: Parser, default: str = NEWEST, *, several: bool = False) -> None:
    """Add the flag --checkpoint.

    Args:
        several: whether it takes several, which vote together.
    """
    vote = "; several vote together" if several else ""
    help_text = f"a checkpoint, a run's folder, hf://OWNER/NAME or a network of the kit{vote} (default: {default})"
    parser.group("input")("--checkpoint", type=ModelName, nargs="+" if several else None, metavar="MODEL", help=help_text)


def add_view_flags(parser: Parser, views: int | None, checkpoint: str = NEWEST) -> None:
    """Add flags for the views of test inputs, and for the checkpoints that vote; see `chosen_inference`.

    Args:
        views: the default number; None: by the kind of puzzle.
    """
    add_model_flag(parser, checkpoint, several=True)
    pool = "the newest N checkpoints of each run vote together"
    parser.group("input")("--pool-checkpoints", type=int, default=1, metavar="N", help=pool)
    flag = parser.group("answering")
    default = "" if views else " (default: 1000 for ARC, 1 for Sudoku and mazes)"
    number = f"maximum number of augmented views of a test input per checkpoint{default}"
    flag("--views", type=int, default=views, metavar="N", help=number)
    add_answer_steps(parser)
    add_batch_flag(parser)
    canvas = "canvas of a view: as in training, the whole board, the smallest square for all tasks, or by the visible sizes"
    flag("--canvas", choices=get_args(Canvas), default=DEFAULT.canvas, help=canvas)


def add_answer_steps(parser: Parser) -> None:
    """Add the flag for supervision steps; see `chosen_inference`."""
    steps = "supervision steps of an answer (default: those of the run)"
    parser.group("answering")("--answer-steps", dest="steps", type=int, metavar="N", help=steps)


def add_batch_flag(parser: Parser) -> None:
    """Add the flag for the size of batches of views; see `chosen_inference`."""
    batch = "rollouts of views at a time; halved when memory runs out"
    parser.group("answering")("--batch-size", type=int, default=DEFAULT.batch_size, metavar="N", help=batch)


def add_refinement_flags(parser: Parser) -> None:
    """Add flags for refinement at test time, besides --answer-steps; see `chosen_inference`."""
    flag = parser.group("answering")
    rollouts = "noisy attempts at a view; the halting head picks one"
    flag("--rollouts", type=int, default=DEFAULT.rollouts, metavar="K", help=rollouts)
    noise = f"noise on the states of all rollouts but the first (default: {DEFAULT.noise})"
    flag("--rollout-noise", dest="noise", type=float, metavar="STD", help=noise)
    patience = "stop a rollout when its answer has not changed for N steps (0: never)"
    flag("--patience", type=int, default=DEFAULT.patience, metavar="N", help=patience)


def chosen_inference(values: argparse.Namespace) -> InferenceConfig:
    """The settings in the flags for views and refinement, of those flags that a command has.

    Raises:
        InputError: a value is out of its range, or does nothing.
    """
    names = {field.name for field in fields(InferenceConfig)}
    config = InferenceConfig(**{name: value for name, value in vars(values).items() if name in names and value is not None})
    if config.rollouts == 1 and getattr(values, "noise", None) is not None:
        raise InputError("does nothing without --rollouts 2 or more", flag="--rollout-noise")
    return config


def add_compile_flag(parser: Parser) -> None:
    """Add the flag for what is compiled to answer; see `chosen_inference`."""
    auto = f"{AUTO}: {BLOCK} on an accelerator with a compiler"
    fuse = f"use torch.compile on each {BLOCK} of the network, which takes some seconds for every canvas; {auto}"
    parser.group("machine")("--compile", choices=(AUTO, BLOCK, NONE), default=DEFAULT.compile, help=fuse)


def add_machine_flags(parser: Parser) -> None:
    """Add flags for where the data is and where to compute."""
    add_data_flag(parser)
    add_device_flags(parser)


def add_device_flags(parser: Parser) -> None:
    """Add flags for where to compute."""
    flag = parser.group("machine")
    flag("--device", default="auto", metavar="NAME", help="auto, cpu, or the name of an accelerator")
    flag("--precision", default="auto", metavar="DTYPE", help=f"auto, {', '.join(PRECISIONS)}")


def add_data_flag(parser: Parser) -> None:
    """Add the flag for where the data is."""
    parser.group("input")(
        "--data-folder", type=Path, metavar="DIR", help=f"folder with the named task sets (default: ${DATA_VARIABLE})"
    )


# --- training

# What the help of commands that train shows before --help-all.
RUN_BRIEF = "--preset --data-folder --out --overwrite --resume --dry-run --time-limit --fit --device --data --batch-size --steps"
TRAIN_BRIEF = f"{RUN_BRIEF} --evaluation-data --seed"


def list_choices(choices: Mapping[str, str]) -> str:
    """Names and their descriptions, a line each, for the end of a help text."""
    return "\n".join(f"{name:16}  {text}" for name, text in choices.items())


def make_train_parser(preset: str = DEFAULT_PRESET) -> Parser:
    """The command line of `trm_arc.train`; its help shows the preset's values as defaults."""
    presets = f"presets:\n{list_choices(PRESET_HELP)}"
    description = "Train a recursive model on ARC tasks, Sudoku or mazes. Defaults are those of the preset."
    parser = Parser(prog="python -m trm_arc.train", description=description, brief=TRAIN_BRIEF, appendix=presets)
    chosen = f"settings to start from: a .toml file, or a preset, which --help-all lists (default: {DEFAULT_PRESET})"
    parser.group("input")("--preset", metavar="NAME|FILE", help=chosen)
    parser.group("output")("--out", type=Path, metavar="DIR", help="folder of the run (default: runs/PRESET)")
    add_run_flags(parser)
    add_machine_flags(parser)
    add_settings(parser, load_preset(preset))
    return parser


def parse_train_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of `trm_arc.train`.

    Raises:
        InputError: a flag or value is not known.
    """
    named = Parser(prog="python -m trm_arc.train", add_help=False)
    named.add_argument("--preset", default=DEFAULT_PRESET)
    preset = named.parse_known_args(arguments)[0].preset
    return make_train_parser(preset).parse(arguments)


def train_folder(values: argparse.Namespace) -> Path:
    """The folder of the run that the flags of `trm_arc.train` name."""
    return values.out or RUNS / Path(values.preset or DEFAULT_PRESET).stem


def add_run_flags(parser: Parser) -> None:
    """Add flags of commands that train: how a run continues, stops, saves and computes."""
    default = LoopConfig()
    flag = parser.group("output")
    flag("--overwrite", action="store_true", help="replace the run in --out")
    saving = "time or steps between checkpoints, such as 10m or 1000"
    flag("--save-every", default=f"{default.save_seconds / 60:.0f}m", metavar="WHEN", help=saving)
    flag("--keep", type=int, default=default.keep, metavar="N", help="number of checkpoints to keep")
    flag("--log-every", type=int, default=default.log_every, metavar="N", help="steps between lines of metrics")
    flag("--tensorboard", action="store_true", help="also write the metrics for TensorBoard (needs tensorboard)")
    flag("--export-size", metavar="SIZE", help="at the end, export the run in files of at most this size, such as 15MiB")
    flag = parser.group("run")
    flag("--resume", action="store_true", help="continue from the newest checkpoint in --out, with its settings")
    flag("--dry-run", action="store_true", help="print what the run would do and cost, and stop")
    flag("--time-limit", metavar="TIME", help="save and stop after this time, such as 11h30m, 45m or 90s")
    flag("--fit", action="store_true", help="make the run, and its schedule, as long as the time limit allows")
    scoring = "steps between scores of the averaged weights, the best of which are kept (0: never)"
    flag("--evaluate-every", type=int, default=0, metavar="N", help=scoring)
    views = f"views of a test input in those evaluations (default: {EVALUATE_VIEWS} for ARC, 1 for puzzles)"
    flag("--evaluate-views", type=int, metavar="N", help=views)
    flag("--pool-votes", action="store_true", help="also score the pooled votes of all evaluations since the program started")
    skips = "stop after this many steps in a row without a finite loss"
    flag("--max-skips", type=int, default=Options().skips, metavar="N", help=skips)
    flag = parser.group("machine")
    pieces = "number of pieces that a batch is split into, to save memory (default: 1)"
    flag("--accumulation-steps", type=int, metavar="N", help=pieces)
    flag("--embeddings", choices=("device", "cpu"), default="device", help="where the task embeddings are kept")
    flag("--half-embeddings", action=argparse.BooleanOptionalAction, help="keep the task embeddings in bfloat16")
    what = {"nargs": "?", "const": STEP, "choices": (AUTO, STEP, BLOCK, NONE), "metavar": f"{AUTO}|{STEP}|{BLOCK}|{NONE}"}
    fuse = f"use torch.compile on each {BLOCK} (takes seconds), or on the whole {STEP} (minutes; the value if the flag has none)"
    auto = f"{AUTO}: {BLOCK} where there is a compiler; for training on a CPU long runs only"
    flag("--compile", **what, default=AUTO, help=f"{fuse}; {auto}")


def read_run_flags(values: argparse.Namespace, out: Path, started: float | None) -> RunConfig:
    """The settings in the flags of `add_run_flags`.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.

    Raises:
        InputError: a value is out of its range, or does nothing.
    """
    limit = None if values.time_limit is None else parse_duration(values.time_limit, "--time-limit")
    export_size = 0 if values.export_size is None else parse_size(values.export_size, "--export-size")
    if export_size:
        from trm_arc.model.export import check_piece_size

        check_piece_size(export_size)
    by_steps = values.save_every.isdecimal()
    if by_steps and len(values.save_every) > 18:
        raise InputError(f"must be below 10**18 steps, got {printable(values.save_every, 40)}", flag="--save-every")
    if by_steps:
        require_least("save_every", int(values.save_every))
    when = values.save_every
    saving = {"save_every": int(when)} if by_steps else {"save_seconds": parse_duration(when, "--save-every")}
    loop = LoopConfig(
        **saving,
        keep=values.keep,
        log_every=values.log_every,
        evaluate_every=values.evaluate_every,
        deadline=Deadline(limit) if started is None else Deadline(limit, started),
        fit=values.fit,
    )
    same = ("resume", "overwrite", "dry_run", "evaluate_views", "pool_votes", "tensorboard")
    return RunConfig(out=out, export_size=export_size, loop=loop, **{name: getattr(values, name) for name in same})


def read_machine(values: argparse.Namespace) -> Machine:
    """Where and how to compute, in the flags of `add_run_flags` and `add_machine_flags`.

    Raises:
        InputError: a number is out of its range.
    """
    return Machine(**{field.name: getattr(values, field.name) for field in fields(Machine)})
