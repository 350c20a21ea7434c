"""Settings of a model and of its training, and the presets that bundle them."""

from trm_arc.config.settings import (
    PRESET_HELP,
    PRESETS,
    RECIPE_HELP,
    RECIPES,
    VIEW_WINDOWS,
    Config,
    ModelConfig,
    TrainingConfig,
    settings,
)

__all__ = [
    "PRESETS",
    "PRESET_HELP",
    "RECIPES",
    "RECIPE_HELP",
    "VIEW_WINDOWS",
    "Config",
    "ModelConfig",
    "TrainingConfig",
    "settings",
]
