"""Evaluations of a run's averaged weights during training, and TensorBoard."""

from collections.abc import Callable
from pathlib import Path

from accelerate.tracking import TensorBoardTracker
from accelerate.utils import is_tensorboard_available

from trm_arc.common.errors import InputError
from trm_arc.common.modes import AUTO, BLOCK, NONE
from trm_arc.data.puzzle_set import AnySet
from trm_arc.evaluation.results import ResultsMetadata, make_results
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.votes import Predictions, count_views, tally
from trm_arc.training.build import Built
from trm_arc.training.loop import Evaluation, Tracker
from trm_arc.training.options import EVALUATE_VIEWS, RunConfig
from trm_arc.training.state import inference_state
from trm_arc.training.trainer import Trainer


def make_tracker(out: Path) -> Tracker:
    """A writer of metrics for TensorBoard into the folder of a run, through accelerate's tracker.

    Raises:
        InputError: TensorBoard is not installed.
    """
    if not is_tensorboard_available():
        raise InputError("TensorBoard is not installed; `pip install tensorboard`, or leave the flag out", flag="--tensorboard")
    tracker = TensorBoardTracker("tensorboard", str(out))
    tracker.start()
    return lambda line, step: tracker.log(line, step=step)


def make_evaluation(trainer: Trainer, tasks: AnySet, views: int, pool_votes: bool) -> Evaluation:
    """A function that scores the averaged weights of a run on the tasks that it learns to answer.

    Args:
        views: of a test input at most.
        pool_votes: score the votes of all evaluations so far together, too, as the original does.

    Raises:
        InputError: no solutions are known.
    """
    if not tasks.has_solutions:
        raise InputError(f"no solutions of {tasks.name} are known, so there is nothing to score", flag="--evaluate-every")
    pool: list[Predictions] = []

    def evaluate(on_batch: Callable[[], object]) -> dict[str, float]:
        options = trainer.options  # now, as a run whose compiler fails goes on without
        compiled = NONE if not options.compile_mode else AUTO if options.falls_back else BLOCK
        parts = predict_tasks(
            inference_state(trainer),
            tasks,
            trainer.device,
            InferenceConfig(compile=compiled),
            views=views,
            processes=trainer.processes,
            quiet=True,
            on_batch=on_batch,
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
    return make_results(ResultsMetadata(), tasks, answers, count_views(parts, tasks.outputs, tasks.domain)).scores.means()


def make_watchers(config: RunConfig, built: Built) -> tuple[Evaluation | None, Tracker | None]:
    """What scores a run, and what writes its metrics for TensorBoard; each only if it is asked for.

    Raises:
        InputError: no solutions are known, or TensorBoard is not installed.
    """
    trainer, tasks, _ = built
    evaluate = track = None
    if config.loop.evaluate_every:
        views = config.evaluate_views or min(EVALUATE_VIEWS, tasks.domain.default_views)
        evaluate = make_evaluation(trainer, tasks, views, config.pool_votes)
    if config.tensorboard and trainer.processes.is_main:
        track = make_tracker(config.out)
    return evaluate, track
