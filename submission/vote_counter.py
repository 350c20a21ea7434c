"""The votes of a submission as they come in, and which test inputs need no more views."""

from collections.abc import Iterator

import numpy as np

from trm_arc.data.domains.arc import ARC
from trm_arc.data.task import Grid
from trm_arc.inference.votes import Predictions, tally

Hashes = tuple[np.ndarray, np.ndarray]  # as `Domain.hash_undone` gives them

LARGEST_ROUND = 64  # views of a test input
BLOCK = 8  # test inputs that are answered one after another because their canvases are equal


def rounds(views: int) -> Iterator[tuple[int, int]]:
    """First view, and the view after the last, of each round: each is twice as large as the one before, up to a limit."""
    begin, size = 0, 1
    while begin < views:
        yield begin, min(begin + size, views)
        begin, size = begin + size, min(2 * size, LARGEST_ROUND)


def mix_sizes(indices: np.ndarray, cells: np.ndarray, seed: int) -> np.ndarray:
    """Test inputs in blocks of about equal canvases, which fill batches, but the blocks in a random order: when the time ends
    within a round, test inputs of all sizes have had their share of it.

    Args:
        indices: int64 (n,), the test inputs.
        cells: int64 (test inputs,), the cells of the canvas of each.
    """
    ordered = indices[np.argsort(cells[indices], kind="stable")]
    blocks = np.array_split(ordered, max(1, -(-len(ordered) // BLOCK)))
    return np.concatenate([blocks[number] for number in np.random.default_rng(seed).permutation(len(blocks))])


class VoteCounter:
    """All predictions so far; nothing that counts them has to be compiled, which could make a session late."""

    def __init__(self, test_inputs: int) -> None:
        self.test_inputs = test_inputs
        # By work item, so that the order of arrival does not matter: the predictions, and the hashes of their answers.
        self.parts: dict[float, list[tuple[Predictions, Hashes]]] = {}
        self.views = np.zeros(test_inputs, np.int64)  # done, of each test input

    def add(self, item: float, parts: list[Predictions], test_indices: np.ndarray) -> None:
        """Add the predictions of a work item.

        Args:
            item: its number, which breaks ties: the lower comes first.
            test_indices: int64 (n,), the test input of every view of the item, answered or not.
        """
        self.parts[item] = [(part, ARC.hash_undone(part.canvases, part.table)) for part in parts]
        np.add.at(self.views, test_indices, 1)

    def rank(self) -> tuple[list[list[Grid]], np.ndarray]:
        """The two best candidates of every test input, and the votes int64 (test inputs, 3) of its first three."""
        counted = [each for item in sorted(self.parts) for each in self.parts[item]]
        ranked = tally([part for part, _ in counted], self.test_inputs, 3, ARC, [hashes for _, hashes in counted])
        votes = np.zeros((self.test_inputs, 3), np.int64)
        for index, candidates in enumerate(ranked):
            votes[index, : len(candidates)] = [candidate.votes for candidate in candidates]
        return [[candidate.grid for candidate in candidates[:2]] for candidates in ranked], votes


def is_decided(votes: np.ndarray, done: np.ndarray, left: np.ndarray, deviations: float | None = None) -> np.ndarray:
    """Which test inputs need no more views, bool (n,): their two best candidates cannot change any more.

    Args:
        votes: int64 (n, 3), of the three best candidates, most first.
        done: int64 (n,), views that were predicted.
        left: int64 (n,), views that are left; should they all vote for the third, the second stays ahead.
        deviations: also decide what is unlikely to change: the second's lead, extrapolated to the last view, is at least so
            many standard deviations above zero (each view an independent draw, its rates estimated from the views done).
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
