"""The results of an evaluation: what was asked, the best candidates with their votes, and the rank of the right answer."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import to_plain
from trm_arc.common.folders import refuse_foreign_file
from trm_arc.common.paths import user_path
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.solutions import Solutions, load_solutions
from trm_arc.data.task import Grid
from trm_arc.evaluation.answers import Answer
from trm_arc.evaluation.puzzle_scores import PuzzleScores
from trm_arc.evaluation.score import PassScores, ranks
from trm_arc.evaluation.submissions import score_document
from trm_arc.inference.attempts import SUBMISSION, submission_file, to_submission, write_submission
from trm_arc.inference.config import Canvas
from trm_arc.inference.votes import Candidate

LISTED = 10  # candidates of a test input that are kept
SHOWN = 12  # test inputs in a notebook


@dataclass(frozen=True, kw_only=True)
class ResultsMetadata:
    """How answers were made, as predictions.json and metrics.json have it; what is not known is left out.

    Attributes:
        checkpoint: where the first one was.
        step: its step.
        checkpoints: how many voted together.
        data: the name of the set.
        views: of a test input by each checkpoint at most.
        steps: supervision steps at most.
        canvas, rollouts, noise, patience: see `InferenceConfig`.
        supervision_steps: that a rollout took, on average.
        one_step_score: the first score that one supervision step alone gives, from 0 to 1.

    Raises:
        ValueError: a number is out of its range.
    """

    checkpoint: str | None = None
    step: int | None = None
    checkpoints: int = 1
    data: str | None = None
    views: int | None = None
    steps: int | None = None
    canvas: Canvas = "trained"
    rollouts: int = 1
    noise: float | None = None
    patience: int | None = None
    supervision_steps: float | None = None
    one_step_score: float | None = None

    def __post_init__(self) -> None:
        for name, value in self.document().items():
            least = int(name in ("checkpoints", "views", "steps", "rollouts"))
            if isinstance(value, int | float) and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")

    def document(self) -> dict[str, Any]:
        """What is known, as plain values for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class TruthRank:
    """The right answer among the candidates: its place, from 0, and itself."""

    rank: int
    candidate: Candidate


@dataclass(frozen=True)
class TestResult:
    """The result of one test input.

    Attributes:
        candidates: best first, at most `LISTED`.
        views: number of predicted views per orientation of the domain, or all in one number.
        pool: how many distinct answers they gave.
        right: the right answer, where it is known and some view gave it.
    """

    __test__ = False  # else pytest would collect a class of this name

    candidates: list[Candidate]
    views: tuple[int, ...]
    pool: int
    right: TruthRank | None

    @property
    def ranked(self) -> dict[int, Candidate]:
        """What is kept, by rank from 0: the best candidates, and the right answer at any rank."""
        ranked = dict(enumerate(self.candidates))
        return ranked | {self.right.rank: self.right.candidate} if self.right else ranked

    def is_consistent(self, truth: Grid | None) -> bool:
        """Whether the numbers do not contradict each other."""
        listed, right = self.candidates, self.right
        every = [*listed, right.candidate] if right else listed
        if min((*self.views, self.pool)) < 0 or not all(map(_is_candidate, every)):
            return False
        counts = [(c.symmetry_votes, c.votes) for c in every if c.symmetry_votes]
        split = all((len(each), sum(each)) == (len(self.views), votes) for each, votes in counts)
        counted = sum(candidate.votes for candidate in listed) <= sum(self.views) and len(listed) <= self.pool
        if right is None:
            return split and counted
        found = 0 <= right.rank < len(listed) and right.candidate is listed[right.rank]
        beyond = len(listed) <= right.rank < self.pool and truth is not None and np.array_equal(right.candidate.grid, truth)
        return split and counted and (found or beyond)


def _is_candidate(candidate: Candidate) -> bool:
    return min((candidate.votes, *candidate.symmetry_votes)) >= 0 and 0 <= candidate.halting <= 1


@dataclass(frozen=True, eq=False)
class Results:
    """An evaluation.

    Attributes:
        metadata: how the answers were made.
        tasks: what was asked, with the solutions that are known.
        answers: of every test input, in order.
    """

    metadata: ResultsMetadata
    tasks: AnySet
    answers: list[TestResult]

    @property
    def grids(self) -> list[list[Grid]]:
        """The candidates of every test input, best first, without their votes."""
        return [[candidate.grid for candidate in result.candidates] for result in self.answers]

    def __repr__(self) -> str:
        scores = f", {self.scores!r}" if self.tasks.has_solutions else ""
        return f"<Results {self.tasks.describe()}{scores}>"

    def __iter__(self) -> Iterator[Answer]:
        """Every test input, in order."""
        tasks = self.tasks
        rows = zip(tasks.names, tasks.questions, self.answers, self.attempts, tasks.truths, strict=True)
        for name, question, result, attempts, truth in rows:
            yield Answer(name, tasks.domain, question, result.candidates, attempts, sum(result.views), result.pool, truth)

    def __getitem__(self, name: str) -> "Results":
        """Of one task, by its id, or of one puzzle, by its row as "row 7"."""
        tasks = self.tasks
        named = enumerate(zip(tasks.names, tasks.owners, strict=True))
        found = tasks.find_tests(name) or [number for number, known in named if known == (name, None)]
        if not found:
            raise KeyError(f"{tasks.name} has no {name}")
        others = ~np.isin(np.arange(tasks.outputs), found)
        return Results(self.metadata, tasks.drop_tests(others)[0], [self.answers[number] for number in found])

    def _repr_html_(self) -> str:
        shown = list(islice(self, SHOWN))
        whole = len(shown) == self.tasks.outputs == 1 or len(set(self.tasks.owners) - {None}) == 1
        drawn = "".join(one._repr_html_() if whole else one.render_attempts() for one in shown)
        scores = self.scores._repr_html_() if self.tasks.has_solutions else ""
        more = f"<p>and {self.tasks.outputs - len(shown)} more</p>" if self.tasks.outputs > len(shown) else ""
        return f"<p>{html.escape(self.tasks.describe())}</p>{scores * (not whole)}{drawn}{more}"

    def submission(self) -> dict[str, list[dict[str, list[list[int]]]]]:
        """Two attempts at every test input of every task, as a submission to the ARC Prize has them.

        Raises:
            InputError: these are no ARC tasks.
        """
        self._require_submits()
        return to_plain(to_submission(self.tasks, self.grids))

    def save(self, path: str | Path) -> Path:
        """Write the submission, checked.

        Raises:
            InputError: these are no ARC tasks, the file is not a submission that could be replaced, or it cannot be written.
        """
        self._require_submits()
        file = submission_file(user_path(path))
        refuse_foreign_file(file, SUBMISSION)
        write_submission(file, self.tasks, self.grids)
        return file

    def score(self, solutions: Solutions | None = None, *, data_folder: str | Path | None = None) -> PassScores | PuzzleScores:
        """How the answers did.

        Args:
            solutions: of ARC tasks, as `trm_arc.score` takes them; None: those of what was asked.
            data_folder: where to look for named sets first.

        Raises:
            InputError: none are known, or those that are given are of other tasks.
        """
        if solutions is not None:
            return score_document(self.submission(), self._pick(load_solutions(solutions, data_folder)), self.tasks.name)
        if not self.tasks.has_solutions:
            raise InputError(f"no solutions of {self.tasks.name} are known; name a solutions file")
        return self.scores

    def _pick(self, truths: dict[str, list[Grid]]) -> dict[str, list[Grid]]:
        """The solutions of these tasks."""
        if missing := [task_id for task_id in self.tasks.test_counts if task_id not in truths]:
            raise InputError(f"no solutions for {shorten(missing)} of {self.tasks.name}")
        return {task_id: truths[task_id] for task_id in self.tasks.test_counts}

    def _require_submits(self) -> None:
        if not self.tasks.domain.submits:
            raise InputError(f"{self.tasks.domain.plural} have no submission; `score()` scores them by their own answers")

    @cached_property
    def attempts(self) -> list[list[Grid]]:
        """What counts as answered, best first: the candidates, then guesses if the domain has some."""
        return self.tasks.fill_attempts(self.grids)

    @cached_property
    def places(self) -> list[list[int | None]]:
        """For every test input of every task with solutions, the place (from 0) of its right answer; see `score.ranks`."""
        results = iter(self.answers)
        return [
            [result.right.rank if place is None and result.right else place for place, result in zip(task, results, strict=False)]
            for task in ranks(self.tasks.solutions, self.attempts)
        ]

    @cached_property
    def scores(self) -> PassScores | PuzzleScores:
        """How the answers did, by the scoring of the domain."""
        if self.tasks.domain.scoring == "exact":
            return PuzzleScores.of(self.tasks, self.attempts)
        return PassScores(self.tasks.domain.measure, self.places, max(result.pool for result in self.answers))


def find_right(candidates: Sequence[Candidate], truth: Grid | None) -> TruthRank | None:
    """The right answer among candidates, best first; None if it is not known or not among them."""
    found = (TruthRank(n, c) for n, c in enumerate(candidates) if truth is not None and np.array_equal(c.grid, truth))
    return next(found, None)


def make_results(metadata: ResultsMetadata, tasks: AnySet, ranked: Sequence[list[Candidate]], views: np.ndarray) -> Results:
    """The results of an evaluation, as they are kept.

    Args:
        views: int64 (outputs, orientations or 1), from `count_views`.
    """
    answers = []
    for truth, candidates, counts in zip(tasks.truths, ranked, views.tolist(), strict=True):
        right = find_right(candidates, truth)
        answers.append(TestResult(list(candidates[:LISTED]), tuple(counts), len(candidates), right))
    return Results(metadata, tasks, answers)
