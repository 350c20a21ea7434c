"""The tasks that a checkpoint is evaluated on."""

from pathlib import Path

from trm_arc.common.errors import InputError, require_least
from trm_arc.data.loading import load_evaluation
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.puzzle_sources import are_puzzles, families_of, load_puzzles
from trm_arc.data.sources import load_tasks
from trm_arc.model.checkpoint import Checkpoint


def load_tests(
    checkpoint: Checkpoint,
    data: str | None,
    folder: Path | None,
    *,
    solutions: Path | None = None,
    puzzles: int | None = None,
    skip_bad: bool = False,
) -> AnySet:
    """The tasks or puzzles that are named, or those that the run learned to answer.

    Args:
        data: a name or path; None: those of the run.
        solutions: the file of ARC solutions, if it does not lie beside the challenges.
        puzzles: of a file, as many as these, drawn by the run's seed; 0: all.
        skip_bad: leave out rows of a file that are not puzzles.

    Raises:
        InputError: they cannot be loaded, or an argument does nothing for them.
    """
    training = checkpoint.config.training
    names = data or training.evaluation_data
    if are_puzzles(names):
        if solutions:
            raise InputError("does nothing for Sudoku and mazes, whose files hold their answers", flag="--solutions")
        require_least("puzzles", puzzles, 0)
        checkpoint.require_family(families_of(names, folder), names)  # before any is made
        count = puzzles if puzzles is not None else 0 if data else training.evaluation_puzzles
        skip_bad = skip_bad or (not data and training.skip_bad)
        return load_puzzles(names, "test", folder, count=count, seed=training.seed, skip_bad=skip_bad)
    for flag, value in {"--puzzles": puzzles, "--skip-bad": skip_bad}.items():
        if value:
            raise InputError("does nothing for ARC tasks", flag=flag)
    return load_evaluation(training, folder, solutions) if data is None else load_tasks(names, folder, solutions)


def describe_tests(tasks: AnySet) -> str:
    """What is to be answered, in words."""
    if isinstance(tasks, PuzzleSet):
        return f"{len(tasks):,} puzzles of {tasks.name} ({tasks.family.name})" + f"\n{tasks.note}" * bool(tasks.note)
    return f"{len(tasks)} tasks, {tasks.outputs} test outputs of {tasks.name}"
