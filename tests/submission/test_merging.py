"""Submissions of several systems, merged into one, and compared."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from submission.merging import merge, rank_answers, read_source
from submission.reading import read_challenges
from submission.settings import MERGE_RULES
from tests.helpers import grid, make_puzzles, make_tasks, messages, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.evaluation.compare import mcnemar
from trm_arc.evaluation.result_files import write_results
from trm_arc.evaluation.results import ResultsMetadata, make_results
from trm_arc.inference.votes import Candidate

says = messages(__name__)
TASKS = make_tasks(3, 5, "t")
IDS = [task.id for task in TASKS]


def submission(path: Path, *answers: tuple[int, int]) -> Path:
    """A submission whose attempts are single cells of these colours, a pair for each test input of `TASKS` in order."""
    given = iter(answers)
    document = {
        task.id: [dict(zip(("attempt_1", "attempt_2"), ([[c]] for c in next(given)), strict=True)) for _ in task.test]
        for task in TASKS
    }
    path.write_text(json.dumps(document))
    return path


def colours(path: Path) -> list[tuple[int, int]]:
    """The single cells of `submission`, read back."""
    document = json.loads(path.read_text())
    return [(answer["attempt_1"][0][0], answer["attempt_2"][0][0]) for task_id in IDS for answer in document[task_id]]


@given(
    st.lists(st.tuples(st.permutations(range(4)), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=4),
    st.sampled_from(sorted(MERGE_RULES)),
)
def test_answers_are_ranked_as_the_rule_says(systems: list[tuple[list[int], int, int]], rule: str) -> None:
    answers = [[(grid([colour]), 1 / (2 + place)) for place, colour in enumerate(order[:count])] for order, count, _ in systems]
    points, mentioned = dict.fromkeys(range(4), 0.0), []
    for place in range(4):
        for order, count, weight in systems:
            if place < count:
                mentioned.append(order[place])
                points[order[place]] += weight * {"agree": (2, 1, 0, 0)[place], "votes": 1 / (2 + place), "first": 0}[rule]
    expected = sorted(dict.fromkeys(mentioned), key=lambda colour: (-points[colour], mentioned.index(colour)))
    ranked = rank_answers(answers, [weight for *_, weight in systems], rule)
    assert [int(each[0, 0]) for each in ranked] == expected


def test_rules_choose_as_documented(tmp_path: Path) -> None:
    tests = TASKS.outputs
    one = submission(tmp_path / "1.json", *[(1, 2)] * tests)
    two = submission(tmp_path / "2.json", *[(3, 4)] * tests)
    three = submission(tmp_path / "3.json", *[(4, 3)] * tests)
    out = tmp_path / "out.json"
    assert merge([one, two, three], out) == 0
    assert colours(out) == [(3, 4)] * tests  # 3 points each, and the second file goes before the third
    merge([one, two, three], out, "first")
    assert colours(out) == [(1, 3)] * tests
    merge([one, two, three], out, "agree", [2, 1, 1])
    assert colours(out) == [(1, 3)] * tests  # 4, 3, 3
    merge([two, two], out)
    assert colours(out) == [(3, 4)] * tests


def test_votes_of_evaluations_are_shares(tmp_path: Path) -> None:
    paths = []
    for name, views, votes in (("a", 100, {1: 40, 2: 30}), ("b", 10, {3: 5, 2: 4}), ("c", 0, {})):
        ranked = [[Candidate(grid([colour]), count, 0.5) for colour, count in votes.items()]] * TASKS.outputs
        counts = np.tile([views, *[0] * 7], (TASKS.outputs, 1))
        write_results(tmp_path / f"{name}.json", make_results(ResultsMetadata(data="made"), TASKS, ranked, counts))
        paths.append(tmp_path / f"{name}.json")
    out = tmp_path / "out.json"
    assert merge(paths, out) == 0
    assert colours(out) == [(2, 3)] * TASKS.outputs  # 0.7, 0.5, 0.4
    merge([*paths, submission(tmp_path / "s.json", *[(1, 5)] * TASKS.outputs)], out)  # by agreement, as one has no votes
    assert colours(out) == [(1, 3)] * TASKS.outputs  # 4 points, and 2, as have 3 and the second attempts of 2


def test_missing_attempts_are_filled_up(tmp_path: Path) -> None:
    document = {task.id: [{"attempt_1": "?"} for _ in task.test] for task in TASKS}
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document))
    one = submission(tmp_path / "1.json", *[(7, 7)] * TASKS.outputs)
    challenges = write_kaggle(tmp_path, TASKS, "made")
    assert merge([broken, one], tmp_path / "out.json", asked=read_challenges(str(challenges))) == 0
    merged = json.loads((tmp_path / "out.json").read_text())
    guess = TASKS[0].test[0].input.tolist()  # all demonstrations keep the size of their input
    assert [merged[IDS[0]][0]["attempt_1"], merged[IDS[0]][0]["attempt_2"]] == [[[7]], guess]


@pytest.mark.parametrize(
    ("arguments", "flag", "file", "reason"),
    [
        (["1.json"], "", "", says("two-files")),
        (["1.json", "none.json"], "", "none.json", says("no-such-file")),
        (["1.json", "cut.json"], "", "cut.json", says("not-json")),
        (["1.json", "other.json"], "", "other.json", says("other-tasks")),
        (["1.json", "fewer.json"], "", "fewer.json", says("fewer")),
        (["1.json", "list.json"], "", "list.json", says("neither")),
        (["1.json", "empty.json"], "", "empty.json", says("neither")),
        (["1.json", "puzzles.json"], "", "puzzles.json", says("puzzles")),
        (["1.json", "2.json", "--rule", "votes"], "", "1.json", says("no-votes")),
        (["1.json", "2.json", "--weights", "1"], "--weights", "", says("as-many")),
        (["1.json", "2.json", "--weights", "1", "nan"], "--weights", "", says("as-many")),
        (["1.json", "2.json", "--weights", "1", "-2"], "--weights", "", says("as-many")),
        (["1.json", "2.json", "--rule", "first", "--weights", "1", "2"], "--weights", "", says("order")),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    arguments: list[str], flag: str, file: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("1", "2"):
        submission(tmp_path / f"{name}.json", *[(1, 2)] * TASKS.outputs)
    whole = json.loads((tmp_path / "1.json").read_text())
    puzzles = make_puzzles("sudoku-4x4", 2, 0)
    write_results(tmp_path / "puzzles.json", make_results(ResultsMetadata(), puzzles, [[], []], np.zeros((2, 1), np.int64)))
    (tmp_path / "cut.json").write_text(json.dumps(whole)[:-9])
    (tmp_path / "other.json").write_text(json.dumps({"x": whole[IDS[0]]}))
    (tmp_path / "fewer.json").write_text(json.dumps({task_id: whole[task_id] for task_id in IDS[1:]}))
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "empty.json").write_text("{}")
    code, text, error = command("submission", "merge", *arguments, "--out", "out.json")
    assert (code, text) == (2, "")
    assert (command.refused.flag or "", Path(command.refused.file or "").name) == (flag, file)
    assert reason in error
    assert not (tmp_path / "out.json").exists()


def test_a_file_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    one = submission(tmp_path / "1.json", *[(1, 2)] * TASKS.outputs)
    (tmp_path / "thesis.json").write_text('{"title": 1}')
    with pytest.raises(InputError) as refused:
        merge([one, one], tmp_path / "thesis.json")
    assert refused.value.file == tmp_path / "thesis.json"
    assert merge([one, one], one) == 0  # a submission is
    assert colours(one) == [(1, 2)] * TASKS.outputs


def test_several_submissions_are_compared(tmp_path: Path, command: Callable) -> None:
    tests = TASKS.outputs
    solutions = {task.id: [[[1]]] * len(task.test) for task in TASKS}
    (tmp_path / "solutions.json").write_text(json.dumps(solutions))
    none = submission(tmp_path / "none.json", *[(2, 3)] * tests)
    some = submission(tmp_path / "some.json", (2, 1), *[(2, 3)] * (tests - 1))
    every = submission(tmp_path / "every.json", *[(1, 3)] * tests)
    asked = "submission", "score", "--solutions", tmp_path / "solutions.json", "--submission"
    code, text, _ = command(*asked, none, some, every)
    lines = [line.split() for line in text.splitlines()]
    assert code == 0
    assert [line[1:3] for line in lines[1:4]] == [["0.0", "%"], [f"{100 / tests:.1f}", "%"], ["100.0", "%"]]
    assert [line[-2] for line in lines[1:4]] == ["0.0", "0.0", "100.0"]  # pass@1
    assert f"{len(TASKS)} tasks better" in text or mcnemar(len(TASKS), 0) == mcnemar(tests, 0)
    code, text, _ = command(*asked, none, every, "--json")
    assert [values["per_output"]["pass@2"]["solved"] for values in json.loads(text).values()] == [0, tests]


def test_a_source_reason_it_answers(tmp_path: Path) -> None:
    source = read_source(submission(tmp_path / "1.json", *[(1, 1)] * TASKS.outputs))
    assert (source.counts, source.has_votes) == (TASKS.test_counts, False)
    with pytest.raises(InputError) as refused:
        read_source(tmp_path)
    assert refused.value.file == tmp_path
