"""The parser of all command lines: a short help and a whole one, errors as one sentence, flags under their old names."""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from trm_arc.common.errors import InputError, did_you_mean, require_least
from trm_arc.common.launch import check_threads, command_line
from trm_arc.common.output import say
from trm_arc.common.paths import parse_path, refuse_unreadable, user_path
from trm_arc.common.text import printable
from trm_arc.config.old_names import new_flag, new_value
from trm_arc.model.locate import ModelName, locate

_DIGITS = 4000  # of a number; Python reads some more


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Show every default but no value and flags that are off.  Keep the lines of descriptions.

    Attributes:
        brief: the flags to show; empty: all.
    """

    brief: Sequence[str] = ()

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=27)

    def add_argument(self, action: argparse.Action) -> None:
        """Add a flag, if it is one of those to show."""
        if not (self.brief and action.option_strings) or {*self.brief} & {*action.option_strings}:
            super().add_argument(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        return "\n".join(line if len(line) <= width else fill(line, width, indent) for line in text.splitlines())

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "", []) else super()._get_help_string(action)


class _HelpAll(argparse.Action):
    """The flag --help-all."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.brief = ()
        parser.print_help()
        parser.exit()


class Parser(argparse.ArgumentParser):
    """An argument parser that raises InputError and suggests the nearest flag for one that it does not know.

    Args:
        prog: `python -m` and the command; help and errors name it as this program was started, see `command_line`.
        brief: the flags that --help shows, by spaces; --help-all shows all.  Without any, so does --help.
        appendix: text at the end of the help of all flags.
    """

    def __init__(self, *, prog: str, brief: str = "", appendix: str = "", **options: Any) -> None:
        options.setdefault("formatter_class", _Help)
        options.setdefault("usage", "%(prog)s [options]")  # argparse would list forty flags before the first word
        self.brief, self.appendix = tuple(brief.split()), appendix
        super().__init__(prog=command_line(prog), allow_abbrev=False, exit_on_error=False, **options)
        self.register("type", Path, parse_path)
        self.register("type", int, parse_whole)
        self.register("type", float, parse_number)
        if self.add_help:
            self.add_argument(
                "--help-all", action=_HelpAll, nargs=0, help="show all flags and exit" if brief else argparse.SUPPRESS
            )

    def group(self, title: str) -> Callable[..., argparse.Action]:
        """`add_argument` of the group of flags with this title, which is made if there is none."""
        found = next((group for group in self._action_groups if group.title == title), None)
        return (found or self.add_argument_group(title)).add_argument

    def format_help(self) -> str:
        """The help: of the brief flags, if there are any, else of all."""
        self._action_groups.sort(key=lambda group: group is self._optionals)  # --help comes last
        formatter = self._get_formatter()
        formatter.add_text("" if self.brief else self.appendix)
        return super().format_help() + "\n" * bool(self.appendix and not self.brief) + formatter.format_help()

    def _get_formatter(self) -> argparse.HelpFormatter:
        formatter = super()._get_formatter()
        formatter.brief = self.brief and ("--help", "--help-all", *self.brief)
        return formatter

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise InputError(f"{printable(message, 400)}; see `{self.prog} --help`")

    def parse_known_args(self, *arguments: Any, **options: Any) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but an error says which flag it is about."""
        try:
            return super().parse_known_args(*arguments, **options)
        except argparse.ArgumentError as error:
            if not (error.argument_name or "").startswith("-"):
                self.error(str(error))
            problem = f"{printable(error.message, 400)}; see `{self.prog} --help`"
            raise InputError(problem, flag=error.argument_name.split("/")[0]) from None

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; renamed flags are also accepted under their old names.

        Raises:
            InputError: a flag or value is not known; the nearest flag is named.  Or the environment has what no library takes.
        """
        check_threads()
        refuse_unreadable(arguments)
        command = self._find_command(arguments)
        known = {flag: action for parser in (self, command) for action in parser._actions for flag in action.option_strings}
        arguments = _rename_flags(arguments, known, re.split("[ .]", command.prog)[-1])
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

    def _find_command(self, arguments: Sequence[str]) -> "Parser":
        """The parser of the subcommand in use; without one, this parser."""
        kinds = [action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        return next((choices[name] for choices in kinds for name in arguments[:1] if name in choices), self)

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
        try:
            return locate(value, say)
        except InputError as error:
            raise error.of_flag(flag) from None
    return user_path(value) if isinstance(value, Path) else value


def parse_whole(text: str) -> int:
    """A whole number on a command line, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    text = text.strip()
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"a whole number is needed, got {printable(text, 40)!r}")
    if len(text) > _DIGITS:
        raise argparse.ArgumentTypeError(f"too many digits: {printable(text, 40)}")
    return int(text)


def parse_number(text: str) -> float:
    """A number on a command line, for argparse; settings refuse those that are not finite.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return float(text if text.isascii() and "_" not in text else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number is needed, got {printable(text, 40)!r}") from None


def _rename_flags(arguments: Sequence[str], known: Mapping[str, argparse.Action], command: str) -> list[str]:
    """Replace old names of a command's flags, and of their values, by the current ones; print each new name once."""
    renamed, last = [], ""
    for argument in arguments:
        flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        new = new_flag(flag, command)
        if flag not in known and new in known:
            say(f"{flag} is now {new}")
            flag = new
        last = flag or last
        action = known.get(last)
        if (equals or not flag) and action and action.choices and value not in action.choices and new_value(last, value):
            say(f"{last} {value} is now {last} {new_value(last, value)}")
            value = new_value(last, value)
        renamed.append(f"{flag}{equals}{value}")
    return renamed
