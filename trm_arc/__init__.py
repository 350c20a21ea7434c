"""trm_arc: train the Tiny Recursive Model on ARC puzzles, answer them under many views, vote, score.

    from trm_arc import Reasoner, TaskSet, load_tasks

Commands: python -m trm_arc.train, python -m trm_arc.evaluate; and python -m submission for the competition entry.
"""

from trm_arc.config import PRESETS, Config, ModelConfig, TrainingConfig
from trm_arc.errors import InputError
from trm_arc.model import Reasoner
from trm_arc.sources import load_tasks
from trm_arc.task import Pair, Task, TaskSet

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Config",
    "InputError",
    "ModelConfig",
    "Pair",
    "Reasoner",
    "Task",
    "TaskSet",
    "TrainingConfig",
    "load_tasks",
]
