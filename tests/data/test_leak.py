"""Leaks: what is scored is not trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import make_tasks, messages
from trm_arc.common.errors import InputError
from trm_arc.config import PRESETS
from trm_arc.data.examples import sample_plans
from trm_arc.data.leakage import check_leakage, find_leaks
from trm_arc.data.loading import load_training_tasks
from trm_arc.data.sources import load_tasks
from trm_arc.data.task import Pair, Task, TaskSet

says = messages(__name__)


def test_the_same_task_leaks_whatever_its_id_and_the_order_of_its_pairs() -> None:
    evaluation = make_tasks(5, 0)
    task = evaluation[1]
    # A demonstration of one set may be a test of the other: all pairs are trained on.
    shuffled = Task("renamed", task.test + task.train[1:], task.train[:1])
    training = TaskSet([*make_tasks(3, 1, "other"), shuffled], "training")
    assert find_leaks(training, evaluation) == {task.id: ["renamed"]}
    with pytest.raises(InputError, match=f"test answers of 1 task of made that will be scored: {task.id}; .*--drop-leaks"):
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


def test_hidden_outputs_are_not_read() -> None:
    evaluation = make_tasks(4, 4)
    assert find_leaks(evaluation, evaluation.without_solutions()) == find_leaks(evaluation, evaluation)


def test_published_presets_pass_the_guard_and_other_data_still_trips_it(arc: Path) -> None:
    training, evaluation, notes = load_training_tasks(PRESETS["arc1"].training, arc)
    assert (len(training), len(evaluation), notes) == (400 + 160 - 1, 400, ["left out 40853293, as set"])
    assert len(load_training_tasks(PRESETS["arc2"].training, arc)[0]) == 1160
    with pytest.raises(InputError, match=says("376-tasks-of-arc1")):
        load_training_tasks(replace(PRESETS["arc1"].training, data="arc2-training", leave_out=""), arc)


def test_real_sets(arc: Path) -> None:
    evaluation = load_tasks("arc1-evaluation", arc)
    leaks = find_leaks(load_tasks("arc2-training", arc), evaluation)
    assert len(leaks) == 376
    with pytest.raises(InputError, match="376 tasks"):
        check_leakage(load_tasks("arc2-training", arc), evaluation, drop=False)
    # The published training mix holds one answer of its own evaluation set.
    assert find_leaks(load_tasks("arc1-training", arc), evaluation) == {"070dd51e": ["40853293"]}
    for name in ("arc2-training", "concept"):
        assert find_leaks(load_tasks(name, arc), load_tasks("arc2-evaluation", arc)) == {}
