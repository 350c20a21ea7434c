"""Curricula: settings that hold up to a share of a run's steps."""

from collections.abc import Sequence
from dataclasses import replace

from trm_arc.config import TrainingConfig


def stage_at(stages: Sequence[tuple], step: int, steps: int) -> tuple:
    """What the stage of a step holds besides its end; nothing after the last.

    Args:
        stages: in order, each begins with the share of the steps at which it ends.
        steps: of the run.
    """
    return next((stage[1:] for stage in stages if step < stage[0] * steps), ())


def halting_stages(config: TrainingConfig) -> list[tuple[float, TrainingConfig]]:
    """The stages of the halt curriculum with their settings, made once, as every step looks them up."""
    return [(share, replace(config, halt_steps=limit, halt_curriculum="")) for share, limit in config.halt_limits()]
