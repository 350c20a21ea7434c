"""The results of an evaluation: what was asked, the best candidates with their votes, and the rank of the right answer.

All domains share one format, predictions.json.  predictions.csv beside it is for other programs, and is never read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trm_arc.common.errors import InputError
from trm_arc.common.files import ANSWERS_FILE, PREDICTIONS_FILE, read_json, to_json, write_atomic
from trm_arc.common.launch import command_line
from trm_arc.common.records import load_record
from trm_arc.config.old_names import RESULTS, with_new_names
from trm_arc.data.domains import domain_by_name
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.table import write_rows
from trm_arc.data.task import Grid
from trm_arc.evaluation.puzzle_scores import PuzzleScores
from trm_arc.evaluation.score import PassScores, ranks
from trm_arc.inference.config import Canvas
from trm_arc.inference.votes import Candidate
from trm_arc.model.checkpoint_files import run_of

FORMAT, VERSION = "trm_arc predictions", 2
LISTED = 10  # candidates of a test input that are kept
ADVICE = f"write it again with `{command_line('python -m trm_arc.evaluate')}`"


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


@dataclass(frozen=True)
class _File:
    """What predictions.json holds.

    Attributes:
        format: `FORMAT`.
        version: `VERSION`.
        domain: its name.
        metadata: how the answers were made.
        orientations: to which the numbers of views and votes belong.
        tasks: what was asked, as the domain writes it.
        results: of every test input, in order.
    """

    format: str
    version: int
    domain: str
    metadata: ResultsMetadata
    orientations: tuple[str, ...]
    tasks: Any
    results: list[TestResult]


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
        metadata: how the answers were made.
        tasks: what was asked.
        ranked: all candidates of every test input, in order, best first.
        views: int64 (outputs, orientations or 1), from `count_views`.
    """
    answers = []
    for truth, candidates, counts in zip(tasks.truths, ranked, views.tolist(), strict=True):
        right = find_right(candidates, truth)
        answers.append(TestResult(list(candidates[:LISTED]), tuple(counts), len(candidates), right))
    return Results(metadata, tasks, answers)


def write_results(path: Path, results: Results) -> None:
    """Write an evaluation for `read_results`.

    Raises:
        InputError: it cannot be written.
    """
    tasks = results.tasks
    domain = tasks.domain

    def plain(candidate: Candidate) -> Candidate:
        return replace(candidate, grid=domain.format_grid(candidate.grid))

    answers = [
        replace(
            result,
            candidates=list(map(plain, result.candidates)),
            right=result.right and TruthRank(result.right.rank, plain(result.right.candidate)),
        )
        for result in results.answers
    ]
    content = _File(FORMAT, VERSION, domain.name, results.metadata, domain.orientations, domain.format_set(tasks), answers)
    write_atomic(path, to_json(vars(content) | {"metadata": results.metadata.document()}))


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote.

    Raises:
        InputError: it cannot be read, or something else wrote it.
    """
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"not predictions of this trm_arc; {ADVICE}", file=path)
    if document.get("version") != VERSION:
        problem = f"predictions of version {document.get('version')}, and this trm_arc reads version {VERSION}; {ADVICE}"
        raise InputError(problem, file=path)
    try:
        domain = domain_by_name(str(document.get("domain")))
    except InputError as error:
        raise InputError(f"{error.problem}; {ADVICE}", file=path) from None
    metadata = document.get("metadata")
    try:
        if isinstance(metadata, dict):
            document |= {"metadata": with_new_names({RESULTS.get(n, n): v for n, v in metadata.items()}, path)}
        content = load_record(_File, document, path, {np.ndarray: domain.parse_grid})
        tasks = domain.parse_set(content.tasks, path.name if content.metadata.data is None else content.metadata.data, path)
    except InputError as error:
        raise InputError(f"damaged, {error.problem}; {ADVICE}", file=path, task=error.task, place=error.place) from None
    if len(content.results) != tasks.outputs:
        problem = f"damaged, it has {len(content.results)} results of {tasks.outputs} test inputs; {ADVICE}"
        raise InputError(problem, file=path)
    # a right answer among those listed is found again, whatever the file says; only one beyond them is taken from it
    answers = [
        replace(result, right=find_right(result.candidates, truth) or result.right)
        for result, truth in zip(content.results, tasks.truths, strict=True)
    ]
    for result, test, truth in zip(answers, tasks.names, tasks.truths, strict=True):
        if len(result.views) != (len(domain.orientations) or 1) or not result.is_consistent(truth):
            raise InputError(f"damaged, its numbers contradict each other; {ADVICE}", file=path, task=test)
    return Results(content.metadata, tasks, answers)


def write_csv(path: Path, results: Results) -> None:
    """Write what was asked and answered as a table, a row for each test input, for other programs.

    Grids are written as in predictions.csv of puzzles, row by row; those of ARC with `|` between rows.

    Raises:
        InputError: it cannot be written.
    """
    tasks, domain = results.tasks, results.tasks.domain
    single = domain.attempts == 1
    attempts = ["prediction"] if single else [f"attempt_{number + 1}" for number in range(domain.attempts)]
    header = (*tasks.columns, "question", "answer", *attempts, "exact", "valid", "votes", "halting")
    valid = tasks.are_valid(results.attempts)
    rows = zip(*tasks.columns.values(), strict=True)
    table, tests = [], zip(rows, tasks.questions, tasks.truths, results.answers, strict=True)
    for number, (row, question, truth, result) in enumerate(tests):
        grids = results.attempts[number][: domain.attempts]
        exact = truth is not None and any(np.array_equal(grid, truth) for grid in grids)
        best = result.candidates[0] if result.candidates else Candidate(question, 0, 0.0)
        given = [*map(domain.format_text, grids), *[""] * (len(attempts) - len(grids))]
        numbers = (int(exact), int(exact or valid[number]), best.votes, f"{best.halting:.4f}")
        table.append((*row, domain.format_text(question), "" if truth is None else domain.format_text(truth), *given, *numbers))
    write_rows(path, header, table)


def find_results(path: Path) -> Results:
    """Read what an evaluation has kept.

    Args:
        path: a run's folder or another one with an evaluation's files, a checkpoint in it, or the file of predictions itself.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    folder = run_of(path)
    try:
        file = next((file for file in (folder / PREDICTIONS_FILE, path) if file.is_file()), None)
        is_folder, exported = path.is_dir(), (folder / ANSWERS_FILE).is_file()
    except OSError as error:
        raise InputError(f"cannot be accessed ({error.strerror})", file=path) from None
    if file is not None and file.suffix == Path(ANSWERS_FILE).suffix:
        raise InputError(f"a table for other programs, which is not read; name the {PREDICTIONS_FILE} beside it", file=path)
    if file is not None and file.suffix != Path(PREDICTIONS_FILE).suffix:
        raise InputError(f"name the run's folder, or the {PREDICTIONS_FILE} in it", file=path)
    if file is not None:
        return read_results(file)
    if is_folder:
        what = f"holds {ANSWERS_FILE} but no {PREDICTIONS_FILE}" if exported else "holds no predictions yet"
        raise InputError(f"{what}; run `{command_line('python -m trm_arc.evaluate')} --checkpoint {path}` first", file=path)
    raise InputError(f"no such run; name its folder, or the {PREDICTIONS_FILE} in it", file=path)
