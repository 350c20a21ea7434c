"""Voting: predictions under many views, undone, counted, ranked."""

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from trm_arc.data.domains import Domain
from trm_arc.data.domains.arc import ARC


@dataclass(frozen=True)
class Predictions:
    """A model's answers to several test inputs under several views, on canvases of one size.

    Attributes:
        canvases: uint8 (n, rows, columns), predicted tokens.
        table: uint8 (n, bytes of a transform), the transform of each view.
        test_index: int64 (n,), the test input of each, in the order of the tasks.
        halting: float32 (n,), halting probability.
        steps: int32 (n,), supervision steps that it took, all its rollouts and latents together.
    """

    canvases: np.ndarray
    table: np.ndarray
    test_index: np.ndarray
    halting: np.ndarray
    steps: np.ndarray

    def take(self, which: np.ndarray) -> "Predictions":
        """Some of them, by a mask or by numbers."""
        return Predictions(*(getattr(self, each.name)[which] for each in fields(self)))


def list_views(test_index: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The test input and the number of every view of a range, test input by test input.

    Args:
        test_index: int64 (n,), the test inputs.
        begin: int64 (n,), the first view of each.
        end: int64 (n,), the view after the last of each; none where that is not above the first.
    """
    counts = np.maximum(end - begin, 0)
    tests, first = np.repeat(test_index, counts), np.repeat(begin - (np.cumsum(counts) - counts), counts)
    return tests, first + np.arange(len(tests))


@dataclass(frozen=True)
class Candidate:
    """A distinct answer to one test input.

    Attributes:
        grid: uint8 (rows, columns).
        votes: how many views gave it.
        halting: their mean halting probability.
        symmetry_votes: the votes per symmetry; empty if votes are not counted per symmetry.
    """

    grid: np.ndarray
    votes: int
    halting: float
    symmetry_votes: tuple[int, ...] = ()


def tally(
    parts: list[Predictions],
    tests: int,
    keep: int,
    domain: Domain = ARC,
    hashed: list[tuple[np.ndarray, np.ndarray]] | None = None,
) -> list[list[Candidate]]:
    """Count equal answers and rank them: by count, then by mean halting probability, then by the first view to give it.

    Args:
        tests: number of test inputs.
        keep: candidates of a test input to return at most.
        hashed: what `hash_undone` of the domain gives for each piece, where it is known from an earlier count.

    Returns:
        For every test input its candidates, best first; none where every view gave an empty grid.
    """
    if not parts:
        return [[] for _ in range(tests)]
    hashed = hashed or [domain.hash_undone(part.canvases, part.table) for part in parts]
    filled = np.concatenate([there for there, _ in hashed])
    owner = np.concatenate([np.full(len(p.test_index), number) for number, p in enumerate(parts)])[filled]
    index = np.concatenate([np.arange(len(p.test_index)) for p in parts])[filled]
    test = np.concatenate([p.test_index for p in parts])[filled]
    halting = np.concatenate([p.halting for p in parts])[filled].astype(np.float64)
    hashes = np.concatenate([h for _, h in hashed])[filled]

    order = np.lexsort((hashes, test))  # stable: the first of equals is the first view
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(test[order]) != 0) | (hashes[order][1:] != hashes[order][:-1])
    starts = np.flatnonzero(fresh)
    votes = np.diff(np.append(starts, len(order)))
    mean = np.add.reduceat(halting[order], starts) / votes if len(starts) else halting
    first = order[starts]
    rank = np.lexsort((first, -mean, -votes, test[first]))
    bounds = np.searchsorted(test[first][rank], np.arange(tests + 1))
    symmetries = len(domain.orientations)
    symmetry_votes = np.empty((len(starts), 0), np.int64)
    if symmetries:
        symmetry = np.concatenate([domain.orient(part.table) for part in parts])[filled]
        group = np.repeat(np.arange(len(starts)), votes)
        counts = np.bincount(group * symmetries + symmetry[order], minlength=len(starts) * symmetries)
        symmetry_votes = counts.reshape(-1, symmetries)

    def candidate(number: int) -> Candidate:
        view = first[number]
        part, at = parts[owner[view]], index[view]
        grid = domain.undo(part.canvases[at], part.table[at])
        return Candidate(grid, int(votes[number]), float(mean[number]), tuple(symmetry_votes[number].tolist()))

    return [[candidate(number) for number in rank[begin : min(end, begin + keep)]] for begin, end in pairwise(bounds)]


def count_views(parts: list[Predictions], tests: int, domain: Domain = ARC) -> np.ndarray:
    """How many views of each test input were predicted, per symmetry; int64 (tests, symmetries or 1)."""
    symmetries = len(domain.orientations) or 1
    counts = np.zeros((tests, symmetries), np.int64)
    for part in parts:
        cell = part.test_index * symmetries + domain.orient(part.table)
        counts += np.bincount(cell, minlength=counts.size).reshape(counts.shape)
    return counts
