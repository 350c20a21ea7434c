"""The tasks that a checkpoint is evaluated on."""

from dataclasses import replace
from pathlib import Path

from trm_arc.common.errors import require_least
from trm_arc.data.domains import LoadOptions
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.data.sources import require_sources
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
        solutions: the file of ARC solutions, if it is not beside the challenges file.
        puzzles: of a file, as many as these, drawn by the run's seed; 0: all.

    Raises:
        InputError: they cannot be loaded, or an argument does nothing for them.
    """
    training = checkpoint.config.training
    names = data or training.evaluation_data
    domain = domain_of_data(names)
    asked = {"solutions": solutions, "puzzles": puzzles, "skip_bad": skip_bad}
    domain.refuse_unused({name: value for name, value in asked.items() if value})
    require_least("puzzles", puzzles, 0)
    if domain != checkpoint.domain and domain.shape is None:  # whatever names no boards, even a mistyped name
        require_sources(names)
    checkpoint.require_domain(domain, names)  # before any is generated
    if data:
        return domain.load(names, "test", folder, LoadOptions(puzzles or 0, training.seed, skip_bad, solutions))
    count = training.evaluation_puzzles if puzzles is None else puzzles
    own = replace(training, evaluation_puzzles=count, skip_bad=skip_bad or training.skip_bad)
    return domain.load_evaluation(own, folder, solutions)
