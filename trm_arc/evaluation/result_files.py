"""The files of results: all domains share one format, predictions.json; predictions.csv beside it is for other programs, and is
never read.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trm_arc.common.errors import InputError
from trm_arc.common.files import ANSWERS_FILE, PREDICTIONS_FILE, read_json, to_json, write_atomic
from trm_arc.common.launch import command_line
from trm_arc.common.records import load_record
from trm_arc.config.old_names import RESULTS, with_new_names
from trm_arc.data.domains import domain_by_name
from trm_arc.data.table import write_rows
from trm_arc.evaluation.results import Results, ResultsMetadata, TestResult, TruthRank, find_right
from trm_arc.inference.votes import Candidate
from trm_arc.model.checkpoint_files import run_of

FORMAT, VERSION = "trm_arc predictions", 2
ADVICE = f"write it again with `{command_line('python -m trm_arc.evaluate')}`"


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
