"""The training loop: steps, logs, evaluations and checkpoints, until the end, or until a request to stop."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from tqdm import tqdm

from trm_arc.common.durations import format_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import append_line, to_json
from trm_arc.common.signals import stop_signals
from trm_arc.common.streams import make_progress_bar
from trm_arc.common.text import is_terminal
from trm_arc.model.checkpoint_files import list_checkpoints
from trm_arc.model.compiling import compiling_seconds
from trm_arc.training.options import METRICS_FILE, LoopConfig
from trm_arc.training.stability import Stability, Watch
from trm_arc.training.state import save_state
from trm_arc.training.supervision import Metrics
from trm_arc.training.time_budget import TimeBudget
from trm_arc.training.trainer import NotFiniteError, StepRequest, Trainer

OLD_METRICS, BAD_BATCH, BEST = "metrics-before.jsonl", "bad-batch.safetensors", "best"

Evaluation = Callable[[Callable[[], object]], dict[str, float]]  # calls its argument from time to time, which may raise
Tracker = Callable[[dict[str, float], int], None]


class _AbandonedError(Exception):
    """An evaluation was cancelled, as the run has to stop."""


def train(
    trainer: Trainer,
    out: Path,
    config: LoopConfig,
    *,
    peak: float,
    stale: Sequence[Path] = (),
    best: float = -math.inf,
    owed: bool = False,
    evaluate: Evaluation | None = None,
    track: Tracker | None = None,
) -> bool:
    """Run a trainer to its last step; a signal to stop, or the end of the time, saves first, and ends an evaluation.

    Args:
        peak: operations a second that the device can do, of all processes.
        stale: files and folders of a run that this one replaces, removed when its first checkpoint is whole.
        owed: whether the step that it continues from should have been evaluated, but was not.
        evaluate: scores the averaged weights; the first of its numbers decides which checkpoint is the best.
        track: receives every line of metrics with its step, in addition to the file.

    Returns:
        Whether the run is complete; False if it was asked to stop.

    Raises:
        InputError: nothing can be written, or too many steps in a row were skipped.
    """
    log = _Log(trainer, out, peak, track, shown=config.progress)
    with log.bar, log.below, stop_signals() as stopping:
        loop = _Loop(trainer, out, config, log, stopping, evaluate, stale, best)
        go_on = not owed or loop.score()
        while go_on and trainer.step < trainer.steps and not trainer.decision.stop:
            go_on = loop.step()
    return trainer.step == trainer.steps


class _Loop:
    """The body of `train`: a step, and what is due after it."""

    def __init__(
        self,
        trainer: Trainer,
        out: Path,
        config: LoopConfig,
        log: "_Log",
        stopping: list[float],
        evaluate: Evaluation | None,
        stale: Sequence[Path],
        best: float,
    ) -> None:
        self.trainer, self.out, self.config, self.log, self.stopping = trainer, out, config, log, stopping
        self.evaluate, self.stale, self.best = evaluate, stale, best
        self.budget, self.saved = TimeBudget(trainer, config.deadline), time.monotonic()

    def step(self) -> bool:
        """Train a step, and log, save and evaluate where that is due; whether to continue."""
        trainer, config, compiled, request = self.trainer, self.config, compiling_seconds(), self._request()
        began = time.monotonic()
        logged = (trainer.step + 1) % config.log_every == 0 or trainer.step + 1 == (request.steps or trainer.steps)
        try:
            self.log.add(trainer.train_step(request, measure=logged))
        except NotFiniteError as error:
            raise InputError(_save_bad_batch(self.out, error, trainer)) from None
        if not trainer.late:
            self.budget.add(time.monotonic() - began, compiled=compiling_seconds() > compiled)
        last, stop = trainer.step == trainer.steps, trainer.decision.stop
        if logged:
            self.log.write()
        for timing in trainer.take_timings():
            self.budget.add(timing.seconds, timing.step, compiled=timing.compiled)
        by_steps = config.save_every and trainer.step % config.save_every == 0
        scores_now = self.evaluate is not None and (last or trainer.step % config.evaluate_every == 0) and not stop
        if by_steps or last or trainer.decision.save or stop or scores_now:
            self._save()
        return not scores_now or self.score()

    def _request(self) -> StepRequest:
        """What this process wants of the next step."""
        # Evaluated once a step: a signal that comes while this step is saved waits for the next one to be saved too.
        config, budget = self.config, self.budget
        due = not config.save_every and time.monotonic() - self.saved >= config.save_seconds
        over = not config.fit and budget.is_over()
        length = self.trainer.step + budget.count_steps(budget.evaluating) if config.fit else 0
        return StepRequest(bool(self.stopping) or over, due or budget.wants_save(), length)

    def _save(self) -> None:
        self.trainer.finish_step()
        before = time.monotonic()
        save_state(self.trainer, self.out, self.config.keep, self.stale)
        self.stale, self.saved = (), time.monotonic()
        self.budget.saving = self.saved - before

    def score(self) -> bool:
        """Score the step, which is saved, if there is time; whether there is time left to continue."""
        trainer, budget, before = self.trainer, self.budget, time.monotonic() - compiling_seconds()
        ahead = 2 if self.config.fit and trainer.step < trainer.steps else 1  # the last weights of a run that fits count more
        if not self._agree(budget.has_time(ahead * budget.evaluating)):
            return True
        try:
            self._note(self.evaluate(self._check_stop))
        except _AbandonedError:
            tqdm.write(f"step {trainer.step}: the evaluation was cancelled, as the run has to stop; the step is saved")
            return False
        budget.evaluating = time.monotonic() - compiling_seconds() - before
        return self._agree(budget.has_time_for_step())

    def _agree(self, flag: bool) -> bool:
        """The main process's decision."""
        return self.trainer.processes.broadcast_flag(flag, self.trainer.device.device)

    def _check_stop(self) -> None:
        """Called from time to time in an evaluation: end it if the run has to stop."""
        # Only in a single process: several would have to agree in the middle of their batches.  The state is saved by then.
        if self.trainer.processes.count == 1 and (self.stopping or self.config.deadline.has_passed):
            raise _AbandonedError

    def _note(self, scores: dict[str, float]) -> None:
        """Log the scores of an evaluation, and keep the checkpoint if it is the best so far."""
        score = next(iter(scores.values()))
        self.log.write_scores(scores)
        if self._agree(score > self.best):  # only the main process knows the best score of a resumed run
            self.best = score
            save_state(self.trainer, self.out / BEST, 1, list_checkpoints(self.out / BEST))


def _save_bad_batch(out: Path, error: NotFiniteError, trainer: Trainer) -> str:
    """Keep the whole batch for inspection, and describe the error; all processes call this, the main one writes."""
    problem = f"step {error.step}: the loss was not finite in {trainer.skipped_in_a_row} steps in a row, which were skipped"
    batch = {name: trainer.processes.gather_on_host(t.contiguous()) for name, t in error.batch._asdict().items()}
    try:
        if trainer.processes.is_main:
            save_file({name: t.cpu() for name, t in batch.items()}, out / BAD_BATCH)
    except (OSError, SafetensorError):
        return f"{problem}; continue from the last checkpoint with lower learning rates"
    return f"{problem}; last batch: {out / BAD_BATCH}; train again with lower learning rates (--overwrite replaces this run)"


def describe_progress(step: int, steps: int, seconds: float) -> str:
    """The beginning of the progress line, which fits 80 columns together with `describe_metrics`.

    Args:
        seconds: of training that are left, evaluations apart.
    """
    done, total = (f"{count // 1000}k" if count >= 100_000 else str(count) for count in (step, steps))
    return f"{100 * step // steps}% {done}/{total}, {format_duration(seconds)} left"


def describe_metrics(line: Mapping[str, float], halted: int) -> str:
    """The end of the progress line.

    Args:
        halted: rows that halted since the line before; halt says nothing without any.
    """
    # of new puzzles after one step: after their last step rows have been trained on them as often as they took steps
    first = f"{line['exact_at_first']:.0%}" if "exact_at_first" in line else "-"
    steps = f"{line['halting_steps']:.1f}" if halted else "-"
    return f", loss {line['loss']:.3g} exact@1 {first} halt {steps} {line['milliseconds_per_step']:.0f} ms"


class _Log:
    """The progress line, and the same numbers as JSON lines."""

    def __init__(self, trainer: Trainer, out: Path, peak: float, track: Tracker | None, *, shown: bool) -> None:
        self.trainer, self.path, self.peak, self.track = trainer, out / METRICS_FILE, peak, track
        self.since: list[Metrics] = []
        self.operations = 0.0
        self.seconds = trainer.seconds
        self.shown = shown = shown and trainer.processes.is_main
        self.bar = make_progress_bar(trainer.steps, "step", initial=trainer.step, shape="{desc}", shown=shown)
        # A terminal has a second line for what would not fit the first; elsewhere a line may be long.
        self.two = is_terminal(sys.stderr)
        self.below = make_progress_bar(trainer.steps, "step", shape="{desc}", shown=shown and self.two, leave=False, line=1)
        self.watch = Watch(trainer.config.model.vocabulary)
        self.first = trainer.step, trainer.seconds
        self.measured = ""
        self.lost = False  # whether a line of metrics could not be written

    def add(self, metrics: Metrics) -> None:
        """Count a step."""
        self.since.append(metrics)
        step = self.trainer.step - 1
        self.operations += self.trainer.operations(self.trainer.examples.schedule.at(step)[0], self.trainer.depth(step))
        self.refresh()
        self.bar.update()

    def write(self) -> None:
        """Write a line for the steps since the last one."""
        trainer, training = self.trainer, self.trainer.config.training
        trainer.finish_step()  # what follows waits for the device in any case
        values = {name: torch.stack([getattr(m, name) for m in self.since]).cpu().double() for name in Metrics._fields}
        count, seconds = len(self.since), max(trainer.seconds - self.seconds, 1e-9)
        finite = values["loss"][values["loss"].isfinite()]
        rows, begun = max(1.0, float(values["halted"].sum())), float(values["begun"].sum())
        factor = trainer.optimizers.schedule(trainer.step)
        line = {
            "step": trainer.step,
            "seconds": trainer.seconds,
            "loss": float(finite.mean()) if len(finite) else math.nan,
            "accuracy": float(values["accuracy"].sum()) / rows,
            "exact": float(values["exact"].sum()) / rows,
            "halting_steps": float(values["steps"].sum()) / rows,
            "learning_rate": training.learning_rate * factor,
            "learning_rate_factor": factor,
            "milliseconds_per_step": 1000 * seconds / count,
            "examples_per_second": count * training.batch_size / seconds,
            "operations": self.operations,
            "share_of_peak": self.operations / seconds / self.peak,
            "skipped_steps": trainer.skipped,
        }
        if begun:
            line["exact_at_first"] = float(values["exact_at_first"].sum()) / begun
        self.since, self.operations, self.seconds = [], 0.0, trainer.seconds
        self.measured = describe_metrics(line, int(values["halted"].sum()))
        if trainer.stability is not None:  # of the main process
            line |= trainer.stability.known()
            self._describe(trainer.stability, line["loss"])
        self._put(line)
        self.refresh()

    def _describe(self, stability: Stability, loss: float) -> None:
        for warning in self.watch.judge(stability, loss):
            tqdm.write(f"step {self.trainer.step}: {warning}")
        if self.two:
            self.below.set_description_str(stability.describe())
        else:
            self.measured += f", {stability.describe()}"

    def refresh(self) -> None:
        """Bring the progress line up to date; the bar draws it from time to time."""
        trainer, (step, seconds) = self.trainer, self.first
        left = (trainer.seconds - seconds) / max(1, trainer.step - step) * (trainer.steps - trainer.step)
        self.bar.set_description_str(describe_progress(trainer.step, trainer.steps, left) + self.measured, refresh=False)

    def write_scores(self, scores: dict[str, float]) -> None:
        """Write a line for an evaluation, and print it."""
        self._put({"step": self.trainer.step, "seconds": self.trainer.seconds, **scores})
        if self.shown:
            tqdm.write(f"step {self.trainer.step}: " + ", ".join(f"{name} {value:.1%}" for name, value in scores.items()))

    def _put(self, line: dict[str, float]) -> None:
        if self.trainer.processes.is_main:
            try:
                append_line(self.path, to_json(line))
            except InputError as error:  # a lost line must not end the run
                if not self.lost:
                    tqdm.write(f"step {self.trainer.step}: {error}; the run continues, but lines of metrics are lost")
                self.lost = True
            if self.track is not None:
                self.track({name: value for name, value in line.items() if name != "step"}, self.trainer.step)
