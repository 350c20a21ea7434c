"""No score for answers that the checkpoint was trained on."""

from trm_arc.common.errors import InputError, shorten
from trm_arc.data.puzzle_set import AnySet
from trm_arc.model.checkpoint import Checkpoint


def check_not_trained_on(checkpoint: Checkpoint, tasks: AnySet, *, drop: bool) -> AnySet:
    """Refuse to score a checkpoint on tasks whose answers it was trained on.

    With `drop` they are left out instead.

    Raises:
        InputError: there is such a task and `drop` is false, or no other task is left.
    """
    kept, leaks = tasks.drop_tests(tasks.domain.are_trained(tasks, checkpoint.tensors["trained"].numpy()))
    if leaks and (not drop or not len(kept)):
        raise InputError(
            f"this checkpoint was trained on test answers of {len(leaks)} of {len(tasks)} tasks of {tasks.name}: "
            f"{shorten(leaks, 10)}; score it on other tasks, or leave those out with --drop-leaks"
        )
    if leaks:
        print(f"left out {len(leaks)} of {len(tasks)} tasks whose answers were trained on: {shorten(leaks)}")
    return kept
