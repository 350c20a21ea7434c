"""Leaks: what is scored is not trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment import Transform
from tests.helpers import CPU, SMALL, grid, make_tasks, messages
from trm_arc.common.errors import InputError
from trm_arc.config import PRESETS
from trm_arc.data.examples import prepare_examples, sample_plans
from trm_arc.data.leakage import are_trained, check_leakage, find_leaks, trained_hashes
from trm_arc.data.loading import load_training_tasks
from trm_arc.data.sources import load_tasks
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.training.state import inference_state
from trm_arc.training.trainer import Trainer

says = messages(__name__)


def test_the_same_task_leaks_whatever_its_id_and_the_order_of_its_pairs() -> None:
    evaluation = make_tasks(5, 0)
    task = evaluation[1]
    # A demonstration of one set may be a test of the other: all pairs are trained on.
    shuffled = Task("renamed", task.test + task.train[1:], task.train[:1])
    training = TaskSet([*make_tasks(3, 1, "other"), shuffled], "training")
    assert find_leaks(training, evaluation) == {task.id: ["renamed"]}
    found = f"test answers of 1 task of made that will be scored: {task.id}; they are in renamed, as they are"
    with pytest.raises(InputError, match=found):
        check_leakage(training, evaluation, drop=False)
    kept, dropped = check_leakage(training, evaluation, drop=True)
    assert dropped == ["renamed"]
    assert [t.id for t in kept] == ["other00", "other01", "other02"]


def test_shared_demonstrations_are_no_leak() -> None:
    evaluation = make_tasks(2, 2)
    task = evaluation[0]
    training = TaskSet([Task("same demonstrations", task.train, (Pair(np.full((7, 7), 9, np.uint8), None),))], "training")
    assert find_leaks(training, evaluation) == {}
    assert check_leakage(training, evaluation, drop=False) == (training, [])


def test_a_test_input_without_its_answer_is_no_leak() -> None:
    evaluation = make_tasks(2, 3)
    assert find_leaks(TaskSet([t.without_solutions() for t in evaluation], "blind"), evaluation) == {}


def test_views_of_unseen_tasks_do_not_depend_on_hidden_outputs() -> None:
    """Only the hidden output has a colour, so plans that looked at it would have more rows."""
    black, red = np.zeros((1, 1), np.uint8), np.full((1, 1), 2, np.uint8)
    tasks = TaskSet([Task("t", (Pair(black, black),), (Pair(black, red),))], "set")
    assert len(sample_plans(tasks.without_solutions(), 5, 0)) == 1
    assert len(sample_plans(tasks, 5, 0)) > 1


def test_equal_inputs_are_found_without_the_answers() -> None:
    evaluation = make_tasks(4, 4)
    assert find_leaks(evaluation, evaluation.without_solutions()) == find_leaks(evaluation, evaluation)


def test_published_presets_pass_the_guard_and_other_data_still_trips_it(arc: Path) -> None:
    training, evaluation, notes = load_training_tasks(PRESETS["arc1"].training, arc)
    left_out = [f"left out {task_id}, as set" for task_id in ("40853293", "caa06a1f")]
    assert (len(training), len(evaluation), notes) == (400 + 160 - 2, 400, left_out)
    assert len(load_training_tasks(PRESETS["arc2"].training, arc)[0]) == 1160
    with pytest.raises(InputError, match=says("376-tasks-of-arc1")):
        load_training_tasks(replace(PRESETS["arc1"].training, data="arc2-training", leave_out=""), arc)


def test_real_sets(arc: Path) -> None:
    evaluation = load_tasks("arc1-evaluation", arc)
    leaks = find_leaks(load_tasks("arc2-training", arc), evaluation)
    assert len(leaks) == 376
    with pytest.raises(InputError, match="376 tasks"):
        check_leakage(load_tasks("arc2-training", arc), evaluation, drop=False)
    # The published training mix holds two answers of its own evaluation set, one of them in other colours.
    training = load_tasks("arc1-training", arc)
    assert find_leaks(training, evaluation) == {"070dd51e": ["40853293"], "50a16a69": ["caa06a1f"]}
    palette = Transform(0, (0, 1, 2, 4, 8, 6, 3, 7, 5, 9))
    shown, asked = training["caa06a1f"].train[2], evaluation["50a16a69"].test[0]
    assert (palette.apply(shown.input) == asked.input).all()
    assert (palette.apply(shown.output) == asked.output).all()
    assert find_leaks(load_tasks("concept", arc), evaluation) == {}
    for name in ("arc1-training", "arc2-training", "concept"):
        assert find_leaks(load_tasks(name, arc), load_tasks("arc2-evaluation", arc)) == {}


def test_no_demonstrations_of_a_real_set_answer_its_own_tests_or_those_of_others(arc: Path) -> None:
    """Seven tests of ARC-AGI-1's evaluation set are images of demonstrations of their own tasks: shown, so not leaked."""
    sets = {name: load_tasks(name, arc) for name in ("arc1-training", "arc1-evaluation", "arc2-evaluation", "concept")}
    found = []
    for learned, tasks in sets.items():
        trained = trained_hashes(TaskSet([], "none"), tasks)
        for scored, others in sets.items():
            found += [(learned, scored, name) for name in others.drop_tests(are_trained(others, trained))[1]]
    assert found == [("arc1-training", "arc1-evaluation", "50a16a69")]


# --- up to symmetry and palette

RAY = (grid([0, 3, 0], [0, 0, 0]), grid([0, 3, 0], [0, 5, 0]))
MOVED = Transform(1, (0, 1, 2, 8, 4, 9, 6, 7, 3, 5))
OTHER = (grid([1]), grid([2]))


def one_task(name: str, train: tuple, test: tuple, *, known: bool = True) -> Task:
    return Task(name, (Pair(*train),), (Pair(test[0], test[1] if known else None),))


@pytest.mark.parametrize("symmetry", range(8))
@pytest.mark.parametrize("place", ["train", "test"])
def test_an_image_of_a_scored_pair_leaks(symmetry: int, place: str) -> None:
    evaluation = TaskSet([one_task("asked", OTHER, RAY)], "asked")
    image = tuple(replace(MOVED, symmetry=symmetry).apply(side) for side in RAY)
    holder = one_task("holder", image, OTHER) if place == "train" else one_task("holder", OTHER, image)
    assert find_leaks(TaskSet([holder, one_task("fair", OTHER, OTHER)], "data"), evaluation) == {"asked": ["holder"]}


@pytest.mark.parametrize(
    "pair",
    [
        (RAY[0] + 1, RAY[1] + 1),  # training never moves black
        (RAY[1], RAY[0]),
        (MOVED.apply(RAY[0]), RAY[1]),  # nor gives the two grids different transforms
        (MOVED.apply(RAY[0]), MOVED.apply(RAY[0])),
    ],
)
def test_what_no_view_shows_is_no_leak(pair: tuple) -> None:
    evaluation = TaskSet([one_task("asked", OTHER, RAY)], "asked")
    assert find_leaks(TaskSet([one_task("fair", pair, OTHER)], "data"), evaluation) == {}


def test_an_image_of_an_unknown_answer_is_not_sought() -> None:
    """Of a question without its answer only equal inputs are found: many small inputs are images of each other."""
    evaluation = TaskSet([one_task("asked", OTHER, RAY, known=False)], "asked")
    image, equal = (one_task("holder", pair, OTHER) for pair in (tuple(map(MOVED.apply, RAY)), RAY))
    assert find_leaks(TaskSet([image], "data"), evaluation) == {}
    assert find_leaks(TaskSet([equal], "data"), evaluation) == {"asked": ["holder"]}


def test_what_the_scored_set_shows_itself_is_no_leak() -> None:
    image = tuple(map(MOVED.apply, RAY))
    evaluation = TaskSet([one_task("easy", image, RAY)], "asked")
    assert find_leaks(TaskSet([one_task("same", image, OTHER)], "data"), evaluation) == {}
    assert not are_trained(evaluation, trained_hashes(evaluation.without_solutions(), evaluation)).any()


def test_demonstrations_are_remembered_as_trained_on() -> None:
    """A run's own tasks may be scored; another set whose answers those tasks showed may not."""
    image = tuple(map(MOVED.apply, RAY))
    own = TaskSet([one_task("shows", image, OTHER)], "own")
    examples, _ = prepare_examples(TaskSet([], "none"), own, SMALL)
    later = TaskSet([one_task("asked", OTHER, RAY), one_task("fair", OTHER, (RAY[1], OTHER[1]))], "later")
    assert are_trained(later, examples.trained).tolist() == [True, False]
    assert not are_trained(own, examples.trained).any()
    equal = TaskSet([one_task("asked", OTHER, (image[0], OTHER[1]))], "equal input")
    assert are_trained(equal, examples.trained).all()
    trainer = Trainer(SMALL, examples, CPU, 1)
    with pytest.raises(InputError, match=says("trained-on-test-answers")):
        check_not_trained_on(inference_state(trainer), later, drop=False)
    assert [task.id for task in check_not_trained_on(inference_state(trainer), later, drop=True)] == ["fair"]
    assert check_not_trained_on(inference_state(trainer), own, drop=False) is own
