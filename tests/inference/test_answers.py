"""Voting, scores, attempts and the checks of a submission."""

import numpy as np
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap

import augment
from augment import Transform, Window, pack_grids
from tests import naive
from tests.helpers import examples, grid, make_tasks, messages, random_predictions
from trm_arc.common.errors import InputError
from trm_arc.common.files import to_json
from trm_arc.data.domains import domain_by_name
from trm_arc.data.guesses import fill_attempts, guesses
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.score import pass_at, ranks, rate, rate_tasks, rate_tests, resample, score, score_table
from trm_arc.inference.attempts import find_faults, read_attempts, to_submission
from trm_arc.inference.votes import Predictions, count_views, tally

says = messages(__name__)

# --- voting


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 60))
def test_tally_and_views_are_their_naive_twins(seed: int, tests: int, views: int) -> None:
    parts, undone = random_predictions(seed, tests, views)
    looked = count_views(parts, tests)
    # A palette may move colours that the grid has; undoing must bring back the very grid.
    for candidates, counts, views_of_test in zip(tally(parts, tests, keep=99), looked.tolist(), undone, strict=True):
        expected = naive.vote(views_of_test, 8)
        assert counts == [sum(way == number for _, _, way in views_of_test) for number in range(8)]  # empty grids, too
        assert [(c.votes, list(c.symmetry_votes)) for c in candidates] == [
            (votes, by_symmetry) for _, votes, _, by_symmetry in expected
        ]
        assert all(sum(c.symmetry_votes) == c.votes for c in candidates)
        for candidate, (right, _, mean, _) in zip(candidates, expected, strict=True):
            np.testing.assert_array_equal(candidate.grid, right)
            assert candidate.halting == pytest.approx(mean)


def test_families_without_symmetry_votes_count_views_in_one_number() -> None:
    domain, boards = domain_by_name("maze-5x5"), np.zeros((3, 5, 5), np.uint8)
    plan = domain.make_plan(boards[:1], 8, 0)
    one = Predictions(boards, plan.rows(np.arange(3)), np.array([0, 2, 2]), np.ones(3, np.float32), np.ones(3, np.int32))
    assert count_views([one, one.take(np.array([1]))], 3, domain).tolist() == [[1], [0], [3]]
    assert count_views([], 2, domain).tolist() == [[0], [0]]
    assert [c.symmetry_votes for ranked in tally([one], 3, 9, domain) for c in ranked] == [(), ()]


def test_tally_without_anything() -> None:
    assert tally([], 2, keep=5) == [[], []]
    one = np.array([0]), np.ones(1, np.float32), np.ones(1, np.int32)
    silent = Predictions(np.zeros((1, 3, 3), np.uint8), Transform().to_row()[None], *one)
    assert tally([silent], 1, keep=5) == [[]]


def test_halting_breaks_ties_and_keep_cuts() -> None:
    a, b, c = grid([1]), grid([2]), grid([3])
    rows = np.repeat(Transform().to_row()[None], 5, axis=0)
    canvases = augment.paint(pack_grids([a, b, b, a, c]), np.arange(5), rows, Window(2, 2))
    halting = np.array([0.1, 0.9, 0.8, 0.2, 1.0], np.float32)
    best = tally([Predictions(canvases, rows, np.zeros(5, np.int64), halting, np.ones(5, np.int32))], 1, keep=2)[0]
    assert [int(candidate.grid[0, 0]) for candidate in best] == [2, 1]


# --- scores


@pytest.mark.parametrize(("solved", "trials"), [(0, 16), (6, 16), (16, 16), (163, 419), (1, 1)])
def test_interval_is_wilsons(solved: int, trials: int) -> None:
    ours = rate(solved, trials)
    theirs = binomtest(solved, trials).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.value == solved / trials


@given(st.integers(0, 2**32 - 1), st.integers(5, 150))
@examples(15)
def test_the_interval_over_tasks_is_scipys(seed: int, count: int) -> None:
    """Beside an independent bootstrap of the same kind, up to the error of 10,000 draws."""
    generator = np.random.default_rng(seed)
    trials = generator.integers(1, 5, count)
    solved = np.where(generator.random(count) < 0.7, trials * (generator.random(count) < 0.4), generator.integers(0, trials + 1))
    ours = resample(solved.tolist(), trials.tolist())
    assume(ours is not None)
    theirs = bootstrap(
        (solved, trials),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=generator,
    )
    off = 0.25 * theirs.standard_error + 1 / trials.sum()  # the step from one value to the next
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=off)
    order = generator.permutation(count)
    assert resample(solved[order].tolist(), trials[order].tolist()) == ours, "whatever the order"


def test_outputs_of_a_task_that_say_the_same_count_once() -> None:
    """With every output three times Wilson's interval is narrower by the square root of 3; that over tasks is the same."""
    alone, thrice = (rate_tasks([times * (n % 3 == 0) for n in range(120)], [times] * 120) for times in (1, 3))
    assert alone.over_tasks == thrice.over_tasks
    assert (alone.high - alone.low) / (thrice.high - thrice.low) == pytest.approx(3**0.5, rel=0.02)
    assert alone.over_tasks == pytest.approx((alone.low, alone.high), abs=0.01), "as many tasks as trials: the two agree"


@pytest.mark.parametrize(("solved", "trials"), [([0, 0], [1, 3]), ([2, 1], [2, 1]), ([1], [2]), ([1, 2, 3], [2, 4, 6])])
def test_tasks_that_are_all_alike_have_no_interval(solved: list[int], trials: list[int]) -> None:
    assert rate_tasks(solved, trials).over_tasks is None
    places = [[0 if n < k else None for n in range(of)] for k, of in zip(solved, trials, strict=True)]
    assert score_table(places, (1,)).endswith(says("not-defined"))
    assert score(places, (1,))["per_output"]["pass@1"]["over_tasks"] is None


def test_test_inputs_are_grouped_by_their_tasks() -> None:
    solved = np.array([True, False, True, True, False])
    assert rate_tests(solved, ["b", "a", "b", "c", "a"]) == rate_tasks([0, 2, 1], [2, 2, 1])
    assert rate_tests(solved, [None] * 5) == rate(3, 5)


def test_the_two_metrics_differ_and_are_named() -> None:
    truths = [[grid([1]), grid([2])], [grid([3])]]
    ranked = [[grid([9]), grid([1])], [grid([9])], [grid([3])]]
    places = ranks(truths, ranked)
    assert places == [[1, None], [0]]
    per_output, per_task = pass_at(places, 2)
    assert (per_output.value, per_task.value) == (2 / 3, 3 / 4)
    assert pass_at(places, 1)[0].solved == 1
    values = score(places, (1, 2))
    assert values["per_output"]["pass@2"]["value"] == 2 / 3
    assert values["per_task_mean"]["pass@2"]["solved"] == 1.5
    text = score_table(places, (1, 2, 1000))
    assert "ARC Prize" in text
    assert says("arc-pass-k-of") in text
    assert max(map(len, text.splitlines())) <= 80
    with pytest.raises(ValueError, match=says("at-least-one-trial")):
        rate(0, 0)


# --- attempts


def test_attempts_are_always_two_distinct_grids() -> None:
    for task in make_tasks(12, 0):
        for number in range(len(task.test)):
            for ranked in ([], [grid([5])], [task.test[number].input], [task.train[-1].output]):
                filled = fill_attempts(task, number, ranked)
                assert len(filled) == 2
                assert not np.array_equal(*filled)
                if ranked:
                    np.testing.assert_array_equal(filled[0], ranked[0])
            assert len(fill_attempts(task, number, [grid([i]) for i in range(5)])) == 5


def test_guesses_follow_the_stated_order() -> None:
    keeps = Task("keeps", (Pair(grid([1, 2]), grid([2, 1])),), (Pair(grid([3, 3])),))
    shrinks = Task("shrinks", (Pair(grid([1, 2]), grid([0])), Pair(grid([1, 2]), grid([1]))), (Pair(grid([0])),))
    assert [g.tolist() for g in guesses(keeps, 0)] == [[[3, 3]], [[2, 1]], [[0]], [[1]]]
    assert [g.tolist() for g in guesses(shrinks, 0)] == [[[1]], [[0]], [[0]], [[0]], [[1]]]
    assert [g.tolist() for g in fill_attempts(shrinks, 0, [grid([1])])] == [[[1]], [[0]]]


def test_submission_has_every_id_and_input_in_order() -> None:
    tasks = make_tasks(5, 1)
    ranked = [[] if test % 2 else [grid([test % 10]), grid([9, 9])] for test in range(tasks.outputs)]
    document = to_submission(tasks, ranked)
    assert list(document) == [task.id for task in tasks]
    assert {task_id: len(answers) for task_id, answers in document.items()} == tasks.test_counts
    flat = [answer for answers in document.values() for answer in answers]
    assert [a["attempt_1"].tolist() for a in flat][::2] == [[[test % 10]] for test in range(0, tasks.outputs, 2)]
    plain = orjson.loads(to_json(document))
    assert find_faults(plain, tasks.test_counts, "made") == []
    attempts, broken = read_attempts(plain, tasks.test_counts, "here")
    assert broken == 0
    assert len(attempts) == tasks.outputs


def test_every_fault_is_listed() -> None:
    good = {"attempt_1": [[1]], "attempt_2": [[2]]}
    expected = {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1, "f": 1}
    document = {
        "a": [good],
        "b": [good],
        "c": [{"attempt_1": [[1]]}],
        "d": [{**good, "attempt_2": [[1, 2], [3]], "attempt_3": [[1]]}],
        "e": [[[1]]],
        "x": [good],
    }
    faults = find_faults(document, expected, "the tasks")
    assert faults[:3] == [
        "task x: not in the tasks",
        "task b: 2 test inputs need a list of as many answers, got 1",
        "task f: missing",
    ]
    assert sorted(faults[3:]) == [
        "task c, test input 0: attempt_2 is missing",
        "task d, test input 0, attempt_2, row 1: 1 cells, but row 0 has 2; rows are equally long",
        "task d, test input 0: unknown key attempt_3",
        'task e, test input 0: an answer is an object with "attempt_1" and "attempt_2", got list',
    ]
    assert find_faults([], expected, "the tasks") == ["a submission is an object of task ids, got list"]


def test_scoring_counts_broken_grids_as_wrong_and_refuses_other_ids() -> None:
    document = {"a": [{"attempt_1": [], "attempt_2": [[2]]}]}
    attempts, broken = read_attempts(document, {"a": 1}, "here")
    assert broken == 1
    assert ranks([[grid([2])]], attempts) == [[1]]
    with pytest.raises(InputError, match=says("here-task-b-missing")):
        read_attempts(document, {"a": 1, "b": 1}, "here")


def test_sets_know_their_counts() -> None:
    tasks = make_tasks(3, 2)
    assert isinstance(tasks, TaskSet)
    assert tasks.test_counts == {"made00": 1, "made01": 2, "made02": 1}
    assert [len(grids) for grids in tasks.solutions] == [1, 2, 1]
