"""The tasks that a checkpoint is evaluated on."""

from pathlib import Path

from trm_arc.common.errors import require_least
from trm_arc.data.domains import LoadOptions
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.puzzle_sources import domain_of_data
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
        skip_bad: leave out broken tasks, and rows of a file that are not puzzles.

    Raises:
        InputError: they cannot be loaded, or an argument does nothing for them.
    """
    training = checkpoint.config.training
    names = data or training.evaluation_data
    domain = domain_of_data(names, folder)
    asked = {"solutions": solutions, "puzzles": puzzles, "skip_bad": skip_bad}
    domain.refuse_unused({name: value for name, value in asked.items() if value})
    require_least("puzzles", puzzles, 0)
    checkpoint.require_domain(domain, names)  # before any is generated
    count = puzzles if puzzles is not None else 0 if data else training.evaluation_puzzles
    skip_bad = skip_bad or (not data and training.skip_bad)
    options = LoadOptions(count, training.seed, skip_bad, solutions, 0 if data else training.smallest)
    return domain.load(names, "test", folder, options)
