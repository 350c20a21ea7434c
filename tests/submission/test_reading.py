"""What `predict` answers whatever is wrong beside it, and what `score` takes for solutions."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from submission.reading import read_challenges
from tests.helpers import make_tasks, messages, to_document, write_kaggle
from trm_arc.common.deadline import Deadline
from trm_arc.common.errors import InputError

says = messages(__name__)


@pytest.mark.parametrize("output", [None, [], "?", [[0] * 33], [[12]], {"a": 1}, 7, [[]], [[1], [1, 2]]], ids=str)
def test_a_test_output_takes_no_answer_away(output: object, tmp_path: Path) -> None:
    document = to_document(make_tasks(3, 1, "t"))
    for task in document.values():
        task["test"][0]["output"] = output
    (tmp_path / "c.json").write_text(json.dumps(document))
    found = read_challenges(str(tmp_path / "c.json"))
    assert [task.id for task in found.tasks] == list(document)
    assert (found.guessed, found.notes) == ({}, [])
    assert all(pair.output is None for task in found.tasks for pair in task.test)


def test_a_file_that_takes_too_long_to_read_is_stood_in_for_by_the_sample_submission(tmp_path: Path) -> None:
    path = write_kaggle(tmp_path, make_tasks(3, 1, "t"), "t")
    with path.open("ab") as file:
        file.write(b" " * 30_000_000)
    with pytest.raises(InputError, match=says("allow-8-s")) as refused:  # nobody waits for the end of a session that is late
        read_challenges(str(path), deadline=Deadline(2.0))
    assert (refused.value.flag, refused.value.file) == ("--challenges", path)
    (tmp_path / "sample_submission.json").write_text('{"a": [0, 0], "b": [0]}')
    found = read_challenges(str(path), deadline=Deadline(2.0))
    assert (len(found.tasks), found.counts) == (0, {"a": 2, "b": 1})
    assert str(path) in found.notes[0]
    assert len(read_challenges(str(path), deadline=Deadline(60.0)).tasks) == 3


def test_the_tasks_of_a_folder_are_answered_beside_a_broken_one(tmp_path: Path) -> None:
    document = to_document(make_tasks(4, 1, "t"))
    document = {f"t{number}": task for number, task in enumerate(document.values())}
    document["t1"]["test"][0]["output"] = "?"
    document["t2"]["train"][0]["input"] = [[0] * 33]
    for name, task in document.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(task))
    (tmp_path / "t4.json").write_text('{"train": [')
    (tmp_path / "notes.json").write_text('{"title": "mine"}')
    (tmp_path / "pairs.json").write_text(json.dumps(document["t0"]["train"]))
    found = read_challenges(str(tmp_path))
    assert [task.id for task in found.tasks] == ["t0", "t1", "t3"]
    assert list(found.guessed) == ["t2", "t4"]
    assert found.order == ["t0", "t1", "t2", "t3", "t4"]
    assert any(says("t2-33-cells") in note for note in found.notes)
    assert any(says("passed-over") in note for note in found.notes)
    assert any("t4.json" in note for note in found.notes)


def test_lists_and_lines_are_answered(tmp_path: Path) -> None:
    tasks = [task | {"id": name} for name, task in to_document(make_tasks(3, 1, "t")).items()]
    (tmp_path / "c.json").write_text(json.dumps(tasks))
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    for name in ("c.json", "c.jsonl"):
        assert read_challenges(str(tmp_path / name)).order == ["t00", "t01", "t02"]


def test_a_broken_line_is_named_and_the_others_are_answered(tmp_path: Path) -> None:
    lines = [json.dumps(task | {"id": name}) for name, task in to_document(make_tasks(3, 1, "t")).items()]
    (tmp_path / "c.jsonl").write_text("\n".join([lines[0], lines[1][:-9], lines[2]]))
    read = read_challenges(str(tmp_path / "c.jsonl"))
    assert read.order == ["t00", "t02"]
    assert ["line 2" in note for note in read.notes] == [True]


def test_score_takes_any_set_whose_solutions_are_known(tmp_path: Path, command: Callable) -> None:
    tasks = make_tasks(3, 1, "t")
    challenges = write_kaggle(tmp_path / "arc-prize-2025", tasks, "arc-agi_training")
    document = to_document(tasks, outputs=True)
    (tmp_path / "combined.json").write_text(json.dumps(document))
    (tmp_path / "folder").mkdir()
    for name, task in document.items():
        (tmp_path / "folder" / f"{name}.json").write_text(json.dumps(task))
    right = {task.id: [dict.fromkeys(("attempt_1", "attempt_2"), pair.output.tolist()) for pair in task.test] for task in tasks}
    (tmp_path / "submission.json").write_text(json.dumps(right))
    score = ["submission", "score", "--json", "--submission", tmp_path / "submission.json", "--solutions"]
    sources = [
        challenges,
        challenges.with_name("arc-agi_training_solutions.json"),
        tmp_path / "combined.json",
        tmp_path / "folder",
    ]
    scores = []
    for source in (*sources, "arc2-training"):
        code, printed, error = command(*score, source, "--data-folder", tmp_path)
        assert code == 0, error
        scores.append(json.loads(printed))
    assert all(one == scores[0] for one in scores)
    assert "100" in command(*score[:2], *score[3:], tmp_path / "combined.json")[1]

    document["t01"]["test"][0]["output"] = None
    (tmp_path / "combined.json").write_text(json.dumps({"t1": document["t01"]}))
    (tmp_path / "odd.json").write_text('{"a": []}')
    for source, message in (
        (tmp_path / "combined.json", says("no-solutions-for")),
        (tmp_path / "odd.json", says("a-list-of-grids")),
        ("arc3", "no such file"),
    ):
        code, _, error = command(*score, source)
        assert code == 2
        assert message in error


def test_of_two_tasks_with_one_id_the_first_is_answered_and_that_is_said(tmp_path: Path) -> None:
    first, second = (task | {"id": "t1"} for task in to_document(make_tasks(2, 1, "t")).values())
    (tmp_path / "c.json").write_text(json.dumps([first, second]))
    read = read_challenges(str(tmp_path / "c.json"))
    assert (read.order, read.tasks[0].test[0].input.tolist()) == (["t1"], first["test"][0]["input"])
    assert [says("the-first-is-answered") in note for note in read.notes] == [True]
