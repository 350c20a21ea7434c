"""Accuracy against compute at test time: the same puzzles answered with more steps, more rollouts and more views."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from trm_arc.common.device import Device
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.modes import NONE
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.evaluation.puzzle_scores import PuzzleScores
from trm_arc.evaluation.score import Rate
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.config import DEFAULT, InferenceConfig
from trm_arc.inference.votes import Predictions, tally
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.flops import count_forward

HEADER = "varied         steps taken       GFLOP     exact  (95 % interval)"


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What to try; rollouts and views with as many steps as in training.

    Attributes:
        steps: supervision steps.
        patience: with which the same steps are tried again; 0: they are not.
        rollouts: of a view.
        noise: of the rollouts.
        views: of a puzzle.
        batch_size: see `InferenceConfig`.
        compile: see `InferenceConfig`; with patience nothing is compiled.

    Raises:
        InputError: a value is out of its range, or there is nothing to try.
    """

    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    patience: int = 3
    rollouts: tuple[int, ...] = (2, 4, 8, 16)
    noise: float = DEFAULT.noise
    views: tuple[int, ...] = (2, 4, 8, 16)
    batch_size: int = DEFAULT.batch_size
    compile: Literal["auto", "block", "none"] = DEFAULT.compile

    def __post_init__(self) -> None:
        for name in ("steps", "rollouts", "views"):
            for value in getattr(self, name):
                require_least({"steps": "answer_steps"}.get(name, name), value)
        InferenceConfig(patience=self.patience, noise=self.noise, batch_size=self.batch_size)
        if not (self.steps or self.rollouts or self.views):
            raise InputError("--answer-steps, --rollouts and --views name nothing to try")


class Point(NamedTuple):
    """The result of one configuration of a sweep.

    Attributes:
        kind: what is varied: steps, patience, rollouts or views.
        steps: supervision steps at most.
        rollouts: of a view.
        views: of a puzzle.
        patience: see `InferenceConfig`.
        taken: supervision steps of a puzzle, all its views, rollouts and latents together, on average.
        operations: of a puzzle.
        exact: the expected answers.
        valid: the answers that are right.
    """

    kind: str
    steps: int
    rollouts: int
    views: int
    patience: int
    taken: float
    operations: float
    exact: Rate
    valid: Rate

    def __str__(self) -> str:
        varied = self.steps if self.kind == "patience" else getattr(self, self.kind)
        interval = f"{100 * self.exact.low:.1f} to {100 * self.exact.high:.1f}"
        operations = f"{self.operations / 1e9:12,.2f}"
        return f"{self.kind:9}{varied:5}{self.taken:12.1f}{operations}   {100 * self.exact.value:5.1f} %  ({interval})"


class Sweep:
    """Answers the same puzzles with many configurations, and prints a line for each."""

    def __init__(self, checkpoint: Checkpoint, puzzles: PuzzleSet, device: Device) -> None:
        self.checkpoint, self.puzzles, self.device = checkpoint, puzzles, device
        model = checkpoint.config.model
        self.operations = count_forward(model, int(np.prod(puzzles.domain.shape))) / model.latents  # of one step of one row

    def run(self, tried: SweepConfig) -> list[Point]:
        """All points."""
        print(HEADER)
        steps = self.checkpoint.config.training.steps_of_answer
        base = InferenceConfig(steps=steps, batch_size=tried.batch_size, compile=tried.compile)
        points = []
        for patience in (0, tried.patience) if tried.patience else (0,):
            for steps in (steps for steps in sorted(tried.steps) if steps > patience):
                config = replace(base, steps=steps, patience=patience, compile=NONE if patience else base.compile)
                points.append(self._point("patience" if patience else "steps", config, 1, self._answer(config, 1)))
        for rollouts in sorted(tried.rollouts):
            config = replace(base, rollouts=rollouts, noise=tried.noise)
            points.append(self._point("rollouts", config, 1, self._answer(config, 1)))
        return points + self._vary_views(base, tried.views)

    def _vary_views(self, config: InferenceConfig, tried: tuple[int, ...]) -> list[Point]:
        """Points of the first views of each puzzle, all of which are answered once."""
        most = min(max(tried, default=0), self.puzzles.domain.transforms)
        if not most:
            return []
        [every] = self._answer(config, most)
        view = np.arange(len(every.test_index)) - np.searchsorted(every.test_index, every.test_index)
        counts = sorted({min(views, most) for views in tried})
        return [self._point("views", config, views, [every.take(view < views)]) for views in counts]

    def _answer(self, config: InferenceConfig, views: int) -> list[Predictions]:
        return predict_tasks(self.checkpoint, self.puzzles, self.device, config, views=views, quiet=True)

    def _point(self, kind: str, config: InferenceConfig, views: int, parts: list[Predictions]) -> Point:
        """Score answers, and print it."""
        count = len(self.puzzles)
        taken = float(np.concatenate([part.steps for part in parts]).sum()) / count
        ranked = tally(parts, count, 1, self.puzzles.domain)
        scores = PuzzleScores.of(self.puzzles, [[candidate.grid for candidate in answers] for answers in ranked])
        settings = config.steps, config.rollouts, views, config.patience
        point = Point(kind, *settings, taken, taken * self.operations, scores.rate("exact"), scores.rate("valid"))
        print(point)
        return point
