"""What a run costs: estimated for a dry run, and measured during the run, to end within a time limit."""

import math
import time
from collections import deque
from statistics import median_low

from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import format_duration, format_size
from trm_arc.common.modes import BLOCK, NONE
from trm_arc.model.flops import count_training
from trm_arc.training.cost import Rates, count_kept, model_seconds
from trm_arc.training.memory import carried_bytes
from trm_arc.training.trainer import Trainer

_RECENT = 8  # steps of a bucket


class TimeBudget:
    """How long the steps, saves and evaluations of a run take, and so for how many of them there is time."""

    def __init__(self, trainer: Trainer, deadline: Deadline) -> None:
        self.trainer, self.deadline, self.first = trainer, deadline, trainer.step
        self.began, self.half = time.monotonic(), deadline.left / 2
        self.rates: list[deque[float]] = [deque(maxlen=_RECENT) for _ in trainer.examples.buckets]  # seconds a FLOP
        self.stepping = 0.0  # seconds of all steps
        self.saving = self.evaluating = 0.0  # seconds of the last one

    def add(self, seconds: float, step: int | None = None, *, compiled: bool = False) -> None:
        """Record how long a step (from 0) took; the last one if None.  One that was `compiled` tells nothing of later ones."""
        bucket, operations = self._work(self.trainer.step - 1 if step is None else step)
        if not compiled:
            self.rates[bucket].append(seconds / operations)
        self.stepping += seconds

    def wants_save(self) -> bool:
        """Whether to save, so that it is known before the end how long that takes."""
        return not self.saving and math.isfinite(self.half) and self.deadline.left <= self.half

    def is_over(self, reserve: float = 0.0) -> bool:
        """Whether the next step is the last, as there is no time for two.

        Args:
            reserve: seconds that are needed later, beside those of a save.
        """
        step = self.trainer.step
        two = self._seconds(step) + self._seconds(step + 1)
        pending = self._seconds(step - 1) if self.trainer.outcome else 0.0  # the device may still be at the last one
        return self.deadline.left - self.saving - reserve <= two + pending

    def has_time(self, seconds: float) -> bool:
        """Whether something that takes so long ends in time."""
        return seconds < self.deadline.left

    def has_time_for_step(self) -> bool:
        """Whether one more step and its save end in time."""
        return self.has_time(self._seconds(self.trainer.step) + self.saving)

    def count_steps(self, reserve: float = 0.0) -> int:
        """How many steps are left, at least one, and more than one while there is time; for `reserve` see `is_over`."""
        step, now = self.trainer.step, time.monotonic()
        if self.is_over(reserve):
            return 1
        left = self.deadline.left - self.saving - reserve
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
        """The bucket of a step, and its FLOPs."""
        bucket = self.trainer.examples.schedule.at(step)[0]
        return bucket, self.trainer.operations(bucket, self.trainer.depth(step))

    def _slowest(self) -> float:
        """The rate of the slowest bucket that is known; 0 if none is."""
        return max(map(self._rate, range(len(self.rates))))

    def _rate(self, bucket: int) -> float:
        """Seconds a FLOP in a bucket; 0 where too little is known: a bucket's first step may have been compiled."""
        rates = self.rates[bucket]
        return median_low(rates) if len(rates) > 1 else 0.0

    def _seconds(self, step: int) -> float:
        """How long a step will take; an unknown bucket is assumed to be as slow as the slowest other one."""
        bucket, operations = self._work(step)
        return (self._rate(bucket) or self._slowest()) * operations

    def _seconds_of(self, count: int, now: float) -> float:
        """How long so many further steps will take, in a run that they complete, with what has lain between steps so far."""
        trainer, step = self.trainer, self.trainer.step
        total, before = step + count, trainer.examples.schedule.before[-1]
        between = (now - self.began - self.stepping) / max(1, step - self.first)
        seconds, begin = count * between, 0.0
        for share, *depth in (*trainer.stages, (1.0,)):  # of the depth curriculum
            steps = max(0.0, share * total - max(step, begin * total))
            for bucket, count_before in enumerate(before):
                rate = self._rate(bucket) or self._slowest()
                seconds += steps * count_before / before.sum() * rate * trainer.operations(bucket, tuple(depth) or None)
            begin = share
        return seconds


def describe_plan(trainer: Trainer, rates: Rates) -> str:
    """What a run will do and cost, for a dry run: size buckets, memory, FLOPs, time."""
    config, examples = trainer.config, trainer.examples
    batch = config.training.batch_size
    area = examples.grids.shapes[examples.pairs].max(axis=1).prod(axis=1)  # the cells that both grids of a pair need
    turns = examples.schedule.before[-1]
    lines, mean = ["canvas    pairs   steps   wasted cells   GFLOP an example"], 0.0
    for bucket, share in zip(examples.buckets, turns / turns.sum(), strict=True):
        cells = bucket.window.cells
        operations = count_training(config.model, config.training, cells)
        mean += share * operations
        wasted = 1 - area[bucket.pairs].mean() / cells
        name = f"{bucket.window.rows} x {bucket.window.columns}"
        lines.append(f"{name:8} {len(bucket.pairs):6}   {share:5.1%}   {wasted:12.1%}   {operations / 1e9:16,.1f}")
    full = count_training(config.model, config.training, config.model.board_rows * config.model.board_columns)
    dtype, largest = trainer.device.dtype, max(examples.windows, key=lambda window: window.cells)
    carried = sum(carried_bytes(config.model, window, batch, dtype) for window in examples.windows)
    kept = count_kept(config, largest, batch, dtype) / batch
    pieces = ", ".join(map(str, sorted(set(trainer.pieces))))
    network = sum(p.numel() * p.element_size() for p in trainer.reasoner.parameters())
    table = trainer.embedding.table
    total = trainer.steps * batch * mean
    times = f"{full / mean:.2f}"
    fewer = "" if times == "1.00" else f", {times} times fewer than on full boards"
    lines += [
        f"FLOPs of a step: {batch * mean / 1e12:,.2f} TFLOP{fewer}",
        f"memory: network {format_size(network)}, its average and optimizer up to {format_size(3 * network)}",
        f"memory: task embeddings {format_size(table.nbytes)} ({table.dtype} on {table.device.type})",
        f"memory: active samples {format_size(carried)}",
        f"memory: {format_size(kept)} kept for the backward pass of each sample of {largest.rows} x {largest.columns}",
        f"samples at a time, by the memory that is free: {pieces} of {trainer.whole}",
        f"steps: {trainer.steps:,} of {batch} samples, {total / 1e15:,.1f} PFLOP in all",
        f"time, modelled from counted operations and bytes and this device's rates (products: {rates.peak / 1e12:,.2f} TFLOP/s):",
    ]
    modelled = model_seconds(config, examples, rates, dtype)
    for mode, seconds in zip((NONE, BLOCK), modelled, strict=True):
        share = batch * mean / seconds / rates.peak
        lines.append(f"    --compile {mode:5}  {format_duration(trainer.steps * seconds)} ({share:.0%} of that rate)")
    return "\n".join(lines)
