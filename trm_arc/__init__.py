"""trm_arc: train the Tiny Recursive Model on ARC puzzles, answer them under many views, vote, score.

    from trm_arc import Reasoner, TaskSet, load, load_tasks

Commands: python -m trm_arc.train, python -m trm_arc.evaluate; and python -m submission for the competition entry.
"""

import os
import platform
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# How OpenMP's threads wait for one another.  By itself GNU's library spins for milliseconds, and beside one other busy process
# a training step then takes many times as long (benchmarks/busy.py).  It reads this when torch is loaded, which is later.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
if not os.environ.keys() & set(WAITING):
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

# How torch takes memory of an accelerator: in segments that grow, as pieces of other sizes, of which a run has many, would else
# leave gaps.  Torch reads the first of these that is set, at its first allocation.  Windows, WSL and Tegra boards cannot do it.
ALLOCATION = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
GROWING = platform.system() == "Linux" and not any(word in platform.release().lower() for word in ("microsoft", "tegra"))
if GROWING and not os.environ.keys() & set(ALLOCATION):
    os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"

# Loaded on first access: the rules of puzzles can be used without torch.
_HOME = {
    "PRESETS": "config",
    "Config": "config",
    "InputError": "common.errors",
    "ModelConfig": "config",
    "Network": "inference.network",
    "Pair": "data.task",
    "Reasoner": "model.reasoner",
    "Task": "data.task",
    "TaskSet": "data.task",
    "Solution": "inference.network",
    "TrainingConfig": "config",
    "load": "inference.network",
    "load_tasks": "data.sources",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
