"""Files and folders of ARC tasks as people have them: what is left out, passed over, joined, and what is said about it."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.helpers import SETTINGS, SMALL, make_tasks, messages, to_document, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.data.domains import LoadOptions
from trm_arc.data.examples import prepare_examples
from trm_arc.data.leakage import find_leaks
from trm_arc.data.sources import load_listed, load_tasks
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.data.task_files import GENERATED, join_tasks

says = messages(__name__)

SKIP = LoadOptions(skip_bad=True)


def pair(colour: int) -> dict:
    return {"input": [[colour, 0], [0, colour]], "output": [[0, colour], [colour, 0]]}


TASK = {"train": [pair(3), pair(2)], "test": [pair(4)]}
OTHER = {"train": [pair(5), pair(2)], "test": [pair(4)]}
WIDE = {"train": [{"input": [[0] * 33], "output": [[1]]}], "test": [pair(4)]}


def write(folder: Path, files: dict[str, object]) -> Path:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value if isinstance(value, bytes) else orjson.dumps(value))
    return folder


def ids(tasks: TaskSet) -> list[str]:
    return [task.id for task in tasks]


# --- what is broken


@pytest.mark.parametrize("layout", ["folder", "combined", "list"])
def test_bad_tasks_are_refused_or_left_out(layout: str, tmp_path: Path) -> None:
    tasks = {"t1": TASK, "t2": WIDE, "t3": OTHER}
    if layout == "folder":
        source = write(tmp_path / "set", {f"{name}.json": task for name, task in tasks.items()})
    else:
        document = tasks if layout == "combined" else [task | {"id": name} for name, task in tasks.items()]
        source = write(tmp_path, {"set.json": document}) / "set.json"
    with pytest.raises(InputError, match=says("33-cells")) as caught:
        load_tasks(source, options=LoadOptions())
    assert says("leave-such-tasks-out") in str(caught.value)
    assert caught.value.task == "t2"
    with pytest.raises(InputError) as caught:
        load_tasks(source)  # nobody who calls this has the flag
    assert "--skip-bad" not in str(caught.value)
    kept = load_tasks(source, options=SKIP)
    assert ids(kept) == ["t1", "t3"]
    assert says("left-out-1-bad-task") in kept.note
    assert ids(load_listed(str(source), options=SKIP)) == ["t1", "t3"]


def test_files_that_are_damaged_are_bad_tasks(tmp_path: Path) -> None:
    write(tmp_path, {"t1.json": TASK, "t2.json": b'{"train": [', "t3.json": b""})
    with pytest.raises(InputError) as caught:
        load_tasks(tmp_path)
    assert caught.value.file == tmp_path / "t2.json"
    kept = load_tasks(tmp_path, options=SKIP)
    assert ids(kept) == ["t1"]
    assert says("left-out-2-bad-tasks") in kept.note


def test_nothing_but_bad_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("all-bad")) as caught:
        load_tasks(write(tmp_path, {"t1.json": WIDE}), options=SKIP)
    assert caught.value.file == tmp_path


def test_solutions_of_bad_tasks_do_no_harm(tmp_path: Path) -> None:
    path = write_kaggle(tmp_path, make_tasks(4, 1), "set")
    challenges = orjson.loads(path.read_bytes())
    challenges["made00"]["train"] = []
    solutions = orjson.loads((tmp_path / "set_solutions.json").read_bytes())
    solutions["made01"], solutions["stranger"] = [[[11]]], [[[1]]]
    del solutions["made02"]
    write(tmp_path, {"set_challenges.json": challenges, "set_solutions.json": solutions})
    with pytest.raises(InputError):
        load_tasks(path)
    kept = load_tasks(path, options=SKIP)
    assert ids(kept) == ["made03"]
    assert kept.has_solutions


def test_test_outputs_that_are_masked_are_unknown(tmp_path: Path) -> None:
    for output in (None, []):
        document = {"a": TASK | {"test": [{"input": [[1]], "output": output}]}}
        tasks = load_tasks(write(tmp_path, {"set.json": document}) / "set.json")
        assert [p.output for p in tasks[0].test] == [None]
        assert not tasks.has_solutions
    write(tmp_path, {"s_challenges.json": {"a": TASK, "b": OTHER}, "s_solutions.json": {"a": [None], "b": [[[1]]]}})
    assert [task.test[0].output is None for task in load_tasks(tmp_path / "s_challenges.json")] == [True, False]


# --- what is no task


def test_what_is_no_task_is_passed_over_and_named(tmp_path: Path) -> None:
    others = {
        "dataset-metadata.json": {"title": "mine"},
        "splits.json": {"train": ["t1"], "test": ["t2"]},
        "traces.json": [{"action": 1}],
        "number.json": 5,
        "._t1.json": b"\x00\x05\x16\x07",
        "__MACOSX/t1.json": TASK,
        ".ipynb_checkpoints/t1-checkpoint.json": TASK,
        ".DS_Store": b"\x00",
    }
    tasks = load_tasks(write(tmp_path, {"t1.json": TASK, "T2.JSON": OTHER} | others))
    assert ids(tasks) == ["T2", "t1"]
    assert says("passed-over") in tasks.note


def test_a_task_that_is_there_twice_is_kept_once(tmp_path: Path) -> None:
    shuffled = TASK | {"train": TASK["train"][::-1]}
    tasks = load_tasks(write(tmp_path / "same", {"a/t1.json": TASK, "b/t1.json": shuffled, "b/t2.json": OTHER}))
    assert ids(tasks) == ["t1", "t2"]
    assert says("kept-once") in tasks.note
    folder = write(tmp_path / "differ", {"a/t1.json": TASK, "b/t1.json": OTHER})
    with pytest.raises(InputError, match=says("duplicate-id-t1")) as caught:
        load_tasks(folder)
    assert caught.value.file == folder / "b" / "t1.json"
    assert load_tasks(folder, options=SKIP)[0].train[0].input[0, 0] == 3


def test_a_file_of_several_tasks_beside_others_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("holds-several-tasks")) as caught:
        load_tasks(write(tmp_path, {"t1.json": TASK, "all.json": {"a": TASK, "b": OTHER}}))
    assert caught.value.file == tmp_path / "all.json"


def test_a_folder_without_tasks_names_what_may_hold_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("no-tasks-here")):
        load_tasks(write(tmp_path, {"rows.parquet": b"PAR1", "readme.json": {"a": 1}}))


# --- lists and lines


def test_lists_and_lines_of_tasks_with_their_ids(tmp_path: Path) -> None:
    lines = b"\n".join(orjson.dumps(task | {"task_id": name}) for name, task in (("a", TASK), ("b", OTHER)))
    write(tmp_path, {"l.json": [TASK | {"id": "a"}, OTHER | {"id": 7}], "l.jsonl": lines + b"\n\n", "cut.jsonl": lines[:-9]})
    assert ids(load_tasks(tmp_path / "l.json")) == ["a", "7"]
    assert ids(load_tasks(tmp_path / "l.jsonl")) == ["a", "b"]
    with pytest.raises(InputError, match=says("line-2-is-not-json")) as caught:
        load_tasks(tmp_path / "cut.jsonl")
    assert caught.value.file == tmp_path / "cut.jsonl"
    with pytest.raises(InputError, match=says("has-no-id")):
        load_tasks(write(tmp_path, {"none.json": [TASK | {"id": "a"}, OTHER]}) / "none.json")


def test_a_broken_line_is_left_out_where_broken_tasks_are(tmp_path: Path) -> None:
    """As is an entry of a list that is no task, or has no id; their numbers are those of the lines."""
    whole = [orjson.dumps(task | {"id": name}) for name, task in (("a", TASK), ("b", OTHER))]
    lines = [whole[0], whole[1][:-9], orjson.dumps(TASK), b"7", whole[1]]
    (tmp_path / "l.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match=says("line-2-is-not-json-correct")):
        load_tasks(tmp_path / "l.jsonl", options=LoadOptions())
    tasks = load_tasks(tmp_path / "l.jsonl", options=LoadOptions(skip_bad=True))
    assert ids(tasks) == ["a", "b"]
    assert re.search(says("left-out-3-bad-tasks"), tasks.note)
    (tmp_path / "l.jsonl").write_bytes(b"\n".join(lines[1:3]))
    with pytest.raises(InputError, match=says("no-tasks-here-2-are-bad")):
        load_tasks(tmp_path / "l.jsonl", options=LoadOptions(skip_bad=True))


# --- generated pairs


def test_lists_of_pairs_join_the_task_of_their_id(tmp_path: Path) -> None:
    real = write(tmp_path / "real", {"t1.json": TASK, "t2.json": OTHER})
    lists = {"tasks/t1.json": [pair(6), pair(7), pair(3)], "tasks/t9.json": [pair(8)], "metadata.json": {"t1": {"n": 3}}}
    generated = write(tmp_path / "re_arc", lists)
    for names in (f"{real},{generated}", f"{generated},{real}"):
        tasks = load_listed(names)
        assert sorted(ids(tasks)) == ["t1", "t2", "t9"]
        assert [p.input[0, 0] for p in tasks["t1"].train] == [3, 2], "demonstrations stay those of the task"
        assert [p.input[0, 0] for p in tasks["t1"].generated] == [6, 7], "what is a demonstration already is not added"
        assert [p.input[0, 0] for p in tasks["t9"].train] == [8]
        assert tasks["t9"].test == tasks["t2"].generated == ()
    together = load_listed(str(tmp_path))
    assert [len(task.generated) for task in (together["t1"], together["t2"])] == [2, 0]
    alone = load_listed(str(generated / "tasks" / "t1.json"))
    assert [(task.id, len(task.train)) for task in alone] == [("t1", 3)]
    with pytest.raises(InputError, match=says("holds-lists")):
        load_tasks(generated)


def test_as_many_pairs_as_asked_for_are_drawn_by_the_seed(tmp_path: Path) -> None:
    folder = write(tmp_path, {"t1.json": [pair(colour) for colour in range(1, 10)], "t2.json": [pair(1)]})

    def draw(count: int, seed: int) -> list[int]:
        tasks = load_listed(str(folder), options=LoadOptions(seed=seed, generated_pairs=count))
        return [int(p.input[0, 0]) for p in tasks["t1"].train]

    assert draw(0, 0) == draw(9, 5) == list(range(1, 10))
    assert draw(3, 0) == draw(3, 0) == sorted(draw(3, 0))
    assert len({tuple(draw(3, seed)) for seed in range(9)}) > 1
    assert says("generated-pairs") in load_listed(str(folder), options=LoadOptions(generated_pairs=3)).note


def test_arc_gen_is_read_on_request_alone(tmp_path: Path) -> None:
    document = {"t1": TASK | {GENERATED: [pair(6), pair(7)]}, "t2": OTHER | {GENERATED: []}}
    path = write(tmp_path, {"set.json": document}) / "set.json"
    assert [task.generated for task in load_tasks(path)] == [(), ()]
    tasks = load_listed(str(path), options=LoadOptions(arc_gen=True))
    assert [[int(p.input[0, 0]) for p in task.generated] for task in tasks] == [[6, 7], []]
    document["t1"][GENERATED][1]["output"] = [[11]]
    write(tmp_path, {"set.json": document})
    assert len(load_tasks(path)) == 2
    with pytest.raises(InputError) as caught:
        load_listed(str(path), options=LoadOptions(arc_gen=True))
    assert (caught.value.task, caught.value.place) == ("t1", "arc-gen pair 1, output, row 0, column 0")


def with_generated(task: Task, seed: int, count: int = 3) -> Task:
    more = make_tasks(count, seed)
    return Task(task.id, task.train, task.test, tuple(other.train[0] for other in more))


def test_generated_pairs_are_trained_on_and_nothing_else_changes() -> None:
    evaluation, training = make_tasks(3, 2, "eval"), make_tasks(5, 1, "train")
    plain, _ = prepare_examples(training, evaluation, SMALL)
    more = TaskSet([with_generated(task, number) for number, task in enumerate(training)], "train")
    examples, left_out = prepare_examples(more, evaluation, SMALL)
    assert not left_out
    assert examples.entries == plain.entries, "a task is known by its demonstrations"
    np.testing.assert_array_equal(examples.plan.table, plain.plan.table)
    assert len(examples.pairs) == len(plain.pairs) + 15
    np.testing.assert_array_equal(np.diff(examples.pair_starts)[3:], np.diff(plain.pair_starts)[3:] + 3)
    assert set(plain.trained) < set(examples.trained)
    listed = TaskSet([Task("train00", tuple(more[0].generated), ())], "list")
    joined, _ = prepare_examples(join_tasks([training, listed]), evaluation, SMALL)
    assert len(joined.pairs) == len(plain.pairs) + 3


def test_generated_pairs_that_do_not_fit_are_left_out_alone() -> None:
    evaluation, training = make_tasks(3, 2, "eval"), make_tasks(2, 1, "train")
    large = Pair(np.zeros((29, 2), np.uint8), np.zeros((2, 2), np.uint8))
    tasks = [Task(task.id, task.train, task.test, (large, training[0].train[0])) for task in training]
    tasks += [Task("list", (large, training[1].train[0]), ()), Task("large", (large,), ())]
    plain, _ = prepare_examples(training, evaluation, SMALL)
    examples, left_out = prepare_examples(TaskSet(tasks, "train"), evaluation, SMALL)
    assert left_out == ["large"]
    assert len(examples.pairs) == len(plain.pairs) + 2 + 1


def test_a_generated_pair_that_shows_a_test_input_is_a_leak() -> None:
    evaluation, training = make_tasks(3, 2, "eval"), make_tasks(2, 1, "train")
    shown = Task("train00", training[0].train, training[0].test, (evaluation[1].test[0],))
    assert find_leaks(TaskSet([shown, training[1]], "train"), evaluation) == {"eval01": ["train00"]}


# --- as a user


def test_train_leaves_out_passes_over_and_joins(tmp_path: Path, command: Callable) -> None:
    evaluation = write(tmp_path, {"eval.json": to_document(make_tasks(2, 2, "eval"))}) / "eval.json"
    folder = write(tmp_path / "set", {"t1.json": TASK, "t2.json": WIDE, "notes.json": {}, "lists/t1.json": [pair(6), pair(7)]})
    flags = ["--evaluation-data", evaluation, *SETTINGS, "--dry-run", "--out", tmp_path / "run"]
    code, _, error = command("train", "--data", folder, *flags)
    assert (code, command.refused.task) == (2, "t2")
    assert says("leave-such-tasks-out") in error
    code, printed, error = command("train", "--data", folder, "--skip-bad", *flags)
    assert code == 0, error
    assert says("left-out-1-bad-task") in printed
    assert "notes.json" in printed
    assert "2 generated pairs" in printed
    (folder / "t2.json").unlink()
    code, printed, error = command(
        "train", "--data", f"{evaluation},{folder / 'lists'}", "--evaluation-data", folder / "t1.json", *flags[2:]
    )
    assert code == 0, error
    assert says("join-the-tasks") in printed
    path = write(tmp_path, {"set.json": {"t1": TASK}}) / "set.json"
    code, _, error = command("train", "--data", path, "--arc-gen", *flags)
    assert code == 2
    assert says("no-arc-gen") in error


# --- what nobody expects


def test_a_key_twice_in_a_line_is_no_task(tmp_path: Path) -> None:
    line = orjson.dumps(TASK)[1:]
    write(tmp_path, {"set.jsonl": b'{"id": "t1", ' + line + b'\n{"id": "t2", "id": "t3", ' + line})
    with pytest.raises(InputError, match=says("line-2-key-twice")) as caught:
        load_tasks(tmp_path / "set.jsonl")
    assert caught.value.file == tmp_path / "set.jsonl"
    assert ids(load_tasks(tmp_path / "set.jsonl", options=SKIP)) == ["t1"]


def test_folders_that_are_links_are_read_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"t1.json": TASK})
    folder = write(tmp_path / "set", {"t2.json": OTHER, "named.json/t3.json": TASK})
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    tasks = load_tasks(folder)
    assert sorted(ids(tasks)) == ["t1", "t2", "t3"]
    assert not tasks.note


@pytest.mark.parametrize("value", [{"train": {"a": TASK}, "eval": {"b": TASK}}, {"version": 1, "tasks": [TASK]}])
def test_sets_within_a_file_are_named(value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("holds-whole-sets")) as caught:
        load_tasks(write(tmp_path, {"set.json": value}) / "set.json")
    assert caught.value.file == tmp_path / "set.json"


def test_lists_of_other_things_are_told_what_is_missing(tmp_path: Path) -> None:
    for number, value in enumerate([[{"examples": [[[[1]], [[2]]]]}], [["t1", TASK]], []]):
        with pytest.raises(InputError, match=says("a-list-without-any")):
            load_tasks(write(tmp_path, {f"{number}.json": value}) / f"{number}.json")
    with pytest.raises(InputError, match=says("number-1-has-no-id")):
        load_tasks(write(tmp_path, {"flag.json": [TASK | {"id": True}]}) / "flag.json")


def test_only_a_file_that_ends_early_may_be_truncated(tmp_path: Path) -> None:
    for name, data, cut in (("a", b'{"a": [1, 2', True), ("b", b'{"a": NaN}', False), ("c", b'{"a": 1,}', False)):
        with pytest.raises(InputError) as caught:
            load_tasks(write(tmp_path, {f"{name}.json": data}) / f"{name}.json")
        assert (says("truncated") in str(caught.value)) == cut
