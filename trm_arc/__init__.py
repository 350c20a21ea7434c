"""trm_arc: train the Tiny Recursive Model on ARC puzzles, answer them under many views, vote, score.

    import trm_arc

    tasks = trm_arc.load_tasks("arc1-evaluation")
    network = trm_arc.train("arc1", "runs/arc1")  # or load("runs/arc1"), load("sudoku-extreme")
    results = network.adapt(tasks, "runs/adapted").predict(tasks, views=64)
    results.score()
    results.save("submission.json")

docs/python.md has all of it, with examples.  Commands: python -m trm_arc.train, python -m trm_arc.evaluate; and python -m
submission for the competition entry.
"""

import os
import platform
import sys
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

if sys.argv[:1] == ["-m"]:  # Python looks for one of the programs of this package, whose libraries are loaded next
    from trm_arc.common.failures import explain_loading

    explain_loading()

# Loaded on first access: the rules of puzzles can be used without torch.  Type checkers read __init__.pyi instead.
_HOME = {
    "PRESETS": "trm_arc.config",
    "Config": "trm_arc.config",
    "InputError": "trm_arc.common.errors",
    "ModelConfig": "trm_arc.config",
    "Network": "trm_arc.api.network",
    "Pair": "trm_arc.data.task",
    "PuzzleSet": "trm_arc.data.puzzle_set",
    "Reasoner": "trm_arc.model.reasoner",
    "Results": "trm_arc.evaluation.results",
    "Solution": "trm_arc.api.network",
    "Task": "trm_arc.data.task",
    "TaskSet": "trm_arc.data.task",
    "TrainingConfig": "trm_arc.config",
    "load": "trm_arc.api.network",
    "load_puzzles": "trm_arc.data.puzzle_sources",
    "load_tasks": "trm_arc.data.sources",
    "score": "trm_arc.evaluation.submissions",
    "settings": "trm_arc.config",
    "submit": "submission.api",
    "train": "trm_arc.api.training",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
