"""Guesses in place of attempts that no model gave."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trm_arc.data.task import Grid, Task

ATTEMPTS = ("attempt_1", "attempt_2")


def guesses(task: "Task | None", number: int) -> Iterator["Grid"]:
    """Grids to fall back on for a test input, best first; the last two are always distinct, and the only ones without
    a task.

    The order: if every demonstration keeps its input's size, the test input itself, then the demonstrations' outputs
    from the last to the first; else those outputs, then the test input; at the end a single black and a single blue cell.
    """
    if task is not None:
        outputs = [pair.output for pair in reversed(task.train) if pair.output is not None]
        same_size = all(pair.output is not None and pair.output.shape == pair.input.shape for pair in task.train)
        copy = task.test[number].input
        yield from [copy, *outputs] if same_size else [*outputs, copy]
    yield np.zeros((1, 1), np.uint8)
    yield np.ones((1, 1), np.uint8)


def fill_attempts(task: "Task | None", number: int, ranked: list["Grid"]) -> list["Grid"]:
    """The ranked candidates of a test input, filled up to two distinct grids with `guesses`."""
    filled = list(ranked)
    for guess in guesses(task, number):
        if len(filled) >= len(ATTEMPTS):
            break
        if not any(np.array_equal(guess, grid) for grid in filled):
            filled.append(guess)
    return filled
