"""No training on an answer that is scored later."""

import numpy as np

from augment import hash_grids, pack_grids
from trm_arc.common.errors import InputError, shorten
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.task import TaskSet, grid_key


def find_leaks(training: TaskSet, evaluation: TaskSet) -> dict[str, list[str]]:
    """Which training tasks would show the model the answer to a scored test input.

    A training pair leaks when its input is a test input of the evaluation set.  The order of pairs, and whether a pair is a
    demonstration or a test, does not matter, nor do ids; the hidden outputs are not read.

    Returns:
        For every evaluation task that leaks, the ids of the training tasks that hold one of its test inputs.
    """
    holders: dict[bytes, list[str]] = {}
    for task in training:
        for pair in task.pairs:
            if pair.output is not None:
                holders.setdefault(grid_key(pair.input), []).append(task.id)
    leaks: dict[str, list[str]] = {}
    for task in evaluation:
        found = {holder for pair in task.test for holder in holders.get(grid_key(pair.input), [])}
        if found:
            leaks[task.id] = sorted(found)
    return leaks


def check_leakage(training: AnySet, evaluation: AnySet, *, drop: bool) -> tuple[AnySet, list[str]]:
    """Refuse training tasks that leak, or drop them.

    Returns:
        The training tasks that remain, and the names of those dropped.

    Raises:
        InputError: there is a leak, and `drop` is false.
    """
    kept, holders, leaks = training.domain.drop_leaks(training, evaluation)
    if leaks and not drop:
        many = f"{len(leaks)} {training.domain.unit}{'s' if len(leaks) > 1 else ''}"
        raise InputError(
            f"{training.name} holds test answers of {many} of {evaluation.name} "
            f"that will be scored: {shorten(leaks, 10)}; train on other data, or leave those tasks out with --drop-leaks"
        )
    return kept, holders


def trained_inputs(training: TaskSet) -> np.ndarray:
    """Hashes (int64, sorted) of the inputs that a run trains on together with their outputs, for its checkpoint."""
    grids = [pair.input for task in training for pair in task.pairs if pair.output is not None]
    return np.unique(hash_grids(pack_grids(grids)).view(np.int64))
