"""Completion scripts for shells, made from the parsers of all commands, whose flags and their values are written into them."""

import argparse
import importlib
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from trm_arc.command_line.commands import COMMANDS
from trm_arc.command_line.parser import Parser
from trm_arc.common.launch import PROGRAMS
from trm_arc.common.modes import PRECISIONS
from trm_arc.config import PRESETS
from trm_arc.data.puzzle_sources import PUBLIC
from trm_arc.data.sources import SOURCE_NAMES
from trm_arc.model.locate import list_networks

# Where the parser of a program is made, if it is not `make_parser` of the module itself.
_PARSERS = {
    "trm_arc.train": "trm_arc.cli:make_train_parser",
    "trm_arc.report": "trm_arc.report.__main__:make_parser",
    "submission": "submission.cli:make_parser",
}
_PROGRAM = PROGRAMS[0]


class Flag(NamedTuple):
    """A flag of a command, or a value without a flag.

    Attributes:
        name: with its dashes; empty for a value without a flag.
        what: its help, in a line.
        takes: whether a value follows.
        words: the values that are known.
        files: whether a value may be a file or folder.
    """

    name: str
    what: str
    takes: bool
    words: tuple[str, ...]
    files: bool


def find_parser(name: str) -> argparse.ArgumentParser:
    """The parser of a command."""
    command = COMMANDS[name]
    module, _, function = _PARSERS.get(command.module, f"{command.module}:make_parser").partition(":")
    parser: Parser = getattr(importlib.import_module(module), function)()
    if not command.subcommand:
        return parser
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return choices[command.subcommand]


def list_flags(name: str) -> list[Flag]:
    """The flags of a command, and its values without a flag."""
    sets = (*SOURCE_NAMES, *PUBLIC)
    known = {"preset": tuple(PRESETS), "checkpoint": tuple(list_networks()), "device": ("auto", "cpu"), "data": sets}
    known |= {"evaluation_data": sets, "challenges": sets, "solutions": sets, "precision": ("auto", *PRECISIONS)}
    flags = []
    for action in find_parser(name)._actions:
        words = tuple(action.choices or known.get(action.dest, ()))
        takes = action.nargs != 0
        files = takes and not action.choices and action.type not in (int, float) and action.dest not in ("device", "precision")
        what = "" if action.help in (None, argparse.SUPPRESS) else " ".join(action.help.split()).replace("%%", "%")
        long = [option for option in action.option_strings if option.startswith("--")]
        flags += [Flag(option, _shorten(what), takes, words, files) for option in (long or [""])]
    return flags


def _shorten(what: str, most: int = 70) -> str:
    what = re.split(r"; | \(default", what)[0]
    return what if len(what) <= most else f"{what[: most - 1].rsplit(' ', 1)[0]} ..."


def write_bash() -> Iterator[str]:
    """The lines of the script for bash."""
    yield "_trm_arc() {"
    yield '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD - 1]}" words=""'
    yield '    if [ "$word" = "=" ]; then word=""; elif [ "$before" = "=" ]; then before="${COMP_WORDS[COMP_CWORD - 2]}"; fi'
    yield f'    if [ "$COMP_CWORD" -eq 1 ]; then words="{" ".join(COMMANDS)} --help --version"; fi'
    yield '    case "${COMP_WORDS[1]} $before" in'
    flags = {name: list_flags(name) for name in COMMANDS}
    for name in COMMANDS:
        for flag in flags[name]:
            if flag.words and flag.name:
                yield f'        "{name} {flag.name}") words="{" ".join(flag.words)}" ;;'
    yield "    esac"
    yield '    if [ -z "$words" ]; then case "${COMP_WORDS[1]} $word" in'
    for name in COMMANDS:
        yield f'        "{name} -"*) words="{" ".join(flag.name for flag in flags[name] if flag.name)}" ;;'
        alone = [word for flag in flags[name] if not flag.name for word in flag.words]
        if alone:
            yield f'        "{name} "*) words="{" ".join(alone)}" ;;'
    yield "    esac; fi"
    yield '    COMPREPLY=($([ -z "$words" ] || compgen -W "$words" -- "$word"))'
    yield "}"
    yield f"complete -o default -F _trm_arc {_PROGRAM}"


def write_zsh() -> Iterator[str]:
    """The lines of the script for zsh."""
    yield f"#compdef {_PROGRAM}"
    yield '_trm_arc_values() { compadd -- "$@"; _files }'
    yield "_trm_arc() {"
    yield "    if (( CURRENT == 2 )); then"
    listed = " ".join(shlex.quote(f"{name}:{command.what}") for name, command in COMMANDS.items())
    yield f"        local -a commands=({listed})"
    yield "        _describe command commands"
    yield "        return"
    yield "    fi"
    yield "    local name=${words[2]}"
    yield "    shift words; (( CURRENT-- ))"
    yield "    case $name in"
    for name in COMMANDS:
        yield f"        {name}) _arguments \\"
        for flag in list_flags(name):
            what = re.sub(r"([\[\]:\\])", r"\\\1", flag.what)
            words = " ".join(flag.words)
            action = "_files" if flag.files else f"({words or ' '})"
            action = f"{{_trm_arc_values {words}}}" if words and flag.files else action
            if flag.name:
                yield f"            {shlex.quote(f'{flag.name}[{what}]' + (f':value:{action}' if flag.takes else ''))} \\"
            else:
                yield f"            {shlex.quote(f'*:value:{action}')} \\"
        yield "            && return ;;"
    yield "    esac"
    yield "}"
    yield f'if [ "${{funcstack[1]}}" = "_{_PROGRAM}" ]; then _trm_arc "$@"; else compdef _trm_arc {_PROGRAM}; fi'


def write_fish() -> Iterator[str]:
    """The lines of the script for fish."""
    yield f"complete -c {_PROGRAM} -f"
    for name, command in COMMANDS.items():
        yield f"complete -c {_PROGRAM} -n __fish_use_subcommand -a {name} -d {_quote_fish(command.what)}"
    for name in COMMANDS:
        here = f"complete -c {_PROGRAM} -n '__fish_seen_subcommand_from {name}'"
        for flag in list_flags(name):
            words = f" -a {_quote_fish(' '.join(flag.words))}" if flag.words else ""
            kind = (" -r -F" if flag.files else " -x") if flag.takes and flag.name else " -F" if flag.files else ""
            option = f" -l {flag.name.removeprefix('--')}" if flag.name else ""
            yield f"{here}{option}{kind}{words}" + (f" -d {_quote_fish(flag.what)}" if flag.name else "")


def _quote_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: dict[str, Callable[[], Iterator[str]]] = {"bash": write_bash, "zsh": write_zsh, "fish": write_fish}
# Where a shell looks for such a script.
PLACES = {
    "bash": Path("~/.local/share/bash-completion/completions", _PROGRAM),
    "zsh": Path("~/.zfunc", f"_{_PROGRAM}"),
    "fish": Path("~/.config/fish/completions", f"{_PROGRAM}.fish"),
}
