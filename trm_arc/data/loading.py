"""The tasks or puzzles of a run: what it is trained on, and what it learns to answer."""

from pathlib import Path

from trm_arc.config import TrainingConfig
from trm_arc.data.leakage import check_leakage
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.puzzle_sources import domain_of_data


def load_training_tasks(config: TrainingConfig, folder: Path | None) -> tuple[AnySet, AnySet, list[str]]:
    """The tasks of a run: those trained on with all outputs, those to answer, and a sentence on each change.

    Named sets are looked for in `folder` first.

    Raises:
        InputError: a set that cannot be loaded, or a leak.
    """
    domain = domain_of_data(config.evaluation_data)
    held_out = domain.load_held_out(config, folder)
    evaluation = domain.narrow(held_out, config)
    training, notes = domain.load_training(config, folder, held_out)
    notes += [evaluation.note] if evaluation.note else []
    # No dev task is trained on, whichever of them this run answers; what only the others show is a leak, too.
    also = [held_out] if config.dev_share and held_out is not evaluation else []
    for scored in (*also, evaluation):
        training, dropped = check_leakage(training, scored, drop=config.drop_leaks or config.dev_share > 0)
        notes += [domain.describe_dropped(dropped)] if dropped else []
    return training, evaluation, notes
