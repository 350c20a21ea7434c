"""Show a task in the terminal, with what a run says of it: python -m trm_arc.show 007bbfb7"""

from trm_arc.outcomes import Outcome, Verdict, judge_results
from trm_arc.results import Answered, Results
from trm_arc.task import Grid, Task
from trm_arc.terminal import draw_beside


def show_answers(results: Results, colour: bool) -> str:
    """Every test input with its two attempts and, where known, the truth, for the terminal.

    Args:
        results: of ARC tasks.
        colour: colour blocks, or digits.
    """
    rows = zip(results.tasks.tests, results.answers, results.attempts, judge_results(results), strict=True)
    return "\n\n".join(_show_test(*test, answered, attempts, verdict, colour) for test, answered, attempts, verdict in rows)


def _show_test(
    task: Task, number: int, answered: Answered, attempts: list[Grid], verdict: Verdict, colour: bool
) -> str:
    pair = task.test[number]
    votes = [f"{c.votes} votes" for c in answered.candidates[:2]] + ["a guess"] * 2
    titled = [("input", pair.input)] + [(f"attempt {i + 1}: {votes[i]}", attempts[i]) for i in range(2)]
    told = ""
    if pair.output is not None:
        titled.append(("truth", pair.output))
        told = {Outcome.FIRST: ": solved", Outcome.SECOND: ": solved by the second attempt"}.get(verdict.outcome, "")
        told = told or f": not solved, {verdict.describe()}"
    which = f", test input {number + 1} of {len(task.test)}" if len(task.test) > 1 else ""
    return f"{task.id}{which}{told}\n{draw_beside(titled, colour)}"


