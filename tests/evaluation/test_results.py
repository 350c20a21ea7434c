"""An evaluation as it is kept: everything is read back as it was written, and damaged files are refused."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import (
    HOSTILE,
    SEEDS,
    examples,
    grid,
    make_tasks,
    messages,
    mutate,
    random_arc,
    random_puzzles,
    read_unless_refused,
)
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.compare import compare
from trm_arc.evaluation.outcomes import (
    SOLVED,
    Fault,
    Outcome,
    fault_table,
    rate_groups,
    score_results,
    score_tests,
)
from trm_arc.evaluation.result_files import find_results, read_results, write_csv, write_results
from trm_arc.evaluation.results import LISTED, Results, ResultsMetadata, make_results
from trm_arc.evaluation.score import CUTOFFS, pass_at, ranks
from trm_arc.inference.votes import Candidate

says = messages(__name__)

HOSTILE += ["", "7", "x" * 99, [], {}, [[]], [[5]], [[1, 2], [3]], [[300]], [[0.5]], [None], [[[[1]]]], [1] * 8, {"rank": 0}]


def plain(results: Results) -> object:
    """All that is kept, to be compared."""

    def of(candidate: Candidate) -> tuple:
        return candidate.grid.tolist(), str(candidate.grid.dtype), candidate.votes, candidate.halting, candidate.symmetry_votes

    asked = results.tasks
    if isinstance(asked, PuzzleSet):
        told = [getattr(asked, name).tolist() for name in ("questions", "answers", "ratings", "rows")] + [asked.domain]
    else:
        pairs = [(task.id, n, pair) for task in asked for n, pair in enumerate(task.train + task.test)]
        told = [(i, n, p.input.tolist(), None if p.output is None else p.output.tolist()) for i, n, p in pairs]
    answers = [
        (list(map(of, a.candidates)), a.views, a.pool, a.right and (a.right.rank, of(a.right.candidate))) for a in results.answers
    ]
    return results.metadata, asked.name, told, answers


def assert_sound(results: Results) -> None:
    """Whatever a file says, everything that is made of it works, and its numbers can be of one evaluation."""
    assert len(results.answers) == results.tasks.outputs
    for answered, truth in zip(results.answers, results.tasks.truths, strict=True):
        right = answered.right
        every = answered.candidates + ([right.candidate] if right else [])
        assert len(answered.candidates) <= answered.pool
        assert sum(c.votes for c in answered.candidates) <= sum(answered.views)
        for candidate in every:
            assert candidate.grid.dtype == np.uint8
            assert 0 <= candidate.halting <= 1
            assert candidate.symmetry_votes == () or len(candidate.symmetry_votes) == len(answered.views)
            assert candidate.symmetry_votes == () or sum(candidate.symmetry_votes) == candidate.votes
        if right:
            np.testing.assert_array_equal(right.candidate.grid, truth)
            assert right.rank < answered.pool
    outcomes = score_tests(results)
    assert all(outcome.symmetries <= outcome.tried <= 8 for outcome in outcomes)
    assert "".join(outcome.describe() for outcome in outcomes) or not fault_table(outcomes)
    for grouping in results.tasks.domain.group_tests(results.tasks):
        rate_groups(grouping, outcomes, results.tasks.owners)
    if results.tasks.has_solutions:
        score_results(results)
    if any(outcome.outcome is not Outcome.UNKNOWN for outcome in outcomes):
        assert compare(results, results).within_noise


# --- what is kept of ARC


@given(SEEDS)
@examples(60)
def test_predictions_are_read_as_they_were_written(tmp_path: Path, seed: int) -> None:
    results, ranked, expected = random_arc(seed, known=0.5)
    write_results(tmp_path / "a.json", results)
    again = read_results(tmp_path / "a.json")
    assert plain(again) == plain(results)
    write_results(tmp_path / "b.json", again)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert [len(answered.candidates) for answered in again.answers] == [min(len(entry), LISTED) for entry in expected]
    for answered, entry, truth in zip(again.answers, expected, results.tasks.truths, strict=True):
        places = [place for place, (answer, *_) in enumerate(entry) if truth is not None and np.array_equal(answer, truth)]
        assert [answered.right.rank] * len(places) == places if answered.right else not places
        assert answered.pool == len(entry)
    if results.tasks.has_solutions:  # scores of the file are those of all candidates, wherever the right one stands
        everything = results.tasks.fill_attempts([[candidate.grid for candidate in candidates] for candidates in ranked])
        assert again.places == ranks(results.tasks.solutions, everything)
        for cutoff in CUTOFFS:
            assert pass_at(again.places, cutoff) == pass_at(ranks(results.tasks.solutions, everything), cutoff)


def test_right_answers_beyond_the_list_and_right_guesses_are_reached() -> None:
    """The random cases above are not empty of what they are for."""
    many = [random_arc(seed)[0] for seed in range(20)]
    assert any(a.right and a.right.rank >= LISTED for results in many for a in results.answers)
    outcomes = [(v, a) for results in many for v, a in zip(score_tests(results), results.answers, strict=True)]
    assert any(v.outcome in SOLVED and not a.right for v, a in outcomes)  # a guess was right
    assert {v.outcome for v, _ in outcomes} == set(Outcome) - {Outcome.VALID, Outcome.UNKNOWN}
    assert {v.fault for v, _ in outcomes} == {*Fault, None}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    path = tmp_path_factory.mktemp("document") / "a.json"
    many = (random_arc(seed, count=2)[0] for seed in range(1000))
    beyond = ((results, [a.right and a.right.rank >= LISTED for a in results.answers]) for results in many)
    write_results(path, next(results for results, told in beyond if set(told) == {False, True, None}))
    return json.loads(path.read_bytes())


@given(st.data())
@examples(400)
def test_a_damaged_file_is_refused_or_sound(tmp_path: Path, document: dict, data: st.DataObject) -> None:
    broken = document
    for _ in range(data.draw(st.integers(1, 3))):
        broken = mutate(broken, data)
    (tmp_path / "a.json").write_text(json.dumps(broken))
    results = read_unless_refused(read_results, tmp_path / "a.json")
    if results is not None:
        assert_sound(results)
        write_results(tmp_path / "a.json", results)
        assert plain(read_results(tmp_path / "a.json")) == plain(results)


@pytest.mark.parametrize(
    "change", [{"format": "x"}, {"version": 3}, {"version": None}, {"tasks": {}}, {"tasks": 0}, {"metadata": 0}, {"domain": 5}]
)
def test_files_of_something_else_are_refused(tmp_path: Path, document: dict, change: dict) -> None:
    for broken in (document | change, [document], {name: part for name, part in document.items() if name not in change}):
        (tmp_path / "a.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"a\.json: .*trm_arc"):
            read_results(tmp_path / "a.json")


def test_version_1_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"format": "trm_arc predictions", "version": 1, "made": {}, "tasks": {}}))
    with pytest.raises(InputError, match=says("of-version-1-and")) as caught:
        read_results(tmp_path / "a.json")
    assert caught.value.file == tmp_path / "a.json"


def test_metadata_under_their_old_names_are_read(tmp_path: Path, document: dict) -> None:
    old = {"checkpoint": "a", "step": 5, "views": 3, "window": "lanes", "steps_of_thought": 1.5, "noise": 0, "one_step_score": 1}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document | {"metadata": old}))
    metadata = ResultsMetadata(
        checkpoint="a", step=5, views=3, canvas="buckets", supervision_steps=1.5, noise=0.0, one_step_score=1.0
    )
    results = read_results(path)
    assert results.metadata == metadata
    assert results.tasks.name == path.name
    write_results(path, results)
    assert json.loads(path.read_bytes())["metadata"].keys() == old.keys() - {"window", "steps_of_thought"} | {
        *("canvas", "supervision_steps", "checkpoints", "rollouts")
    }


@pytest.mark.parametrize(
    "metadata",
    [
        {"step": -1},
        {"step": "5"},
        {"views": 0},
        {"views": True},
        {"steps": 0},
        {"canvas": "small"},
        {"canvas": []},
        {"window": "fit", "canvas": "fit"},
        {"rollouts": 2.5},
        {"checkpoints": None},
        {"one_step_score": -0.5},
        {"supervision_steps": "1"},
        {"checkpoint": 5},
        {"data": ["a"]},
        {"view": 3},
    ],
)
def test_metadata_of_another_kind_are_refused(tmp_path: Path, document: dict, metadata: dict) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document | {"metadata": metadata}))
    with pytest.raises(InputError, match=says("damaged-write-it-again")) as caught:
        read_results(path)
    assert caught.value.file == path


def test_truncated_and_deep_files_are_refused(tmp_path: Path, document: dict) -> None:
    path, text = tmp_path / "a.json", json.dumps(document)
    deep = ["[" * depth + "]" * depth for depth in (400, 1000, 1020, 100_000)]
    for broken in (
        [text[:cut] for cut in range(0, len(text) - 1, 997)] + deep + [f'{{"metadata": {{"data": {d}}}}}' for d in deep]
    ):
        path.write_text(broken)
        with pytest.raises(InputError, match=r"a\.json"):
            read_results(path)
    for depth in (400, 900, 1015):
        path.write_text(
            json.dumps(document | {"metadata": {"data": 0}}).replace('"data": 0', f'"data": {"[" * depth + "]" * depth}')
        )
        with pytest.raises(InputError, match=r"a\.json"):
            read_results(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda test, first: first.update(halting=1.01),
        lambda test, first: first.update(halting=-0.1),
        lambda test, first: first.update(halting=True),
        lambda test, first: first.update(votes=first["votes"] + 1),
        lambda test, first: first.update(symmetry_votes=first["symmetry_votes"][:3]),
        lambda test, first: test.update(views=[1]),
        lambda test, first: test.update(pool=0),
        lambda test, first: test.update(right={**first, "rank": 10**6}),
        lambda test, first: test.update(right={**first, "rank": LISTED}, pool=LISTED + 1),  # another answer than the right one
    ],
)
def test_numbers_that_contradict_each_other_are_refused(tmp_path: Path, change) -> None:
    task = Task("a", (Pair(grid([1]), grid([2])),), (Pair(grid([3]), grid([4])),))
    listed = [Candidate(grid([5]), 2, 0.5, (1, 1, 0, 0, 0, 0, 0, 0))]
    results = make_results(ResultsMetadata(), TaskSet([task], "one"), [listed], np.array([[1, 1, 0, 0, 0, 0, 0, 1]]))
    write_results(tmp_path / "a.json", results)
    document = json.loads((tmp_path / "a.json").read_bytes())
    test = document["results"][0]
    change(test, test["candidates"][0])
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=says("a-json-task-a")) as caught:
        read_results(tmp_path / "a.json")
    assert caught.value.file == tmp_path / "a.json"


@pytest.mark.parametrize("name", ["", "a b", "é\u0000\n", '":', "'\\", "a" * 5000, "../x", "Copy1", "0'"])
def test_any_id_will_do(tmp_path: Path, name: str) -> None:
    tasks = TaskSet([replace(make_tasks(2, 1)[1], id=name)], name)
    results = make_results(ResultsMetadata(data=name), tasks, [[], []], np.zeros((2, 8), np.int64))
    write_results(tmp_path / "a.json", results)
    assert plain(read_results(tmp_path / "a.json")) == plain(results)


# --- what is kept of puzzles


PUZZLES = ["sudoku-4x4", "maze-5x5-easy"]


@pytest.mark.parametrize("name", [*PUZZLES, "sudoku-16x16-easy"])
def test_answers_are_read_as_they_were_written(tmp_path: Path, name: str) -> None:
    for seed in range(1 if "16" in name else 12):
        results = random_puzzles(name, seed)
        write_results(tmp_path / "a.json", results)
        again = read_results(tmp_path / "a.json")
        assert plain(again) == plain(results)
        assert again.tasks.domain is results.tasks.domain
        assert score_tests(again) == score_tests(results)
        assert score_results(again) == score_results(results)


@given(st.data())
@examples(200)
def test_damaged_answers_are_refused_or_sound(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.json"
    write_results(path, random_puzzles(data.draw(st.sampled_from(PUZZLES)), data.draw(st.integers(0, 3))))
    broken = json.loads(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        broken = mutate(broken, data)
    path.write_text(json.dumps(broken))
    results = read_unless_refused(read_results, path)
    if results is not None:
        assert_sound(results)
        write_results(path, results)
        assert plain(read_results(path)) == plain(results)


@given(st.data())
@examples(200)
def test_damaged_texts_are_refused_or_sound(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes that were lost or changed, wherever they stand."""
    path = tmp_path / "a.json"
    write_results(path, random_puzzles(data.draw(st.sampled_from(PUZZLES)), data.draw(st.integers(0, 3))))
    text = path.read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from([0, 1, 2, 9, len(text)]))
        hostile = ["", ",", ":", '"', "\n", "x", "-", "9" * 25, "9" * 5000, "NaN", "\0", "é", " ", "#", "-5", ".", "1", "S", "}"]
        text = text[:at] + data.draw(st.sampled_from(hostile)) + text[at + length :]
    path.write_text(text)
    results = read_unless_refused(read_results, path)
    if results is not None:
        assert_sound(results)


@pytest.mark.parametrize("part", ["results", "questions", "answers", "ratings", "rows"])
def test_lost_rows_are_missed(tmp_path: Path, part: str) -> None:
    results = random_puzzles("sudoku-4x4", 0)
    write_results(tmp_path / "a.json", results)
    document = json.loads((tmp_path / "a.json").read_bytes())
    (document if part == "results" else document["tasks"])[part].pop()
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"a\.json: damaged, "):
        read_results(tmp_path / "a.json")


@pytest.mark.parametrize("domain", [None, 5, "arc", "maze-5x5", "maze-4x4", "sudoku-9x9", "sudoku-999999x999999", [], "x"])
def test_puzzles_of_another_domain_are_refused(tmp_path: Path, domain: object) -> None:
    write_results(tmp_path / "a.json", random_puzzles("sudoku-4x4", 0))
    document = json.loads((tmp_path / "a.json").read_bytes())
    (tmp_path / "a.json").write_text(json.dumps(document | {"domain": domain}))
    with pytest.raises(InputError, match=says("a-json-damaged-no")) as caught:
        read_results(tmp_path / "a.json")
    assert caught.value.file == tmp_path / "a.json"


@pytest.mark.parametrize(("at", "cell"), [(0, "9"), (0, "?"), (0, ""), (5, "11")])
def test_questions_without_their_answers_are_refused(tmp_path: Path, at: int, cell: str) -> None:
    write_results(tmp_path / "a.json", random_puzzles("sudoku-4x4", 0))
    document = json.loads((tmp_path / "a.json").read_bytes())
    text = document["tasks"]["answers"][2]
    document["tasks"]["answers"][2] = text[:at] + cell + text[at + 1 :]
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=says("a-json-damaged-a")):
        read_results(tmp_path / "a.json")


# --- the table for other programs


def test_the_table_has_a_row_a_test(tmp_path: Path) -> None:
    results = random_puzzles("maze-5x5-easy", 3)
    write_csv(tmp_path / "a.csv", results)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "question", "answer", "prediction", "exact", "valid", "votes", "halting"]
    assert [int(row["exact"]) for row in rows] == results.scores.exact.astype(int).tolist()
    assert [int(row["valid"]) for row in rows] == results.scores.valid.astype(int).tolist()
    show = results.tasks.domain.format_text
    assert [row["prediction"] for row in rows] == [show(boards[0]) if boards else "" for boards in results.attempts]
    arc, _, _ = random_arc(1, known=0.5)
    write_csv(tmp_path / "b.csv", arc)
    with (tmp_path / "b.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["task", "test", "question", "answer", "attempt_1", "attempt_2"]
    solved = [test.outcome in SOLVED for test in score_tests(arc)]
    assert [row["exact"] == "1" for row in rows] == solved
    assert [row["answer"] == "" for row in rows] == [truth is None for truth in arc.tasks.truths]


def test_the_table_is_not_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "predictions.csv", random_puzzles("sudoku-4x4", 0))
    with pytest.raises(InputError, match=says("not-read-name-the")) as caught:
        find_results(tmp_path / "predictions.csv")
    assert caught.value.file == tmp_path / "predictions.csv"
    with pytest.raises(InputError, match=says("holds-predictions-csv-but")):
        find_results(tmp_path)
