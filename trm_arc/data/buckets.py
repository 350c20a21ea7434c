"""Size buckets: windows of a few sizes, so that small grids do not pay for the empty cells of large ones.

A pair of grids belongs to the smallest bucket that holds both and their end-of-grid tokens under every symmetry.  Each bucket has
active samples of its own, and a step trains one bucket; the buckets are interleaved in proportion to their pairs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from augment import Window
from trm_arc.common.errors import InputError
from trm_arc.data.task import Task

PATTERN = 1000  # steps after which the schedule repeats
EOS_MARGIN = 1  # cells beyond a grid's edge that its end-of-grid tokens need


class SizeBucket(NamedTuple):
    """The pairs of one window.

    Attributes:
        window: the canvas.
        tasks: int64 (t,), tasks with a pair here.
        pairs: int64 (p,), their pairs here, task by task.
        starts: int64 (t + 1,), where the pairs of each of `tasks` begin in `pairs`.
    """

    window: Window
    tasks: np.ndarray
    pairs: np.ndarray
    starts: np.ndarray


class BucketSchedule(NamedTuple):
    """Which bucket each step trains.

    Attributes:
        buckets: int64 (n,), the bucket of each step of a pattern that repeats.
        before: int64 (n + 1, buckets), how many steps each bucket had before a step of the pattern.
    """

    buckets: np.ndarray
    before: np.ndarray

    def at(self, step: int) -> tuple[int, int]:
        """The bucket of a step (from 0), and how many steps it had before."""
        bucket = int(self.buckets[step % len(self.buckets)])
        return bucket, int(self.count(step)[bucket])

    def count(self, step: int) -> np.ndarray:
        """How many steps each bucket had before a step, int64 (buckets,)."""
        rounds, place = divmod(step, len(self.buckets))
        return rounds * self.before[-1] + self.before[place]


def sort_into_buckets(owners: np.ndarray, needs: np.ndarray, sides: list[int]) -> list[SizeBucket]:
    """Sort pairs into the smallest windows that hold them.

    Args:
        owners: int64 (pairs,), the task of each pair, in ascending order.
        needs: int64 (pairs,), the side that each needs.
        sides: sides of the windows, ascending; the last holds every pair.

    Raises:
        InputError: a window that no pair needs.
    """
    chosen = np.searchsorted(sides, needs)
    buckets = []
    for number, side in enumerate(sides):
        pairs = np.flatnonzero(chosen == number)
        if not len(pairs):
            raise InputError(
                f"no pair needs the canvas of {side} x {side}; leave it out, or use --bucket-sides auto", flag="bucket_sides"
            )
        tasks, counts = np.unique(owners[pairs], return_counts=True)
        buckets.append(SizeBucket(Window(side, side), tasks, pairs, np.concatenate([[0], np.cumsum(counts)])))
    return buckets


def make_schedule(weights: Sequence[float]) -> BucketSchedule:
    """A schedule in proportion to the buckets' weights, such as their pairs, each as evenly spread as possible.

    Args:
        weights: of each bucket; its share is rounded to a thousandth, and is never 0.
    """
    shares = np.array(weights) / sum(weights)
    length = 1 if len(weights) == 1 else PATTERN
    quotas = np.maximum(1, np.floor(shares * length)).astype(np.int64)
    while quotas.sum() != length:
        behind = shares * length - quotas
        quotas[np.argmax(behind) if quotas.sum() < length else np.argmin(np.where(quotas > 1, behind, np.inf))] += (
            1 if quotas.sum() < length else -1
        )
    before = np.zeros((length + 1, len(weights)), np.int64)
    buckets = np.zeros(length, np.int64)
    for step in range(length):
        # the bucket that is furthest behind its share, of those with steps left
        behind = np.where(before[step] < quotas, quotas * (step + 1) / length - before[step], -np.inf)
        buckets[step] = np.argmax(behind)
        before[step + 1] = before[step]
        before[step + 1, buckets[step]] += 1
    return BucketSchedule(buckets, before)


def parse_sides(text: str, needs: np.ndarray, board: int) -> list[int]:
    """Sides of the windows, ascending.

    Args:
        text: comma-separated sides, or "auto" for those that waste the fewest cells, or "auto:N" for N of them.
        needs: int64 (pairs,), the side that each pair needs.
        board: the largest side.

    Raises:
        InputError: not such a list, a side above the board's, or none that holds the largest pair.
    """
    largest = int(needs.max())
    kind, _, count = text.strip().partition(":")
    if kind == "auto" and (not count or (count.isdecimal() and int(count) > 0)):
        return choose_sides(needs, int(count or 6))
    try:
        sides = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(
            f"comma-separated sides, such as 10,20,30, or auto are expected, got {text!r}", flag="bucket_sides"
        ) from None
    if sides[0] < 1 or sides[-1] > board:
        raise InputError(f"sides must be from 1 to the board's {board}, got {text}", flag="bucket_sides")
    if sides[-1] < largest:
        raise InputError(
            f"the largest pair needs a canvas of {largest} x {largest}, got {text}: add {largest}", flag="bucket_sides"
        )
    return sides


def choose_sides(needs: np.ndarray, count: int) -> list[int]:
    """The `count` sides (or as many as there are) that hold all pairs with the fewest cells, by dynamic programming.

    Args:
        needs: int64 (pairs,), the side that each pair needs.
        count: windows at most.
    """
    sides, pairs = np.unique(needs, return_counts=True)
    number = len(sides)
    total = np.concatenate([[0], np.cumsum(pairs)])
    # cells[k][j]: the fewest for the pairs of the first j sides in k windows, the last of which is of side j - 1
    cells = np.full((min(count, number) + 1, number + 1), np.inf)
    came = np.zeros(cells.shape, np.int64)
    cells[0, 0] = 0
    for k in range(1, len(cells)):
        for j in range(1, number + 1):
            options = cells[k - 1, :j] + sides[j - 1] ** 2 * (total[j] - total[:j])
            came[k, j] = int(np.argmin(options))
            cells[k, j] = options[came[k, j]]
    chosen, j = [], number
    for k in range(int(np.argmin(cells[1:, number])) + 1, 0, -1):
        chosen.append(int(sides[j - 1]))
        j = int(came[k, j])
    return chosen[::-1]


def expected_side(task: Task, number: int) -> int:
    """The side of the window for a test input, from what is visible.

    It holds the input, the output's expected size and the marks.  The output's size is the input's if every demonstration keeps
    its size; the demonstrations' if they all have the same; the input's times their ratio if they all have the same; else
    the largest that is visible.
    """
    given = task.test[number].input.shape
    shapes = [(pair.input.shape, pair.output.shape) for pair in task.train]
    ratios = {(outs[0] / ins[0], outs[1] / ins[1]) for ins, outs in shapes}
    outputs = {outs for _, outs in shapes}
    if len(ratios) == 1:
        ratio = next(iter(ratios))
        expected = (given[0] * ratio[0], given[1] * ratio[1])
        # one demonstration has both a fixed ratio and a fixed size; the larger of the two is safe
        expected = max(expected, *outputs, key=max) if len(shapes) == 1 and ratio != (1, 1) else expected
    elif len(outputs) == 1:
        expected = next(iter(outputs))
    else:
        expected = (task.side, task.side)
    return int(np.ceil(max(*given, *expected))) + EOS_MARGIN
