"""Adapt a trained model to unseen tasks, by their demonstration pairs: python -m trm_arc.adapt --checkpoint C --challenges F"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trm_arc.api.runs import run_adaptation
from trm_arc.cli import (
    RUN_BRIEF,
    Parser,
    add_machine_flags,
    add_model_flag,
    add_run_flags,
    add_settings,
    chosen_settings,
    list_choices,
    read_machine,
    read_run_flags,
)
from trm_arc.common.deadline import program_start
from trm_arc.common.program import run
from trm_arc.config import PRESET_HELP, RECIPE_HELP, RECIPES
from trm_arc.data.domains.arc import ARC


def make_parser() -> Parser:
    """The command line."""
    choices = f"recipes:\n{list_choices(RECIPE_HELP)}\n\npresets:\n{list_choices(PRESET_HELP)}"
    description = (
        "Adapt a trained model to unseen tasks, by training on their demonstration pairs; hidden outputs are not read. "
        "Defaults are those of the recipe and of the checkpoint."
    )
    brief = f"{RUN_BRIEF} --checkpoint --challenges --recipe"
    parser = Parser(prog="python -m trm_arc.adapt", description=description, brief=brief, appendix=choices)
    flag = parser.group("input")
    flag("--challenges", metavar="SET", help="tasks to adapt to: a challenges file, or any task set by name or path")
    add_model_flag(parser, "none, from scratch")
    flag("--recipe", choices=tuple(RECIPES), default="own", metavar="NAME", help=f"how to adapt: {', '.join(RECIPES)}")
    flag("--preset", metavar="NAME|FILE", help="without a checkpoint: settings to start from, as for train")
    flag(
        "--start",
        choices=("mean", "zero"),
        default="mean",
        help="initial value of the task embeddings: the mean of the trained ones, or 0",
    )
    parser.group("output")("--out", type=Path, default=Path("runs/adapted"), metavar="DIR", help="folder of the adapted run")
    add_run_flags(parser)
    add_machine_flags(parser)
    add_settings(parser, None, without=("evaluation_data", *ARC.unused))
    return parser


def main(arguments: Sequence[str], started: float | None = None) -> int:
    """Parse, run.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.
    """
    values = make_parser().parse(arguments)
    given = chosen_settings(values)
    settings = read_run_flags(values, values.out, started)
    chosen = {"recipe": values.recipe, "start": values.start, "preset": values.preset}
    run_adaptation(settings, read_machine(values), values.checkpoint, values.challenges, given, **chosen)
    return 0


if __name__ == "__main__":
    run(partial(main, started=program_start()))
