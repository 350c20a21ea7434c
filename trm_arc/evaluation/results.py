"""An evaluation as it is kept: what was asked, the best candidates with their votes, and what became of the right answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.task import Grid, TaskSet, parse_grid, parse_task
from trm_arc.evaluation.puzzle_scores import Verdicts, judge
from trm_arc.evaluation.score import ranks
from trm_arc.inference.attempts import fill_all
from trm_arc.inference.votes import Candidate

FORMAT, VERSION = "trm_arc predictions", 1
LISTED = 10  # candidates of a test input that are kept
ANEW = "write it anew with `python -m trm_arc.evaluate`"


@dataclass(frozen=True)
class Right:
    """The right answer among the candidates: its place, from 0, and itself."""

    rank: int
    candidate: Candidate


@dataclass(frozen=True)
class Answered:
    """What came of one test input.

    Attributes:
        candidates: best first, at most `LISTED`.
        views: how many views were predicted, per symmetry, or all in one number.
        pool: how many distinct answers they gave.
        right: the right answer, where it is known and some view gave it.
    """

    candidates: list[Candidate]
    views: tuple[int, ...]
    pool: int
    right: Right | None

    @property
    def ranked(self) -> dict[int, Candidate]:
        """What is kept, by rank from 0: the best candidates, and the right answer wherever it stands."""
        ranked = dict(enumerate(self.candidates))
        return ranked | {self.right.rank: self.right.candidate} if self.right else ranked


@dataclass(frozen=True, eq=False)
class Results:
    """An evaluation.

    Attributes:
        made: how the answers came about, as in metrics.json.
        tasks: what was asked, with the solutions that are known.
        answers: of every test input, in order.
    """

    made: Mapping[str, Any]
    tasks: AnySet
    answers: list[Answered]

    @property
    def grids(self) -> list[list[Grid]]:
        """The candidates of every test input, best first, without their votes."""
        return [[candidate.grid for candidate in answered.candidates] for answered in self.answers]

    @cached_property
    def attempts(self) -> list[list[Grid]]:
        """What counts as answered, best first: of ARC the candidates made up to two, of puzzles the candidates."""
        return self.grids if isinstance(self.tasks, PuzzleSet) else fill_all(self.tasks, self.grids)

    @cached_property
    def places(self) -> list[list[int | None]]:
        """Of ARC tasks with solutions, the place (from 0) of every right answer among all candidates; see `score.ranks`."""
        slots = iter(self.answers)
        return [
            [slot.right.rank if place is None and slot.right else place for place, slot in zip(task, slots, strict=False)]
            for task in ranks(self.tasks.solutions, self.attempts)
        ]

    @cached_property
    def judged(self) -> Verdicts:
        """Of puzzles, how each answer did."""
        return judge(self.tasks, [answered.candidates for answered in self.answers])


def truths(tasks: AnySet) -> list[Grid | None]:
    """The right answer to every test input, in order; None where it is not known."""
    if isinstance(tasks, PuzzleSet):
        return list(tasks.answers)
    return [task.test[number].output for task, number in tasks.tests]


def questions(tasks: AnySet) -> list[Grid]:
    """Every test input, in order."""
    return list(tasks.questions) if isinstance(tasks, PuzzleSet) else [task.test[number].input for task, number in tasks.tests]


def find_right(candidates: Sequence[Candidate], truth: Grid | None) -> Right | None:
    """The right answer among candidates; None if it is not known or not among them.

    Args:
        candidates: best first.
        truth: the right answer.
    """
    found = (Right(n, c) for n, c in enumerate(candidates) if truth is not None and np.array_equal(c.grid, truth))
    return next(found, None)


def name_tests(results: Results) -> list[str]:
    """What each test input is called, in order: its task, and its number where there are several; of puzzles the row.

    No two have one name: of sets that were joined, whose rows have the same numbers, the later ones are numbered.
    """
    tasks = results.tasks
    if isinstance(tasks, PuzzleSet):
        names = [f"row {row}" for row in tasks.rows.tolist()]
    else:
        names = [f"{task.id} test {number + 1}" if len(task.test) > 1 else task.id for task, number in tasks.tests]
    met: dict[str, int] = {}
    for at, name in enumerate(names):
        met[name] = met.get(name, 0) + 1
        names[at] = name if met[name] == 1 else f"{name} ({met[name]})"
    return names


def make_results(made: Mapping[str, Any], tasks: AnySet, ranked: Sequence[list[Candidate]], views: np.ndarray) -> Results:
    """What there is to keep of an evaluation.

    Args:
        made: how the answers came about.
        tasks: what was asked.
        ranked: all candidates of every test input, in order, best first.
        views: int64 (outputs, symmetries or 1), from `votes.count_views`.
    """
    answers = []
    for truth, candidates, counts in zip(truths(tasks), ranked, views.tolist(), strict=True):
        right = find_right(candidates, truth)
        answers.append(Answered(list(candidates[:LISTED]), tuple(counts), len(candidates), right))
    return Results(made, tasks, answers)


def write_predictions(path: Path, results: Results) -> None:
    """Write an evaluation of ARC tasks, whole enough for `read_predictions`.

    Args:
        path: the file.
        results: what to write.

    Raises:
        InputError: it cannot be written.
    """
    slots, tasks = iter(results.answers), {}
    for task in results.tasks:
        test = []
        for pair in task.test:
            answered = next(slots)
            entry = {"input": pair.input} | ({} if pair.output is None else {"output": pair.output})
            entry |= {"views": answered.views, "pool": answered.pool, "candidates": list(map(_show, answered.candidates))}
            right = answered.right
            test.append(entry | {"right": right and {"rank": right.rank} | _show(right.candidate)})
        tasks[task.id] = {"train": [{"input": pair.input, "output": pair.output} for pair in task.train], "test": test}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "made": dict(results.made),
        "orientations": results.tasks.family.orientations,
        "tasks": tasks,
    }
    write_atomic(path, to_json(document))


def _show(candidate: Candidate) -> dict[str, Any]:
    shown = {"grid": candidate.grid, "votes": candidate.votes, "halting": candidate.halting}
    return shown | {"orientations": candidate.symmetry_votes}


def read_predictions(path: Path) -> Results:
    """Read what `write_predictions` wrote.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, or something else wrote it.
    """
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"no predictions of this trm_arc; {ANEW}", file=path)
    if document.get("version") != VERSION:
        raise InputError(f"predictions of version {document.get('version')}; this trm_arc reads version {VERSION}", file=path)
    entries, made = document.get("tasks"), document.get("made")
    if not isinstance(entries, dict) or not entries or not isinstance(made, dict):
        raise InputError(f"damaged, it lacks its tasks; {ANEW}", file=path)
    name = str(made.get("data", path.name))
    tasks = TaskSet((parse_task(task_id, entry, str(path)) for task_id, entry in entries.items()), name)
    pairs = [(f"{path}: task {task_id}", test) for task_id, entry in entries.items() for test in entry["test"]]
    answers = [_parse_answered(test, where) for where, test in pairs]
    known = truths(tasks)
    # a right answer among those listed is found again, whatever the file says; only one beyond them is taken from it
    kept = [replace(a, right=find_right(a.candidates, truth) or a.right) for a, truth in zip(answers, known, strict=True)]
    for (where, _), truth, answered in zip(pairs, known, kept, strict=True):
        if not _is_sound(answered, truth):
            raise InputError(f"damaged, its numbers contradict each other; {ANEW}", file=where)
    return Results(made, tasks, kept)


def _is_sound(answered: Answered, truth: Grid | None) -> bool:
    """Whether the numbers can be of one evaluation."""
    listed, right, views = answered.candidates, answered.right, answered.views
    every = [*listed, right.candidate] if right else listed
    apart = all(not c.symmetry_votes or (len(c.symmetry_votes), sum(c.symmetry_votes)) == (len(views), c.votes) for c in every)
    counted = sum(candidate.votes for candidate in listed) <= sum(views) and len(listed) <= answered.pool
    if right is None:
        return apart and counted
    found = right.rank < len(listed) and right.candidate is listed[right.rank]
    beyond = len(listed) <= right.rank < answered.pool and truth is not None and np.array_equal(right.candidate.grid, truth)
    return apart and counted and (found or beyond)


def _parse_answered(test: dict[str, Any], where: str) -> Answered:
    views, pool, listed, right = (test.get(name) for name in ("views", "pool", "candidates", "right"))
    if not isinstance(listed, list) or not _are_counts(views) or not views or not _are_counts([pool]):
        raise InputError(f"damaged, the candidates are missing; {ANEW}", file=where)
    candidates = [_parse_candidate(one, where) for one in listed]
    found = None
    if right is not None:
        candidate = _parse_candidate(right, where)
        if not _are_counts([right.get("rank")]):
            raise InputError(f"damaged, a rank is a whole number; {ANEW}", file=where)
        found = Right(right["rank"], candidate)
    return Answered(candidates, tuple(views), pool, found)


def _parse_candidate(value: object, where: str) -> Candidate:
    value = value if isinstance(value, dict) else {}
    votes, halting, orientations = value.get("votes"), value.get("halting"), value.get("orientations", [])
    if not _are_counts([votes]) or not _are_counts(orientations) or type(halting) not in (int, float) or not 0 <= halting <= 1:
        raise InputError(f"damaged, a candidate has a grid, votes and a halting probability; {ANEW}", file=where)
    return Candidate(parse_grid(value.get("grid"), f"{where}, candidate"), votes, float(halting), tuple(orientations))


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
