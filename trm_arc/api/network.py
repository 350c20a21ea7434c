"""A trained network in Python: answers of puzzles and tasks, with their votes; adaptation to unseen tasks.

    import trm_arc
    trm_arc.load("sudoku-extreme").solve("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79")
    trm_arc.load("runs/arc1").predict("arc1-evaluation", views=64).save("submission.json")

What it answers is what the commands answer.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm_arc.api.runs import SETTING_NAMES, SettingValue, make_machine, make_run, require_recipe, require_settings, run_adaptation
from trm_arc.common.device import Device, find_device
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import to_json, write_atomic
from trm_arc.common.keywords import name_keywords
from trm_arc.common.modes import AUTO
from trm_arc.common.output import say
from trm_arc.common.paths import optional_path, user_path
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.pictures import render_section, render_titled
from trm_arc.data.puzzle_set import AnySet, PuzzleSet, as_set
from trm_arc.data.puzzle_text import read_question
from trm_arc.data.task import Task
from trm_arc.data.task_files import tasks_to_json
from trm_arc.evaluation.answers import SHOWN
from trm_arc.evaluation.ensemble import Ensemble
from trm_arc.evaluation.loading import load_tests
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.traces import Frame, trace_refinement
from trm_arc.inference.answer import make_predictor, rank_first
from trm_arc.inference.config import Canvas, InferenceConfig
from trm_arc.inference.votes import Candidate
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.checkpoint_files import run_of
from trm_arc.model.export import load_newest
from trm_arc.model.locate import locate
from trm_arc.report.curves import Curves, render_curves
from trm_arc.report.logs import read_log
from trm_arc.training.adaptation import require_arc

SHOWN_STEPS = 11  # answers of a solution in a notebook, of those steps that changed it


@dataclass(frozen=True, eq=False)
class Solution:
    """A network's answer to a puzzle.  As text, it is the board in characters, row by row.

    Attributes:
        domain: the kind of puzzle.
        question: uint8 (rows, columns); of Sudoku the digits, 0 for a blank.
        answer: uint8 (rows, columns).
        is_right: whether it obeys the rules.
        sure: the network's own probability that it is exact, from 0 to 1.
        votes: how many views gave it.
        views: of how many.
        candidates: all answers that views gave, best first, each with its votes.
        steps: the answer of the first view after each supervision step, if that was asked for.
    """

    domain: BoardDomain
    question: np.ndarray
    answer: np.ndarray
    is_right: bool
    sure: float
    votes: int
    views: int
    candidates: tuple[Candidate, ...]
    steps: tuple[Frame, ...] = ()

    def __str__(self) -> str:
        return self.domain.format_text(self.answer)

    def __repr__(self) -> str:
        verdict = "right" if self.is_right else "wrong"
        return f"<Solution of {self.domain.title}: {verdict}, {self.sure:.0%} sure, {self.votes} of {self.views} views>"

    def _repr_html_(self) -> str:
        look = {"drawing": self.domain.drawing, "question": self.question}
        truth = {"truth": self.answer} if self.is_right else {}
        figures = [render_titled("question", self.question, **look)]
        before = (None, *self.steps)
        changed = [
            f for f, last in zip(self.steps, before, strict=False) if last is None or not np.array_equal(f.grid, last.grid)
        ]
        figures += [render_titled(f"step {f.step}: {f.halting:.0%} sure", f.grid, **look, **truth) for f in changed[:SHOWN_STEPS]]
        for one in self.candidates[:SHOWN]:
            votes = f"{one.votes} of {self.views} views" if self.views > 1 else "answer"
            figures.append(render_titled(f"{votes}, {one.halting:.0%} sure", one.grid, **look, **truth))
        more = f"{len(self.candidates) - SHOWN} more distinct answers" if len(self.candidates) > SHOWN else ""
        return render_section(f"{'right' if self.is_right else 'wrong'}, {self.sure:.0%} sure", figures, more)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network.  Made by `load`, `train` and `adapt`.

    Attributes:
        checkpoint: its weights and settings.
        device: where it computes.
    """

    checkpoint: Checkpoint
    device: Device

    def __repr__(self) -> str:
        return f"<Network for {self.checkpoint.domain.title}, step {self.checkpoint.step}, {self.checkpoint.where}>"

    @name_keywords()
    def solve(
        self, puzzle: str | Path | np.ndarray, *, views: int = 1, steps: int | None = None, show_steps: bool = False
    ) -> Solution:
        """Answer a Sudoku or a maze.

        >>> import trm_arc
        >>> network = trm_arc.load("sudoku-extreme")
        >>> network.solve("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79").is_right
        True

        Args:
            puzzle: as `python -m trm_arc.solve` takes it: a text, or the path of a file; or its values, uint8 (rows, columns).
            views: symmetries under which it is answered at most; they vote.
            steps: supervision steps; None: as many as the network's settings say.
            show_steps: also keep the answer of the first view after each supervision step.

        Raises:
            InputError: not a puzzle, or not one that the network answers.
        """
        require_least("views", views)
        puzzles, config = self._read_puzzle(puzzle), InferenceConfig(steps=steps)
        domain, question = puzzles.domain, puzzles.questions
        predictor, _ = make_predictor(self.checkpoint, puzzles, self.device, config)
        candidates, asked = rank_first(predictor, views)
        best = candidates[0]
        frames: list[Frame] = []
        if show_steps:
            for trace in trace_refinement(self.checkpoint, puzzles, [0], puzzles.names, self.device, config):
                frames = [frame for frame in trace.frames if frame.last]
        right = bool(domain.are_solutions(question, best.grid[None])[0])
        votes = best.votes, asked, tuple(candidates)
        return Solution(domain, question[0], best.grid, right, best.halting, *votes, tuple(frames))

    def _read_puzzle(self, puzzle: str | Path | np.ndarray) -> PuzzleSet:
        """A set of one puzzle, whose answer is not known."""
        domain = self.checkpoint.domain
        if domain.shape is None:
            raise InputError(f"answers {domain.title}, which are no boards", file=self.checkpoint.where)
        if isinstance(puzzle, str | Path):
            domain, question = read_question(str(puzzle))
            self.checkpoint.require_domain(domain, "the puzzle")
        else:
            try:
                question = np.asarray(puzzle)
            except ValueError:  # rows of different lengths
                question = np.empty(0)
            whole = question.shape == domain.shape and np.issubdtype(question.dtype, np.integer)
            if not whole or question.min() < 0 or question.max() >= domain.values:
                rows, columns = domain.shape
                raise InputError(f"a puzzle of {domain.title} is {rows} x {columns} whole numbers from 0 to {domain.values - 1}")
            question = question.astype(np.uint8)
            if fault := domain.question_fault(question):
                raise InputError(f"the puzzle: {fault}")
        one = np.zeros(1, np.int64)
        return PuzzleSet("the puzzle", domain, question[None], question[None], one, one + 1)  # its answer is not read

    @name_keywords()
    def predict(
        self,
        tasks: AnySet | Task | str | Path | None = None,
        *,
        views: int | None = None,
        steps: int | None = None,
        rollouts: int = 1,
        patience: int = 0,
        canvas: Canvas = "trained",
        batch_size: int = 256,
        drop_leaks: bool = False,
        data_folder: str | Path | None = None,
        progress: bool = True,
    ) -> Results:
        """Answer tasks or puzzles under many views, which vote.

        >>> import trm_arc
        >>> easy = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
        >>> _ = Path("easy.csv").write_text(f"question\\n{easy}\\n")
        >>> trm_arc.load("sudoku-extreme").predict("easy.csv", views=2, progress=False).score()
        <PuzzleScores exact 100.0 % (1 of 1), valid 100.0 % (1 of 1)>

        Args:
            tasks: a set, one task, or the name or path of a set; None: what the run learned to answer.
            views: of a test input at most; None: 1000 of ARC tasks, 1 of Sudoku and mazes.
            steps: supervision steps; None: as many as the network's settings say.
            rollouts: noisy attempts at a view, of which the halting probability picks one.
            patience: a rollout stops when its answer has not changed for this many steps; 0: never before the last.
            canvas: see `InferenceConfig`.
            batch_size: rollouts of views at a time; halved when memory runs out.
            drop_leaks: leave out tasks whose answers were trained on, where otherwise those are refused.
            data_folder: where to look for named sets first.
            progress: show a progress bar, and notes on the tasks.

        Raises:
            InputError: tasks that cannot be loaded, that the network cannot answer, or whose answers it was trained on.
        """
        config = InferenceConfig(steps=steps, rollouts=rollouts, patience=patience, canvas=canvas, batch_size=batch_size)
        if tasks is None or isinstance(tasks, str | Path):
            tasks = load_tests(self.checkpoint, None if tasks is None else str(tasks), optional_path(data_folder))
        tasks = as_set(tasks)
        self.checkpoint.require_domain(tasks.domain, tasks.name)
        ensemble = Ensemble.of(self.checkpoint)
        asked = ensemble.check_tasks(tasks, drop_leaks=drop_leaks)
        views = asked.domain.default_views if views is None else views
        return ensemble.evaluate(asked, self.device, config, views=views, processes=ProcessGroup(), quiet=not progress)

    @name_keywords(SETTING_NAMES)
    def adapt(
        self,
        tasks: AnySet | Task | str | Path,
        out: str | Path = "runs/adapted",
        *,
        recipe: str = "own",
        overwrite: bool = False,
        time_limit: str | float | None = None,
        data_folder: str | Path | None = None,
        progress: bool = True,
        **settings: SettingValue,
    ) -> "Network":
        """Train on the demonstrations of unseen ARC tasks, whose hidden outputs are not read; the network that this gives.

        Args:
            tasks: a set, one task, or the name or path of a set; where no file holds them, `OUT-challenges.json` is written, too.
            out: folder of the adapted run.
            recipe: how to adapt: own (as the network was trained), nvarc or trelis.
            overwrite: replace the run in `out`.
            time_limit: such as 4h or 45m: the run is as long as it allows, unless `steps` says how long.
            data_folder: where to look for named sets first.
            progress: show a progress line, and what a user should know.
            settings: those of presets, by their names, which override the recipe's.

        Raises:
            InputError: the network answers no ARC tasks; settings, tasks or a folder that cannot be used.
        """
        require_settings(settings)
        require_recipe(recipe)
        base, out = Path(self.checkpoint.where), user_path(out)
        if not isinstance(tasks, str | Path):
            require_arc([base])
            asked, tasks = as_set(tasks), Path(f"{out}-challenges.json")
            self.checkpoint.require_domain(asked.domain, asked.name)
            data = to_json(tasks_to_json(asked))
            if tasks.exists() and not overwrite and tasks.read_bytes() != data:
                raise InputError("holds other tasks; replace it with overwrite=True, or name another `out`", file=tasks)
            write_atomic(tasks, data)
        run = make_run(out, time_limit, progress=progress, overwrite=overwrite)
        machine = make_machine(str(self.device.device), str(self.device.dtype).removeprefix("torch."), AUTO, data_folder)
        run_adaptation(run, machine, base, str(tasks), settings, recipe=recipe)
        return Network(load_newest(out), self.device)

    def curves(self) -> Curves:
        """The curves of training over optimizer steps, from the metrics in the run's folder, as a picture.

        Raises:
            InputError: the folder holds no metrics, or matplotlib is not installed.
        """
        return render_curves([read_log(run_of(Path(self.checkpoint.where)))], ["steps"], pictures=False)[0]


@name_keywords()
def load(name: str | Path, *, device: str = "auto", precision: str = "auto") -> Network:
    """Load a trained network.

    Args:
        name: a checkpoint, a run's folder, `hf://OWNER/NAME`, or the name of a network that comes with the kit.
        device: "auto", "cpu", or the name of an accelerator.
        precision: "auto", or one of those of the commands.

    Raises:
        InputError: there is no such model, or no such device.
    """
    checkpoint = load_newest(locate(str(name), say))
    return Network(checkpoint, find_device(device, precision))
