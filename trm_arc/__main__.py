"""All commands under one name: trm-arc COMMAND, or python -m trm_arc COMMAND

A command is imported only when it is run, as most import torch, which takes seconds.
"""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import trm_arc
from trm_arc.command_line.commands import COMMANDS, format_help, suggest_command
from trm_arc.common.errors import InputError
from trm_arc.common.failures import explain_loading
from trm_arc.common.launch import PROGRAMS
from trm_arc.common.text import printable


def main() -> None:
    """Run the command that is typed, as `python -m` runs its module."""
    sys.argv[0] = PROGRAMS[Path(sys.argv[0]).name == "__main__.py"]  # by which help and messages name it
    explain_loading()
    command = COMMANDS.get("".join(sys.argv[1:2]))
    if command is None:
        from trm_arc.common.program import run

        run(answer)
    sys.argv[1:2] = filter(None, [command.subcommand])
    runpy.run_module(command.module, run_name="__main__")


def answer(arguments: Sequence[str]) -> int:
    """Answer what is not a command: a flag, or nothing.

    Raises:
        InputError: there is no such flag or command; the nearest is named.
    """
    from trm_arc.common.streams import require_printed

    first = arguments[0] if arguments else "--help"
    if first == "--version":
        print(f"trm_arc {trm_arc.__version__}")
    elif first in ("-h", "--help", "--help-all", "help"):
        print(format_help(sys.argv[0]))
    elif first.startswith("-"):
        raise InputError(f"no such flag before a command; see `{sys.argv[0]} --help`", flag=printable(first, 40))
    else:
        advice = suggest_command(first) or f"; see `{sys.argv[0]} --help`"
        raise InputError(f"{printable(first, 40) or repr(first)} is not a command{advice}")
    return require_printed()


if __name__ == "__main__":
    main()
