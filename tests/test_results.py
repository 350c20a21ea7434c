"""An evaluation as it is kept, what is read from it, and two of them side by side."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import naive
from tests.conftest import make_puzzles, make_tasks, random_grid
from tests.test_answers import grid, random_predictions
from trm_arc.attempts import fill_all
from trm_arc.compare import NOISE, compare, comparison_table, mcnemar, name_tests
from trm_arc.errors import InputError
from trm_arc.files import SCORES_FILE
from trm_arc.outcomes import (
    CONCEPTS,
    SOLVED,
    Fault,
    Outcome,
    Verdict,
    count_faults,
    count_outcomes,
    fault_table,
    find_concept,
    group_results,
    judge_results,
    rate_groups,
    score_results,
)
from trm_arc.puzzles.answers import read_answers, write_answers
from trm_arc.puzzles.puzzle_set import PuzzleSet
from trm_arc.results import LISTED, Answered, Results, make_results, read_predictions, truths, write_predictions
from trm_arc.score import CUTOFFS, pass_at, ranks
from trm_arc.sources import load_tasks
from trm_arc.task import Pair, Task, TaskSet
from trm_arc.vote import Candidate, count_views, tally

SEEDS = st.integers(0, 2**32 - 1)
HOSTILE = [None, True, False, -1, 0, 1, 3, 2**63, 2**64 - 1, 10**30, 0.5, 1.5, -0.5, 1e308, float("nan"), float("inf"), "", "7", "x" * 99]
HOSTILE += [[], {}, [[]], [[5]], [[1, 2], [3]], [[300]], [[0.5]], [None], [[[[1]]]], [1] * 8, {"rank": 0}]
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_arc(seed: int, known: float = 1.0, count: int = 6) -> tuple[Results, list[list[Candidate]], list[list[tuple]]]:
    """Random answers to random tasks: as they are kept, all candidates, and all candidates by the naive twin."""
    generator = np.random.default_rng(seed)
    tasks = make_tasks(count, seed, "", largest=3)
    if generator.random() < known:
        whole = tasks
    else:
        whole = TaskSet((task.without_solutions() if generator.random() < 0.5 else task for task in tasks), "half")
    pools = []
    for task, number in whole.tests:
        pair = tasks[task.id].test[number]
        strangers = [random_grid(generator, 3) for _ in range(generator.choice([0, 1, 3, 40]))]
        if strangers and generator.random() < 0.3:
            strangers += [pair.output] * int(generator.integers(1, 12))
        elif strangers and generator.random() < 0.3:  # of the right size
            strangers += [((pair.output + 1) % 10).astype(np.uint8)] * 9
        elif generator.random() < 0.1:
            strangers = [pair.output]
        pools.append(strangers)
    parts, undone = random_predictions(seed, whole.outputs, 500, pools)
    ranked = tally(parts, whole.outputs, 10**6)
    made = {"data": whole.name, "views": 500, "steps_of_thought": 1.5, "checkpoint": "a: b", "missing": None}
    return make_results(made, whole, ranked, count_views(parts, whole.outputs)), ranked, [naive.vote(u, 8) for u in undone]


def random_puzzles(name: str, seed: int, count: int = 6) -> Results:
    """Random answers to puzzles, the expected one now and then among them, at ranks beyond ten too; none to some."""
    puzzles, generator = make_puzzles(name, count, 5), np.random.default_rng(seed)
    ranked = []
    for question, answer in puzzles:
        boards = generator.integers(0, puzzles.family.values, (int(generator.choice([0, 1, 4, 15])), *puzzles.family.shape))
        boards = [*np.where(question > 0, question, boards).astype(np.uint8)] if generator.random() < 0.5 else [*boards.astype(np.uint8)]
        if generator.random() < 0.7:
            boards.insert(int(generator.integers(len(boards) + 1)), answer)
        if boards:
            boards[0] = np.where(generator.random(boards[0].shape) < 0.02, 255, boards[0]).astype(np.uint8)
        boards = list({board.tobytes(): board for board in boards}.values())
        ranked.append([Candidate(board, 40 - n, round(float(generator.random()), 4)) for n, board in enumerate(boards)])
    return make_results({"family": puzzles.family.name, "data": name}, puzzles, ranked, np.full((count, 1), 999))


def plain(results: Results) -> object:
    """All that is kept, to be compared."""
    def of(candidate: Candidate) -> tuple:
        return candidate.grid.tolist(), str(candidate.grid.dtype), candidate.votes, candidate.halting, candidate.orientations

    asked = results.tasks
    if isinstance(asked, PuzzleSet):
        told = [getattr(asked, name).tolist() for name in ("questions", "answers", "ratings", "rows")] + [asked.family]
    else:
        pairs = [(task.id, n, pair) for task in asked for n, pair in enumerate(task.train + task.test)]
        told = [(i, n, p.input.tolist(), None if p.output is None else p.output.tolist()) for i, n, p in pairs]
    answers = [
        (list(map(of, a.candidates)), a.views, a.pool, a.right and (a.right.rank, of(a.right.candidate))) for a in results.answers
    ]
    return dict(results.made), asked.name, told, answers


def assert_sound(results: Results) -> None:
    """Whatever a file says, everything that is made of it works, and its numbers can be of one evaluation."""
    assert len(results.answers) == results.tasks.outputs
    for answered, truth in zip(results.answers, truths(results.tasks), strict=True):
        right = answered.right
        every = answered.candidates + ([right.candidate] if right else [])
        assert len(answered.candidates) <= answered.pool
        assert sum(c.votes for c in answered.candidates) <= sum(answered.views)
        for candidate in every:
            assert candidate.grid.dtype == np.uint8
            assert 0 <= candidate.halting <= 1
            assert candidate.orientations == () or len(candidate.orientations) == len(answered.views)
            assert candidate.orientations == () or sum(candidate.orientations) == candidate.votes
        if right:
            np.testing.assert_array_equal(right.candidate.grid, truth)
            assert right.rank < answered.pool
    verdicts = judge_results(results)
    assert all(verdict.ways <= verdict.tried <= 8 for verdict in verdicts)
    assert [verdict.describe() for verdict in verdicts] and fault_table(verdicts) is not None
    for grouping in group_results(results):
        rate_groups(grouping, verdicts)
    if results.tasks.has_solutions:
        score_results(results)
    if any(verdict.outcome is not Outcome.UNKNOWN for verdict in verdicts):
        assert compare(results, results).within_noise


def mutate(value: object, data: st.DataObject) -> object:
    """A JSON value with something broken at a random place."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 7)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, changed = data.draw(st.sampled_from(keys)), value.copy()
        if data.draw(st.integers(0, 9)) == 0:
            del changed[key]
        else:
            changed[key] = mutate(value[key], data)
        return changed
    return data.draw(st.sampled_from(HOSTILE))


# --- what is kept of ARC


@given(SEEDS)
@quick
def test_predictions_are_read_as_they_were_written(tmp_path: Path, seed: int) -> None:
    results, ranked, expected = random_arc(seed, known=0.5)
    write_predictions(tmp_path / "a.json", results)
    again = read_predictions(tmp_path / "a.json")
    assert plain(again) == plain(results)
    write_predictions(tmp_path / "b.json", again)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert [len(answered.candidates) for answered in again.answers] == [min(len(entry), LISTED) for entry in expected]
    for answered, entry, truth in zip(again.answers, expected, truths(results.tasks), strict=True):
        places = [place for place, (answer, *_) in enumerate(entry) if truth is not None and np.array_equal(answer, truth)]
        assert [answered.right.rank] * len(places) == places if answered.right else not places
        assert answered.pool == len(entry)
    if results.tasks.has_solutions:  # scores of the file are those of all candidates, wherever the right one stands
        everything = fill_all(results.tasks, [[candidate.grid for candidate in candidates] for candidates in ranked])
        assert again.places == ranks(results.tasks.solutions, everything)
        for cutoff in CUTOFFS:
            assert pass_at(again.places, cutoff) == pass_at(ranks(results.tasks.solutions, everything), cutoff)


def test_right_answers_beyond_the_list_and_right_guesses_are_reached() -> None:
    """The random cases above are not empty of what they are for."""
    many = [random_arc(seed)[0] for seed in range(20)]
    assert any(a.right and a.right.rank >= LISTED for results in many for a in results.answers)
    verdicts = [(v, a) for results in many for v, a in zip(judge_results(results), results.answers, strict=True)]
    assert any(v.outcome in SOLVED and not a.right for v, a in verdicts)  # a guess was right
    assert {v.outcome for v, _ in verdicts} == set(Outcome) - {Outcome.VALID, Outcome.UNKNOWN}
    assert {v.fault for v, _ in verdicts} == {*Fault, None}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("document") / "a.json"
    many = (random_arc(seed, count=2)[0] for seed in range(1000))  # one has a right answer listed, one beyond, one none
    kept = next(r for r in many if [a.right and a.right.rank >= LISTED for a in r.answers] in ([False, True, None], [True, None, False]))
    write_predictions(path, kept)
    return json.loads(path.read_bytes())


@given(st.data())
@settings(quick, max_examples=600)
def test_a_damaged_file_is_refused_or_sound(tmp_path: Path, document: dict, data: st.DataObject) -> None:
    broken = document
    for _ in range(data.draw(st.integers(1, 3))):
        broken = mutate(broken, data)
    (tmp_path / "a.json").write_text(json.dumps(broken))
    try:
        results = read_predictions(tmp_path / "a.json")
    except InputError as error:
        assert "a.json" in str(error)
    else:
        assert_sound(results)
        write_predictions(tmp_path / "a.json", results)
        assert plain(read_predictions(tmp_path / "a.json")) == plain(results)


@pytest.mark.parametrize("change", [{"format": "x"}, {"version": 2}, {"version": None}, {"tasks": {}}, {"tasks": []}, {"made": []}])
def test_files_of_something_else_are_refused(tmp_path: Path, document: dict, change: dict) -> None:
    for broken in (document | change, [document], {name: part for name, part in document.items() if name not in change}):
        (tmp_path / "a.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"a\.json: .*trm_arc"):
            read_predictions(tmp_path / "a.json")


def test_truncated_and_deep_files_are_refused(tmp_path: Path, document: dict) -> None:
    path, text = tmp_path / "a.json", json.dumps(document)
    deep = ["[" * depth + "]" * depth for depth in (400, 1000, 1020, 100_000)]
    for broken in [text[:cut] for cut in range(0, len(text) - 1, 997)] + deep + [f'{{"made": {{"data": {d}}}}}' for d in deep]:
        path.write_text(broken)
        with pytest.raises(InputError, match="a.json"):
            read_predictions(path)
    for depth in (400, 900, 1015):
        path.write_text(json.dumps(document | {"made": 0}).replace('"made": 0', f'"made": {{"data": {"[" * depth + "]" * depth}}}'))
        with pytest.raises(InputError, match="a.json"):
            read_predictions(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda test, first: first.update(halting=1.01),
        lambda test, first: first.update(halting=-0.1),
        lambda test, first: first.update(halting=True),
        lambda test, first: first.update(votes=first["votes"] + 1),
        lambda test, first: first.update(orientations=first["orientations"][:3]),
        lambda test, first: test.update(views=[1]),
        lambda test, first: test.update(pool=0),
        lambda test, first: test.update(right={**first, "rank": 10**6}),
        lambda test, first: test.update(right={**first, "rank": LISTED}, pool=LISTED + 1),  # another answer than the right one
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path: Path, change) -> None:
    task = Task("a", (Pair(grid([1]), grid([2])),), (Pair(grid([3]), grid([4])),))
    listed = [Candidate(grid([5]), 2, 0.5, (1, 1, 0, 0, 0, 0, 0, 0))]
    results = make_results({}, TaskSet([task], "one"), [listed], np.array([[1, 1, 0, 0, 0, 0, 0, 1]]))
    write_predictions(tmp_path / "a.json", results)
    document = json.loads((tmp_path / "a.json").read_bytes())
    test = document["tasks"]["a"]["test"][0]
    change(test, test["candidates"][0])
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"a\.json: task a.*damaged"):
        read_predictions(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["", "a b", "é\u0000\n", '":', "'\\", "a" * 5000, "../x", "Copy1", "0'"])
def test_any_id_will_do(tmp_path: Path, name: str) -> None:
    tasks = TaskSet([replace(make_tasks(2, 1)[1], id=name)], name)
    results = make_results({"data": name}, tasks, [[], []], np.zeros((2, 8), np.int64))
    write_predictions(tmp_path / "a.json", results)
    assert plain(read_predictions(tmp_path / "a.json")) == plain(results)


# --- what is kept of puzzles


@pytest.mark.parametrize("name", ["sudoku-4x4", "maze-5x5-easy", "sudoku-16x16-easy"])
@pytest.mark.parametrize("beside", [True, False])
def test_answers_are_read_as_they_were_written(tmp_path: Path, name: str, beside: bool) -> None:
    for seed in range(1 if "16" in name else 12):
        results = random_puzzles(name, seed)
        write_answers(tmp_path / "a.csv", results)
        if beside:
            (tmp_path / SCORES_FILE).write_text(json.dumps(results.made))
        again = read_answers(tmp_path / "a.csv")
        assert plain(again)[2:] == plain(results)[2:]
        assert plain(again)[:2] == (plain(results)[:2] if beside else ({}, "puzzles"))
        assert judge_results(again) == judge_results(results)
        assert score_results(again) == score_results(results)


@given(st.data())
@settings(quick, max_examples=300)
def test_damaged_answers_are_refused_or_sound(tmp_path: Path, data: st.DataObject) -> None:
    path, name = tmp_path / "a.csv", data.draw(st.sampled_from(["sudoku-4x4", "maze-5x5-easy"]))
    write_answers(path, random_puzzles(name, data.draw(st.integers(0, 3))))
    text = path.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 2, 9, len(text)]))
        hostile = ["", ",", ":", ";", '"', "\n", "x", "-", "9" * 25, "9" * 5000, "nan", "inf", "\0", "é", " ", "#", "-5"]
        text = text[:at] + data.draw(st.sampled_from(hostile)) + text[at + length :]
    path.write_text(text)
    try:
        results = read_answers(path)
    except InputError as error:
        assert "a.csv" in str(error)
    else:
        assert_sound(results)


@pytest.mark.parametrize("family", [None, 5, "arc", "maze-5x5", "sudoku-9x9", "sudoku-999999x999999", [], "x"])
def test_scores_of_something_else_are_refused(tmp_path: Path, family: object) -> None:
    write_answers(tmp_path / "a.csv", random_puzzles("sudoku-4x4", 0))
    (tmp_path / SCORES_FILE).write_text(json.dumps({"family": family}))
    with pytest.raises(InputError, match=f"{SCORES_FILE}|a.csv"):
        read_answers(tmp_path / "a.csv")


# --- outcomes


@given(SEEDS)
@quick
def test_outcomes_are_their_naive_twin(seed: int) -> None:
    results, _, expected = random_arc(seed, known=0.5)
    verdicts = judge_results(results)
    for verdict, attempts, entry, answered, truth in zip(
        verdicts, results.attempts, expected, results.answers, truths(results.tasks), strict=True
    ):
        tried = {way for way, views in enumerate(answered.views) if views}
        assert (verdict.outcome, verdict.fault) == naive.miss(truth, attempts, entry, tried)
        assert verdict.views == sum(answered.views)
        assert verdict.tried == len(tried)
    assert sum(count_outcomes(verdicts).values()) == results.tasks.outputs == len(verdicts)
    known = [verdict for verdict in verdicts if verdict.outcome is not Outcome.UNKNOWN]
    assert sum(count_faults(verdicts).values()) == sum(verdict.outcome not in SOLVED for verdict in known)
    if results.tasks.has_solutions:
        solved = Counter(verdict.outcome for verdict in verdicts)
        assert pass_at(results.places, 1)[0].solved == solved[Outcome.FIRST]
        assert pass_at(results.places, 2)[0].solved == solved[Outcome.FIRST] + solved[Outcome.SECOND]
        scores, text = score_results(results)
        assert scores["outcomes"] == count_outcomes(verdicts)
        assert max(map(len, text.splitlines())) <= 80
    for grouping in group_results(results):  # every test input is in one class, and the classes add up
        assert (grouping.members >= 0).all()
        assert set(grouping.members.tolist()) == set(range(len(grouping.labels)))
        rated = [rate for _, rate in rate_groups(grouping, verdicts)]
        assert sum(rate.trials for rate in rated) == len(known)
        assert sum(rate.solved for rate in rated) == sum(verdict.outcome in SOLVED for verdict in known)


@pytest.mark.parametrize(
    ("outcome", "fault", "numbers", "told"),
    [
        (Outcome.FIRST, None, (0, 1, 9, 9, 2, 2), ""),
        (Outcome.OUTVOTED, Fault.RANK, (3, 12, 5, 90, 8, 8), "right answer at rank 12, given by 5 of 90 views, under 8 of 8 symmetries"),
        (Outcome.OUTVOTED, Fault.VIEWS, (3, 3, 5, 9, 0, 0), "right answer at rank 3, given by 5 of 9 views"),
        (Outcome.NEVER, Fault.CELLS, (1, None, 0, 9, 0, 8), "right size, 1 wrong cell"),
        (Outcome.NEVER, Fault.CELLS, (7, None, 0, 9, 0, 8), "right size, 7 wrong cells"),
        (Outcome.NEVER, Fault.SIZE, (None, None, 0, 9, 0, 8), "wrong size"),
        (Outcome.NEVER, Fault.SILENT, (None, None, 0, 9, 0, 8), "no answer, only guesses"),
        (Outcome.UNKNOWN, None, (None, None, 0, 9, 0, 8), ""),
    ],
)
def test_misses_are_told_in_words(outcome: Outcome, fault: Fault | None, numbers: tuple, told: str) -> None:
    verdict = Verdict(outcome, fault, *numbers)
    assert verdict.describe() == told
    assert max(map(len, ["", *fault_table([verdict] * 99999).splitlines()])) <= 80
    assert (fault_table([verdict]) == "") is (fault is None)


def test_right_answers_under_every_symmetry_are_told_apart() -> None:
    task = Task("a", (Pair(grid([1]), grid([2, 2])),), (Pair(grid([3]), grid([4])),))
    looked = np.array([[2, 1, 0, 0, 0, 0, 0, 0]])
    for by_way, fault in (((1, 1), Fault.RANK), ((2, 0), Fault.VIEWS)):
        listed = [Candidate(grid([n]), 9, 0.5, (9, 0)) for n in (1, 2)] + [Candidate(grid([4]), 2, 0.5, by_way)]
        verdict = judge_results(make_results({}, TaskSet([task], "one"), [listed], looked))[0]
        assert verdict == (Outcome.OUTVOTED, fault, 1, 3, 2, 3, sum(votes > 0 for votes in by_way), 2)


@pytest.mark.parametrize("name", ["sudoku-4x4", "maze-5x5-easy", "sudoku-9x9-easy"])
def test_difficulty_sorts_every_puzzle_into_one_class(name: str) -> None:
    results = random_puzzles(name, 1, count=12)
    valid = results.judged.valid & ~results.judged.exact
    for rating in (results.tasks.ratings, np.full(12, 30), np.arange(12) * 9, np.full(12, -1)):
        changed = replace(results, tasks=replace(results.tasks, ratings=rating))
        (grouping,), verdicts = group_results(changed), judge_results(changed)
        assert (grouping.members >= 0).all()
        rated = [rate for _, rate in rate_groups(grouping, verdicts)]
        assert (sum(r.trials for r in rated), sum(r.solved for r in rated)) == (12, changed.judged.exact.sum())
        assert [verdict.outcome is Outcome.VALID for verdict in verdicts] == valid.tolist()


def test_concepts_are_those_of_conceptarc_alone(arc: Path) -> None:
    for stem, count in (("concept", 160), ("training", 0), ("evaluation", 0), ("evaluation2", 0)):
        tasks = load_tasks(arc / f"arc-agi_{stem}_challenges.json")
        of = Counter(concept for task in tasks if (concept := find_concept(task.id)))
        assert of == (dict.fromkeys(CONCEPTS, 10) if count else {})
        results = make_results({}, tasks, [[]] * tasks.outputs, np.zeros((tasks.outputs, 8), np.int64))
        groupings = {grouping.name: grouping for grouping in group_results(results)}
        assert ("concept" in groupings) is bool(count)
        assert (groupings["size"].members >= 0).all()


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
    return make_results({}, TaskSet(tasks, "made"), ranked, np.ones((len(which), 1), np.int64))


@given(SEEDS)
@quick
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
    assert "Both solve the same" in same.conclude()


@pytest.mark.parametrize(("gained", "lost"), [(5, 0), (6, 0), (0, 6), (9, 1), (9, 2), (1, 0), (30, 14), (30, 15), (30, 16)])
def test_the_conclusion_says_noise_where_chance_does_as_much(gained: int, lost: int) -> None:
    which = [False] * gained + [True] * lost
    told = compare(solving(which), solving([not solved for solved in which]))
    assert told.within_noise is (naive.two_sided(gained, lost) >= NOISE)
    assert ("within noise" in told.conclude()) is told.within_noise
    assert ("more than noise" in told.conclude()) is not told.within_noise


def test_only_the_same_questions_are_compared() -> None:
    shared = compare(solving([True, False, True], ["a", "b", "c"]), solving([True, True], ["d", "b"]))
    assert (shared.shared, shared.gained, shared.lost) == (1, ["b"], [])
    unknown = solving([True])
    unknown = replace(unknown, tasks=unknown.tasks.without_solutions())
    others = (solving([True], inputs=7), solving([True], ["x"]), unknown, random_puzzles("sudoku-4x4", 0))
    for other in others:
        with pytest.raises(InputError, match="share no test input"):
            compare(solving([True]), other)
    two = make_results({}, make_tasks(2, 0), [[]] * 3, np.zeros((3, 8), np.int64))
    assert name_tests(two) == ["made00", "made01 test 1", "made01 test 2"]


def test_puzzles_are_known_again_in_another_row() -> None:
    results = random_puzzles("maze-5x5-easy", 2)
    turned = np.arange(6)[::-1]
    moved = replace(results.tasks.take(turned), rows=np.arange(6) + 50)
    other = Results(results.made, moved, [results.answers[n] for n in turned])
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
    lines = comparison_table(told, first, second).splitlines()
    assert max(map(len, lines)) <= 80
    named = [line.partition("  50.0 %")[0] for line in lines if "% interval" in line]
    assert len(set(named)) == 2
