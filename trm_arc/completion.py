"""The completion script of a shell: python -m trm_arc.completion bash"""

from collections.abc import Sequence

from trm_arc.cli import Parser
from trm_arc.command_line.completion import PLACES, SHELLS
from trm_arc.common.output import print_styled
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed


def make_parser() -> Parser:
    """The command line."""
    places = "\n".join(f"  trm-arc completion {shell} > {place}" for shell, place in PLACES.items())
    parser = Parser(
        prog="python -m trm_arc.completion",
        usage="%(prog)s SHELL",
        description="Print a script by which a shell completes the commands of trm-arc, their flags and known values. Save it "
        f"where the shell looks for it, in a folder that exists, and open a new shell:\n\n{places}\n\n"
        "For zsh, the line `fpath+=~/.zfunc` has to be in ~/.zshrc before `compinit`.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SHELLS), help=", ".join(SHELLS))
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, print."""
    values = make_parser().parse(arguments)
    print_styled("\n".join(SHELLS[values.shell]()))
    return require_printed()


if __name__ == "__main__":
    run(main)
