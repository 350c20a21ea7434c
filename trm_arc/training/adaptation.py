"""The settings of an adaptation: those of the checkpoint or preset, changed by a recipe, for the tasks to adapt to."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trm_arc.common.errors import InputError
from trm_arc.common.launch import command_line
from trm_arc.config import RECIPES, Config, load_preset
from trm_arc.data.domains import Domain
from trm_arc.data.domains.arc import ARC
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.model.checkpoint_files import domain_of_checkpoint

WARM_UP = 100  # steps at most by the checkpoint's own settings, whose warm-up was for a long run from scratch
# Settings for the checkpoint's own data, with their values for the tasks to adapt to.
_FRESH = {
    "data": "",
    "leave_out": "",
    "drop_leaks": False,
    "arc_gen": False,
    "smallest": 0,
    "bucket_sides": "auto:6",
    "dev_share": 0.0,
    "evaluation_sides": "",
}


def adaptation_config(base: Config, recipe: str, challenges: str, *, trained: bool = True) -> Config:
    """The settings of an adaptation.

    Args:
        trained: whether `base` is a trained checkpoint's; from scratch its warm-up stays.
    """
    own: dict[str, Any] = {}
    if trained:  # a trained model needs no start of a long run
        own = {"warmup_steps": min(base.training.warmup_steps, WARM_UP), "depth_curriculum": ""}
    if recipe == "own" and base.model.mixer == "attention":
        own["canvas"] = "buckets"  # the same gradient for a fraction of the cells
    return base.override(_FRESH | own | RECIPES[recipe] | {"evaluation_data": challenges})


def require_arc(checkpoints: Iterable[Path], preset: str | None = None, challenges: str | None = None) -> None:
    """Refuse models, presets and challenges of other puzzles where ARC tasks are to be answered.

    A checkpoint that cannot be read is refused later, when it is loaded.

    Raises:
        InputError: one is not for ARC.
    """
    if preset is not None and (other := _other(domain_of_data(load_preset(preset).training.data))):
        raise InputError(f"{preset} is for {other.plural}, not for ARC tasks", flag="--preset")
    for path in checkpoints:
        domain = ARC
        with suppress(InputError):
            domain = domain_of_checkpoint(path)
        if other := _other(domain):
            evaluate = command_line("python -m trm_arc.evaluate")
            raise InputError(f"answers {other.name}, not ARC tasks; use `{evaluate}`", file=path)
    if challenges and (other := _other(domain_of_data(challenges))):
        train = command_line("python -m trm_arc.train")
        raise InputError(f"{challenges} holds {other.plural}, not ARC tasks; use `{train}`", flag="--challenges")


def _other(domain: Domain) -> Domain | None:
    return None if domain is ARC else domain
