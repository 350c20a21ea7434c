"""Train a recursive model: python -m trm_arc.train --preset arc1

The function of Python, `trm_arc.train`, has the same name: where this module was imported, it is called as that function.
"""

import sys
from collections.abc import Sequence
from functools import partial
from inspect import signature
from types import ModuleType

from trm_arc.api.runs import run_training
from trm_arc.api.training import train
from trm_arc.cli import DEFAULT_PRESET, chosen_settings, parse_train_flags, read_machine, read_run_flags, train_folder
from trm_arc.common.deadline import program_start
from trm_arc.common.program import run
from trm_arc.config import load_preset


def main(arguments: Sequence[str], started: float | None = None) -> int:
    """Parse, run.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.
    """
    values = parse_train_flags(arguments)
    settings = read_run_flags(values, train_folder(values), started)
    preset = values.preset or (None if values.resume else DEFAULT_PRESET)
    run_training(settings, read_machine(values), preset and load_preset(preset), chosen_settings(values))
    return 0


class _Callable(ModuleType):
    """A module that is called as a function."""

    __call__ = staticmethod(train)


sys.modules[__name__].__class__ = _Callable
__signature__ = signature(train)  # which `inspect` and editors show

if __name__ == "__main__":
    run(partial(main, started=program_start()))
