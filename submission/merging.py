"""Several submissions into one: two attempts for every test input, by votes or by a stated rule."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from submission.reading import Challenges, encode_submission
from submission.settings import MERGE_RULES
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, write_atomic
from trm_arc.common.folders import refuse_foreign_file
from trm_arc.common.text import printable
from trm_arc.data.guesses import ATTEMPTS, fill_attempts
from trm_arc.data.task import Grid, grid_key
from trm_arc.evaluation.result_files import FORMAT, read_results
from trm_arc.inference.attempts import SUBMISSION, read_attempts, require_structure

Ranked = list[tuple[Grid, float]]  # the answers to a test input, best first, each with its share of the votes


@dataclass(frozen=True)
class Source:
    """What one system answers.

    Attributes:
        path: its file.
        counts: task ids and their numbers of test inputs.
        ranked: of every test input, in this order.
        has_votes: whether there are votes, which a submission has not.
    """

    path: Path
    counts: dict[str, int]
    ranked: list[Ranked]
    has_votes: bool


def read_source(path: Path) -> Source:
    """Read a submission.json, or the predictions.json of an evaluation, which has votes.

    Raises:
        InputError: it is neither, or damaged, or of puzzles.
    """
    document = read_json(path)
    if isinstance(document, dict) and document.get("format") == FORMAT:
        results = read_results(path)
        if not results.tasks.domain.submits:
            problem = f"predictions of {results.tasks.domain.plural}; only those of ARC tasks make a submission"
            raise InputError(problem, file=path)
        voted = [[(c.grid, c.votes / max(1, sum(test.views))) for c in test.candidates] for test in results.answers]
        return Source(path, results.tasks.test_counts, voted, has_votes=True)
    listed = isinstance(document, dict) and all(isinstance(answers, list) and answers for answers in document.values())
    if not document or not listed:
        raise InputError("neither a submission, which lists answers for each task id, nor predictions of trm_arc", file=path)
    counts = {task_id: len(answers) for task_id, answers in document.items()}
    attempts, broken = read_attempts(document, counts, str(path))
    if broken:
        print(printable(f"{path}: attempts that are not grids and are left out: {broken}; see `check`"), file=sys.stderr)
    return Source(path, counts, [[(grid, 0.0) for grid in grids if grid.size] for grids in attempts], has_votes=False)


def rank_answers(answers: Sequence[Ranked], weights: Sequence[float], rule: str) -> list[Grid]:
    """The distinct answers of all systems to a test input, those that count most first.

    Where two count the same, first attempts come before second ones, and earlier systems before later ones.

    Args:
        rule: a key of `MERGE_RULES`.
    """
    counted: dict[bytes, float] = {}
    grids: dict[bytes, Grid] = {}
    for place, row in enumerate(zip_longest(*answers)):
        for answer, weight in zip(row, weights, strict=True):
            if answer is not None:
                grid, votes = answer
                key = grid_key(grid)
                grids.setdefault(key, grid)
                counted[key] = counted.get(key, 0.0) + weight * MERGE_RULES[rule](place, votes)
    return [grids[key] for key in sorted(counted, key=counted.__getitem__, reverse=True)]  # the sort is stable


def merge(
    paths: Sequence[Path], out: Path, rule: str | None = None, weights: Sequence[float] = (), asked: Challenges | None = None
) -> int:
    """Merge the files of several systems into a checked submission, and say whom it follows.

    Args:
        rule: a key of `MERGE_RULES`; None: "votes" if all files have them, else "agree".
        weights: of each file; none: 1 each.
        asked: what there was to answer, whose demonstrations fill up missing attempts; None: what the first file answers.

    Raises:
        InputError: a file cannot be read, or answers other tasks; weights do not fit; the result cannot be written.
    """
    if len(paths) < 2:
        raise InputError("two files or more are needed to merge")
    refuse_foreign_file(out, SUBMISSION)
    sources = [read_source(path) for path in paths]
    without = next((source.path for source in sources if not source.has_votes), None)
    rule = rule or ("agree" if without else "votes")
    if rule == "votes" and without:
        raise InputError("a submission has no votes: use --rule agree, or the predictions.json of its evaluation", file=without)
    if weights and rule == "first":
        raise InputError("with --rule first, the order of the files is all that counts", flag="--weights")
    if weights and (len(weights) != len(paths) or not all(0 < weight < math.inf for weight in weights)):
        raise InputError(f"{len(paths)} files need as many numbers above 0", flag="--weights")
    counts, name = (asked.counts, asked.tasks.name) if asked else (sources[0].counts, str(paths[0]))
    ordered = [_in_order(source, counts, name) for source in sources]
    ranked = [rank_answers(answers, weights or [1] * len(paths), rule) for answers in zip(*ordered, strict=True)]
    known = {task.id: task for task in asked.tasks} if asked else {}
    tests = iter(ranked)
    document = {
        task_id: [dict(zip(ATTEMPTS, fill_attempts(known.get(task_id), n, next(tests)), strict=False)) for n in range(count)]
        for task_id, count in counts.items()
    }
    write_atomic(out, encode_submission(document, counts, name))
    print(printable(f"wrote {out}, checked: {len(counts)} tasks, {len(ranked)} test inputs, merged by --rule {rule}"))
    for source, answers in zip(sources, ordered, strict=True):
        kept = [_is_first(mine, grids) for mine, grids in zip(answers, ranked, strict=True)]
        print(printable(f"  {source.path}: its first attempt is the first one of {sum(kept)} test inputs"))
    return 0


def _is_first(answers: Ranked, grids: list[Grid]) -> bool:
    return bool(answers) and grid_key(answers[0][0]) == grid_key(grids[0])


def _in_order(source: Source, counts: Mapping[str, int], name: str) -> list[Ranked]:
    """The answers of a source in the order of `counts`.

    Raises:
        InputError: it answers other tasks, or other numbers of test inputs.
    """
    answered = {task_id: [None] * count for task_id, count in source.counts.items()}
    require_structure(answered, counts, name, source.path, "; all files must answer the same tasks")
    tests = iter(source.ranked)
    of_task = {task_id: [next(tests) for _ in range(count)] for task_id, count in source.counts.items()}
    return [test for task_id in counts for test in of_task[task_id]]
