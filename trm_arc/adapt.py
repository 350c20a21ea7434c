"""Adapt a trained model to unseen tasks, by their demonstration pairs: python -m trm_arc.adapt --checkpoint C --challenges F"""

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from trm_arc.cli import (
    RUN_BRIEF,
    Parser,
    add_machine_flags,
    add_model_flag,
    add_run_flags,
    add_settings,
    choose_options,
    chosen_settings,
    list_choices,
    read_run_flags,
)
from trm_arc.common.deadline import program_start
from trm_arc.common.device import find_device
from trm_arc.common.distributed import find_process_group
from trm_arc.common.errors import InputError
from trm_arc.common.program import run
from trm_arc.config import PRESET_HELP, RECIPE_HELP, RECIPES, load_preset
from trm_arc.data.domains.arc import ARC
from trm_arc.evaluation.monitor import make_watchers
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.training.adaptation import adaptation_config, require_arc
from trm_arc.training.build import Built, build_trainer
from trm_arc.training.run import carry_out, load_resumed
from trm_arc.training.state import init_from, load_state


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


def check(values: Namespace) -> None:
    """Raise InputError unless the flags name what to adapt, and to which tasks."""
    require_arc([values.checkpoint] if values.checkpoint else (), values.preset, values.challenges)
    if not values.resume and not values.challenges:
        raise InputError("name the tasks to adapt to", flag="--challenges")
    if not values.resume and (values.checkpoint is None) == (values.preset is None):
        raise InputError("is for a trained model, --preset for training from scratch: give only one of them", flag="--checkpoint")


def main(arguments: Sequence[str], started: float | None = None) -> int:
    """Parse, build, run.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.
    """
    values = make_parser().parse(arguments)
    check(values)
    given = chosen_settings(values)
    settings = read_run_flags(values, values.out, started, fit="steps" not in given)
    processes = find_process_group(cpu=find_device(values.device, values.precision).device.type == "cpu")

    def build() -> Built:
        resumed, damaged = load_resumed(settings, processes)
        base = load_checkpoint(values.checkpoint) if values.checkpoint and resumed is None else None
        if resumed is not None:
            config = resumed.config
        else:
            source = load_preset(values.preset) if base is None else base.config
            config = adaptation_config(source, values.recipe, values.challenges, trained=base is not None)
        device, options = choose_options(values, resumed)
        config = config.override(given)
        trainer, tasks, notes = build_trainer(config, values.data_folder, device, processes, options, fitting=True)
        if resumed is not None:
            load_state(trainer, resumed)
            notes += [*damaged, f"resumed at step {trainer.step}"]
        elif base is not None:
            init_from(trainer, base, from_zero=values.start == "zero")
            notes.append(f"adapting {base.where}, step {base.step}, by the recipe {values.recipe}")
        else:
            notes.append(f"from scratch, by the preset {values.preset} and the recipe {values.recipe}")
        return trainer, tasks, notes

    carry_out(settings, processes, build, make_watchers)
    return 0


if __name__ == "__main__":
    run(partial(main, started=program_start()))
