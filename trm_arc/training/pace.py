"""How long steps, saves and evaluations take, and so for how many of them there is time."""

import math
from collections import deque
from statistics import median_low

from trm_arc.training.trainer import Trainer

_RECENT = 8  # steps of a lane


class Pace:
    """What a run under a time limit knows of its own speed.

    Args:
        trainer: the run.
        began: when the loop began, in seconds of the clock.
        limit: seconds that it may take; None: any.
    """

    def __init__(self, trainer: Trainer, began: float, limit: float | None) -> None:
        self.trainer, self.began, self.first = trainer, began, trainer.step
        self.end = math.inf if limit is None else began + limit
        self.half = math.inf if limit is None else began + limit / 2
        self.rates: list[deque[float]] = [deque(maxlen=_RECENT) for _ in trainer.examples.lanes]  # seconds an operation
        self.stepping = 0.0  # seconds of all steps
        self.saving = self.evaluating = 0.0  # seconds of the last one

    def add(self, seconds: float) -> None:
        """Take in how long the step took that was just done."""
        lane, operations = self._work(self.trainer.step - 1)
        self.rates[lane].append(seconds / operations)
        self.stepping += seconds

    def wants_save(self, now: float) -> bool:
        """Whether to save, so that it is known before the end how long that takes."""
        return not self.saving and now >= self.half

    def is_over(self, now: float, beside: float = 0.0) -> bool:
        """Whether the next step is the last, as no second one fits in.

        Args:
            now: seconds of the clock.
            beside: seconds to be kept back beside those of a save.
        """
        step = self.trainer.step
        two = self._seconds(step) + self._seconds(step + 1)
        return self.end - now - self.saving - beside <= two

    def has_time(self, now: float, seconds: float) -> bool:
        """Whether something that takes so long ends in time."""
        return now + seconds < self.end

    def has_time_for_step(self, now: float) -> bool:
        """Whether one more step and its save end in time."""
        return self.has_time(now, self._seconds(self.trainer.step) + self.saving)

    def count_steps(self, now: float, beside: float = 0.0) -> int:
        """How many steps are left, at least one, and more than one while there is time.

        Args:
            now: seconds of the clock.
            beside: see `is_over`.
        """
        step = self.trainer.step
        if self.is_over(now, beside):
            return 1
        left = self.end - now - self.saving - beside
        if not self._slowest():
            return max(2, self.trainer.steps - step)  # nothing is known yet, so it stays as it is
        few, many = 2, 4
        while self._seconds_of(many, now) <= left:
            few, many = many, 2 * many
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (middle, many) if self._seconds_of(middle, now) <= left else (few, middle)
        return few

    def _work(self, step: int) -> tuple[int, float]:
        """The lane of a step, and its operations."""
        lane = self.trainer.examples.turns.at(step)[0]
        return lane, self.trainer.operations(lane, self.trainer.depth(step))

    def _slowest(self) -> float:
        """The rate of the slowest lane that is known; 0 if none is."""
        return max(map(self._rate, range(len(self.rates))))

    def _rate(self, lane: int) -> float:
        """Seconds an operation in a lane; 0 where too little is known: a lane's first step may have been compiled."""
        rates = self.rates[lane]
        return median_low(rates) if len(rates) > 1 else 0.0

    def _seconds(self, step: int) -> float:
        """How long a step will take; a lane that is not known is taken for the slowest of the others."""
        lane, operations = self._work(step)
        return (self._rate(lane) or self._slowest()) * operations

    def _seconds_of(self, count: int, now: float) -> float:
        """How long so many further steps will take, in a run that they complete, with what has lain between steps so far."""
        trainer, step = self.trainer, self.trainer.step
        total, before = step + count, trainer.examples.turns.before[-1]
        between = (now - self.began - self.stepping) / max(1, step - self.first)
        seconds, begin = count * between, 0.0
        for share, *depth in (*trainer.stages, (1.0,)):  # of the depth curriculum
            steps = max(0.0, share * total - max(step, begin * total))
            for lane, turns in enumerate(before):
                rate = self._rate(lane) or self._slowest()
                seconds += steps * turns / before.sum() * rate * trainer.operations(lane, tuple(depth) or None)
            begin = share
        return seconds
