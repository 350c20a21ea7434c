"""What all command lines share: flags from settings, errors as one sentence, exit code 2."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from trm_arc.common.device import PRECISIONS, is_out_of_memory
from trm_arc.common.distributed import leave_processes
from trm_arc.common.durations import note_start
from trm_arc.common.errors import InputError, OwnError
from trm_arc.common.text import printable
from trm_arc.config import VIEW_WINDOWS, Config, settings
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.inference.config import DEFAULT, InferenceConfig

RUNS = Path("runs")  # where runs lie, if a command names none


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
    """Flags for the views of test inputs, and for the checkpoints that vote; see `chosen_inference`.

    Args:
        views: how many by default; None: by the kind of puzzle.
    """
    flag = parser.add_argument
    default = "" if views else " (default: 1000 of ARC, 1 of Sudoku and mazes)"
    flag("--views", type=int, default=views, help=f"augmented views of a test input by a checkpoint at most{default}")
    flag("--pool-checkpoints", type=int, default=1, metavar="N", help="the newest N checkpoints of each run vote together")
    flag("--steps", type=int, help="supervision steps (default: as many as in training)")
    batch = "rollouts of views at a time; halved when the memory is not enough"
    flag("--batch-size", type=int, default=DEFAULT.batch_size, help=batch)
    canvas = "canvas of a view: as in training, the whole board, or by the sizes that are visible"
    flag("--window", dest="canvas", choices=VIEW_WINDOWS, default=DEFAULT.canvas, help=canvas)


def add_refinement_flags(parser: argparse.ArgumentParser) -> None:
    """Flags for refinement at test time, beside --steps; see `chosen_inference`."""
    flag = parser.add_argument
    rollouts = "noisy attempts at a view; the halting head picks one"
    flag("--rollouts", type=int, default=DEFAULT.rollouts, metavar="K", help=rollouts)
    noise = f"noise on the states of all but the first (default: {DEFAULT.noise})"
    flag("--rollout-noise", dest="noise", type=float, metavar="STD", help=noise)
    patience = "stop a rollout when its answer has not changed for N steps (0: never)"
    flag("--patience", type=int, default=DEFAULT.patience, metavar="N", help=patience)


def chosen_inference(values: argparse.Namespace) -> InferenceConfig:
    """What the flags for views and refinement say, as many of them as a command has.

    Raises:
        InputError: a value is out of its range, or does nothing.
    """
    names = {field.name for field in fields(InferenceConfig)}
    config = InferenceConfig(**{name: value for name, value in vars(values).items() if name in names and value is not None})
    if config.rollouts == 1 and getattr(values, "noise", None) is not None:
        raise InputError("does nothing without --rollouts 2 or more", flag="--rollout-noise")
    return config


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
    note_start()
    try:
        code = main(sys.argv[1:])
        if leave_processes():  # all is saved; ending as usual, a program may be aborted by the threads of its talk
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
