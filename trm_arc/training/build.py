"""Build a run: load its data, choose its length, make its trainer."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from trm_arc.common.device import Device
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.modes import AUTO
from trm_arc.config import Config, ModelConfig, TrainingConfig
from trm_arc.data.loading import load_training_tasks
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.task import TaskSet
from trm_arc.model.compiling import choose_compile_mode
from trm_arc.model.flops import count_training
from trm_arc.training.options import Options
from trm_arc.training.trainer import Trainer

# Settings of the matrix optimizer, and those of NorMuon alone.
_MATRIX = (
    *("matrix_learning_rate", "matrix_weight_decay", "attention_weight_decay"),
    *("matrix_momentum", "newton_schulz_steps", "matrix_parts"),
)
_NORMUON = ("normuon_nesterov", "matrix_scale")


def total_steps(config: TrainingConfig, pairs: int) -> int:
    """Optimizer steps of a run: as set, or as many as the epochs take at `pairs` examples an epoch."""
    return config.steps or max(1, config.epochs * pairs // config.batch_size)


Built = tuple[Trainer, AnySet, list[str]]


def build_trainer(
    config: Config,
    folder: Path | None,
    device: Device,
    processes: ProcessGroup | None = None,
    options: Options | None = None,
    *,
    fitting: bool = False,
) -> Built:
    """Load the data and set up a run.

    Args:
        fitting: leave out tasks to answer that are too large for the model's board, and lower a batch size that is larger than
            the data, where otherwise both are refused.

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
                f"a batch of {config.training.batch_size} samples is more than the {examples.distinct} examples of this run, its "
                "pairs under their transforms; lower it, or use more --augmentations",
                flag="batch_size",
            )
        sharers = processes.count if processes else 1
        config = config.override({"batch_size": max(1, examples.distinct // sharers) * sharers})
        notes.append(f"batch size lowered to {config.training.batch_size}, as there are only {examples.distinct} examples")
    steps = total_steps(config.training, len(examples.pairs))
    if options and options.compile_mode == AUTO:
        share = np.mean([count_training(config.model, config.training, bucket.window.cells) for bucket in examples.buckets])
        work = share * config.training.batch_size * steps / len(examples.buckets)
        choice = choose_compile_mode(AUTO, device.device, operations=work)
        device, options = choice.annotate(device), options._replace(compile_mode=choice.mode, falls_back=choice.falls_back)
    trainer = Trainer(config, examples, device, steps, processes, options)
    if left_out:
        notes.append(f"left out {len(left_out)} training tasks that do not fit the canvas")
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


def refuse_idle_settings(given: Collection[str], config: Config) -> None:
    """Raise InputError for a setting that was given and does nothing beside the others."""
    model, training = config.model, config.training
    matrices, one_latent, no_attention = training.matrix_optimizer, model.latents == 1, model.mixer != "attention"
    idle = [
        *((name, matrices == "same", "--matrix-optimizer muon or normuon") for name in _MATRIX),
        *((name, matrices != "normuon", "--matrix-optimizer normuon") for name in _NORMUON),
        ("attention_weight_decay", no_attention, "--mixer attention"),
        ("matrix_parts", no_attention and training.matrix_parts == "heads", "--mixer attention"),
        ("halt_exploration", training.halting == "never" or training.halt_steps == 1, "samples that may stop early"),
        ("stagger", training.stagger and training.halt_steps == 1, "--halt-steps 2 or more"),
        ("bucket_sides", training.canvas != "buckets", "--canvas buckets"),
        ("bucket_exponent", training.canvas != "buckets", "--canvas buckets"),
        ("epochs", training.steps > 0, "--steps 0"),
        ("decay_shape", training.decay_share == 0, "--decay-share above 0"),
        ("carry_best", model.carry_best and one_latent, "--latents 2 or more"),
        ("shared_start", model.shared_start and one_latent and not model.random_start, "--latents 2 or more, or --random-start"),
    ]
    for name, does_nothing, needs in idle:
        if name in given and does_nothing:
            raise InputError(f"does nothing without {needs}", flag=f"--{name.replace('_', '-')}")
