"""Settings of a model and of its training, and the presets that bundle them."""

from trm_arc.config.presets import (
    DEFAULT_PRESET,
    PRESET_HELP,
    PRESETS,
    RECIPE_HELP,
    RECIPES,
    SETTINGS_FILE,
    load_preset,
    write_preset,
)
from trm_arc.config.settings import SECTIONS, Config, ModelConfig, TrainingConfig, settings

__all__ = [
    "DEFAULT_PRESET",
    "PRESETS",
    "PRESET_HELP",
    "RECIPES",
    "RECIPE_HELP",
    "SECTIONS",
    "SETTINGS_FILE",
    "Config",
    "ModelConfig",
    "TrainingConfig",
    "load_preset",
    "settings",
    "write_preset",
]
