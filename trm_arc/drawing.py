"""Tasks, puzzles and what was said of them, drawn for the terminal."""

import textwrap
from collections.abc import Iterator

import numpy as np

from trm_arc.attempts import ATTEMPTS
from trm_arc.outcomes import Outcome, Verdict, judge_results
from trm_arc.puzzles.puzzle_set import PuzzleSet
from trm_arc.puzzles.terminal import draw_board
from trm_arc.results import Answered, Results, name_tests, truths
from trm_arc.task import Grid, Pair, Task
from trm_arc.terminal import draw_beside, draw_grid, flow, join_lines, printable, terminal_width

_TOLD = {
    Outcome.FIRST: ": solved",
    Outcome.SECOND: ": solved by the second attempt",
    Outcome.VALID: ": another right answer",
    Outcome.UNKNOWN: "",
}


def show_answers(results: Results, colour: bool, tables: bool = False) -> str:
    """Every test input with what was answered and, where known, the truth; cells that differ from it are marked.

    Args:
        results: of ARC tasks or puzzles.
        colour: colour blocks, or digits.
        tables: list the best candidates of each, too.
    """
    shown = []
    for number, verdict in enumerate(judge_results(results)):
        parts = [_head(results, number, verdict), flow(_pictures(results, number, colour))]
        shown.append("\n".join(parts + ["", _candidate_table(results, number)] * tables))
    return "\n\n".join(shown)


def fill(text: str) -> str:
    """A sentence for the terminal: control characters written out, in lines that fit."""
    return textwrap.fill(printable(text), terminal_width())


def _head(results: Results, number: int, verdict: Verdict) -> str:
    tasks, name = results.tasks, name_tests(results)[number]
    if isinstance(tasks, PuzzleSet):
        name = f"{name}, {tasks.ratings[number]} {tasks.family.difficulty}"
    return fill(name + _TOLD.get(verdict.outcome, f": not solved, {verdict.describe()}"))


def _pictures(results: Results, number: int, colour: bool) -> list[tuple[str, list[str]]]:
    """The question, what counts as answered, and the truth, drawn."""
    tasks, answered = results.tasks, results.answers[number]
    if isinstance(tasks, PuzzleSet):
        question, truth, board = tasks.questions[number], tasks.answers[number], results.judged.boards[number]
        titles, boards = ("question", "answer" + _votes(answered, 0), "truth"), (question, board, truth)
        told = (None, truth, None)
        drawn = [draw_board(tasks.family, question, one, right, colour) for one, right in zip(boards, told, strict=True)]
        return list(zip(titles, drawn, strict=True))
    pair = _test_pair(results, number)
    attempts = enumerate(results.attempts[number][: len(ATTEMPTS)])
    drawn = [(f"attempt {place + 1}{_votes(answered, place)}", draw_grid(grid, colour, pair.output)) for place, grid in attempts]
    truth = [] if pair.output is None else [("truth", draw_grid(pair.output, colour))]
    return [("input", draw_grid(pair.input, colour)), *drawn, *truth]


def _test_pair(results: Results, number: int) -> Pair:
    task, test = results.tasks.tests[number]
    return task.test[test]


def _votes(answered: Answered, place: int) -> str:
    if place >= len(answered.candidates):
        return ": a guess" if sum(answered.views) else ""
    return f": {answered.candidates[place].votes} of {_count(sum(answered.views), 'view')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _candidate_table(results: Results, number: int) -> str:
    """The best candidates of a test input, and the right one wherever it stands, within 80 columns."""
    answered, truth = results.answers[number], truths(results.tasks)[number]
    if not answered.candidates:
        return "no view gave an answer"
    ranked = dict(enumerate(answered.candidates))
    if answered.right is not None:
        ranked[answered.right.rank] = answered.right.candidate
    views = sum(answered.views)
    lines = [f"{_count(answered.pool, 'distinct answer')} from {_count(views, 'view')}:", "  rank  votes  share  halting  size"]
    for rank, candidate in sorted(ranked.items()):
        rows, columns = candidate.grid.shape
        told = f"{rank + 1:6}{candidate.votes:7}{candidate.votes / max(views, 1):7.1%}{candidate.halting:9.2f}"
        lines.append(f"{told}  {f'{rows} x {columns}':9}{_compare(results, number, candidate.grid, truth)}".rstrip())
    return "\n".join(lines)


def _compare(results: Results, number: int, grid: Grid, truth: Grid | None) -> str:
    """How a candidate stands to the truth, in words."""
    if truth is None:
        return ""
    if grid.shape != truth.shape:
        return "wrong size"
    wrong = int((grid != truth).sum())
    if not wrong:
        return "right"
    tasks = results.tasks
    if isinstance(tasks, PuzzleSet) and tasks.family.are_solutions(tasks.questions[number][None], grid[None])[0]:
        return "another right answer"
    return _count(wrong, "wrong cell")


def draw_task(task: Task, colour: bool, tests: bool) -> str:
    """A task: its demonstrations, each as input and output beside it, and the test inputs.

    Args:
        task: what to draw.
        colour: colour blocks, or digits.
        tests: whether to draw the test inputs, with their outputs where those are known.
    """
    pairs = [(f"demonstration {number}", pair) for number, pair in enumerate(task.train, 1)]
    text = flow([_draw_pair(title, pair, colour) for title, pair in pairs])
    if not tests:
        return text
    several = len(task.test) > 1
    pairs = [(f"test input {number}" if several else "test input", pair) for number, pair in enumerate(task.test, 1)]
    return f"{text}\n\n{flow([_draw_pair(title, pair, colour) for title, pair in pairs])}"


def _draw_pair(title: str, pair: Pair, colour: bool) -> tuple[str, list[str]]:
    """An input and its output, with a title that tells their sizes."""
    drawn, size = draw_grid(pair.input, colour), _size(pair.input)
    if pair.output is None:
        return f"{title}: {size}", drawn
    output = draw_grid(pair.output, colour)
    middle = (min(len(drawn), len(output)) - 1) // 2
    arrow = [""] * middle + ["->"]
    fits = 2 * (pair.input.shape[1] + pair.output.shape[1]) + len(" -> ") <= terminal_width()
    return f"{title}: {size} to {_size(pair.output)}", join_lines([drawn, arrow, output], " ") if fits else [*drawn, "->", *output]


def _size(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))


def draw_puzzle(puzzles: PuzzleSet, number: int, colour: bool) -> str:
    """A puzzle with its solution.

    Args:
        puzzles: that it stands in.
        number: its place there, from 0.
        colour: styles, or marks.
    """
    question, answer = puzzles.questions[number], puzzles.answers[number]
    boards = (("question", question), ("solution", answer))
    return flow([(title, draw_board(puzzles.family, question, board, None, colour)) for title, board in boards])
