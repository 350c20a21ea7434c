"""Adapt a trained model to unseen tasks, by their demonstration pairs: python -m trm_arc.adapt --checkpoint C --challenges F"""

from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trm_arc.cli import Parser, add_machine_flags, add_settings, chosen_settings, run
from trm_arc.common.distributed import Processes
from trm_arc.common.errors import InputError
from trm_arc.config import PRESET_HELP, PRESETS, RECIPE_HELP, RECIPES, Config
from trm_arc.data.domains.arc import ARC
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.data.task import TaskSet
from trm_arc.model.checkpoint import domain_of_checkpoint, load_checkpoint
from trm_arc.model.export import load_newest
from trm_arc.train import add_run_flags, build_trainer, carry_out, check_run_flags, choose_options, list_choices
from trm_arc.training.trainer import Trainer

WARM_UP = 100  # steps at most by the checkpoint's own settings, whose warm-up was for a long run from scratch
# Settings that were about the checkpoint's own data, with what they are for the tasks to adapt to.
_FRESH = {"data": "", "leave_out": "", "drop_leaks": False, "smallest": 0, "lanes": "auto:6"}


def adaptation_config(base: Config, recipe: str, challenges: str, trained: bool = True) -> Config:
    """The settings of an adaptation.

    Args:
        base: of the checkpoint, or of a preset.
        recipe: of `RECIPES`.
        challenges: name or path of the tasks to adapt to.
        trained: whether `base` is a trained checkpoint's; from scratch its warm-up stays.
    """
    own: dict[str, Any] = {}
    if trained:  # what a long run from scratch begins with is behind it
        own = {"warmup_steps": min(base.training.warmup_steps, WARM_UP), "depth_curriculum": ""}
    if recipe == "own" and base.model.mixer == "attention":
        own["window"] = "lanes"  # the same gradient for a fraction of the cells
    return base.override(_FRESH | own | RECIPES[recipe] | {"evaluation_data": challenges})


def require_arc(checkpoints: Iterable[Path], preset: str | None = None) -> None:
    """Refuse models and presets of Sudoku and mazes where ARC tasks are to be answered.

    Args:
        checkpoints: of models; one that cannot be read is left to whoever reads it.
        preset: a name, if any.

    Raises:
        InputError: one is not for ARC.
    """
    if preset is not None and domain_of_data(PRESETS[preset].training.data) is not ARC:
        raise InputError(f"--preset {preset}: is for Sudoku or mazes, not for ARC tasks")
    for path in checkpoints:
        try:
            domain = domain_of_checkpoint(path)
        except InputError:
            continue
        if domain is not ARC:
            raise InputError(f"answers {domain.name}, not ARC tasks; `python -m trm_arc.evaluate` asks it", file=path)


def set_up(values: Namespace, processes: Processes) -> tuple[Trainer, TaskSet, list[str]]:
    """The adaptation that a command line describes, resumed if it says so.

    Args:
        values: the command line.
        processes: this one and its like.

    Returns:
        As `trm_arc.train.build_trainer`.

    Raises:
        InputError: settings that do not go together, or tasks or a checkpoint that cannot be read.
    """
    resumed = load_newest(values.out) if values.resume else None
    base = load_checkpoint(values.checkpoint) if values.checkpoint and resumed is None else None
    if resumed is not None:
        config = resumed.config
    else:
        settings = PRESETS[values.preset] if base is None else base.config
        config = adaptation_config(settings, values.recipe, values.challenges, base is not None)
    config = config.override(chosen_settings(values))
    device, options = choose_options(values, resumed)
    trainer, tasks, notes = build_trainer(config, values.data_folder, device, processes, options, fitting=True)
    if resumed is not None:
        trainer.load(resumed)
        notes.append(f"resumed at step {trainer.step}")
    elif base is not None:
        trainer.adopt(base, values.start == "zero")
        notes.append(f"adapting {base.where}, step {base.step}, by the recipe {values.recipe}")
    else:
        notes.append(f"from scratch, by the preset {values.preset} and the recipe {values.recipe}")
    return trainer, tasks, notes


def make_parser() -> Parser:
    """The command line."""
    epilog = f"recipes:\n{list_choices(RECIPE_HELP)}\n\npresets:\n{list_choices(PRESET_HELP)}"
    description = "Adapt a trained model to unseen tasks, by training on their demonstration pairs; hidden outputs are not read."
    parser = Parser(prog="python -m trm_arc.adapt", description=description, epilog=epilog)
    flag = parser.add_argument
    flag("--challenges", help="tasks to adapt to: a challenges file, or any task set by name or path")
    flag("--checkpoint", type=Path, help="the trained model: a checkpoint or a run's folder (default: none, from scratch)")
    flag("--recipe", choices=tuple(RECIPES), default="own", metavar="NAME", help="how to adapt, see below")
    flag("--preset", choices=tuple(PRESETS), metavar="NAME", help="settings to start from without a checkpoint, see below")
    flag("--start", choices=("mean", "zero"), default="mean", help="where task embeddings begin: the mean of those trained, or 0")
    flag("--out", type=Path, default=Path("runs/adapted"), help="folder of the adapted run")
    add_run_flags(parser)
    add_machine_flags(parser)
    add_settings(parser, None, without=("evaluation_data", *ARC.unused))
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, build, loop.

    Args:
        arguments: the command line.
    """
    values = make_parser().parse(arguments)
    require_arc([values.checkpoint] if values.checkpoint else (), values.preset)
    if not values.resume and not values.challenges:
        raise InputError("name the tasks to adapt to", flag="--challenges")
    if not values.resume and (values.checkpoint is None) == (values.preset is None):
        raise InputError("--checkpoint names what to adapt, --preset what to train from scratch: give one of them")
    if values.challenges and (other := domain_of_data(values.challenges)) is not ARC:
        raise InputError(f"--challenges {values.challenges}: are {other.plural}, not ARC tasks; trm_arc.train learns them")
    check_run_flags(values)
    values.fit = values.fit or (values.time_limit is not None and "steps" not in chosen_settings(values))
    return carry_out(values, set_up)


if __name__ == "__main__":
    run(main)
