"""The tasks or puzzles of a run: what it is trained on, and what it learns to answer."""

from pathlib import Path

from trm_arc.common.errors import InputError, shorten
from trm_arc.config import TrainingConfig
from trm_arc.data.leakage import guard
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.puzzle_sources import are_puzzles, load_puzzles
from trm_arc.data.sources import listed, load_listed, load_tasks


def load_training_tasks(config: TrainingConfig, folder: Path | None) -> tuple[AnySet, AnySet, list[str]]:
    """The tasks of a run: those trained on with all outputs, those to answer, and a sentence on each change.

    Named sets are looked for in `folder` first.

    Raises:
        InputError: a set that cannot be loaded, or a leak.
    """
    evaluation = load_evaluation(config, folder)
    if isinstance(evaluation, PuzzleSet):
        how = {"count": config.puzzles, "seed": config.seed, "skip_bad": config.skip_bad}
        training = load_puzzles(config.data, "train", folder, **how)
        notes = [note for note in (training.note, evaluation.note) if note]
        training, dropped = guard(training, evaluation, config.drop_leaks)
        if dropped:
            notes.append(f"dropped {len(dropped)} training puzzles that are scored, or equal to such by symmetry")
        return training, evaluation, notes
    training = load_listed(config.data, folder)
    leave_out = listed(config.leave_out)
    unknown = [task_id for task_id in leave_out if task_id not in training]
    if unknown:
        raise InputError(f"{shorten(unknown)} is not in {training.name or 'the training data, which is empty'}", flag="leave_out")
    notes = [f"left out {task_id}, as set" for task_id in leave_out]
    training, dropped = guard(training.without(leave_out), evaluation, config.drop_leaks)
    if dropped:
        notes.append(f"dropped {len(dropped)} training tasks that hold a scored answer: {shorten(dropped)}")
    return training, evaluation, notes


def load_evaluation(config: TrainingConfig, folder: Path | None, solutions: Path | None = None) -> AnySet:
    """The tasks or puzzles that a run is to answer.

    Args:
        solutions: the file of ARC solutions, if it does not lie beside the challenges.

    Raises:
        InputError: a set that cannot be loaded.
    """
    if are_puzzles(config.evaluation_data):
        how = {"count": config.evaluation_puzzles, "seed": config.seed, "skip_bad": config.skip_bad}
        return load_puzzles(config.evaluation_data, "test", folder, **how)
    evaluation = load_tasks(config.evaluation_data, folder, solutions)
    return evaluation.smallest(config.smallest) if config.smallest else evaluation
