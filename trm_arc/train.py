"""Train a recursive model: python -m trm_arc.train --preset arc1"""

import math
import time
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trm_arc.cli import Parser, add_machine_flags, add_settings, chosen_settings, run
from trm_arc.common.device import Device, find_device
from trm_arc.common.distributed import Processes, find_processes
from trm_arc.common.durations import parse_duration, parse_size, seconds_before
from trm_arc.common.errors import InputError, require_least, shorten
from trm_arc.common.files import RESULT_FILES, exclusive, read_lines, to_json, write_atomic
from trm_arc.config import PRESET_HELP, PRESETS, Config, ModelConfig, TrainingConfig
from trm_arc.data.leakage import check_leakage
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.puzzle_sources import domain_of_data, fit_to_data
from trm_arc.data.task import TaskSet
from trm_arc.evaluation.monitor import make_evaluation, make_tracker
from trm_arc.model.checkpoint import USUAL, Checkpoint, checkpoint_name, list_checkpoints, prepare_folder, remove_unfinished
from trm_arc.model.compiling import BLOCK, NONE, STEP, chosen
from trm_arc.model.export import FOLDER, check_piece_size, export_pieces, load_newest
from trm_arc.model.flops import measure_peak
from trm_arc.training.forecast import describe_plan
from trm_arc.training.loop import BEST, METRICS_FILE, OLD_METRICS, Evaluation, Rhythm, Tracker, train
from trm_arc.training.trainer import Options, Trainer

PROGRAM, DEFAULT_PRESET = "python -m trm_arc.train", "arc1"
EVALUATE_VIEWS = 16


def load_training_tasks(config: TrainingConfig, folder: Path | None) -> tuple[AnySet, AnySet, list[str]]:
    """The tasks of a run: those trained on with all outputs, those to answer, and a sentence on each change.

    Args:
        config: names of the sets, which tasks to keep, what to do about leaks.
        folder: where to look for named sets first.

    Raises:
        InputError: a set that cannot be loaded, or a leak.
    """
    evaluation = load_evaluation(config, folder)
    training, notes = evaluation.domain.load_training(config, folder)
    notes += [evaluation.note] if evaluation.note else []
    training, dropped = check_leakage(training, evaluation, drop=config.drop_leaks)
    if dropped:
        notes.append(evaluation.domain.describe_dropped(dropped))
    return training, evaluation, notes


def load_evaluation(config: TrainingConfig, folder: Path | None, solutions: Path | None = None) -> AnySet:
    """The tasks or puzzles that a run is to answer.

    Args:
        config: their names, and which to keep.
        folder: where to look for named sets first.
        solutions: of ARC tasks, if they do not lie beside them.

    Raises:
        InputError: a set that cannot be loaded.
    """
    return domain_of_data(config.evaluation_data, folder).load_evaluation(config, folder, solutions)


def total_steps(config: TrainingConfig, pairs: int) -> int:
    """Optimizer steps of a run: as set, or as many as the epochs take at `pairs` examples an epoch.

    Args:
        config: steps, epochs and batch size.
        pairs: examples in an epoch.
    """
    return config.steps or max(1, config.epochs * pairs // config.batch_size)


def build_trainer(
    config: Config,
    folder: Path | None,
    device: Device,
    processes: Processes | None = None,
    options: Options | None = None,
    *,
    fitting: bool = False,
) -> tuple[Trainer, AnySet, list[str]]:
    """Load the data and set up a run.

    Args:
        config: the settings.
        folder: where to look for named sets first.
        device: where to compute.
        processes: this one and its like.
        options: how to compute.
        fitting: make do with what there is, where otherwise it is refused: leave out tasks to answer that are too large for
            the model's board, and lower a batch size that is larger than the data.

    Returns:
        The trainer, the tasks to answer with their solutions if known, and sentences on what a user should know of the data.

    Raises:
        InputError: see `load_training_tasks`.
    """
    training, evaluation, notes = load_training_tasks(config.training, folder)
    evaluation = _drop_large(evaluation, config.model, notes) if fitting else evaluation
    examples, left_out = evaluation.domain.prepare(training, evaluation, config)
    if config.training.batch_size > examples.distinct:
        if not fitting:
            raise InputError(
                f"{config.training.batch_size} rows are more than the {examples.distinct} examples of this run, its "
                "pairs under their transforms; lower it, or use more --augmentations",
                flag="batch_size",
            )
        sharers = processes.count if processes else 1
        config = config.override({"batch_size": max(1, examples.distinct // sharers) * sharers})
        notes.append(f"a batch of {config.training.batch_size} rows, as there are {examples.distinct} examples")
    steps = total_steps(config.training, len(examples.pairs))
    trainer = Trainer(config, examples, device, steps, processes, options)
    if left_out:
        notes.append(f"left out {len(left_out)} training tasks that do not fit the window")
    notes += [
        evaluation.domain.describe_training(training, evaluation, examples),
        repr(trainer.reasoner),
        f"device: {device.reason}" + (f", {trainer.processes.count} processes" if trainer.processes.count > 1 else ""),
    ]
    return trainer, evaluation, notes


def _drop_large(evaluation: TaskSet, model: ModelConfig, notes: list[str]) -> TaskSet:
    """The tasks that fit the model's board, if any do."""
    board = min(model.board_rows, model.board_columns)
    large = [task.id for task in evaluation if task.side > board]
    if not 0 < len(large) < len(evaluation):
        return evaluation
    notes.append(f"left out {len(large)} tasks that do not fit the model's board of {board} x {board}: {shorten(large)}")
    return evaluation.without(large)


def set_metrics_aside(out: Path, overwrite: bool) -> None:
    """Keep the lines of a run that is to be replaced until the first checkpoint of the new one is whole, or take them back.

    Args:
        out: folder of the run.
        overwrite: whether its run is to be replaced; if not, an earlier attempt at that may have ended before it had saved.

    Raises:
        InputError: the files cannot be moved.
    """
    now, old = out / METRICS_FILE, out / OLD_METRICS
    try:
        if overwrite and now.exists() and not old.exists():
            now.replace(old)
        elif overwrite:
            now.unlink(missing_ok=True)
        elif old.exists():
            old.replace(now)
    except OSError as error:
        raise InputError(f"cannot be written ({error})", file=out) from None


def drop_later_metrics(out: Path, step: int) -> list[dict[str, float]]:
    """Forget logged lines beyond a checkpoint, so that a resumed run logs each step once.

    Args:
        out: folder of the run.
        step: last step to keep; 0 forgets all.

    Returns:
        The lines up to there.  The time that training took is in them and not in the checkpoint, so that equal runs have equal
        checkpoints.

    Raises:
        InputError: the file cannot be read or written.
    """
    path = out / METRICS_FILE
    kept = [line for line in read_lines(path) if isinstance(line, dict) and 0 < line.get("step", 0) <= step]
    data = b"".join(map(to_json, kept))
    if data != (path.read_bytes() if path.exists() else b""):  # a full disk must not keep a run from going on
        write_atomic(path, data)
    return kept


def best_so_far(out: Path, lines: Sequence[Mapping[str, float]], measure: str) -> float:
    """The best score of a run, whose checkpoint is kept; minus infinity if there is none.

    Args:
        out: folder of the run.
        lines: its metrics.
        measure: the score that counts.
    """
    scores = [line[measure] for line in lines if measure in line]
    return max(scores, default=-math.inf) if list_checkpoints(out / BEST) else -math.inf


def owes_scores(trainer: Trainer, every: int, lines: Sequence[Mapping[str, float]], measure: str) -> bool:
    """Whether the step that a run goes on from was to be evaluated, and there was no time for it.

    Args:
        trainer: resumed.
        every: steps between evaluations.
        lines: the run's metrics.
        measure: the score that counts.
    """
    due = trainer.step > 0 and (trainer.step % every == 0 or trainer.step == trainer.steps)
    return due and not any(measure in line for line in lines if line["step"] == trainer.step)


def list_choices(choices: Mapping[str, str]) -> str:
    """Names and what they are, a line each, for the end of a help text."""
    return "\n".join(f"{name:16}  {text}" for name, text in choices.items())


def make_parser(preset: str) -> Parser:
    """The command line.

    Args:
        preset: whose values the help shows as defaults.
    """
    epilog = f"presets:\n{list_choices(PRESET_HELP)}"
    parser = Parser(prog=PROGRAM, description="Train a recursive model on ARC tasks, Sudoku or mazes.", epilog=epilog)
    chosen = f"settings to start from, see below (default: {DEFAULT_PRESET})"
    parser.add_argument("--preset", choices=tuple(PRESETS), metavar="NAME", help=chosen)
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/PRESET)")
    add_run_flags(parser)
    add_machine_flags(parser)
    add_settings(parser, PRESETS[preset])
    return parser


def add_run_flags(parser: Parser) -> None:
    """Flags of whatever trains: how it goes on, stops, saves and computes.

    Args:
        parser: where to add.
    """
    usual = Rhythm()
    flag = parser.add_argument
    flag("--resume", action="store_true", help="go on from the newest checkpoint in --out, with its settings")
    flag("--overwrite", action="store_true", help="replace the run in --out")
    flag("--dry-run", action="store_true", help="print what the run would do and cost, and stop")
    flag("--time-limit", metavar="TIME", help="save and stop after so long, as 11h30m, 45m or 90s")
    flag("--fit", action="store_true", help="make the run, and its schedule, as long as the time limit allows")
    saving = "steps or time between checkpoints, as 1000 or 10m"
    flag("--save-every", default=str(usual.save_every), metavar="WHEN", help=saving)
    flag("--keep", type=int, default=usual.keep, metavar="N", help="checkpoints kept")
    flag("--log-every", type=int, default=usual.log_every, metavar="STEPS", help="steps between lines of metrics")
    flag("--evaluate-every", type=int, default=0, metavar="STEPS", help="score the averaged weights, keep the best (0: never)")
    views = f"views of a test input in those evaluations (default: {EVALUATE_VIEWS} of ARC, 1 of puzzles)"
    flag("--evaluate-views", type=int, metavar="N", help=views)
    flag("--pool-votes", action="store_true", help="score the votes of all evaluations since the program began together, too")
    flag("--tensorboard", action="store_true", help="write the metrics for TensorBoard, too (needs tensorboard)")
    flag("--accumulation-steps", type=int, metavar="N", help="pieces in which a batch is gone through (default: 1)")
    skips = "stop after so many steps in a row without a finite loss"
    flag("--max-skips", type=int, default=Options().skips, metavar="N", help=skips)
    flag("--embeddings", choices=("device", "cpu"), default="device", help="where the task embeddings lie")
    flag("--half-embeddings", action=BooleanOptionalAction, help="keep the task embeddings in bfloat16")
    flag("--export-size", metavar="SIZE", help="at the end, write the run in pieces under a size, as 15MiB")
    what = {"nargs": "?", "const": STEP, "choices": (STEP, BLOCK, NONE), "metavar": f"{STEP}|{BLOCK}|{NONE}"}
    fuse = f"fuse each {BLOCK} by torch.compile (seconds at first), or the whole {STEP} (minutes; if nothing is named)"
    flag("--compile", **what, help=fuse)


def refuse_idle_flags(given: Mapping[str, Any], training: TrainingConfig) -> None:
    """Refuse settings that were asked for and would do nothing beside the others.

    Args:
        given: the settings that were flags.
        training: of the run.

    Raises:
        InputError: one of them does nothing.
    """
    idle = {
        "matrix_learning_rate": (training.matrix_optimizer == "same", "--matrix-optimizer muon or normuon"),
        "matrix_weight_decay": (training.matrix_optimizer == "same", "--matrix-optimizer muon or normuon"),
        "halt_exploration": (training.halting == "never" or training.halt_steps == 1, "rows that may stop early"),
        "lanes": (training.window != "lanes", "--window lanes"),
        "epochs": (training.steps > 0, "--steps 0"),
    }
    for name, (does_nothing, needs) in idle.items():
        if name in given and does_nothing:
            raise InputError(f"does nothing without {needs}", flag=f"--{name.replace('_', '-')}")


def set_up(values: Namespace, processes: Processes) -> tuple[Trainer, AnySet, list[str]]:
    """The run that a command line describes, resumed if it says so.

    Args:
        values: the command line.
        processes: this one and its like.

    Returns:
        As `build_trainer`.

    Raises:
        InputError: settings that do not go together, or data or a checkpoint that cannot be read.
    """
    checkpoint = load_newest(values.out) if values.resume else None
    config = PRESETS[values.preset or DEFAULT_PRESET] if checkpoint is None or values.preset else checkpoint.config
    given = chosen_settings(values)
    about_data = {"leave_out": ""} if "data" in given else {}  # the preset's is about the preset's data
    config = fit_to_data(config.override(about_data | given), given, values.data_folder)
    refuse_idle_flags(given, config.training)
    device, options = choose_options(values, checkpoint)
    trainer, evaluation, notes = build_trainer(config, values.data_folder, device, processes, options)
    if checkpoint is not None:
        trainer.load(checkpoint)
        notes.append(f"resumed at step {trainer.step} of {trainer.steps}")
    return trainer, evaluation, notes


def choose_options(values: Namespace, checkpoint: Checkpoint | None) -> tuple[Device, Options]:
    """Where and how a run computes.

    Args:
        values: the command line.
        checkpoint: which the run goes on from, as it computed.

    Raises:
        InputError: a device or precision that is not to be had.
    """
    precision, why, before = values.precision, "asked for", USUAL
    if checkpoint is not None:  # each of these rounds otherwise, so a run that changes it does not go on exactly
        before = checkpoint.extra
        if precision == "auto":
            precision, why = before["precision"], "as before"  # whatever this machine would choose
    options = Options(
        chosen(values.compile, before["fused"]),
        before["accumulation"] if values.accumulation_steps is None else values.accumulation_steps,
        values.embeddings == "cpu",
        before["half_embeddings"] if values.half_embeddings is None else values.half_embeddings,
        values.max_skips,
    )
    return find_device(values.device, precision, why), options


def parse(arguments: Sequence[str]) -> Namespace:
    """The command line, checked.

    Args:
        arguments: without the program's name.

    Raises:
        InputError: a flag or value that is not known, out of its range, or without effect.
    """
    named = Parser(prog=PROGRAM, add_help=False)
    named.add_argument("--preset", default=DEFAULT_PRESET)
    preset = named.parse_known_args(arguments)[0].preset
    values = make_parser(preset if preset in PRESETS else DEFAULT_PRESET).parse(arguments)
    check_run_flags(values)
    return values


def check_run_flags(values: Namespace) -> None:
    """Check the values of `add_run_flags`, and put numbers for texts.

    Args:
        values: the command line; changed.

    Raises:
        InputError: one is out of its range, or does nothing.
    """
    counts = ("keep", "log_every", "accumulation_steps", "max_skips", "evaluate_views")
    for name, least in (*((name, 1) for name in counts), ("evaluate_every", 0)):
        require_least(name, getattr(values, name), least)
    for name in ("pool_votes", "evaluate_views"):
        if getattr(values, name) and not values.evaluate_every:
            raise InputError("does nothing without --evaluate-every", flag=f"--{name.replace('_', '-')}")
    if values.fit and not values.time_limit:
        raise InputError("does nothing without --time-limit", flag="--fit")
    if values.fit and {"steps", "epochs"} & chosen_settings(values).keys():
        raise InputError("lets the time limit say how many steps there are; leave --steps and --epochs out", flag="--fit")
    values.time_limit = parse_duration(values.time_limit) - seconds_before() if values.time_limit else None
    values.export_size = parse_size(values.export_size) if values.export_size else 0
    if values.export_size:
        check_piece_size(values.export_size)
    by_steps = values.save_every.isdecimal()
    values.save_seconds = None if by_steps else parse_duration(values.save_every)
    values.save_every = int(values.save_every) if by_steps else 1
    require_least("save_every", values.save_every)


def main(arguments: Sequence[str]) -> int:
    """Parse, build, loop.

    Args:
        arguments: the command line.
    """
    values = parse(arguments)
    values.out = values.out or Path("runs") / (values.preset or DEFAULT_PRESET)
    return carry_out(values, set_up)


def make_watchers(values: Namespace, trainer: Trainer, evaluation: AnySet) -> tuple[Evaluation | None, Tracker | None]:
    """What scores the run and what tracks it, if the command line asks for them.

    Args:
        values: the command line.
        trainer: the run.
        evaluation: the tasks to score it on.

    Raises:
        InputError: no solutions are known, or TensorBoard is not installed.
    """
    evaluate = track = None
    if values.evaluate_every:
        views = values.evaluate_views or min(EVALUATE_VIEWS, evaluation.domain.default_views)
        evaluate = make_evaluation(trainer, evaluation, views, values.pool_votes)
    if values.tensorboard and trainer.processes.is_main:
        track = make_tracker(values.out)
    return evaluate, track


Builder = Callable[[Namespace, Processes], tuple[Trainer, AnySet, list[str]]]


def carry_out(values: Namespace, build: Builder) -> int:
    """Do what a command line with the flags of `add_run_flags` asks for: train, and save, in the folder `out`.

    Args:
        values: the command line.
        build: sets the run up, as `set_up`.
    """
    out, began = values.out, time.monotonic()
    processes = find_processes(find_device(values.device, values.precision).device.type == "cpu")
    if values.dry_run:
        trainer, _, notes = build(values, processes)
        if processes.is_main:
            print("\n".join([*notes, describe_plan(trainer, measure_peak(trainer.device) * processes.count)]))
        return 0
    if processes.is_main:
        prepare_folder(out, values.resume, values.overwrite)
    with exclusive(out) if processes.is_main else nullcontext():
        trainer, evaluation, notes = build(values, processes)
        evaluate, track = make_watchers(values, trainer, evaluation)  # before anything of an old run is touched
        best, owed = -math.inf, False  # the main process knows
        if processes.is_main:
            remove_unfinished(out)
            set_metrics_aside(out, values.overwrite)
            kept = drop_later_metrics(out, trainer.step)
            trainer.seconds = float(kept[-1].get("seconds", 0)) if kept else 0.0
            best = best_so_far(out, kept, evaluation.domain.measure)
            owed = evaluate is not None and owes_scores(trainer, values.evaluate_every, kept, evaluation.domain.measure)
            print("\n".join(notes))
        old = (*RESULT_FILES, FOLDER, BEST)
        stale = [out / OLD_METRICS, *list_checkpoints(out), *(out / name for name in old)] if values.overwrite else []
        rhythm = Rhythm(**{name: getattr(values, name) for name in Rhythm._fields})
        peak = measure_peak(trainer.device) * processes.count
        done_before = trainer.step == trainer.steps
        if rhythm.time_limit is not None:  # the time of the program, not of its loop alone
            rhythm = rhythm._replace(time_limit=rhythm.time_limit - (time.monotonic() - began))
        owed = processes.main_says(owed, trainer.device.device)
        complete = train(trainer, out, rhythm, peak=peak, stale=stale, best=best, owed=owed, evaluate=evaluate, track=track)
        there = (out / checkpoint_name(trainer.step)).is_dir()
        if done_before and not processes.main_says(there, trainer.device.device):  # resumed from pieces
            trainer.save(out, values.keep)
        exported = trainer.whole() if values.export_size else None
        if exported and processes.is_main:
            pieces = export_pieces(exported, out, values.export_size)
            print(f"exported {len(pieces)} pieces, {sum(piece.stat().st_size for piece in pieces) / 1e6:,.1f} MB: {out / FOLDER}")
    if processes.is_main:
        why = "trained" if complete else "stopped as asked, saved; go on with --resume"
        print(f"{why}: {list_checkpoints(out)[-1]}")
    return 0


if __name__ == "__main__":
    run(main)
