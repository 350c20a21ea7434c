"""Voting: predictions under many views, undone, counted, ranked."""

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from trm_arc.data.domains import Domain
from trm_arc.data.domains.arc import ARC


@dataclass(frozen=True)
class Predictions:
    """What a model said of several test inputs under several views, on canvases of one size.

    Attributes:
        canvases: uint8 (n, rows, columns), predicted tokens.
        table: uint8 (n, bytes of a transform), the transform of each view.
        slots: int64 (n,), the number of the test input.
        halting: float32 (n,), halting probability.
        steps: int32 (n,), supervision steps that it took, all its rollouts and latents together.
    """

    canvases: np.ndarray
    table: np.ndarray
    slots: np.ndarray
    halting: np.ndarray
    steps: np.ndarray

    def take(self, which: np.ndarray) -> "Predictions":
        """Some of them, by a mask or by numbers."""
        return Predictions(*(getattr(self, each.name)[which] for each in fields(self)))


@dataclass(frozen=True)
class Candidate:
    """A distinct answer to one test input.

    Attributes:
        grid: uint8 (rows, columns).
        votes: how many views gave it.
        halting: their mean halting probability.
        orientations: the votes by the domain's orientations; empty where it has none.
    """

    grid: np.ndarray
    votes: int
    halting: float
    orientations: tuple[int, ...] = ()


def tally(parts: list[Predictions], slots: int, keep: int, domain: Domain = ARC) -> list[list[Candidate]]:
    """Count equal answers and rank them: by count, then by mean halting probability, then by the first view to give it.

    Args:
        parts: predictions, in any number of pieces.
        slots: number of test inputs.
        keep: how many candidates of a test input to return at most.
        domain: of the puzzles.

    Returns:
        For every test input its candidates, best first; none where every view gave an empty grid.
    """
    if not parts:
        return [[] for _ in range(slots)]
    hashed = [domain.hash_undone(part.canvases, part.table) for part in parts]
    filled = np.concatenate([there for there, _ in hashed])
    owner = np.concatenate([np.full(len(p.slots), number) for number, p in enumerate(parts)])[filled]
    index = np.concatenate([np.arange(len(p.slots)) for p in parts])[filled]
    slot = np.concatenate([p.slots for p in parts])[filled]
    halting = np.concatenate([p.halting for p in parts])[filled].astype(np.float64)
    hashes = np.concatenate([h for _, h in hashed])[filled]

    order = np.lexsort((hashes, slot))  # stable: the first of equals is the first view
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(slot[order]) != 0) | (hashes[order][1:] != hashes[order][:-1])
    starts = np.flatnonzero(fresh)
    votes = np.diff(np.append(starts, len(order)))
    mean = np.add.reduceat(halting[order], starts) / votes if len(starts) else halting
    first = order[starts]
    rank = np.lexsort((first, -mean, -votes, slot[first]))
    bounds = np.searchsorted(slot[first][rank], np.arange(slots + 1))
    ways = len(domain.orientations)
    by_way = np.empty((len(starts), 0), np.int64)
    if ways:
        way = np.concatenate([domain.orient(part.table) for part in parts])[filled]
        group = np.repeat(np.arange(len(starts)), votes)
        by_way = np.bincount(group * ways + way[order], minlength=len(starts) * ways).reshape(-1, ways)

    def candidate(number: int) -> Candidate:
        view = first[number]
        part, at = parts[owner[view]], index[view]
        grid = domain.undo(part.canvases[at], part.table[at])
        return Candidate(grid, int(votes[number]), float(mean[number]), tuple(by_way[number].tolist()))

    return [[candidate(number) for number in rank[begin : min(end, begin + keep)]] for begin, end in pairwise(bounds)]


def count_views(parts: list[Predictions], slots: int, domain: Domain = ARC) -> np.ndarray:
    """How many views of each test input were predicted, by the domain's orientations; int64 (slots, orientations or 1).

    Args:
        parts: predictions, in any number of pieces.
        slots: number of test inputs.
        domain: of the puzzles.
    """
    ways = len(domain.orientations) or 1
    counts = np.zeros((slots, ways), np.int64)
    for part in parts:
        counts += np.bincount(part.slots * ways + domain.orient(part.table), minlength=slots * ways).reshape(slots, ways)
    return counts
