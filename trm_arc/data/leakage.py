"""No training on an answer that is scored.

Pairs are compared as training shows them: under one of eight symmetries and any palette that keeps black, at any place on the
canvas.
"""

from collections.abc import Sequence

import numpy as np

from augment import hash_grids, hash_pairs, pack_grids
from trm_arc.common.errors import InputError, shorten
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.task import Pair, Task, TaskSet


def find_leaks(training: TaskSet, evaluation: TaskSet) -> dict[str, list[str]]:
    """Which training tasks would show the model the answer to a scored test input.

    A training pair leaks when its input is a test input of the evaluation set, or when a symmetry and a palette turn the pair
    into a test input and its output.  The order of pairs, and whether a pair is a demonstration or a test, does not matter, nor
    do ids.  What the demonstrations of the evaluation set show anyway is no leak.

    Returns:
        For every evaluation task that leaks, the ids of the training tasks that hold one of its answers.
    """
    held = [(task.id, pair) for task in training for pair in task.known_pairs]
    holders: dict[int, set[str]] = {}
    for (name, _), hashes in zip(held, _hash_both([pair for _, pair in held]).tolist(), strict=True):
        for one in hashes:
            holders.setdefault(one, set()).add(name)
    for shown in _shown_hashes(evaluation).tolist():
        holders.pop(shown, None)
    leaks: dict[str, set[str]] = {}
    for (task, _), hashes in zip(evaluation.tests, _test_hashes(evaluation).tolist(), strict=True):
        if found := set().union(*(holders.get(one, ()) for one in hashes)):
            leaks.setdefault(task.id, set()).update(found)
    return {name: sorted(found) for name, found in leaks.items()}


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
            f"{training.name} holds test answers of {many} of {evaluation.name} that will be scored: {shorten(leaks, 10)}; "
            f"they are in {shorten(holders, 10)}, as they are or as training would transform them: leave these out with "
            "--drop-leaks, or train on other data"
        )
    return kept, holders


def trained_hashes(training: TaskSet, answered: Sequence[Task]) -> np.ndarray:
    """Hashes (int64, sorted) of the pairs that a run trains on, for its checkpoint.

    Args:
        training: tasks whose known outputs are all trained on.
        answered: tasks whose demonstrations are trained on.
    """
    pairs = [pair for task in training for pair in task.known_pairs]
    return np.unique(_hash_both(pairs + [pair for task in answered for pair in task.train]))


def are_trained(tasks: TaskSet, trained: np.ndarray) -> np.ndarray:
    """Which test inputs' answers were trained on, bool (outputs,); those that the set's own demonstrations show are not counted.

    Args:
        trained: int64, from `trained_hashes`.
    """
    return np.isin(_test_hashes(tasks), np.setdiff1d(trained, _shown_hashes(tasks))).any(axis=1)


def _test_hashes(tasks: TaskSet) -> np.ndarray:
    return _hash_both([task.test[number] for task, number in tasks.tests])


def _shown_hashes(tasks: TaskSet) -> np.ndarray:
    return np.unique(_hash_both([pair for task in tasks for pair in task.train]))


def _hash_both(pairs: Sequence[Pair]) -> np.ndarray:
    """Two hashes of each pair, int64 (pairs, 2): of its input alone, and of both grids up to symmetry and palette.

    Without an output, both are that of the input.
    """
    known = np.array([pair.output is not None for pair in pairs], bool)
    inputs = pack_grids([pair.input for pair in pairs])
    outputs = pack_grids([pair.input if pair.output is None else pair.output for pair in pairs])
    alone = hash_grids(inputs)
    return np.stack([alone, np.where(known, hash_pairs(inputs, outputs), alone)], axis=1).view(np.int64)
