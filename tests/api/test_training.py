"""From nothing to a score in Python, and what is refused; the commands do the same."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import trm_arc
from tests.helpers import SETTINGS, assert_identical, make_puzzles, make_tasks, messages, write_kaggle
from trm_arc.api.network import Network
from trm_arc.evaluation.results import Results

says = messages("api.test_training")
TINY = {"width": 16, "heads": 2, "prefix": 2, "cycles": 1, "latent_steps": 1, "canvas": "fit", "augmentations": 4}
TINY |= {"batch_size": 8, "halt_steps": 2, "warmup_steps": 2, "steps": 6}
HERE = {"device": "cpu", "precision": "float32", "progress": False}


@pytest.fixture(scope="module")
def challenges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle(tmp_path_factory.mktemp("tasks"), make_tasks(4, 1, "train"), "train")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, challenges: Path) -> Network:
    out = tmp_path_factory.mktemp("run") / "run"
    return trm_arc.train("arc1", out, **TINY, data="", evaluation_data=str(challenges), **HERE)


@pytest.fixture(scope="module")
def results(trained: Network) -> Results:
    return trained.predict(views=3, progress=False)


def test_it_trains_as_the_command(trained: Network, challenges: Path, tmp_path: Path, command: Callable) -> None:
    flags = [*SETTINGS, "--data", "", "--evaluation-data", challenges, "--out", tmp_path / "run"]
    assert command("train", *flags)[0] == 0
    assert_identical(trained.checkpoint.tensors, trm_arc.load(tmp_path / "run").checkpoint.tensors)


def test_a_run_goes_on_and_is_silent_if_asked(
    challenges: Path, trained: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"data": "", "evaluation_data": str(challenges)}
    config = trm_arc.PRESETS["arc1"].override(TINY | data | {"leave_out": ""})
    short = trm_arc.train(config, tmp_path, steps=6, evaluate_every=3, evaluate_views=2, **HERE)
    assert capsys.readouterr() == ("", "")
    assert_identical(short.checkpoint.tensors, trained.checkpoint.tensors)
    with pytest.raises(trm_arc.InputError) as refused:
        trm_arc.train(config, tmp_path, **HERE)
    assert refused.value.file == tmp_path
    again = trm_arc.train(None, tmp_path, resume=True, **HERE)
    assert_identical(again.checkpoint.tensors, trained.checkpoint.tensors)
    assert "<svg" in again.curves()._repr_html_()
    trm_arc.train(config, tmp_path, overwrite=True, **HERE | {"progress": True})
    assert says("trained") in capsys.readouterr().out


def test_solve_answers_tasks_as_python_does(
    trained: Network, results: Results, challenges: Path, tmp_path: Path, command: Callable
) -> None:
    flags = ["--checkpoint", trained.checkpoint.where, "--device", "cpu", "--precision", "float32"]
    code, text, error = command("solve", challenges, *flags, "--views", 3, "--json")
    document = json.loads(text)
    assert (code, document["answer"], document["right"]) == (1, results.submission(), False), error
    alone = write_kaggle(tmp_path, make_tasks(1, 1, "train"), "alone")
    alone.with_name("alone_solutions.json").unlink()
    code, text, error = command("solve", alone, *flags)
    assert (code, text.count("attempt 1"), "5 views" in text) == (0, 1, True), error
    assert command("solve", challenges, *flags, "--show-steps")[0] == 2
    assert command.refused.flag == "--show-steps"
    assert command("solve", challenges, "--checkpoint", "sudoku-extreme")[0] == 2
    assert command("solve", "00000000", *flags, "--data-folder", tmp_path)[0] == 2


def test_answers_by_task_with_their_votes(results: Results, challenges: Path) -> None:
    tasks = results.tasks
    answers = list(results)
    assert [answer.name for answer in answers] == tasks.names
    assert {answer.views for answer in answers} == {3}
    assert all(sum(one.votes for one in answer.candidates) <= 3 and len(answer.attempts) >= 2 for answer in answers)
    one = results["train01"]
    assert ([answer.name for answer in one], one.attempts) == (tasks.names[1:3], results.attempts[1:3])
    with pytest.raises(KeyError):
        results["none"]
    document = results.submission()
    assert {task: len(tests) for task, tests in document.items()} == tasks.test_counts
    assert document["train00"][0]["attempt_1"] == results.attempts[0][0].tolist()
    assert json.loads(json.dumps(document)) == document
    assert repr(results).count("PassScores") == 1
    for shown in (results, one, answers[0], results.score()):
        assert "<svg" in shown._repr_html_() or "pass@2" in shown._repr_html_()


def test_scores_by_known_or_given_solutions(results: Results, trained: Network, challenges: Path, tmp_path: Path) -> None:
    blind = trained.predict(results.tasks.without_solutions(), views=3, progress=False)
    with pytest.raises(trm_arc.InputError, match=says("no-solutions")):
        blind.score()
    solutions = challenges.with_name("train_solutions.json")
    file = blind.save(tmp_path)
    assert file == tmp_path / "submission.json"
    scored = [blind.score(solutions), blind.score(results.tasks), trm_arc.score(file, solutions), trm_arc.score(file, challenges)]
    assert {repr(one) for one in scored} == {repr(results.score())}
    assert trm_arc.score(blind.submission(), results.tasks).places == scored[0].places
    with pytest.raises(trm_arc.InputError, match=says("no-solutions-for")):
        blind.score(results.tasks[:2])
    by_id = dict(zip(results.tasks.test_counts, results.tasks.solutions, strict=True))  # arrays
    as_read = json.loads(solutions.read_text())
    for known in (by_id, as_read):
        assert [blind.score(known).places, trm_arc.score(file, known).places] == [scored[0].places] * 2
    assert blind["train01"].score(results.tasks["train01"]).places == results["train01"].scores.places
    write_kaggle(tmp_path / "named", results.tasks, "arc-agi_concept")
    assert blind.score("concept", data_folder=str(tmp_path / "named")).places == scored[0].places
    assert trm_arc.load_tasks("concept", data_folder=str(tmp_path / "named")).names == results.tasks.names
    with pytest.raises(trm_arc.InputError, match=says("list-of-grids")):
        blind.score({"train00": 3})
    with pytest.raises(trm_arc.InputError) as refused:
        blind.score(as_read | {"train01": [[[10]], [[1]]]})
    assert (refused.value.task, refused.value.place) == ("train01", "solution 0, row 0, column 0")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(trm_arc.InputError) as refused:
        blind.save(tmp_path / "notes.txt")
    assert refused.value.file == tmp_path / "notes.txt"


def test_an_adapted_network_is_of_the_new_tasks(trained: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = make_tasks(3, 7, "new")
    adapted = trained.adapt(tasks, tmp_path / "adapted", steps=3, batch_size=8, progress=False)
    assert capsys.readouterr().out == ""
    assert [entry[0] for entry in adapted.checkpoint.tasks] == [task.id for task in tasks]
    for network, unseen in ((trained, True), (adapted, False)):
        network.predict(tasks[0], views=2)
        assert (says("new-tasks") in capsys.readouterr().out) == unseen
    with pytest.raises(trm_arc.InputError) as refused:
        trained.adapt(make_tasks(2, 7, "other"), tmp_path / "adapted")
    assert refused.value.file == tmp_path / "adapted-challenges.json"
    assert json.loads(refused.value.file.read_text()).keys() == tasks.test_counts.keys()


def test_a_thread_that_gets_no_signals_trains_and_submits(results: Results, challenges: Path, tmp_path: Path) -> None:
    few = {"data": "", "evaluation_data": str(challenges)} | TINY | {"steps": 1}
    with ThreadPoolExecutor(1) as pool:
        network = pool.submit(trm_arc.train, "arc1", tmp_path / "run", **few, **HERE).result()
        assert network.checkpoint.step == 1
        made = pool.submit(trm_arc.submit, results.tasks[0], tmp_path / "run", tmp_path, time_limit=0.01, recipe="none", **HERE)
        assert (made.result().path, made.result().is_answered) == (tmp_path / "submission.json", False)


def test_a_submission_in_time(trained: Network, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(trained.checkpoint.where).parent
    made = trm_arc.submit(results.tasks, run, tmp_path / "s.json", views=3, recipe="none", device="cpu", progress=False)
    assert capsys.readouterr() == ("", "")
    assert (made.is_answered, made.path) == (True, tmp_path / "s.json")
    assert made.document().keys() == results.submission().keys()
    assert repr(made.score(results.tasks)) == repr(trm_arc.score(made.path, results.tasks))
    assert made._repr_html_().count("<strong>attempt 1") == results.tasks.outputs


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda _: trm_arc.train("arc1", widht=3), says("nearest-setting")),
        (lambda _: trm_arc.train("dem"), says("nearest-preset")),
        (lambda _: trm_arc.train("arc1", width="x"), says("whole")),
        (lambda _: trm_arc.train(trm_arc.PRESETS["arc1"]), says("name-the-folder")),
        (lambda _: trm_arc.train("arc1", fit=True), says("time-limit")),
        (lambda _: trm_arc.train("arc1", fit=True, steps=4, time_limit="9m"), says("takes-the-number")),
        (lambda _: trm_arc.train("arc1", time_limit="9x"), says("duration")),
        (lambda _: trm_arc.train("arc1", compile_mode="x"), says("choose")),
        (lambda _: trm_arc.train("arc1", evaluate_views=3), says("nothing-without")),
        (lambda network: network.predict([1]), says("set-is-needed")),
        (lambda network: network.predict(views=0), says("at-least")),
        (lambda network: network.predict(batch_size=0), says("batch-size")),
        (lambda network: network.predict(steps=0), says("steps")),
        (lambda _: trm_arc.load("sudoku-extreme").predict("nope"), says("not-the-name")),
        (lambda network: network.predict(views="8"), says("whole")),
        (lambda network: network.predict(canvas="x"), says("canvas")),
        (lambda network: network.predict("sudoku-4x4-easy"), says("other-kind")),
        (lambda network: network.adapt(make_tasks(1, 1), recipe="x"), says("recipe")),
        (lambda network: network.adapt(make_tasks(1, 1), recipe=["x"]), says("recipe")),
        (lambda network: network.adapt("none.json"), says("no-such")),
        (lambda network: network.adapt(make_puzzles("sudoku-4x4-easy", 1, 1)), says("other-kind")),
        (lambda network: network.predict(next(iter(network.predict(views=1, progress=False)))), says("set-is-needed")),
        (lambda network: network.predict("arc1-evaluation", data_folder=5), says("path-is-needed")),
        (lambda network: network.solve(np.zeros((9, 9), int)), says("no-boards")),
        (lambda _: trm_arc.submit("none.json", "runs/none"), says("no-such-folder")),
        (lambda _: trm_arc.submit("none.json", []), says("name-a-model")),
        (lambda _: trm_arc.submit("none.json", [], recipe="x"), says("recipe")),
        (lambda _: trm_arc.submit("none.json", None), says("names-or-paths")),
        (lambda network: trm_arc.submit("none.json", [network, 5]), says("names-or-paths")),
        (lambda network: trm_arc.submit([], Path(network.checkpoint.where).parent), says("set-is-needed")),
        (
            lambda network: trm_arc.submit(make_puzzles("sudoku-4x4-easy", 1, 1), Path(network.checkpoint.where).parent),
            says("no-submission"),
        ),
        (lambda network: trm_arc.submit("none.json", Path(network.checkpoint.where).parent, device=5), says("device")),
        (lambda _: trm_arc.load("sudoku-extreme", device=None), says("device")),
        (lambda _: trm_arc.load_puzzles("sudoku-4x4-easy", "evaluation"), says("parts")),
        (lambda _: trm_arc.load_tasks(None), says("path-is-needed")),
        (lambda _: trm_arc.score([], make_tasks(1, 1)), says("path-is-needed")),
        (lambda _: trm_arc.score({}, make_tasks(1, 1)), says("missing")),
        (lambda _: trm_arc.score("none.json", make_tasks(1, 1)), says("no-such")),
        (lambda _: trm_arc.load("sudoku-extreme").predict("sudoku-4x4-easy").submission(), says("other-kind")),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    call: Callable, reason: str, trained: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(trm_arc.InputError, match=reason) as refused:
        call(trained)
    assert refused.value._render_traceback_() == [f"InputError: {refused.value}"], "what a notebook shows"


def test_numbers_of_numpy_are_settings(trained: Network) -> None:
    changed = trained.checkpoint.config.override(
        {"width": np.int64(32), "learning_rate": np.float32(0.5), "stagger": np.bool_(True)}
    )
    values = [changed.model.width, changed.training.learning_rate, changed.training.stagger]
    assert [(type(value), value) for value in values] == [(int, 32), (float, 0.5), (bool, True)]
    with pytest.raises(trm_arc.InputError) as refused:
        changed.override({"width": np.float32(1.5)})
    assert refused.value.flag == "width"
