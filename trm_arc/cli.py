"""Shared by all command lines: flags for settings, errors as one sentence, exit code 2.

Torch, which takes seconds to import, is imported only where a command needs it, and not for its flags and help.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import parse_duration, parse_size
from trm_arc.common.errors import InputError, did_you_mean, require_least
from trm_arc.common.launch import check_threads, is_first_process
from trm_arc.common.modes import AUTO, BLOCK, NONE, PRECISIONS, STEP
from trm_arc.common.paths import parse_path, refuse_unreadable, user_path
from trm_arc.common.text import printable
from trm_arc.config import PRESET_HELP, SECTIONS, Config, load_preset, settings
from trm_arc.config.old_names import new_flag, new_value
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.inference.config import DEFAULT, Canvas, InferenceConfig
from trm_arc.model.locate import ModelName, locate
from trm_arc.training.options import EVALUATE_VIEWS, LoopConfig, Options, RunConfig

if TYPE_CHECKING:
    from trm_arc.common.device import Device
    from trm_arc.model.checkpoint import Checkpoint

DEFAULT_PRESET = "arc1"
RUNS = Path("runs")  # the folder of runs, if a command names none
NEWEST = f"the newest below {RUNS}/"


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Show every default but no value and flags that are off.  Keep the lines of descriptions."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(line if len(line) <= width else fill(line, width, indent) for line in text.splitlines())

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError and suggests the nearest flag for one that it does not know."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        options.setdefault("usage", "%(prog)s [options]")  # argparse would list forty flags before the first word
        super().__init__(allow_abbrev=False, **options)
        self.register("type", Path, parse_path)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise InputError(f"{printable(message, 400)}; see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; renamed flags are also accepted under their old names.

        Raises:
            InputError: a flag or value is not known; the nearest flag is named.  Or the environment has what no library takes.
        """
        check_threads()
        refuse_unreadable(arguments)
        known = _flags(self, arguments)
        arguments = _rename_flags(arguments, known)
        for argument in arguments:  # before argparse, which would first report missing flags
            if argument.startswith("--") and argument.split("=")[0] not in known:
                self._refuse(argument.split("=")[0], known)
        values, unknown = self.parse_known_args(arguments)
        if unknown:
            self._refuse(unknown[0], known)
        flags = {action.dest: flag for flag, action in known.items()}
        for name, value in vars(values).items():
            setattr(values, name, _complete(value, flags.get(name, name)))
        return values

    def _refuse(self, flag: str, known: Iterable[str]) -> NoReturn:
        near = did_you_mean(flag, known) if flag.startswith("-") else ""
        raise InputError(f"no such flag{near or f'; see `{self.prog} --help`'}", flag=flag)


def _complete(value: Any, flag: str) -> Any:
    """The value of a flag: `~` in a path is replaced, a model of the Hub fetched, a number that no array can hold refused."""
    if isinstance(value, list):
        return [_complete(one, flag) for one in value]
    if isinstance(value, int):
        require_least(flag, value, -(2**63), bits=63)
    if isinstance(value, ModelName):
        return locate(value, _say)
    return user_path(value) if isinstance(value, Path) else value


def _flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, argparse.Action]:
    """The flags of a parser and of the subcommand in use."""
    flags: dict[str, argparse.Action] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in arguments[:1]:
                flags |= _flags(action.choices[name], ()) if name in action.choices else {}
        flags |= dict.fromkeys(action.option_strings, action)
    return flags


def _rename_flags(arguments: Sequence[str], known: Mapping[str, argparse.Action]) -> list[str]:
    """Replace old names of flags, and of their values, by the current ones; print each new name once."""
    renamed, last = [], ""
    for argument in arguments:
        flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        new = new_flag(flag)
        if flag not in known and new in known:
            _say(f"{flag} is now {new}")
            flag = new
        last = flag or last
        action = known.get(last)
        if (equals or not flag) and action and action.choices and value not in action.choices and new_value(last, value):
            _say(f"{last} {value} is now {last} {new_value(last, value)}")
            value = new_value(last, value)
        renamed.append(f"{flag}{equals}{value}")
    return renamed


def _say(line: str) -> None:
    if is_first_process():
        print(line, file=sys.stderr)


def add_settings(parser: argparse.ArgumentParser, preset: Config | None, without: Sequence[str] = ()) -> None:
    """Add a flag for every setting, in the groups of the settings; the help shows the preset's value as its default.

    Args:
        preset: the preset whose values are the defaults; None if they come from a checkpoint.
        without: settings that have no flag here.
    """
    whose = "the preset, whose values are the defaults shown" if preset else "the recipe and the checkpoint's settings"
    parser.add_argument_group("settings", f"each overrides {whose}")
    groups = {section: parser.add_argument_group(title) for section, title in SECTIONS.items()}
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
        groups[section].add_argument(f"--{name.replace('_', '-')}", **options)


_METAVARS = {int: "N", float: "X", str: "TEXT"}


def _format_default(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value == "" else value


def chosen_settings(values: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags."""
    return {setting.name: getattr(values, setting.name) for setting in settings() if setting.name in values}


def add_model_flag(parser: argparse.ArgumentParser, default: str = NEWEST, *, several: bool = False) -> None:
    """Add the flag --checkpoint.

    Args:
        default: what is taken without it, for the help.
        several: whether it takes several, which vote together.
    """
    help_text = (
        f"a checkpoint, a run's folder or hf://OWNER/NAME{'; several vote together' if several else ''} (default: {default})"
    )
    parser.add_argument("--checkpoint", type=ModelName, nargs="+" if several else None, help=help_text)


def add_view_flags(parser: argparse.ArgumentParser, views: int | None, checkpoint: str = NEWEST) -> None:
    """Add flags for the views of test inputs, and for the checkpoints that vote; see `chosen_inference`.

    Args:
        views: the default number; None: by the kind of puzzle.
        checkpoint: what is taken without --checkpoint, for the help.
    """
    flag = parser.add_argument
    add_model_flag(parser, checkpoint, several=True)
    default = "" if views else " (default: 1000 for ARC, 1 for Sudoku and mazes)"
    flag("--views", type=int, default=views, help=f"maximum number of augmented views of a test input per checkpoint{default}")
    flag("--pool-checkpoints", type=int, default=1, metavar="N", help="the newest N checkpoints of each run vote together")
    flag("--steps", type=int, help="supervision steps (default: the answer_steps of the run)")
    batch = "rollouts of views at a time; halved when memory runs out"
    flag("--batch-size", type=int, default=DEFAULT.batch_size, help=batch)
    canvas = "canvas of a view: as in training, the whole board, the smallest square for all tasks, or by the visible sizes"
    flag("--canvas", choices=get_args(Canvas), default=DEFAULT.canvas, help=canvas)


def add_refinement_flags(parser: argparse.ArgumentParser) -> None:
    """Add flags for refinement at test time, besides --steps; see `chosen_inference`."""
    flag = parser.add_argument
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


def add_compile_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag for what is compiled to answer; see `chosen_inference`."""
    auto = f"{AUTO}: {BLOCK} on an accelerator with a compiler"
    fuse = f"use torch.compile on each {BLOCK} of the network, which takes some seconds for every canvas; {auto}"
    parser.add_argument("--compile", choices=(AUTO, BLOCK, NONE), default=DEFAULT.compile, help=fuse)


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Add flags for where the data is and where to compute."""
    add_data_flag(parser)
    add_device_flags(parser)


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Add flags for where to compute."""
    parser.add_argument("--device", default="auto", help="auto, cpu, or the name of an accelerator")
    parser.add_argument("--precision", default="auto", metavar="DTYPE", help=f"auto, {', '.join(PRECISIONS)}")


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag for where the data is."""
    parser.add_argument("--data-folder", type=Path, help=f"folder with the named task sets (default: ${DATA_VARIABLE})")


# --- training


def list_choices(choices: Mapping[str, str]) -> str:
    """Names and their descriptions, a line each, for the end of a help text."""
    return "\n".join(f"{name:16}  {text}" for name, text in choices.items())


def make_train_parser(preset: str = DEFAULT_PRESET) -> Parser:
    """The command line of `trm_arc.train`; its help shows the preset's values as defaults."""
    epilog = f"presets:\n{list_choices(PRESET_HELP)}"
    description = "Train a recursive model on ARC tasks, Sudoku or mazes."
    parser = Parser(prog="python -m trm_arc.train", description=description, epilog=epilog)
    chosen = f"settings to start from: one of those below, or a .toml file (default: {DEFAULT_PRESET})"
    parser.add_argument("--preset", metavar="NAME|FILE", help=chosen)
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
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
    flag = parser.add_argument
    flag("--resume", action="store_true", help="continue from the newest checkpoint in --out, with its settings")
    flag("--overwrite", action="store_true", help="replace the run in --out")
    flag("--dry-run", action="store_true", help="print what the run would do and cost, and stop")
    flag("--time-limit", metavar="TIME", help="save and stop after this time, such as 11h30m, 45m or 90s")
    flag("--fit", action="store_true", help="make the run, and its schedule, as long as the time limit allows")
    saving = "time or steps between checkpoints, such as 10m or 1000"
    flag("--save-every", default=f"{default.save_seconds / 60:.0f}m", metavar="WHEN", help=saving)
    flag("--keep", type=int, default=default.keep, metavar="N", help="number of checkpoints to keep")
    flag("--log-every", type=int, default=default.log_every, metavar="STEPS", help="steps between lines of metrics")
    flag("--evaluate-every", type=int, default=0, metavar="STEPS", help="score the averaged weights, keep the best (0: never)")
    views = f"views of a test input in those evaluations (default: {EVALUATE_VIEWS} for ARC, 1 for puzzles)"
    flag("--evaluate-views", type=int, metavar="N", help=views)
    flag("--pool-votes", action="store_true", help="also score the pooled votes of all evaluations since the program started")
    flag("--tensorboard", action="store_true", help="also write the metrics for TensorBoard (needs tensorboard)")
    flag(
        "--accumulation-steps",
        type=int,
        metavar="N",
        help="number of pieces that a batch is split into, to save memory (default: 1)",
    )
    skips = "stop after this many steps in a row without a finite loss"
    flag("--max-skips", type=int, default=Options().skips, metavar="N", help=skips)
    flag("--embeddings", choices=("device", "cpu"), default="device", help="where the task embeddings are kept")
    flag("--half-embeddings", action=argparse.BooleanOptionalAction, help="keep the task embeddings in bfloat16")
    flag("--export-size", metavar="SIZE", help="at the end, export the run in files of at most this size, such as 15MiB")
    what = {"nargs": "?", "const": STEP, "choices": (AUTO, STEP, BLOCK, NONE), "metavar": f"{AUTO}|{STEP}|{BLOCK}|{NONE}"}
    fuse = f"use torch.compile on each {BLOCK} (takes seconds), or on the whole {STEP} (minutes; the value if the flag has none)"
    auto = f"{AUTO}: {BLOCK} where there is a compiler; for training on a CPU long runs only"
    flag("--compile", **what, default=AUTO, help=f"{fuse}; {auto}")


def read_run_flags(values: argparse.Namespace, out: Path, started: float | None, *, fit: bool = False) -> RunConfig:
    """The settings in the flags of `add_run_flags`.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.
        fit: whether a run with a time limit is as long as the limit allows, even without the flag.

    Raises:
        InputError: a value is out of its range, or does nothing.
    """
    for name in ("keep", "log_every", "accumulation_steps", "max_skips", "evaluate_views"):
        require_least(name, getattr(values, name))
    require_least("evaluate_every", values.evaluate_every, 0)
    for name in ("pool_votes", "evaluate_views"):
        if getattr(values, name) and not values.evaluate_every:
            raise InputError("does nothing without --evaluate-every", flag=f"--{name.replace('_', '-')}")
    if values.fit and not values.time_limit:
        raise InputError("does nothing without --time-limit", flag="--fit")
    if values.fit and {"steps", "epochs"} & chosen_settings(values).keys():
        raise InputError("takes the number of steps from the time limit; leave out --steps and --epochs", flag="--fit")
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
        fit=values.fit or (fit and limit is not None),
    )
    same = ("resume", "overwrite", "dry_run", "evaluate_views", "pool_votes", "tensorboard")
    return RunConfig(out=out, export_size=export_size, loop=loop, **{name: getattr(values, name) for name in same})


def choose_options(values: argparse.Namespace, checkpoint: "Checkpoint | None") -> tuple["Device", Options]:
    """Where and how a run computes: by its flags, else as before if it continues from a checkpoint.

    Raises:
        InputError: a device or precision that is not available.
    """
    from trm_arc.common.device import find_device
    from trm_arc.model.compiling import choose_compile_mode

    precision, why, before = values.precision, "asked for", None
    if checkpoint is not None:  # each of these rounds differently, so a run that changes one does not continue exactly
        before = checkpoint.metadata
        if precision == "auto":
            precision, why = before.precision, "as before"  # whatever the default on this machine
    device = find_device(values.device, precision, why)
    seconds = math.inf if values.time_limit is None else parse_duration(values.time_limit, "--time-limit")
    compiled = choose_compile_mode(values.compile, device.device, before and before.compile_mode, seconds, None)
    before = before or Options()
    options = Options(
        compiled.mode,
        before.accumulation if values.accumulation_steps is None else values.accumulation_steps,
        values.embeddings == "cpu",
        before.half_embeddings if values.half_embeddings is None else values.half_embeddings,
        values.max_skips,
        compiled.falls_back,
    )
    return compiled.annotate(device), options
