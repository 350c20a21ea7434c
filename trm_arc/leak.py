"""The leak guard: no training on an answer that is scored later."""

import numpy as np

from augment import hash_grids, pack_grids
from trm_arc.checkpoint import Checkpoint
from trm_arc.errors import InputError, shorten
from trm_arc.task import TaskSet, grid_key


def find_leaks(training: TaskSet, evaluation: TaskSet) -> dict[str, list[str]]:
    """Which training tasks would show the model the answer to a scored test input.

    A training pair leaks when its input is a test input of the evaluation set.  The order of pairs, and whether a pair is a
    demonstration or a test, plays no part; nor do ids; and the hidden outputs are not read.

    Returns:
        For every evaluation task that leaks, the ids of the training tasks that hold one of its test inputs.
    """
    holders: dict[bytes, list[str]] = {}
    for task in training:
        for pair in task.train + task.test:
            if pair.output is not None:
                holders.setdefault(grid_key(pair.input), []).append(task.id)
    leaks: dict[str, list[str]] = {}
    for task in evaluation:
        found = {holder for pair in task.test for holder in holders.get(grid_key(pair.input), [])}
        if found:
            leaks[task.id] = sorted(found)
    return leaks


def guard(training: TaskSet, evaluation: TaskSet, drop: bool) -> tuple[TaskSet, list[str]]:
    """Refuse training tasks that leak, or drop them.

    Args:
        training: tasks that are trained on with all their known outputs.
        evaluation: tasks whose test outputs are scored.
        drop: leave the leaking training tasks out instead of refusing.

    Returns:
        The training tasks that remain, and the ids of those dropped.

    Raises:
        InputError: there is a leak, and `drop` is false.
    """
    leaks = find_leaks(training, evaluation)
    if not leaks:
        return training, []
    if not drop:
        raise InputError(
            f"{training.name} holds test answers of {len(leaks)} task{'s' if len(leaks) > 1 else ''} of {evaluation.name} "
            f"that will be scored: {shorten(sorted(leaks), 10)}; train on other data, or leave those tasks out with --drop-leaks"
        )
    dropped = sorted({holder for holders in leaks.values() for holder in holders})
    return training.without(dropped), dropped


def trained_inputs(training: TaskSet) -> np.ndarray:
    """Hashes (int64, sorted) of the inputs that a run trains on together with their outputs, for its checkpoint."""
    grids = [pair.input for task in training for pair in task.train + task.test if pair.output is not None]
    return np.unique(hash_grids(pack_grids(grids)).view(np.int64))


def refuse_trained(checkpoint: Checkpoint, tasks: TaskSet, drop: bool) -> TaskSet:
    """Refuse to score a checkpoint on tasks whose answers it was trained on, or leave those tasks out.

    Args:
        checkpoint: remembers the inputs that it was trained on.
        tasks: what is to be scored.
        drop: leave out instead of refusing.

    Raises:
        InputError: there is such a task and `drop` is false, or no other task is left.
    """
    hashes = hash_grids(pack_grids([task.test[number].input for task, number in tasks.tests])).view(np.int64)
    seen = np.isin(hashes, checkpoint.tensors["trained"].numpy())
    leaks = sorted({task.id for (task, _), trained in zip(tasks.tests, seen, strict=True) if trained})
    if leaks and (not drop or len(leaks) == len(tasks)):
        raise InputError(
            f"this checkpoint was trained on test answers of {len(leaks)} of {len(tasks)} tasks of {tasks.name}: "
            f"{shorten(leaks, 10)}; score it on other tasks, or leave those out with --drop-leaks"
        )
    if leaks:
        print(f"left out {len(leaks)} of {len(tasks)} tasks whose answers were trained on: {shorten(leaks)}")
    return tasks.without(leaks)
