"""Numbers that say whether a run holds together: they are right, they cost the run nothing, and every preset of ours holds."""

import math

import pytest

from tests.helpers import CPU, make_puzzles
from trm_arc.config import PRESETS, Config
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.training.stability import LEAST_ENTROPY, MOST_LOGIT
from trm_arc.training.trainer import Trainer

OURS = (
    "arc1-fast",
    "arc1-parallel",
    "arc1-loop",
    "arc1-equilibrium",
    "sudoku-fast",
    "sudoku-parallel",
    "maze-fast",
    "demo",
    "sudoku-small",
    "maze-small",
)
STEPS = 60


# What arc1-parallel was before it had a query-key norm.
WITHOUT_NORM = {"qk_norm": False, "matrix_optimizer": "muon", "matrix_learning_rate": 0.02, "matrix_weight_decay": 0.005} | {
    "gate": "norm-swiglu",
    "positions": "rotary-2d",
    "loss": "softmax",
    "label_smoothing": 0.2,
    "halting_loss_weight": 0.05,
    "latents": 4,
    "carry_best": False,
    "shared_start": False,
    "output_norm": False,
    "optimizer": "adam-atan2",
    "matrix_momentum": 0.95,
    "newton_schulz_steps": 5,
    "matrix_parts": "whole",
    "gradient_clip": 0.0,
}


def small_run(config: Config) -> tuple[Trainer, list[float]]:
    """60 steps of a preset's settings at width 64, on boards of 4 x 4 or 6 x 6, at its full learning rates after ten steps; the
    last step measured.  Also the loss of each step."""
    name = "maze-6x6-easy" if config.training.data.startswith("maze") else "sudoku-4x4-easy"
    small = {"width": 64, "heads": 4, "prefix": 1, "batch_size": 8, "warmup_steps": 10, "decay_share": 0.0}
    small |= {"data": name, "evaluation_data": name, "transform_tokens": False, "augmentations": 0, "depth_curriculum": ""}
    depth = {"cycles": 1, "latent_steps": 2} if config.model.latent_steps else {"cycles": 4, "gradient_calls": 3}
    config = fit_to_data(config.override(small | depth), {"data": name}, None)
    puzzles = make_puzzles(name, 100, 1)
    trainer = Trainer(config, puzzles.domain.prepare(puzzles, puzzles, config)[0], CPU, STEPS)
    losses = [float(trainer.train_step(measure=trainer.step == STEPS - 1).loss) for _ in range(STEPS)]
    return trainer, losses


# --- the stability test


@pytest.mark.parametrize("name", OURS)
def test_our_presets_hold_together(name: str) -> None:
    trainer, losses = small_run(PRESETS[name])
    seen = trainer.stability
    assert sum(losses[-10:]) / 10 < math.log(trainer.config.model.vocabulary), "less than the guess that all tokens are as likely"
    if trainer.config.model.mixer == "attention":
        assert seen.attention_logit < MOST_LOGIT
        assert seen.attention_entropy > LEAST_ENTROPY
    else:
        assert math.isnan(seen.attention_logit)
        assert math.isnan(seen.attention_entropy)


def test_the_stability_test_finds_attention_that_collapses() -> None:
    """arc1-parallel as it was: Muon at 0.02 and no query-key norm."""
    trainer, _ = small_run(PRESETS["arc1-parallel"].override(WITHOUT_NORM))
    assert trainer.stability.attention_entropy < LEAST_ENTROPY
