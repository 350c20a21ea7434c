"""What all command lines share: flags from settings, errors as one sentence, exit code 2."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from trm_arc.common.deadline import Deadline
from trm_arc.common.device import PRECISIONS, Device, find_device, is_out_of_memory
from trm_arc.common.distributed import leave_process_group
from trm_arc.common.durations import parse_duration, parse_size
from trm_arc.common.errors import InputError, OwnError, require_least
from trm_arc.common.text import printable
from trm_arc.config import PRESET_HELP, PRESETS, VIEW_WINDOWS, Config, settings
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.inference.refinement import Thinking
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.compiling import BLOCK, NONE, STEP, choose_compile_mode
from trm_arc.model.export import check_piece_size
from trm_arc.training.loop import EVALUATE_VIEWS, LoopConfig
from trm_arc.training.run import RunConfig
from trm_arc.training.trainer import Options

DEFAULT_PRESET = "arc1"


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Show every default but those that say nothing: no value, and flags that are off.  Keep the lines of descriptions."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(line if len(line) <= width else fill(line, width, indent) for line in text.splitlines())

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError and suggests the nearest flag for one that it does not know."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        options.setdefault("usage", "%(prog)s [options]")  # argparse would list forty flags before the first word
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage.

        Args:
            message: from argparse.
        """
        raise InputError(f"{message}; see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse, refusing flags that do not exist with the name of the nearest one.

        Args:
            arguments: without the program's name.

        Raises:
            InputError: a flag or value is not known.
        """
        known = _flags(self, arguments)
        for argument in arguments:  # before argparse: it would first complain of what is missing
            if argument.startswith("--") and argument.split("=")[0] not in known:
                self._refuse(argument.split("=")[0], known)
        values, unknown = self.parse_known_args(arguments)
        if unknown:
            self._refuse(unknown[0], known)
        return values

    def _refuse(self, flag: str, known: list[str]) -> NoReturn:
        near = difflib.get_close_matches(flag, known, 1, 0.6) if flag.startswith("-") else []
        advice = f"did you mean {near[0]}?" if near else f"see `{self.prog} --help`"
        raise InputError(f"{flag}: no such flag; {advice}")


def _flags(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """The flags of a parser and of the subcommand in use."""
    flags = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in arguments[:1]:
                flags += _flags(action.choices[name], ()) if name in action.choices else []
        flags += action.option_strings
    return flags


def add_settings(parser: argparse.ArgumentParser, preset: Config | None, without: Sequence[str] = ()) -> None:
    """A flag for every setting; its default in the help is the preset's.

    Args:
        parser: where to add.
        preset: whose values are the defaults; None if they are a checkpoint's.
        without: settings that have no flag here.
    """
    values = (preset or Config()).to_dict()
    whose = "the preset, whose values are the defaults shown" if preset else "the recipe and the checkpoint's settings"
    groups = {part: parser.add_argument_group(f"{part} settings", f"each overrides {whose}") for part in values}
    for part, name, kind, help_text in settings():
        if name in without:
            continue
        group = groups[part]
        flag = f"--{name.replace('_', '-')}"
        default = "none" if values[part][name] == "" else values[part][name]
        described = (f"{help_text} (default: {default})" if preset else help_text).replace("%", "%%")
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": described}
        if get_origin(kind) is Literal:
            group.add_argument(flag, choices=get_args(kind), **options)
        elif kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **options)
        else:
            group.add_argument(flag, type=kind, metavar=kind.__name__.upper(), **options)


def chosen_settings(values: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags."""
    return {name: getattr(values, name) for _, name, _, _ in settings() if name in values}


def add_view_flags(parser: argparse.ArgumentParser, views: int | None) -> None:
    """Flags for the views of test inputs, and for the checkpoints that vote.

    Args:
        parser: where to add.
        views: how many there are if the flag is left out; None: as is usual for what is answered.
    """
    flag = parser.add_argument
    usual = "" if views else " (default: 1000 of ARC, 1 of Sudoku and mazes)"
    flag("--views", type=int, default=views, help=f"augmented views of a test input by a checkpoint at most{usual}")
    flag("--pool-checkpoints", type=int, default=1, metavar="N", help="the newest N checkpoints of each run vote together")
    flag("--steps", type=int, help="supervision steps (default: as many as in training)")
    flag("--batch-size", type=int, default=256, help="rollouts of views at a time; halved when the memory is not enough")
    windows = "canvas of a view: as in training, the whole board, or by the sizes that are visible"
    flag("--window", choices=VIEW_WINDOWS, default="trained", help=windows)


def add_thinking_flags(parser: argparse.ArgumentParser) -> None:
    """Flags for thinking at test time, beside --steps.

    Args:
        parser: where to add.
    """
    usual, flag = Thinking(1), parser.add_argument
    flag("--rollouts", type=int, default=usual.rollouts, metavar="K", help="noisy attempts at a view; the halting head picks one")
    noise = f"noise on the states of all but the first (default: {usual.noise})"
    flag("--rollout-noise", type=float, metavar="STD", help=noise)
    settling = "stop a rollout when its answer has not changed for N steps (0: never)"
    flag("--patience", type=int, default=usual.patience, metavar="N", help=settling)


def chosen_thinking(values: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `add_thinking_flags` say, for `make_predictor`.

    Raises:
        InputError: one of them does nothing.
    """
    if values.rollout_noise is not None and values.rollouts == 1:
        raise InputError("does nothing without --rollouts 2 or more", flag="--rollout-noise")
    noise = Thinking(1).noise if values.rollout_noise is None else values.rollout_noise
    return {"rollouts": values.rollouts, "noise": noise, "patience": values.patience}


def add_machine_flags(parser: argparse.ArgumentParser) -> None:
    """Flags for where the data lies and where to compute.

    Args:
        parser: where to add.
    """
    add_data_flag(parser)
    add_device_flags(parser)


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Flags for where to compute.

    Args:
        parser: where to add.
    """
    parser.add_argument("--device", default="auto", help="auto, cpu, or the name of an accelerator")
    parser.add_argument("--precision", default="auto", metavar="DTYPE", help=f"auto, {', '.join(PRECISIONS)}")


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """The flag for where the data lies.

    Args:
        parser: where to add.
    """
    parser.add_argument("--data-folder", type=Path, help=f"folder with the named task sets (default: ${DATA_VARIABLE})")


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command: exit with its code, or 2 and one sentence if the user's input was wrong.

    Args:
        main: takes the arguments, returns the exit code.
    """
    try:
        code = main(sys.argv[1:])
        if leave_process_group():  # all is saved; a normal end may be aborted by threads of the group
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    except InputError as error:
        # What a user gave is wrong for all processes of a machine alike, so its first one speaks.
        if os.environ.get("LOCAL_RANK", "0") == "0" or isinstance(error, OwnError):
            print(f"{_speaker()}error: {printable(str(error))}", file=sys.stderr)
        code = 2
    except MemoryError:
        print(f"{_speaker()}error: not enough memory; lower --batch-size, --width, --views or --augmentations", file=sys.stderr)
        code = 2
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise  # a defect of ours, which deserves its traceback
        print(f"{_speaker()}error: not enough memory; lower --batch-size or --width", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # who read what is printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
        code = 141
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    sys.exit(code)


def _speaker() -> str:
    """Which process speaks, if it is not the first."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"process {rank}: "


# --- training


def list_choices(choices: Mapping[str, str]) -> str:
    """Names and what they are, a line each, for the end of a help text."""
    return "\n".join(f"{name:16}  {text}" for name, text in choices.items())


def make_train_parser(preset: str = DEFAULT_PRESET) -> Parser:
    """The command line of `trm_arc.train`; its help shows the preset's values as defaults."""
    epilog = f"presets:\n{list_choices(PRESET_HELP)}"
    description = "Train a recursive model on ARC tasks, Sudoku or mazes."
    parser = Parser(prog="python -m trm_arc.train", description=description, epilog=epilog)
    chosen = f"settings to start from, see below (default: {DEFAULT_PRESET})"
    parser.add_argument("--preset", choices=tuple(PRESETS), metavar="NAME", help=chosen)
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
    add_run_flags(parser)
    add_machine_flags(parser)
    add_settings(parser, PRESETS[preset])
    return parser


def parse_train_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line of `trm_arc.train`.

    Raises:
        InputError: a flag or value is not known.
    """
    named = Parser(prog="python -m trm_arc.train", add_help=False)
    named.add_argument("--preset", default=DEFAULT_PRESET)
    preset = named.parse_known_args(arguments)[0].preset
    return make_train_parser(preset if preset in PRESETS else DEFAULT_PRESET).parse(arguments)


def add_run_flags(parser: Parser) -> None:
    """Flags of commands that train: how a run goes on, stops, saves and computes."""
    default = LoopConfig()
    flag = parser.add_argument
    flag("--resume", action="store_true", help="go on from the newest checkpoint in --out, with its settings")
    flag("--overwrite", action="store_true", help="replace the run in --out")
    flag("--dry-run", action="store_true", help="print what the run would do and cost, and stop")
    flag("--time-limit", metavar="TIME", help="save and stop after so long, as 11h30m, 45m or 90s")
    flag("--fit", action="store_true", help="make the run, and its schedule, as long as the time limit allows")
    saving = "steps or time between checkpoints, as 1000 or 10m"
    flag("--save-every", default=str(default.save_every), metavar="WHEN", help=saving)
    flag("--keep", type=int, default=default.keep, metavar="N", help="checkpoints kept")
    flag("--log-every", type=int, default=default.log_every, metavar="STEPS", help="steps between lines of metrics")
    flag("--evaluate-every", type=int, default=0, metavar="STEPS", help="score the averaged weights, keep the best (0: never)")
    views = f"views of a test input in those evaluations (default: {EVALUATE_VIEWS} of ARC, 1 of puzzles)"
    flag("--evaluate-views", type=int, metavar="N", help=views)
    flag("--pool-votes", action="store_true", help="score the votes of all evaluations since the program began together, too")
    flag("--tensorboard", action="store_true", help="write the metrics for TensorBoard, too (needs tensorboard)")
    flag("--accumulation-steps", type=int, metavar="N", help="pieces in which a batch is gone through (default: 1)")
    skips = "stop after so many steps in a row without a finite loss"
    flag("--max-skips", type=int, default=Options().skips, metavar="N", help=skips)
    flag("--embeddings", choices=("device", "cpu"), default="device", help="where the task embeddings lie")
    flag("--half-embeddings", action=argparse.BooleanOptionalAction, help="keep the task embeddings in bfloat16")
    flag("--export-size", metavar="SIZE", help="at the end, write the run in pieces under a size, as 15MiB")
    what = {"nargs": "?", "const": STEP, "choices": (STEP, BLOCK, NONE), "metavar": f"{STEP}|{BLOCK}|{NONE}"}
    fuse = f"compile each {BLOCK} by torch.compile (seconds at first), or the whole {STEP} (minutes; if nothing is named)"
    flag("--compile", **what, help=fuse)


def read_run_flags(values: argparse.Namespace, out: Path, started: float | None, *, fit: bool = False) -> RunConfig:
    """What the flags of `add_run_flags` say.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.
        fit: whether a run with a time limit is as long as that allows, if no flag says so.

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
        raise InputError("lets the time limit say how many steps there are; leave --steps and --epochs out", flag="--fit")
    limit = parse_duration(values.time_limit) if values.time_limit else None
    export_size = parse_size(values.export_size) if values.export_size else 0
    if export_size:
        check_piece_size(export_size)
    by_steps = values.save_every.isdecimal()
    if by_steps:
        require_least("save_every", int(values.save_every))
    loop = LoopConfig(
        save_every=int(values.save_every) if by_steps else 1,
        save_seconds=None if by_steps else parse_duration(values.save_every),
        keep=values.keep,
        log_every=values.log_every,
        evaluate_every=values.evaluate_every,
        deadline=Deadline(limit) if started is None else Deadline(limit, started),
        fit=values.fit or (fit and limit is not None),
    )
    resume, overwrite, dry_run = values.resume, values.overwrite, values.dry_run
    return RunConfig(out=out, resume=resume, overwrite=overwrite, dry_run=dry_run, export_size=export_size, loop=loop)


def choose_options(values: argparse.Namespace, checkpoint: Checkpoint | None) -> tuple[Device, Options]:
    """Where and how a run computes: by its flags, else as before if it goes on from a checkpoint.

    Raises:
        InputError: a device or precision that is not available.
    """
    precision, why, before = values.precision, "asked for", Options()
    if checkpoint is not None:  # each of these rounds otherwise, so a run that changes it does not go on exactly
        before = checkpoint.metadata
        if precision == "auto":
            precision, why = before.precision, "as before"  # whatever this machine would choose
    options = Options(
        choose_compile_mode(values.compile, before.compile_mode),
        before.accumulation if values.accumulation_steps is None else values.accumulation_steps,
        values.embeddings == "cpu",
        before.half_embeddings if values.half_embeddings is None else values.half_embeddings,
        values.max_skips,
    )
    return find_device(values.device, precision, why), options
