"""What a run on Sudoku or mazes is trained on, and the settings that follow from its data."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from augment import Plan, Window, pack_boards
from trm_arc.common.errors import InputError
from trm_arc.config import Config
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.examples import Examples, check_vocabulary
from trm_arc.data.lanes import sort_into_lanes, take_turns
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import are_puzzles, domain_of_data, test_of

# Settings that say nothing of boards of one size, whose puzzles share one task embedding.
_OF_ARC = ("smallest", "lanes", "translate", "leave_out")
OF_PUZZLES = ("puzzles", "evaluation_puzzles", "skip_bad")


def fit_to_data(config: Config, given: dict[str, Any], folder: Path | None) -> Config:
    """The settings with what follows from the data: of puzzles the board, the tokens and the data to answer.

    Args:
        config: the settings as they are.
        given: those that were asked for by name.
        folder: where to look for named sets first.

    Raises:
        InputError: settings that say nothing of this data, or that contradict it.
    """
    data = config.training.data
    of_puzzles = are_puzzles(data)
    idle = [name for name in (_OF_ARC if of_puzzles else OF_PUZZLES) if name in given]
    if idle:
        kind = "Sudoku and mazes" if of_puzzles else "ARC tasks"
        raise InputError(f"does nothing for {kind}", flag=f"--{idle[0].replace('_', '-')}")
    if not of_puzzles:
        if are_puzzles(config.training.evaluation_data):
            raise InputError("to answer puzzles a run must learn from puzzles; name some with --data", flag="data")
        return config
    domain = domain_of_data(data, folder)
    if "data" in given and "evaluation_data" not in given:
        config = config.override({"evaluation_data": test_of(data)})
    evaluation = config.training.evaluation_data
    if not are_puzzles(evaluation) or (other := domain_of_data(evaluation, folder)) is not domain:
        what = other.name if are_puzzles(evaluation) else "ARC tasks"
        raise InputError(
            f"a run on {domain.name} is scored on {domain.name}, and {evaluation} holds {what}", flag="evaluation_data"
        )
    return config.override(_board_settings(config, given, domain))


def _board_settings(config: Config, given: dict[str, Any], domain: BoardDomain) -> dict[str, Any]:
    rows, columns = domain.shape
    needed = {"board_rows": rows, "board_columns": columns, "vocabulary": domain.vocabulary, "window": "full"}
    for name, value in needed.items():
        if name in given and given[name] != value:
            raise InputError(
                f"{domain.name} needs {value}, got {given[name]}; leave the flag out", flag=f"--{name.replace('_', '-')}"
            )
    if config.training.augmentations >= domain.transforms:
        if "augmentations" in given:
            most = domain.transforms - 1
            raise InputError(
                f"{domain.name} has {most} other images by symmetry, got {given['augmentations']}", flag="--augmentations"
            )
        needed["augmentations"] = 0  # a preset of ARC; a maze's label is not symmetric
    if config.model.transform_slots:
        raise InputError("they tell ARC's symmetries and colours; use --no-transform-slots for puzzles", flag="transform_slots")
    return needed


def prepare_puzzles(training: PuzzleSet, evaluation: PuzzleSet, settings: Config) -> Examples:
    """Collect what is trained on: all training puzzles, each under as many symmetries as there are augmentations.

    Args:
        training: past the leak guard.
        evaluation: what is to be answered; only its domain is looked at.
        settings: board, augmentations and seed.

    Raises:
        InputError: settings that do not go with the puzzles, or puzzles of different kinds.
    """
    domain, model, config = training.domain, settings.model, settings.training
    if evaluation.domain is not domain:
        raise InputError(f"{training.name} holds {domain.name}, {evaluation.name} {evaluation.domain.name}; use sets of one kind")
    check_vocabulary(model, domain)
    if (model.board_rows, model.board_columns) != domain.shape:
        raise InputError(f"{domain.name} needs {domain.shape[0]}, and as many columns, got {model.board_rows}", flag="board_rows")
    count = len(training)
    everything = np.arange(count + 1)
    [lane] = sort_into_lanes(everything[:-1], np.full(count, max(domain.shape)), [max(domain.shape)])
    plan = domain.make_plan(training.questions, config.augmentations + 1, config.seed)
    return Examples(
        domain,
        [(domain.name, fingerprint(training))],
        pack_boards(np.concatenate([training.questions, training.answers])),
        np.stack([everything[:-1], everything[:-1] + count], axis=1),
        everything,
        [lane._replace(window=Window(*domain.shape))],
        take_turns([count]),
        plan.keys,
        plan,
        Plan.concatenate([domain.identity()[None]]),
        np.unique(training.input_hashes()),
        "one",
    )


def fingerprint(puzzles: PuzzleSet) -> str:
    """A short digest of a set, by which a run that goes on knows its data again."""
    digest = hashlib.blake2b(digest_size=8)
    for boards in (puzzles.questions, puzzles.answers):
        digest.update(np.ascontiguousarray(boards).data)
    return digest.hexdigest()
