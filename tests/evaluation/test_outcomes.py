"""What became of every test input, and two evaluations side by side."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import naive
from tests.helpers import SEEDS, examples, grid, make_tasks, messages, random_arc, random_puzzles
from trm_arc.common.errors import InputError
from trm_arc.data.domains.arc import CONCEPTS, find_concept
from trm_arc.data.sources import load_tasks
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.compare import NOISE, compare, comparison_table, mcnemar
from trm_arc.evaluation.outcomes import (
    SOLVED,
    Fault,
    Outcome,
    TestOutcome,
    count_faults,
    count_outcomes,
    fault_table,
    rate_groups,
    score_results,
    score_tests,
)
from trm_arc.evaluation.results import Results, ResultsMetadata, make_results
from trm_arc.evaluation.score import pass_at, rate
from trm_arc.inference.votes import Candidate

says = messages(__name__)

AT_RANK = "right answer at rank"

# --- outcomes


@given(SEEDS)
@examples(60)
def test_outcomes_are_their_naive_twin(seed: int) -> None:
    results, _, expected = random_arc(seed, known=0.5)
    outcomes = score_tests(results)
    for outcome, attempts, entry, answered, truth in zip(
        outcomes, results.attempts, expected, results.answers, results.tasks.truths, strict=True
    ):
        tried = {way for way, views in enumerate(answered.views) if views}
        assert (outcome.outcome, outcome.fault) == naive.miss(truth, attempts, entry, tried)
        assert outcome.views == sum(answered.views)
        assert outcome.tried == len(tried)
    assert sum(count_outcomes(outcomes).values()) == results.tasks.outputs == len(outcomes)
    known = [outcome for outcome in outcomes if outcome.outcome is not Outcome.UNKNOWN]
    assert sum(count_faults(outcomes).values()) == sum(outcome.outcome not in SOLVED for outcome in known)
    if results.tasks.has_solutions:
        solved = Counter(outcome.outcome for outcome in outcomes)
        assert pass_at(results.places, 1)[0].solved == solved[Outcome.FIRST]
        assert pass_at(results.places, 2)[0].solved == solved[Outcome.FIRST] + solved[Outcome.SECOND]
        scores, text = score_results(results)
        assert scores["outcomes"] == count_outcomes(outcomes)
        assert max(map(len, text.splitlines())) <= 80
    for grouping in results.tasks.domain.group_tests(results.tasks):  # every test input is in one class, and the classes add up
        assert (grouping.members >= 0).all()
        assert set(grouping.members.tolist()) == set(range(len(grouping.labels)))
        rated = [share for _, share in rate_groups(grouping, outcomes, results.tasks.owners)]
        assert sum(share.trials for share in rated) == len(known)
        assert sum(share.solved for share in rated) == sum(outcome.outcome in SOLVED for outcome in known)


@pytest.mark.parametrize(
    ("outcome", "fault", "numbers", "told"),
    [
        (Outcome.FIRST, None, (0, 1, 9, 9, 2, 2), ""),
        (Outcome.OUTVOTED, Fault.RANK, (3, 9, 2, 5, 2, 2), f"{AT_RANK} 9, given by 2 of 5 views, under 2 of 2 symmetries"),
        (Outcome.OUTVOTED, Fault.ONLY_SOME_SYMMETRIES, (3, 3, 5, 9, 0, 0), f"{AT_RANK} 3, given by 5 of 9 views"),
        (Outcome.NOT_GENERATED, Fault.CELLS, (1, None, 0, 9, 0, 8), "right size, 1 wrong cell"),
        (Outcome.NOT_GENERATED, Fault.CELLS, (7, None, 0, 9, 0, 8), "right size, 7 wrong cells"),
        (Outcome.NOT_GENERATED, Fault.SIZE, (None, None, 0, 9, 0, 8), "wrong size"),
        (Outcome.NOT_GENERATED, Fault.NO_PREDICTION, (None, None, 0, 9, 0, 8), "no answer, only guesses"),
        (Outcome.UNKNOWN, None, (None, None, 0, 9, 0, 8), ""),
    ],
)
def test_misses_are_told_in_words(outcome: Outcome, fault: Fault | None, numbers: tuple, told: str) -> None:
    outcome = TestOutcome(outcome, fault, *numbers)
    assert outcome.describe() == told
    assert max(map(len, ["", *fault_table([outcome] * 99999).splitlines()])) <= 80
    assert (fault_table([outcome]) == "") is (fault is None)


def test_right_answers_under_every_symmetry_are_told_apart() -> None:
    task = Task("a", (Pair(grid([1]), grid([2, 2])),), (Pair(grid([3]), grid([4])),))
    looked = np.array([[2, 1, 0, 0, 0, 0, 0, 0]])
    for by_symmetry, fault in (((1, 1), Fault.RANK), ((2, 0), Fault.ONLY_SOME_SYMMETRIES)):
        listed = [Candidate(grid([n]), 9, 0.5, (9, 0)) for n in (1, 2)] + [Candidate(grid([4]), 2, 0.5, by_symmetry)]
        outcome = score_tests(make_results(ResultsMetadata(), TaskSet([task], "one"), [listed], looked))[0]
        assert outcome == (Outcome.OUTVOTED, fault, 1, 3, 2, 3, sum(votes > 0 for votes in by_symmetry), 2)


@pytest.mark.parametrize("name", ["sudoku-4x4", "maze-5x5-easy", "sudoku-9x9-easy"])
def test_difficulty_sorts_every_puzzle_into_one_class(name: str) -> None:
    results = random_puzzles(name, 1, count=12)
    valid = results.scores.valid & ~results.scores.exact
    for rating in (results.tasks.ratings, np.full(12, 30), np.arange(12) * 9, np.full(12, -1)):
        changed = replace(results, tasks=replace(results.tasks, ratings=rating))
        (grouping,), outcomes = changed.tasks.domain.group_tests(changed.tasks), score_tests(changed)
        assert (grouping.members >= 0).all()
        rated = [share for _, share in rate_groups(grouping, outcomes, results.tasks.owners)]
        assert (sum(r.trials for r in rated), sum(r.solved for r in rated)) == (12, changed.scores.exact.sum())
        assert [outcome.outcome is Outcome.VALID for outcome in outcomes] == valid.tolist()
        wrong = (
            (changed.tasks.first_boards(changed.attempts) != changed.tasks.answers).sum(axis=(1, 2)).tolist()
        )  # the first answer alone counts
        answered = [bool(one.candidates) for one in changed.answers]
        assert [outcome.cells for outcome in outcomes] == [n if any_ else None for n, any_ in zip(wrong, answered, strict=True)]


def test_concepts_are_those_of_conceptarc_alone(arc: Path) -> None:
    for stem, count in (("concept", 160), ("training", 0), ("evaluation", 0), ("evaluation2", 0)):
        tasks = load_tasks(arc / f"arc-agi_{stem}_challenges.json")
        of = Counter(concept for task in tasks if (concept := find_concept(task.id)))
        assert of == (dict.fromkeys(CONCEPTS, 10) if count else {})
        results = make_results(ResultsMetadata(), tasks, [[]] * tasks.outputs, np.zeros((tasks.outputs, 8), np.int64))
        groupings = {grouping.name: grouping for grouping in results.tasks.domain.group_tests(results.tasks)}
        assert set(groupings) == ({"size", "concept"} if count else {"size"})
        for grouping in groupings.values():
            assert (grouping.members >= 0).all()
            shares = [share for _, share in rate_groups(grouping, score_tests(results), tasks.owners)]
            assert sum(share.trials for share in shares) == tasks.outputs


# --- comparisons


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_its_naive_twin(gained: int, lost: int) -> None:
    assert mcnemar(gained, lost) == pytest.approx(naive.two_sided(gained, lost))
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


def solving(which: list[bool], ids: list[str] | None = None, inputs: int = 3) -> Results:
    """Results that solve some of as many tasks."""
    ids = ids or [f"t{number}" for number in range(len(which))]
    tasks = [Task(i, (Pair(grid([1]), grid([2, 2])),), (Pair(grid([inputs]), grid([4])),)) for i in ids]
    ranked = [[Candidate(grid([4 if solved else 5]), 1, 0.5)] for solved in which]
    return make_results(ResultsMetadata(), TaskSet(tasks, "made"), ranked, np.ones((len(which), 1), np.int64))


def solving_tests(which: list[list[bool]]) -> Results:
    """Results that solve some test outputs of as many tasks."""
    tests = [tuple(Pair(grid([1, n]), grid([4])) for n in range(len(task))) for task in which]
    tasks = [Task(f"t{number}", (Pair(grid([1]), grid([2, 2])),), test) for number, test in enumerate(tests)]
    ranked = [[Candidate(grid([4 if solved else 5]), 1, 0.5)] for task in which for solved in task]
    return make_results(ResultsMetadata(), TaskSet(tasks, "made"), ranked, np.ones((len(ranked), 1), np.int64))


def test_the_test_for_noise_counts_tasks_not_their_outputs() -> None:
    """Three tasks are gained with all four outputs each; two tests of one task that changed against each other are a tie."""
    before = [[False] * 4] * 3 + [[True, False], [True], [False, True]]
    after = [[True] * 4] * 3 + [[False, True], [False], [True, True]]
    told = compare(solving_tests(before), solving_tests(after))
    assert (len(told.gained), len(told.lost), told.better, told.worse) == (14, 2, 4, 1)
    assert told.p_value == mcnemar(4, 1) == pytest.approx(naive.two_sided(4, 1))
    assert naive.two_sided(14, 2) < NOISE <= told.p_value, "outputs alone would call it more than noise"
    assert says("four-tasks-better") in told.conclude()
    back = compare(solving_tests(after), solving_tests(before))
    assert (back.better, back.worse, back.p_value) == (1, 4, told.p_value)


def test_a_comparison_on_some_outputs_of_a_task_counts_those() -> None:
    told = compare(solving_tests([[True, False, True], [False, False]]), solving_tests([[False, False], [True, False]]))
    assert (told.shared, told.better, told.worse) == (4, 1, 1)


@given(SEEDS)
@examples(60)
def test_comparisons_are_symmetric_and_add_up(seed: int) -> None:
    first, second = (np.random.default_rng([seed, n]).random(40) < 0.5 for n in (0, 1))
    here, there = compare(solving(first), solving(second)), compare(solving(second), solving(first))
    assert here.gained == there.lost == [f"t{n}" for n in range(40) if second[n] and not first[n]]
    assert here.lost == there.gained == [f"t{n}" for n in range(40) if first[n] and not second[n]]
    assert here.both + here.neither + len(here.gained) + len(here.lost) == here.shared == 40
    assert here.p_value == there.p_value == mcnemar(len(here.gained), len(here.lost))
    assert here.same_answers == (first == second).sum() == 40 * here.agreement
    same = compare(solving(first), solving(first))
    assert (same.gained, same.lost, same.p_value, same.agreement, same.same_answers) == ([], [], 1.0, 1.0, 40)
    assert says("both-solve-the-same") in same.conclude()


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (6, 0), (0, 6), (9, 1), (9, 2), (1, 0), (30, 14), (30, 15), (30, 16)])
def test_the_conclusion_says_noise_where_chance_does_as_much(gained: int, lost: int) -> None:
    which = [False] * gained + [True] * lost
    told = compare(solving(which), solving([not solved for solved in which]))
    assert told.within_noise is (naive.two_sided(gained, lost) >= NOISE)
    assert ("within noise" in told.conclude()) is told.within_noise
    assert (says("more-than-noise") in told.conclude()) is not told.within_noise


def test_only_the_same_questions_are_compared() -> None:
    shared = compare(solving([True, False, True], ["a", "b", "c"]), solving([True, True], ["d", "b"]))
    assert (shared.shared, shared.gained, shared.lost) == (1, ["b"], [])
    unknown = solving([True])
    unknown = replace(unknown, tasks=unknown.tasks.without_solutions())
    others = (solving([True], inputs=7), solving([True], ["x"]), unknown, random_puzzles("sudoku-4x4", 0))
    for other in others:
        with pytest.raises(InputError, match=says("share-no-test-input")):
            compare(solving([True]), other)
    two = make_results(ResultsMetadata(), make_tasks(2, 0), [[]] * 3, np.zeros((3, 8), np.int64))
    assert two.tasks.names == ["made00", "made01 test 1", "made01 test 2"]


def test_puzzles_are_known_again_in_another_row() -> None:
    results = random_puzzles("maze-5x5-easy", 2)
    turned = np.arange(6)[::-1]
    moved = replace(results.tasks.take(turned), rows=np.arange(6) + 50)
    other = Results(results.metadata, moved, [results.answers[n] for n in turned])
    told = compare(results, other)
    assert (told.shared, told.gained, told.lost, told.same_answers) == (6, [], [], 6)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "b"),
        ("runs/a-long-name-with-much-in-it/seed-1", "runs/b-long-name-with-much-in-it/seed-1"),
        ("runs/first/evaluation-of-the-arc-set", "runs/second/evaluation-of-the-arc-set"),
        ("x" * 100 + "/1", "x" * 100 + "/2"),
        ("x" * 100, "x" * 101),
        ("1" + "x" * 100 + "1", "2" + "x" * 100 + "2"),
        ("a" + "/same-end-of-both-of-them", "same-end-of-both-of-them"),
    ],
)
def test_tables_tell_the_names_apart_within_80_columns(first: str, second: str) -> None:
    which = [bool(n % 2) for n in range(200)]
    told = compare(solving(which, [f"{n}" * 30 for n in range(200)]), solving(which[::-1], [f"{n}" * 30 for n in range(200)]))
    most = replace(told, first=rate(422_786, 422_786), second=rate(1, 422_786))  # as many puzzles as Sudoku-Extreme has
    assert max(map(len, comparison_table(most, first, second).splitlines())) <= 80
    lines = comparison_table(told, first, second).splitlines()
    assert max(map(len, lines)) <= 80
    named = [line.partition("  50.0 %")[0] for line in lines if "% interval" in line]
    assert len(set(named)) == 2
