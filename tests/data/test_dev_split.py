"""The dev split: dev tasks follow from their ids, dev puzzles from their canonical forms, and nothing of them is trained on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment import Transform
from tests.helpers import SETTINGS, SMALL, make_puzzles, make_tasks, messages, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.config import Config, TrainingConfig
from trm_arc.data.dev_split import DevSplit, number_task, require_training_data
from trm_arc.data.domains import LoadOptions, domain_by_name
from trm_arc.data.domains.arc import ARC, ArcDomain
from trm_arc.data.loading import load_training_tasks
from trm_arc.data.puzzle_set import PuzzleSet, join_puzzles
from trm_arc.data.puzzle_sources import domain_of_data, fit_to_data
from trm_arc.data.table import read_puzzles, write_puzzles
from trm_arc.data.task import Task, TaskSet
from trm_arc.evaluation.loading import load_tests
from trm_arc.model.checkpoint import load_checkpoint

says = messages(__name__)
DEV = ["made04", "made07", "made10"]  # of twelve tasks, by the hash of their ids: no other number is right
SIDES = ("input", "output")


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Twelve tasks as a challenges file."""
    return write_kaggle(tmp_path, make_tasks(12, 3), "some")


def run_of(data: object, evaluation: object, share: float = 0.42, **more: object) -> TrainingConfig:
    return replace(SMALL.training, data=str(data), evaluation_data=str(evaluation), dev_share=share, **more)


def ids(tasks: TaskSet) -> list[str]:
    return [task.id for task in tasks]


def images(config: TrainingConfig) -> tuple[set[bytes], TaskSet, TaskSet]:
    """Every grid that a run trains on, its training tasks and those to answer."""
    training, evaluation, _ = load_training_tasks(config, None)
    examples, _ = ARC.prepare(training, evaluation, replace(SMALL, training=config))
    return {examples.grids[number].tobytes() for number in range(len(examples.grids))}, training, evaluation


# --- ARC


def test_the_split_follows_from_ids_and_share_alone(tmp_path: Path, tasks: Path) -> None:
    whole = make_tasks(12, 3)
    assert ids(TaskSet(DevSplit(0.42, dev=True).take_tasks(whole), "dev")) == DEV
    assert number_task("007bbfb7") == 6868123737884362342
    backwards = TaskSet([*make_tasks(3, 8, "other"), *list(whole)[::-1]], "backwards")
    assert [task.id for task in DevSplit(0.42, dev=True).take_tasks(backwards) if task.id in whole] == DEV[::-1]
    before: set[str] = set()
    for share in (0.42, 0.5, 0.7, 0.85):
        sides = [{task.id for task in DevSplit(share, dev=dev).take_tasks(whole)} for dev in (True, False)]
        assert before < sides[0]
        assert sides[0] | sides[1] == set(ids(whole))
        assert not sides[0] & sides[1]
        before = sides[0]
    for seed in (0, 1):
        assert ids(ARC.load_evaluation(run_of("", tasks, seed=seed), None)) == DEV


def test_tasks_to_answer_are_read_once_and_looked_for_leaks_once(
    tmp_path: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("load", "drop_leaks"):
        real = getattr(ArcDomain, name)
        monkeypatch.setattr(ArcDomain, name, lambda self, *given, name=name, real=real: called.append(name) or real(self, *given))
    training = write_kaggle(tmp_path, make_tasks(12, 3), "training")
    for more, guards in (({}, 1), ({"smallest": 1}, 2), ({"dev_share": 0.0, "data": ""}, 1)):
        called.clear()
        load_training_tasks(replace(run_of(training, tasks), **more), None)
        assert called == ["load", *["drop_leaks"] * guards]


def test_dev_tasks_of_real_sets(arc: Path) -> None:
    options = LoadOptions(split=DevSplit(0.02, dev=True))
    assert " ".join(ids(ARC.load("arc1-training", "test", arc, options))) == (
        "0e206a2e 11852cab 1190e5a7 1b2d62fb 44f52bb0 484b58aa 6d58a25d a2fd1cf0 b190f7f5"
    )
    for name, rows in (("sudoku-extreme", [201, 213, 316, 324, 466, 701, 949, 978]), ("maze-hard", [204, 291, 446, 590])):
        domain = domain_of_data(name)
        options = LoadOptions(split=DevSplit(0.01, dev=True))
        assert domain.load(name, "test", arc.parent, options).rows.tolist()[: len(rows)] == rows


def test_answers_of_dev_tasks_are_not_trained_on(tmp_path: Path, tasks: Path) -> None:
    whole, other = make_tasks(12, 3), write_kaggle(tmp_path, make_tasks(3, 8, "other"), "others")
    for data in (f"{tasks},{other}", tasks, ""):
        shown, training, evaluation = images(run_of(data, tasks))
        assert ids(evaluation) == DEV
        assert evaluation.has_solutions
        assert not set(ids(training)) & set(DEV)
        assert len(training) == {str(tasks): 9, "": 0}.get(str(data), 12)
        for task in whole:
            seen = task.id in DEV or bool(data)
            assert all(pair.output.tobytes() in shown for pair in task.train) == seen
            assert any(pair.output.tobytes() in shown for pair in task.test) == (seen and task.id not in DEV)


def test_tasks_that_hold_an_answer_of_a_dev_task_are_left_out_too(tmp_path: Path, tasks: Path) -> None:
    whole, turn = make_tasks(12, 3), Transform(5, (0, 3, 1, 2, 4, 6, 5, 7, 8, 9))
    image = replace(whole["made07"].test[0], **{side: turn.apply(getattr(whole["made07"].test[0], side)) for side in SIDES})
    holder = Task("holder", make_tasks(1, 7)[0].train, (image,))
    data = write_kaggle(tmp_path, TaskSet([holder, *whole], "mixed"), "mixed")
    for sides in ("", "4-4", "5-5"):  # a dev task that this run does not answer is none to train on either
        training, evaluation, notes = load_training_tasks(run_of(data, tasks, evaluation_sides=sides), None)
        assert len(training) == 9
        assert "holder" not in training
        assert notes.count(says("three-left-out")) == notes.count(says("holder-left-out")) == 1
        assert set(ids(evaluation)) <= set(DEV)
    assert says("three-of-twelve") in evaluation.note


def test_generated_pairs_of_a_dev_task_are_left_out(tmp_path: Path, tasks: Path) -> None:
    """A folder of lists, as RE-ARC has them, knows tasks by their ids alone."""
    whole, lists = make_tasks(12, 3), tmp_path / "re_arc" / "tasks"
    lists.mkdir(parents=True)
    for name, test in (("made04", whole["made05"].test[0]), ("made05", whole["made06"].test[0])):
        pair = {"input": test.input.tolist(), "output": test.output.tolist()}
        (lists / f"{name}.json").write_text(json.dumps([pair, pair]))
    shown, training, _ = images(run_of(lists.parent, tasks))
    assert ids(training) == ["made05"]
    assert whole["made06"].test[0].output.tobytes() in shown
    assert whole["made05"].test[0].output.tobytes() not in shown


def test_sides_of_evaluation_tasks(tasks: Path) -> None:
    whole = make_tasks(12, 3)
    for share, pool in ((0.0, ids(whole)), (0.42, DEV)):
        kept = ARC.load_evaluation(run_of("", tasks, share, evaluation_sides="3-4"), None)
        assert ids(kept) == [name for name in pool if whole[name].side in (3, 4)]
        with pytest.raises(InputError, match=says("no-task-has")) as caught:
            ARC.load_evaluation(run_of("", tasks, share, evaluation_sides="6-30"), None)
        assert caught.value.flag == "--evaluation-sides"
    for wrong in ("5", "0-5", "5-4", "1-31", "a-b", "1-2-3", "-5", "1:5", "1-"):
        with pytest.raises(InputError, match=says("no-range")) as caught:
            TrainingConfig(evaluation_sides=wrong)
        assert caught.value.flag == "evaluation_sides"


def test_a_share_without_tasks_and_tasks_without_solutions(tmp_path: Path, tasks: Path) -> None:
    with pytest.raises(InputError, match=says("no-dev-task")) as caught:
        ARC.load_evaluation(run_of("", tasks, 0.001), None)
    assert caught.value.flag == "--dev-share"
    (tmp_path / "some_solutions.json").unlink()
    with pytest.raises(InputError, match=says("no-solutions")) as caught:
        ARC.load_evaluation(run_of("", tasks), None)
    assert caught.value.flag == "--dev-share"
    for share in (1.0, -0.1):
        with pytest.raises(InputError) as caught:
            TrainingConfig(dev_share=share)
        assert caught.value.flag == "dev_share"


@pytest.mark.parametrize("name", ["arc1-evaluation", "x/arc-agi_evaluation2_challenges.json", "my-test.csv", "ARC/evaluation/"])
def test_sets_for_the_last_score_are_not_split(name: str) -> None:
    with pytest.raises(InputError, match=says("for-the-last-score")) as caught:
        require_training_data(["arc1-training", name])
    assert caught.value.flag == "--evaluation-data"
    require_training_data(["arc1-training", "latest.csv", "concept", "test/train.csv", "contest"])


# --- Sudoku and mazes


@pytest.fixture
def sudoku(tmp_path: Path) -> PuzzleSet:
    """Forty puzzles of 4 x 4, and after them an image of each; in train.csv."""
    puzzles = make_puzzles("sudoku-4x4-easy", 40, 3)
    both = join_puzzles([puzzles, mirrored(puzzles)])
    write_puzzles(tmp_path / "train.csv", both)
    write_puzzles(tmp_path / "test.csv", make_puzzles("sudoku-4x4-easy", 4, 9))
    return both


def mirrored(puzzles: PuzzleSet) -> PuzzleSet:
    turned = {name: np.ascontiguousarray(getattr(puzzles, name).transpose(0, 2, 1)) for name in ("questions", "answers")}
    return replace(puzzles, **turned)


def test_images_of_a_puzzle_are_on_one_side(sudoku: PuzzleSet, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    dev, rest = (read_puzzles(path, "x", split=DevSplit(0.3, dev=side), chunk_size=7) for side in (True, False))
    assert sorted([*dev.rows.tolist(), *rest.rows.tolist()]) == list(range(1, 81))
    assert dev.rows[: len(dev) // 2].tolist()[:6] == [2, 3, 6, 8, 13, 16]
    assert (dev.rows[: len(dev) // 2] + 40).tolist() == dev.rows[len(dev) // 2 :].tolist()
    assert not np.isin(dev.input_hashes(), rest.input_hashes()).any()
    larger = read_puzzles(path, "x", split=DevSplit(0.6, dev=True))
    assert set(dev.rows.tolist()) < set(larger.rows.tolist())
    again = DevSplit(0.3, dev=True).take_puzzles(sudoku)
    np.testing.assert_array_equal(again.questions, dev.questions)


def test_some_dev_puzzles_are_the_same_for_every_seed(sudoku: PuzzleSet, tmp_path: Path) -> None:
    path, split = tmp_path / "train.csv", DevSplit(0.5, dev=True)
    few = [read_puzzles(path, "x", 6, seed, split=split, chunk_size=size).rows.tolist() for seed, size in ((0, 3), (1, 99))]
    assert few[0] == few[1] == [2, 8, 22, 42, 48, 62]
    np.testing.assert_array_equal(split.take_puzzles(sudoku, 6).questions, sudoku.questions[np.array(few[0]) - 1])
    more = read_puzzles(path, "x", 12, 5, split=split)
    assert set(few[0]) < set(more.rows.tolist())
    rest = [read_puzzles(path, "x", 6, seed, split=DevSplit(0.5, dev=False)).rows.tolist() for seed in (0, 1)]
    assert rest[0] != rest[1]


@pytest.mark.parametrize("name", ["sudoku-4x4-easy", "maze-7x7-easy"])
def test_puzzles_of_a_run(name: str, tmp_path: Path) -> None:
    """From a file and from a generated set: without the test part, and with what is left out before some are drawn."""
    made = make_puzzles(name, 60, 4)
    path = tmp_path / "train.csv"
    write_puzzles(path, made)
    given = {"data": str(path), "dev_share": 0.4, "puzzles": 20, "transform_tokens": False}
    config = fit_to_data(Config().override(given), given)
    assert config.training.evaluation_data == str(path)  # there is no test.csv
    for data in (path, name):
        own = replace(config.training, data=str(data), evaluation_data=str(data), puzzles=20 if data == path else 60)
        training, dev, notes = load_training_tasks(own, None)
        assert len(training) == 20 if data == path else len(training) + len(dev) == 60
        assert not np.isin(training.input_hashes(), dev.input_hashes()).any()
        assert says("dev-puzzles") in notes[-1]
        assert dev.name == f"{data if data == path else f'{name} train'} (dev share 0.4)"
        few = load_training_tasks(replace(own, evaluation_puzzles=3, seed=9), None)[1]
        assert len(few) == 3
        assert np.isin(few.input_hashes(), dev.input_hashes()).all()
        for share, sentence in ((1e-9, says("no-dev-puzzle")), (1 - 1e-9, says("no-training-puzzle"))):
            with pytest.raises(InputError, match=sentence) as caught:
                load_training_tasks(replace(own, dev_share=share), None)
            assert caught.value.flag == "--dev-share"


def test_sides_do_nothing_for_puzzles() -> None:
    with pytest.raises(InputError) as caught:
        fit_to_data(Config().override({"data": "maze-7x7-easy"}), {"evaluation_sides": "1-5"})
    assert caught.value.flag == "--evaluation-sides"


# --- the commands


def test_a_run_answers_its_own_dev_tasks(tasks: Path, tmp_path: Path, command: Callable) -> None:
    run = tmp_path / "run"
    flags = [*SETTINGS, "--data", tasks, "--evaluation-data", tasks, "--dev-share", "0.42", "--out", run]
    code, text, error = command("train", *flags, "--dry-run")
    assert code == 0, error
    assert says("three-of-twelve") in text
    assert command("train", *flags)[0] == 0
    code, text, _ = command("evaluate", "--checkpoint", run, "--views", 2, "--no-report", "--device", "cpu")
    assert code == 0
    assert says("three-of-twelve") in text.splitlines()[0]
    checkpoint = load_checkpoint(next(run.glob("checkpoint-*")))
    assert ids(load_tests(checkpoint, None, None)) == DEV
    # without the split, the others are trained on
    assert command("evaluate", "--checkpoint", run, "--data", tasks, "--views", 2)[0] == 2
    assert "9 of 12" in str(command.refused)
    again = ["--checkpoint", run, "--data", tasks, "--views", 2, "--no-report", "--device", "cpu"]
    assert command("evaluate", *again, "--drop-leaks")[0] == 0
    # a resumed run keeps the split, and takes no other
    assert command("train", "--resume", "--out", run, "--device", "cpu", "--precision", "float32")[0] == 0
    assert command("train", "--resume", "--out", run, "--dev-share", "0.5", "--device", "cpu")[0] == 2
    assert "dev_share 0.42 there, 0.5 here" in str(command.refused)
    code, text, _ = command("adapt", "--checkpoint", run, "--challenges", tasks, "--dry-run", "--device", "cpu")
    assert code == 0
    assert "answering 12 tasks" in text


def test_a_run_on_puzzles_answers_its_own_dev_puzzles(sudoku: PuzzleSet, tmp_path: Path, command: Callable) -> None:
    run, path = tmp_path / "run", tmp_path / "train.csv"
    tiny = [flag for flag in SETTINGS if flag not in ("--canvas", "fit")]
    assert command("train", *tiny, "--data", path, "--dev-share", "0.3", "--out", run)[0] == 0, command.refused
    code, text, _ = command("evaluate", "--checkpoint", run, "--no-report", "--device", "cpu")
    assert code == 0
    assert says("dev-puzzles") in text.splitlines()[0]
    flags = ["--answer-steps", "2", "--rollouts", "--views", "--patience", "0", "--puzzles", "4", "--device", "cpu"]
    code, text, _ = command("sweep", "--checkpoint", run, *flags)
    assert code == 0
    assert says("dev-puzzles") in text
    assert command("evaluate", "--checkpoint", run, "--data", path)[0] == 2
    assert command("train", "--resume", "--out", run, "--device", "cpu", "--precision", "float32")[0] == 0
    assert load_tests(load_checkpoint(next(run.glob("checkpoint-*"))), None, None).domain is domain_by_name("sudoku-4x4")
