"""Carry out a run in its folder: check the folder, build, train, save, export."""

import math
from collections.abc import Callable
from contextlib import nullcontext

from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.files import exclusive
from trm_arc.common.streams import require_printed
from trm_arc.config import SETTINGS_FILE, write_preset
from trm_arc.model.checkpoint import Checkpoint, remove_unfinished
from trm_arc.model.checkpoint_files import checkpoint_name, list_checkpoints
from trm_arc.model.export import FOLDER, export_pieces, load_whole
from trm_arc.model.flops import measure_peak
from trm_arc.training.build import Built
from trm_arc.training.cost import Rates
from trm_arc.training.loop import Evaluation, Tracker, train
from trm_arc.training.memory import describe_rows
from trm_arc.training.options import RunConfig
from trm_arc.training.run_folder import (
    best_so_far,
    drop_later_metrics,
    list_stale,
    owes_scores,
    prepare_folder,
    set_damaged_aside,
    set_metrics_aside,
)
from trm_arc.training.state import full_state, save_state
from trm_arc.training.time_budget import describe_plan

Watchers = tuple[Evaluation | None, Tracker | None]


def load_resumed(config: RunConfig, processes: ProcessGroup) -> tuple[Checkpoint | None, list[str]]:
    """What the run continues from, None if it begins, and sentences about damaged checkpoints, which are renamed.

    Raises:
        InputError: there is nothing to continue from, or nothing whole.
    """
    if not config.resume:
        return None, []
    checkpoint, notes = load_whole(config.out)
    if notes and processes.is_main and not config.dry_run:
        notes += [f"kept as {path}" for path in set_damaged_aside(config.out, checkpoint)]
    return checkpoint, notes


def carry_out(
    config: RunConfig,
    processes: ProcessGroup,
    build: Callable[[], Built],
    make_watchers: Callable[[RunConfig, Built], Watchers] | None = None,
) -> None:
    """Train, save and export, as `config` says; print what a user should know.

    Args:
        build: makes the run, resumed if it is to be; called when the folder is known to be this run's alone.
        make_watchers: makes what scores the run, and what receives its metrics.

    Raises:
        InputError: the folder holds another run, or cannot be written; or from `build`, `make_watchers` or a step.
    """
    if config.dry_run:
        trainer, _, notes = build()
        if processes.is_main:
            rates = Rates.measured(trainer.device, measure_peak(trainer.device), processes.count)
            print("\n".join([*notes, describe_plan(trainer, rates)]))
            require_printed()
        return
    if processes.is_main:
        prepare_folder(config.out, resume=config.resume, overwrite=config.overwrite, export=config.export_size > 0)
    with exclusive(config.out) if processes.is_main else nullcontext():
        complete = _train_in_folder(config, processes, build(), make_watchers)
    if processes.is_main:
        why = "trained" if complete else "stopped as requested, saved; continue with --resume"
        config.print(f"{why}: {list_checkpoints(config.out)[-1]}")


def _train_in_folder(
    config: RunConfig,
    processes: ProcessGroup,
    built: Built,
    make_watchers: Callable[[RunConfig, Built], Watchers] | None,
) -> bool:
    """All that is done while no other run may write; whether the run is complete."""
    (trainer, _, notes), out = built, config.out
    evaluate, track = make_watchers(config, built) if make_watchers else (None, None)  # before anything of an old run is touched
    best, owed = -math.inf, False  # the main process knows
    if processes.is_main:
        best, owed = _restore_history(config, built, scored=evaluate is not None)
        write_preset(out / SETTINGS_FILE, trainer.config, f"the settings of the run {out.name}")
        rows = describe_rows(trainer.examples.windows, trainer.pieces, trainer.whole)
        config.print(*notes, *filter(None, [rows]))
    peak = measure_peak(trainer.device) * processes.count
    stale = list_stale(out) if config.overwrite else []
    done_before = trainer.step == trainer.steps
    owed = processes.broadcast_flag(owed, trainer.device.device)
    complete = train(trainer, out, config.loop, peak=peak, stale=stale, best=best, owed=owed, evaluate=evaluate, track=track)
    saved = (out / checkpoint_name(trainer.step)).is_dir()
    if done_before and not processes.broadcast_flag(saved, trainer.device.device):  # resumed from pieces
        save_state(trainer, out, config.loop.keep)
    exported = full_state(trainer, with_active=False) if config.export_size else None
    if exported and processes.is_main:
        pieces = export_pieces(exported, out, config.export_size)
        size = sum(piece.stat().st_size for piece in pieces) / 1e6
        config.print(f"exported {len(pieces)} pieces, {size:,.1f} MB: {out / FOLDER}")
    return complete


def _restore_history(config: RunConfig, built: Built, *, scored: bool) -> tuple[float, bool]:
    """Reset metrics and time spent to the step that the run continues from; its best score, and whether a score is missing."""
    (trainer, evaluation, _), out = built, config.out
    remove_unfinished(out)
    set_metrics_aside(out, overwrite=config.overwrite)
    kept, measure = drop_later_metrics(out, trainer.step), evaluation.domain.measure
    trainer.seconds = float(kept[-1].get("seconds", 0)) if kept else 0.0
    owed = scored and owes_scores(trainer.step, trainer.steps, config.loop.evaluate_every, kept, measure)
    return best_so_far(out, kept, measure), owed
