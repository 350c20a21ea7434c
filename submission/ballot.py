"""The votes of a submission as they come in, and which test inputs need no more of them."""

from collections.abc import Iterator

import numpy as np

from trm_arc.data.task import Grid
from trm_arc.inference.votes import Predictions, tally

LARGEST_ROUND = 64  # views of a test input


def rounds(views: int) -> Iterator[tuple[int, int]]:
    """First view, and the view after the last, of each round: every one doubles the last up to a size."""
    begin, size = 0, 1
    while begin < views:
        yield begin, min(begin + size, views)
        begin, size = begin + size, min(2 * size, LARGEST_ROUND)


class Ballot:
    """All predictions so far.

    Args:
        slots: number of test inputs.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.parts: dict[float, list[Predictions]] = {}  # by unit of work, so that the order of arrival plays no part
        self.views = np.zeros(slots, np.int64)  # done, of each test input

    def add(self, unit: float, parts: list[Predictions], slots: np.ndarray) -> None:
        """Take the predictions of a unit of work in.

        Args:
            unit: its number, which settles ties: the earlier comes first.
            parts: the predictions.
            slots: int64, the test input of every view that was looked at, answered or not.
        """
        self.parts[unit] = parts
        np.add.at(self.views, slots, 1)

    def rank(self) -> tuple[list[list[Grid]], np.ndarray]:
        """The two best candidates of every test input, and the votes int64 (slots, 3) of its first three."""
        ranked = tally([part for unit in sorted(self.parts) for part in self.parts[unit]], self.slots, 3)
        votes = np.zeros((self.slots, 3), np.int64)
        for slot, candidates in enumerate(ranked):
            votes[slot, : len(candidates)] = [candidate.votes for candidate in candidates]
        return [[candidate.grid for candidate in candidates[:2]] for candidates in ranked], votes


def warm_up() -> None:
    """Count one vote, so that what is compiled at its first call is compiled before the time of counting is measured."""
    view = np.zeros((1, 11), np.uint8)
    view[0, 1:] = np.arange(10)
    nothing = np.zeros(1)
    halting, steps, slot = (nothing.astype(kind) for kind in (np.float32, np.int32, np.int64))
    tally([Predictions(np.full((1, 1, 1), 2, np.uint8), view, slot, halting, steps)], 1, 1)


def settled(votes: np.ndarray, done: np.ndarray, left: np.ndarray, deviations: float | None = None) -> np.ndarray:
    """Which test inputs need no more views, bool (slots,): their two best cannot change any more, by count.

    Args:
        votes: int64 (slots, 3), of the three best candidates, most first.
        done: int64 (slots,), views that were looked at.
        left: int64 (slots,), views that are left of each; should they all go to the third, the second stays ahead.
        deviations: settle, too, what is unlikely to change: the second's lead, carried on to the last view as it came about,
            is so many standard deviations above nothing (each view a draw of its own, the rate known from those done alone).
    """
    lead = votes[:, 1] - votes[:, 2]
    sure = (lead > left) | (left <= 0)
    if deviations is None:
        return sure
    share = lead / np.maximum(done, 1)
    variance = np.maximum((votes[:, 1] + votes[:, 2]) / np.maximum(done, 1) - share**2, 1 / np.maximum(done, 1))
    whole = done + np.maximum(left, 0)
    spread = np.sqrt(variance * np.maximum(left, 1) * whole / np.maximum(done, 1))
    return sure | (share * whole > deviations * spread)
