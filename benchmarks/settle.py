"""Views that decided test inputs save, and the effect on the attempts: recorded predictions, replayed round by round."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import common
from submission.vote_counter import is_decided, rounds
from trm_arc.common.device import find_device
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.data.task import Grid, TaskSet
from trm_arc.evaluation.score import ranks
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.votes import Candidate, Predictions, tally
from trm_arc.model.checkpoint import load_checkpoint

RULES = (None, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5)  # deviations; None: by count alone


def count_rounds(parts: list[Predictions], most: np.ndarray) -> list[tuple[int, list[list[Candidate]]]]:
    """The votes after every round, as a submission would count them.

    Args:
        parts: all predictions; the views of a test input in their order.
        most: int64 (tests,), views of each.

    Returns:
        For every round the views done of each test input at most, and the candidates.
    """
    place = [np.zeros(len(part.test_index), np.int64) for part in parts]
    seen = np.zeros(len(most), np.int64)
    for part, places in zip(parts, place, strict=True):
        for index, test in enumerate(part.test_index):
            places[index] = seen[test]
            seen[test] += 1
    counted = []
    for _, end in rounds(int(most.max())):
        here = [p.take(places < end) for p, places in zip(parts, place, strict=True)]
        counted.append((end, tally(here, len(most), 3)))
    return counted


def replay(
    counted: list[tuple[int, list[list[Candidate]]]], most: np.ndarray, deviations: float | None
) -> tuple[float, list[list[Grid]]]:
    """The share of the views that a rule saves, and the attempts that it leads to.

    Args:
        counted: from `count_rounds`.
        most: int64 (tests,), views of each test input.
    """
    used, attempts = most.copy(), [[] for _ in most]
    active = np.ones(len(most), bool)
    for end, candidates in counted:
        votes = np.array([[c.votes for c in some] + [0] * (3 - len(some)) for some in candidates])
        done = np.minimum(most, end)
        over = active & is_decided(votes, done, most - done, deviations)
        for test in np.flatnonzero(over):
            used[test], attempts[test] = done[test], [c.grid for c in candidates[test][:2]]
        active &= ~over
    return 1 - used.sum() / most.sum(), attempts


def same(first: list[Grid], second: list[Grid]) -> bool:
    """Whether two pairs of attempts hold the same grids, in any order."""
    return sorted(map(str, (g.tolist() for g in first))) == sorted(map(str, (g.tolist() for g in second)))


def solved(tasks: TaskSet, attempts: list[list[Grid]]) -> int:
    """Test outputs solved within two attempts."""
    return sum(place is not None for task in ranks(tasks.solutions, tasks.fill_attempts(attempts)) for place in task)


def main(arguments: Sequence[str]) -> int:
    """Record, replay and print."""
    parser = common.parser("settle", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the named task sets")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a run, whose evaluation tasks are answered")
    parser.add_argument("--views", type=int, default=1000, help="views of each test input at most")
    values = parser.parse(arguments)
    require_least("views", values.views)
    checkpoint = load_checkpoint(values.checkpoint)
    training = checkpoint.config.training
    tasks = checkpoint.domain.load_evaluation(training, values.data_folder)
    parts = predict_tasks(checkpoint, tasks, find_device(), views=values.views)
    most = np.bincount(np.concatenate([part.test_index for part in parts]), minlength=tasks.outputs)
    counted = count_rounds(parts, most)
    final = [[c.grid for c in some[:2]] for some in counted[-1][1]]
    results = {"test inputs": tasks.outputs, "views": int(most.sum()), "solved with all views": solved(tasks, final)}
    for rule in RULES:
        share, attempts = replay(counted, most, rule)
        equal = sum(same(a, b) for a, b in zip(attempts, final, strict=True))
        name = "by count alone" if rule is None else f"--settle {rule:g}"
        results[name] = f"saves {share:.1%}, same attempts {equal} of {len(final)}, solved {solved(tasks, attempts)}"
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
