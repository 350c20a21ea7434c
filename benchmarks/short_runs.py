"""Short training runs of many settings and seeds, for tables; those that stand in a file of results are not done again."""

import hashlib
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import read_results
from trm_arc.common.device import find_device
from trm_arc.common.files import append_line, to_json
from trm_arc.config import Config
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.votes import tally
from trm_arc.training.build import build_trainer
from trm_arc.training.state import inference_state
from trm_arc.training.trainer import NotFiniteError, Trainer

LAST = 20  # steps at the end over which the loss is averaged


class Case(NamedTuple):
    """Settings by a name that a table shows."""

    name: str
    config: Config


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        name: of the case.
        seed: of the run.
        settings: a digest of all settings.
        loss: mean training loss of the last steps; None if it was no number.
        exact: share of held-out answers that are right, by the averaged weights and one view.
        cells: share of their cells that are right.
        seconds: processor time of the training.
    """

    name: str
    seed: int
    settings: str
    loss: float | None
    exact: float
    cells: float
    seconds: float


def run_all(cases: Sequence[Case], seeds: int, folder: Path | None, file: Path | None) -> list[Outcome]:
    """Run every case with every seed, round by round, so that there is a first picture early.

    Args:
        seeds: 0 to this number.
        folder: where to look for named sets first.
        file: of results, one JSON object a line, which is continued.

    Raises:
        InputError: data that is missing, or a file that holds something else.
    """
    done = {outcome.settings: outcome for outcome in read_results(Outcome, file, "short runs")} if file else {}
    outcomes = []
    for seed in range(seeds):
        for case in cases:
            config = case.config.override({"seed": seed})
            digest = hashlib.sha256(to_json(config.to_dict())).hexdigest()[:16]
            if digest not in done:
                done[digest] = train_short(case.name, config, digest, folder)
                if file:
                    append_line(file, to_json(asdict(done[digest])))
            outcomes.append(done[digest])
    return outcomes


def train_short(name: str, config: Config, digest: str, folder: Path | None) -> Outcome:
    """Train on the CPU, and answer what is held out once.

    Args:
        digest: of the settings.
        folder: where to look for named sets first.
    """
    fitted = fit_to_data(config, {})
    trainer, held_out, _ = build_trainer(fitted, folder, find_device("cpu"))
    began, losses = time.process_time(), []
    try:
        while trainer.step < trainer.steps:
            losses.append(float(trainer.train_step().loss))
    except NotFiniteError:
        losses.append(math.nan)
    seconds, loss = time.process_time() - began, statistics.fmean(losses[-LAST:])
    if not math.isfinite(loss):
        return Outcome(name, config.training.seed, digest, None, 0.0, 0.0, seconds)
    return Outcome(name, config.training.seed, digest, loss, *_answer(trainer, held_out), seconds)


def _answer(trainer: Trainer, tasks: AnySet) -> tuple[float, float]:
    """The shares of right answers and of right cells; an answer of another size has none."""
    parts = predict_tasks(inference_state(trainer), tasks, trainer.device, views=1, quiet=True)
    answers = tally(parts, tasks.outputs, 1, tasks.domain)
    cells = []
    for candidates, truth in zip(answers, tasks.truths, strict=True):
        same = bool(candidates) and truth is not None and candidates[0].grid.shape == truth.shape
        cells.append(float(np.mean(candidates[0].grid == truth)) if same else 0.0)
    return statistics.fmean(right == 1.0 for right in cells), statistics.fmean(cells)


def spread(values: Sequence[float | None], digits: int) -> str:
    """The mean, and the values that it is of if there are several; "-" where a run has none."""
    told = ["-" if value is None else f"{value:.{digits}f}" for value in values]
    mean = "-" if None in values else f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ({', '.join(told)})" if len(values) > 1 else mean
