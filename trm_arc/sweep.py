"""Accuracy against compute at test time, on Sudoku and mazes: python -m trm_arc.sweep --checkpoint runs/sudoku"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trm_arc.cli import Parser, add_machine_flags, run
from trm_arc.common.device import Device, find_device
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import check_writable, to_json, write_atomic
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.evaluate import RUNS, load_tests
from trm_arc.evaluation.puzzle_scores import PuzzleScores
from trm_arc.evaluation.score import Rate
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.refinement import Thinking
from trm_arc.inference.votes import Predictions, tally
from trm_arc.model.checkpoint import Checkpoint, newest_checkpoint, run_of
from trm_arc.model.export import load_newest
from trm_arc.model.flops import count_forward
from trm_arc.report.plots import MISSING, add_legend, has_matplotlib, make_figure, render_figure, scale_log, write_pictures

RESULT, PICTURES = "sweep.json", ("sweep.svg", "sweep.png")
_LABELS = {
    "steps": "more steps",
    "patience": "more steps, until an answer has settled",
    "rollouts": "noisy rollouts, the halting head picks",
    "views": "views under symmetries, which vote",
}


class Point(NamedTuple):
    """What one way of thinking came to.

    Attributes:
        kind: what is varied: steps, rollouts, views or patience.
        steps: supervision steps at most.
        rollouts: of a view.
        views: of a puzzle.
        patience: see `Thinking`.
        taken: supervision steps of a puzzle, all its views, rollouts and latents together, on average.
        operations: of a puzzle.
        exact: the expected answers.
        valid: the answers that are right.
    """

    kind: str
    steps: int
    rollouts: int
    views: int
    patience: int
    taken: float
    operations: float
    exact: Rate
    valid: Rate


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.sweep",
        description=f"Answer the same puzzles with more and more compute, and write {RESULT} and the curves as a picture.",
    )
    flag = parser.add_argument
    flag("--checkpoint", type=Path, help="a checkpoint or a run's folder (default: the newest below runs/)")
    flag("--data", help="puzzles to answer: a name or path (default: those that the run is scored on)")
    flag("--puzzles", type=int, default=200, metavar="N", help="answer N of them (0: all)")
    flag("--skip-bad", action="store_true", help="leave out rows of a file that are no puzzles")
    flag("--steps", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64], metavar="N", help="supervision steps to try")
    flag("--patience", type=int, default=3, metavar="N", help="the same with this patience (0: not)")
    flag("--rollouts", type=int, nargs="*", default=[2, 4, 8, 16], metavar="K", help="rollouts to try, at the usual steps")
    flag("--rollout-noise", type=float, default=Thinking(1).noise, metavar="STD", help="noise of the rollouts")
    flag("--views", type=int, nargs="*", default=[2, 4, 8, 16], metavar="N", help="views to try, at the usual steps")
    flag("--batch-size", type=int, default=256, help="rollouts of views at a time")
    flag("--out", type=Path, help="folder for the results (default: the run's)")
    add_machine_flags(parser)
    return parser


class Sweep:
    """Answers the same puzzles again and again.

    Args:
        checkpoint: the model.
        puzzles: what to answer.
        device: where to compute.
        batch_size: rollouts of views at a time.
    """

    def __init__(self, checkpoint: Checkpoint, puzzles: PuzzleSet, device: Device, batch_size: int) -> None:
        self.checkpoint, self.puzzles, self.device, self.batch_size = checkpoint, puzzles, device, batch_size
        model = checkpoint.config.model
        self.operations = count_forward(model, int(np.prod(puzzles.domain.shape))) / model.latents  # of one step of one row

    def answer(self, views: int, **thinking: Any) -> list[Predictions]:
        """Answer all puzzles.

        Args:
            views: of each.
            thinking: see `make_predictor`.
        """
        options = {"batch_size": self.batch_size, "quiet": True} | thinking
        return predict_tasks(self.checkpoint, self.puzzles, self.device, views=views, **options)

    def measure(self, kind: str, parts: list[Predictions], views: int, thinking: Thinking) -> Point:
        """Score answers, and say it.

        Args:
            kind: what is varied.
            parts: the answers.
            views: of each puzzle.
            thinking: that they came of.
        """
        count = len(self.puzzles)
        taken = float(np.concatenate([part.steps for part in parts]).sum()) / count
        ranked = tally(parts, count, 1, self.puzzles.domain)
        scores = PuzzleScores.of(self.puzzles, [[candidate.grid for candidate in answers] for answers in ranked])
        exact, valid = scores.rate("exact"), scores.rate("valid")
        how = thinking.steps, thinking.rollouts, views, thinking.patience
        point = Point(kind, *how, taken, taken * self.operations, exact, valid)
        number = {"views": views}.get(kind) or getattr(thinking, "steps" if kind == "patience" else kind)
        interval = f"{100 * exact.low:.1f} to {100 * exact.high:.1f}"
        print(f"{kind:9}{number:5}{taken:12.1f}{point.operations / 1e9:12,.2f}   {100 * exact.value:5.1f} %  ({interval})")
        return point


def sweep(work: Sweep, usual: int, values: Any) -> list[Point]:
    """All points.

    Args:
        work: answers.
        usual: supervision steps of training.
        values: the command line.
    """
    print("varied         steps taken       GFLOP     exact  (95 % interval)")
    points = []
    for patience in (0, values.patience) if values.patience else (0,):
        for steps in sorted(values.steps):
            if steps > patience:
                parts = work.answer(1, steps=steps, patience=patience)
                points.append(work.measure("patience" if patience else "steps", parts, 1, Thinking(steps, patience=patience)))
    for rollouts in sorted(values.rollouts):
        parts = work.answer(1, steps=usual, rollouts=rollouts, noise=values.rollout_noise)
        points.append(work.measure("rollouts", parts, 1, Thinking(usual, rollouts, values.rollout_noise)))
    most = min(max(values.views, default=0), work.puzzles.domain.transforms)
    if most:
        [everything] = work.answer(most, steps=usual)
        view = np.arange(len(everything.slots)) - np.searchsorted(everything.slots, everything.slots)
        for views in sorted({min(views, most) for views in values.views}):
            first = [everything.take(view < views)]
            points.append(work.measure("views", first, views, Thinking(usual)))
    return points


def draw(points: list[Point], title: str, folder: Path) -> list[Path]:
    """Draw the curves.

    Args:
        points: from `sweep`.
        title: of the picture.
        folder: where to write.

    Returns:
        The files; none where matplotlib is not installed.
    """
    if not has_matplotlib():
        return []
    with make_figure(7, 4.2) as figure:
        axes, lines = figure.add_subplot(), {}
        for kind, label in _LABELS.items():
            here = [point for point in points if point.kind == kind]
            if here:
                x = [point.operations / 1e9 for point in here]
                y = [100 * point.exact.value for point in here]
                below = [100 * (point.exact.value - point.exact.low) for point in here]
                above = [100 * (point.exact.high - point.exact.value) for point in here]
                lines[label] = axes.errorbar(x, y, yerr=(below, above), marker="o", capsize=2)
        scale_log(axes.xaxis)
        axes.set(xlabel="GFLOP a puzzle", ylabel="exact, percent", title=title)
        add_legend(axes, list(lines.values()), list(lines))
        return write_pictures(render_figure(figure, "sweep"), folder)


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, draw.

    Args:
        arguments: the command line.
    """
    values = make_parser().parse(arguments)
    for name in ("steps", "rollouts", "views"):
        for value in getattr(values, name):
            require_least(name, value)
    require_least("patience", values.patience, 0)
    require_least("batch_size", values.batch_size)
    Thinking(1, noise=values.rollout_noise).check()
    if not [*values.steps, *values.rollouts, *values.views]:
        raise InputError("--steps, --rollouts and --views name nothing to try")
    path = values.checkpoint or newest_checkpoint(RUNS)
    checkpoint, values.solutions = load_newest(path), None
    if checkpoint.domain.scoring != "exact":
        raise InputError("answers ARC tasks; this is for Sudoku and mazes", file=path)
    puzzles = load_tests(checkpoint, values)
    puzzles = check_not_trained_on(checkpoint, puzzles, drop=False)
    folder = values.out or run_of(path)
    check_writable(folder, (RESULT, *PICTURES))
    device = find_device(values.device, values.precision)
    print(f"{path}, step {checkpoint.step}: {puzzles.describe()}\ndevice: {device.reason}")
    work = Sweep(checkpoint, puzzles, device, values.batch_size)
    points = sweep(work, checkpoint.config.training.halt_steps, values)
    document = {"checkpoint": str(path), "step": checkpoint.step, "data": puzzles.name, "puzzles": len(puzzles)}
    listed = [point._asdict() | {"exact": asdict(point.exact), "valid": asdict(point.valid)} for point in points]
    write_atomic(folder / RESULT, to_json(document | {"points": listed}, pretty=True))
    drawn = draw(points, f"{puzzles.name}, {len(puzzles)} puzzles", folder)
    print(f"wrote {', '.join(map(str, [folder / RESULT, *drawn]))}")
    if not drawn:
        print(f"no picture: {MISSING}")
    return 0


if __name__ == "__main__":
    run(main)
