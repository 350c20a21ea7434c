"""The votes of a submission as they come in, and which test inputs need no more of them."""

import numpy as np

from trm_arc.task import Grid
from trm_arc.vote import Predictions, tally


class Ballot:
    """All predictions so far.

    Args:
        slots: number of test inputs.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.parts: dict[int, list[Predictions]] = {}  # by unit of work, so that the order of arrival plays no part
        self.views = np.zeros(slots, np.int64)  # done, of each test input

    def add(self, unit: int, parts: list[Predictions], slots: np.ndarray) -> None:
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


def settled(votes: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Which test inputs need no more views, bool (slots,): their two best cannot change any more, by count.

    Args:
        votes: int64 (slots, 3), of the three best candidates, most first.
        left: int64 (slots,), views that are left of each; should they all go to the third, the second stays ahead.
    """
    return (votes[:, 1] - votes[:, 2] > left) | (left <= 0)
