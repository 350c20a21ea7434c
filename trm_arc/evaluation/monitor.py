"""What a run is watched by: evaluations of its averaged weights, and TensorBoard."""

from collections.abc import Callable
from pathlib import Path

from accelerate.tracking import TensorBoardTracker
from accelerate.utils import is_tensorboard_available

from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_set import AnySet
from trm_arc.evaluation.results import make_results
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.votes import Predictions, count_views, tally
from trm_arc.training.loop import Evaluation, Tracker
from trm_arc.training.trainer import Trainer


def make_tracker(out: Path) -> Tracker:
    """What writes metrics for TensorBoard, through accelerate's tracker.

    Args:
        out: folder of the run.

    Raises:
        InputError: TensorBoard is not installed.
    """
    if not is_tensorboard_available():
        raise InputError("it is not installed; `pip install tensorboard`, or leave the flag out", flag="--tensorboard")
    tracker = TensorBoardTracker("tensorboard", str(out))
    tracker.start()
    return lambda line, step: tracker.log(line, step=step)


def make_evaluation(trainer: Trainer, tasks: AnySet, views: int, pool_votes: bool) -> Evaluation:
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
        raise InputError(f"no solutions of {tasks.name} are known here, so there is nothing to score", flag="--evaluate-every")
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
        scores = _scores(tasks, parts)
        if pool_votes:
            pool.extend(parts)
            scores |= {f"{name}, pooled": value for name, value in _scores(tasks, pool).items()}
        return scores

    return evaluate


def _scores(tasks: AnySet, parts: list[Predictions]) -> dict[str, float]:
    """The scores, the domain's measure first."""
    answers = tally(parts, tasks.outputs, 2, tasks.domain)
    return make_results({}, tasks, answers, count_views(parts, tasks.outputs, tasks.domain)).scores.means()
