"""The results of an evaluation for one task or puzzle."""

from dataclasses import replace

import numpy as np

from trm_arc.data.lookup import find_question
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.task import Grid, Task, grid_key
from trm_arc.data.task_files import same_task
from trm_arc.evaluation.results import Results, TestResult, TruthRank, find_right


def select_results(results: Results, tasks: AnySet) -> Results | None:
    """Results of one task or puzzle, judged by its solution here, which the run may not have known.

    Returns:
        None if the run was not asked it, or was asked another one with the same id.
    """
    answers = _task_answers(results, tasks[0]) if tasks.demonstrations else _puzzle_answers(results, tasks)
    if answers is None:
        return None
    pairs = zip(answers, tasks.truths, strict=True)
    kept = [replace(a, right=find_right(a.candidates, truth) or _still_right(a.right, truth)) for a, truth in pairs]
    return Results(results.metadata, tasks, kept)


def _puzzle_answers(results: Results, one: PuzzleSet) -> list[TestResult] | None:
    place = find_question(results.tasks, one)
    return None if place is None else [results.answers[place]]


def _task_answers(results: Results, task: Task) -> list[TestResult] | None:
    if task.id not in results.tasks.demonstrations:
        return None
    asked = results.tasks[task.id]
    if not same_task(asked.without_solutions(), task.without_solutions()):
        return None
    tests = zip(results.tasks.tests, results.answers, strict=True)
    answers = {grid_key(asked.test[number].input): answered for (one, number), answered in tests if one is asked}
    return [answers[grid_key(pair.input)] for pair in task.test]


def _still_right(right: TruthRank | None, truth: Grid | None) -> TruthRank | None:
    """The right answer beyond those that are listed, unless the truth is another one here."""
    return right if right and truth is not None and np.array_equal(right.candidate.grid, truth) else None
