"""What all command lines share: flags for settings, errors as one sentence, exit code 2."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from trm_arc.common.device import PRECISIONS, is_out_of_memory
from trm_arc.common.distributed import leave_processes
from trm_arc.common.durations import note_start
from trm_arc.common.errors import InputError, OwnError
from trm_arc.common.text import printable
from trm_arc.config import SECTIONS, VIEW_WINDOWS, Config, settings
from trm_arc.config.old_names import new_flag, new_value
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.inference.refinement import Thinking


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Show every default but no value and flags that are off.  Keep the lines of descriptions."""

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
        """Raise instead of printing the whole usage."""
        raise InputError(f"{message}; see `{self.prog} --help`")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; flags that were renamed are taken under their old names, too.

        Raises:
            InputError: a flag or value is not known; the nearest flag is named.
        """
        known = _flags(self, arguments)
        arguments = _rename_flags(arguments, known)
        for argument in arguments:  # before argparse: it would first complain of what is missing
            if argument.startswith("--") and argument.split("=")[0] not in known:
                self._refuse(argument.split("=")[0], known)
        values, unknown = self.parse_known_args(arguments)
        if unknown:
            self._refuse(unknown[0], known)
        return values

    def _refuse(self, flag: str, known: Iterable[str]) -> NoReturn:
        near = difflib.get_close_matches(flag, list(known), 1, 0.6) if flag.startswith("-") else []
        advice = f"did you mean {near[0]}?" if near else f"see `{self.prog} --help`"
        raise InputError(f"{flag}: no such flag; {advice}")


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
    """Put today's names for flags, and values of flags, that have old ones; say so, once for each."""
    renamed, last = [], ""
    for argument in arguments:
        flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        new = new_flag(flag)
        if flag not in known and new in known:
            _say_renamed(flag, new)
            flag = new
        last = flag or last
        action = known.get(last)
        if (equals or not flag) and action and action.choices and value not in action.choices and new_value(last, value):
            _say_renamed(f"{last} {value}", f"{last} {new_value(last, value)}")
            value = new_value(last, value)
        renamed.append(f"{flag}{equals}{value}")
    return renamed


def _say_renamed(old: str, new: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one of several processes is enough
        print(f"{old} is now {new}", file=sys.stderr)


def add_settings(parser: argparse.ArgumentParser, preset: Config | None, without: Sequence[str] = ()) -> None:
    """A flag for every setting, in the groups of the settings; its default in the help is the preset's.

    Args:
        preset: whose values are the defaults; None if they are a checkpoint's.
        without: settings that have no flag here.
    """
    whose = "the preset, whose values are the defaults shown" if preset else "the recipe and the checkpoint's settings"
    parser.add_argument_group("settings", f"each overrides {whose}")
    groups = {section: parser.add_argument_group(title) for section, title in SECTIONS.items()}
    defaults = preset.values() if preset else {}
    for name, section, kind, help_text in settings():
        if name in without:
            continue
        described = f"{help_text} (default: {_show_default(defaults[name])})" if preset else help_text
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": described.replace("%", "%%")}
        if get_origin(kind) is Literal:
            options |= {"choices": get_args(kind)}
        elif kind is bool:
            options |= {"action": argparse.BooleanOptionalAction}
        else:
            options |= {"type": kind, "metavar": _METAVARS[kind]}
        groups[section].add_argument(f"--{name.replace('_', '-')}", **options)


_METAVARS = {int: "N", float: "X", str: "TEXT"}


def _show_default(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value == "" else value


def chosen_settings(values: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags."""
    return {setting.name: getattr(values, setting.name) for setting in settings() if setting.name in values}


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
    """Flags for where the data lies and where to compute."""
    add_data_flag(parser)
    add_device_flags(parser)


def add_device_flags(parser: argparse.ArgumentParser) -> None:
    """Flags for where to compute."""
    parser.add_argument("--device", default="auto", help="auto, cpu, or the name of an accelerator")
    parser.add_argument("--precision", default="auto", metavar="DTYPE", help=f"auto, {', '.join(PRECISIONS)}")


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """The flag for where the data lies."""
    parser.add_argument("--data-folder", type=Path, help=f"folder with the named task sets (default: ${DATA_VARIABLE})")


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Run a command, which takes its arguments: exit with its code, or 2 and one sentence if the user's input was wrong."""
    note_start()
    try:
        code = main(sys.argv[1:])
        if leave_processes():  # all is saved; a regular exit may be aborted by the process group's threads
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    except InputError as error:
        # A wrong input is wrong for all processes of a machine, so only the first one prints it.
        if os.environ.get("LOCAL_RANK", "0") == "0" or isinstance(error, OwnError):
            print(f"{_prefix()}error: {printable(str(error))}", file=sys.stderr)
        code = 2
    except MemoryError:
        print(f"{_prefix()}error: not enough memory; lower --batch-size, --width, --views or --augmentations", file=sys.stderr)
        code = 2
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise  # a bug, which needs its traceback
        print(f"{_prefix()}error: not enough memory; lower --batch-size or --width", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python prints an error when it exits
        code = 141
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    sys.exit(code)


def _prefix() -> str:
    """Which process prints, if it is not the first."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"process {rank}: "
