"""What a run is watched by: evaluations of its averaged weights, and TensorBoard."""

from collections.abc import Callable
from pathlib import Path

from accelerate.tracking import TensorBoardTracker
from accelerate.utils import is_tensorboard_available

from trm_arc.answer import predict_tasks
from trm_arc.attempts import fill_all
from trm_arc.errors import InputError
from trm_arc.loop import Evaluation, Tracker
from trm_arc.score import pass_at, ranks
from trm_arc.task import TaskSet
from trm_arc.trainer import Trainer
from trm_arc.vote import Predictions, tally

MEASURE = "pass@2 of outputs"  # the score that says which checkpoint is the best


def make_tracker(out: Path) -> Tracker:
    """What writes metrics for TensorBoard, through accelerate's tracker.

    Args:
        out: folder of the run.

    Raises:
        InputError: TensorBoard is not installed.
    """
    if not is_tensorboard_available():
        raise InputError("--tensorboard: it is not installed; `pip install tensorboard`, or leave the flag out")
    tracker = TensorBoardTracker("tensorboard", str(out))
    tracker.start()
    return lambda line, step: tracker.log(line, step=step)


def make_evaluation(trainer: Trainer, tasks: TaskSet, views: int, pool_votes: bool) -> Evaluation:
    """What scores the averaged weights of a run on the tasks that it learns to answer.

    Args:
        trainer: the run.
        tasks: with their solutions.
        views: of a test input at most.
        pool_votes: score the votes of all evaluations so far together, too, as the original does.

    Raises:
        InputError: no solutions are known.
    """
    if not tasks.has_solutions:
        raise InputError(f"--evaluate-every: no solutions of {tasks.name} are known here, so there is nothing to score")
    pool: list[Predictions] = []

    def evaluate(look: Callable[[], object]) -> dict[str, float]:
        parts = predict_tasks(
            trainer.snapshot(),
            tasks,
            trainer.device,
            views=views,
            steps=None,
            batch_size=256,
            processes=trainer.processes,
            quiet=True,
            look=look,
        )
        scores = _two_scores(tasks, parts, "")
        if pool_votes:
            pool.extend(parts)
            scores |= _two_scores(tasks, pool, ", pooled")
        return scores

    return evaluate


def _two_scores(tasks: TaskSet, parts: list[Predictions], kind: str) -> dict[str, float]:
    answers = [[c.grid for c in candidates] for candidates in tally(parts, tasks.outputs, 2)]
    per_output, per_task = pass_at(ranks(tasks.solutions, fill_all(tasks, answers)), 2)
    return {f"{MEASURE}{kind}": per_output.value, f"pass@2 of tasks{kind}": per_task.value}
