"""Tasks, puzzles and the answers to them, drawn for the terminal."""

import textwrap

import numpy as np

from trm_arc.common.text import printable, terminal_width
from trm_arc.data.guesses import ATTEMPTS
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.task import Grid, Pair, Task
from trm_arc.evaluation.outcomes import Outcome, score_tests
from trm_arc.evaluation.results import Results, TestResult
from trm_arc.report.puzzle_terminal import render_board
from trm_arc.report.terminal import flow, join_lines, render_grid

_BOLD, _GREEN, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[0m"
_RIGHT = "right"
_OUTCOMES = {
    Outcome.FIRST: ": solved",
    Outcome.SECOND: ": solved by the second attempt",
    Outcome.VALID: ": right, but not the expected answer",
    Outcome.UNKNOWN: "",
}


def render_answers(results: Results, colour: bool, *, tables: bool = False) -> str:
    """Every test input with what was answered and, where known, the truth; cells that differ from it are marked."""
    tasks, shown = results.tasks, []
    rows = zip(tasks.questions, tasks.truths, results.answers, score_tests(results), strict=True)
    for number, (question, truth, answered, test) in enumerate(rows):
        if tasks.domain.drawing.style == "colours":
            pictures = _render_attempts(question, results.attempts[number], truth, answered, colour)
        else:
            pictures = _render_boards(results, number, colour)
        outcome = _OUTCOMES.get(test.outcome, f": not solved, {test.describe()}")
        parts = [head(tasks.describe_test(number) + outcome, colour), flow(pictures)]
        shown.append("\n".join(parts + ["", _candidate_table(tasks, question, truth, answered, colour)] * tables))
    return "\n\n".join(shown)


def fill(text: str) -> str:
    """A sentence for the terminal: control characters written out, in lines that fit."""
    return textwrap.fill(printable(text), terminal_width())


def head(text: str, colour: bool) -> str:
    """A headline for the terminal, as `fill`."""
    return f"{_BOLD}{fill(text)}{_RESET}" if colour else fill(text)


def _render_boards(results: Results, number: int, colour: bool) -> list[tuple[str, list[str]]]:
    """A puzzle's question, its answer and the truth."""
    puzzles, answered = results.tasks, results.answers[number]
    board = puzzles.take(np.array([number])).first_boards([results.attempts[number]])[0]
    domain, question, truth = puzzles.domain, puzzles.questions[number], puzzles.answers[number]
    return [
        ("question", render_board(domain, question, question, None, colour)),
        (f"answer: {_votes(answered, 0)}", render_board(domain, question, board, truth, colour)),
        ("truth", render_board(domain, question, truth, None, colour)),
    ]


def _render_attempts(
    question: Grid, attempts: list[Grid], truth: Grid | None, answered: TestResult, colour: bool
) -> list[tuple[str, list[str]]]:
    """A test input of a task, its attempts and the truth."""
    drawn = [(f"input\n{_size(question)}", render_grid(question, colour))]
    for place, grid in enumerate(attempts[: len(ATTEMPTS)]):
        size = "" if truth is not None and grid.shape == truth.shape else f": {_size(grid)}"
        drawn.append((f"attempt {place + 1}{size}\n{_votes(answered, place)}", render_grid(grid, colour, truth)))
    return drawn + ([] if truth is None else [(f"truth\n{_size(truth)}", render_grid(truth, colour))])


def _votes(answered: TestResult, place: int) -> str:
    """How many views gave the attempt at a place."""
    if place >= len(answered.candidates):
        return "a guess"
    return f"{answered.candidates[place].votes} of {_count(sum(answered.views), 'view')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _candidate_table(tasks: AnySet, question: Grid, truth: Grid | None, answered: TestResult, colour: bool) -> str:
    """The best candidates of a test input, and the right one at any rank, within 80 columns."""
    if not answered.candidates:
        return "no view gave an answer"
    views = sum(answered.views)
    titles = "  rank  votes  share  halting  size" + "     against the truth" * (truth is not None)
    lines = [f"{_count(answered.pool, 'distinct answer')} from {_count(views, 'view')}:", titles]
    for rank, candidate in sorted(answered.ranked.items()):
        numbers = f"{rank + 1:6}{candidate.votes:7}{candidate.votes / max(views, 1):7.1%}{candidate.halting:9.2f}"
        judged = "" if truth is None else _compare(tasks, question, candidate.grid, truth)
        line = f"{numbers}  {_size(candidate.grid):9}{judged}".rstrip()
        lines.append(f"{_GREEN}{line}{_RESET}" if colour and judged == _RIGHT else line)
    return "\n".join(lines)


def _compare(tasks: AnySet, question: Grid, grid: Grid, truth: Grid) -> str:
    """How a candidate differs from the truth, in words."""
    if grid.shape != truth.shape:
        return "wrong size"
    wrong = int((grid != truth).sum())
    if not wrong:
        return _RIGHT
    if tasks.domain.are_solutions(question[None], grid[None])[0]:
        return "right, but not expected"
    return _count(wrong, "wrong cell")


def render_task(task: Task, colour: bool, tests: bool) -> str:
    """A task: its demonstrations, each as input and output beside it, and the test inputs."""
    pairs = [(f"demonstration {number}", pair) for number, pair in enumerate(task.train, 1)]
    text = flow([_render_pair(title, pair, colour) for title, pair in pairs])
    if not tests:
        return text
    several = len(task.test) > 1
    pairs = [(f"test input {number}" if several else "test input", pair) for number, pair in enumerate(task.test, 1)]
    return f"{text}\n\n{flow([_render_pair(title, pair, colour) for title, pair in pairs])}"


def _render_pair(title: str, pair: Pair, colour: bool) -> tuple[str, list[str]]:
    """An input and its output, with a title that has their sizes."""
    drawn, size = render_grid(pair.input, colour), _size(pair.input)
    if pair.output is None:
        return f"{title}: {size}", drawn
    output = render_grid(pair.output, colour)
    middle = (min(len(drawn), len(output)) - 1) // 2
    arrow = [""] * middle + ["->"]
    fits = 2 * (pair.input.shape[1] + pair.output.shape[1]) + len(" -> ") <= terminal_width()
    lines = join_lines([drawn, arrow, output], " ") if fits else [*drawn, "->", *output]
    return f"{title}: {size} to {_size(pair.output)}", lines


def _size(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))


def render_puzzle(puzzles: PuzzleSet, number: int, colour: bool) -> str:
    """A puzzle with its solution.

    Args:
        number: its place there, from 0.
    """
    question, answer = puzzles.questions[number], puzzles.answers[number]
    boards = (("question", question), ("solution", answer))
    return flow([(title, render_board(puzzles.domain, question, board, None, colour)) for title, board in boards])
