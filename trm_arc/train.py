"""Train a recursive model: python -m trm_arc.train --preset arc1"""

import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from tqdm import tqdm

from trm_arc.checkpoint import list_checkpoints, load_checkpoint, prepare_folder, remove_unfinished
from trm_arc.command import Parser, add_machine_flags, add_settings, chosen_settings, run
from trm_arc.config import PRESET_HELP, PRESETS, Config, TrainingConfig
from trm_arc.data import Examples, prepare_examples
from trm_arc.device import Device, find_device
from trm_arc.errors import InputError, shorten
from trm_arc.files import RESULT_FILES, append_line, exclusive, read_lines, to_json, write_atomic
from trm_arc.leak import guard
from trm_arc.sources import listed, load_listed, load_tasks
from trm_arc.supervision import Metrics
from trm_arc.task import TaskSet
from trm_arc.trainer import Options, Trainer

METRICS_FILE = "metrics.jsonl"
PROGRAM, DEFAULT_PRESET = "python -m trm_arc.train", "arc1"


def load_training_tasks(config: TrainingConfig, folder: Path | None) -> tuple[TaskSet, TaskSet, list[str]]:
    """The tasks of a run: those trained on with all outputs, those to answer, and a sentence on each change.

    Args:
        config: names of the sets, which tasks to keep, what to do about leaks.
        folder: where to look for named sets first.

    Raises:
        InputError: a set that cannot be loaded, or a leak.
    """
    evaluation = load_tasks(config.evaluation_data, folder)
    if config.smallest:
        evaluation = evaluation.smallest(config.smallest)
    training = load_listed(config.data, folder)
    leave_out = listed(config.leave_out)
    strangers = [task_id for task_id in leave_out if task_id not in training]
    if strangers:
        raise InputError(f"leave_out: {shorten(strangers)} is not in {training.name or 'the training data, which is empty'}")
    notes = [f"left out {task_id}, as set" for task_id in leave_out]
    training, dropped = guard(training.without(leave_out), evaluation, config.drop_leaks)
    if dropped:
        notes.append(f"dropped {len(dropped)} training tasks that hold a scored answer: {shorten(dropped)}")
    return training, evaluation, notes


def total_steps(config: TrainingConfig, pairs: int) -> int:
    """Optimizer steps of a run: as set, or as many as the epochs take at `pairs` examples an epoch.

    Args:
        config: steps, epochs and batch size.
        pairs: examples in an epoch.
    """
    return config.steps or max(1, config.epochs * pairs // config.batch_size)


def build_trainer(
    config: Config, folder: Path | None, device: Device, compiled: bool = False
) -> tuple[Trainer, list[str]]:
    """Load the data and set up a run.

    Args:
        config: the settings.
        folder: where to look for named sets first.
        device: where to compute.
        compiled: fuse the step by torch.compile.

    Returns:
        The trainer, and sentences on what a user should know of the data.

    Raises:
        InputError: see `load_training_tasks`.
    """
    training, evaluation, notes = load_training_tasks(config.training, folder)
    examples, left_out = prepare_examples(training, evaluation, config)
    steps = total_steps(config.training, len(examples.pairs))
    trainer = Trainer(config, examples, device, steps, options=Options(compiled=compiled))
    if left_out:
        notes.append(f"left out {len(left_out)} training tasks that do not fit the window")
    notes += [
        f"answering {len(evaluation)} tasks ({evaluation.outputs} test outputs) of {evaluation.name} by their demonstrations",
        _describe_data(training, evaluation, examples),
        repr(trainer.reasoner),
        f"device: {device.reason}",
    ]
    return trainer, notes


def _describe_data(training: TaskSet, evaluation: TaskSet, examples: Examples) -> str:
    others = len(examples.tasks) - len(evaluation)
    what = f"those and {others} tasks of {training.name}" if others else "those alone"
    windows = ", ".join(f"{window.rows} x {window.columns}" for window in examples.windows)
    many = "windows" if len(examples.lanes) > 1 else "window"
    return f"training on {what}: {len(examples.pairs)} pairs, {len(examples.plan)} transforms, {many} {windows}"


def train(trainer: Trainer, out: Path, *, save_every: int, keep: int, log_every: int, stale: list[Path]) -> bool:
    """Run a trainer to its last step, logging and saving; a signal to stop saves first.

    Args:
        trainer: from `build_trainer`, perhaps resumed.
        out: folder of the run.
        save_every: steps between checkpoints.
        keep: checkpoints kept.
        log_every: steps between lines of metrics; the device is waited for only then.
        stale: files and folders of a run that this one replaces, removed when its first checkpoint is whole.

    Returns:
        Whether the run is complete; False if it was asked to stop.

    Raises:
        InputError: nothing can be written; the loss is not finite.
    """
    bar = tqdm(
        total=trainer.steps,
        initial=trainer.step,
        unit="step",
        mininterval=0.5 if sys.stderr.isatty() else 20,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}%|{bar:8}| {n_fmt}/{total_fmt}{postfix}, ETA {remaining}",  # within 80 columns
    )
    since: list[Metrics] = []
    began, stop = trainer.seconds, False
    with bar, _stop_signals() as stopping:
        while trainer.step < trainer.steps and not stop:
            # Read once a step: a signal that comes while this step is saved waits for the next one to be saved too.
            since.append(trainer.train_step(bool(stopping)))
            bar.update()
            last, stop = trainer.step == trainer.steps, trainer.stopped
            if trainer.step % log_every == 0 or last:
                line = _summary(trainer, since, trainer.seconds - began)
                since, began = [], trainer.seconds
                append_line(out / METRICS_FILE, to_json(line))
                rate = line["examples_per_second"]
                bar.set_postfix_str(f"loss {line['loss']:.3f}, exact {line['exact']:.0%}, {rate:.0f} examples/s", refresh=False)
                _require_finite(line["loss"], trainer.step)
            if trainer.step % save_every == 0 or last or stop:
                if since:  # else the line just logged has been checked
                    _require_finite(float(since[-1].loss), trainer.step)
                trainer.save(out, keep, stale)
                stale = []
    return trainer.step == trainer.steps


def _require_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise InputError(f"step {step}: the loss is not finite; start anew with lower rates (--overwrite replaces this run)")


def _summary(trainer: Trainer, since: list[Metrics], seconds: float) -> dict[str, float]:
    sums = [float(torch.stack([getattr(m, name).double() for m in since]).sum()) for name in Metrics._fields]
    loss, halted, accuracy, exact, steps = sums
    rows = max(1.0, halted)
    return {
        "step": trainer.step,
        "seconds": trainer.seconds,
        "loss": loss / len(since),
        "accuracy": accuracy / rows,
        "exact": exact / rows,
        "halting_steps": steps / rows,
        "learning_rate_factor": trainer.optimizers.schedule(trainer.step),
        "milliseconds_per_step": 1000 * seconds / len(since),
        "examples_per_second": len(since) * trainer.config.training.batch_size / max(seconds, 1e-9),
    }


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, so that a step in progress ends whole; a second one interrupts at once."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def drop_later_metrics(out: Path, step: int) -> float:
    """Forget logged lines beyond a checkpoint, so that a resumed run logs each step once.

    Args:
        out: folder of the run.
        step: last step to keep; 0 forgets all.

    Returns:
        Seconds of training up to there.  They are not in the checkpoint, so that equal runs have equal checkpoints.

    Raises:
        InputError: the file cannot be read or written.
    """
    path = out / METRICS_FILE
    kept = [line for line in read_lines(path) if isinstance(line, dict) and 0 < line.get("step", 0) <= step]
    write_atomic(path, b"".join(map(to_json, kept)))
    return float(kept[-1].get("seconds", 0)) if kept else 0.0


def make_parser(preset: str) -> Parser:
    """The command line.

    Args:
        preset: whose values the help shows as defaults.
    """
    table = "\n".join(f"{name:16}  {text}" for name, text in PRESET_HELP.items())
    parser = Parser(prog=PROGRAM, description="Train a recursive model on ARC tasks.", epilog=f"presets:\n{table}")
    chosen = f"settings to start from, see below (default: {DEFAULT_PRESET})"
    parser.add_argument("--preset", choices=tuple(PRESETS), metavar="NAME", help=chosen)
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out, with its settings")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    parser.add_argument("--save-every", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--keep", type=int, default=2, help="checkpoints kept")
    parser.add_argument("--log-every", type=int, default=10, help="steps between lines of metrics")
    parser.add_argument("--compile", action="store_true", help="fuse the step by torch.compile (a minute or two at first)")
    add_machine_flags(parser)
    add_settings(parser, PRESETS[preset])
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, build, loop.

    Args:
        arguments: the command line.
    """
    named = Parser(prog=PROGRAM, add_help=False)
    named.add_argument("--preset", default=DEFAULT_PRESET)
    preset = named.parse_known_args(arguments)[0].preset
    values = make_parser(preset if preset in PRESETS else DEFAULT_PRESET).parse(arguments)
    for name in ("save_every", "keep", "log_every"):
        if getattr(values, name) < 1:
            raise InputError(f"--{name.replace('_', '-')}: at least 1 is needed, got {getattr(values, name)}")
    out = values.out or Path("runs") / (values.preset or DEFAULT_PRESET)
    prepare_folder(out, values.resume, values.overwrite)
    with exclusive(out):
        remove_unfinished(out)
        checkpoint = load_checkpoint(out) if values.resume else None
        config = PRESETS[values.preset or DEFAULT_PRESET] if checkpoint is None or values.preset else checkpoint.config
        given = chosen_settings(values)
        if "data" in given:
            given.setdefault("leave_out", "")  # the preset's is about the preset's data
        precision = values.precision
        if checkpoint is not None and precision == "auto":
            precision = checkpoint.extra["precision"]  # another machine's own choice would not go on exactly
        device = find_device(values.device, precision)
        trainer, notes = build_trainer(config.override(given), values.data_folder, device, values.compile)
        if checkpoint is not None:
            trainer.load(checkpoint)
            notes.append(f"resumed at step {trainer.step} of {trainer.steps}")
        stale = [*list_checkpoints(out), *(out / name for name in RESULT_FILES)] if values.overwrite else []
        trainer.seconds = drop_later_metrics(out, trainer.step)
        print("\n".join(notes))
        intervals = {name: getattr(values, name) for name in ("save_every", "keep", "log_every")}
        complete = train(trainer, out, **intervals, stale=stale)
    print(f"{'trained' if complete else 'stopped as asked, saved; go on with --resume'}: {list_checkpoints(out)[-1]}")
    return 0


if __name__ == "__main__":
    run(main)
