"""Runs as commands and Python begin them: training by a preset, adaptation to unseen tasks."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from trm_arc.common.deadline import Deadline
from trm_arc.common.device import find_device
from trm_arc.common.distributed import ProcessGroup, find_process_group
from trm_arc.common.durations import parse_duration
from trm_arc.common.errors import InputError, did_you_mean
from trm_arc.common.modes import AUTO, BLOCK, NONE, STEP
from trm_arc.common.paths import optional_path
from trm_arc.common.text import printable
from trm_arc.config import RECIPES, Config, load_preset
from trm_arc.config import settings as list_settings
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.evaluation.monitor import make_watchers
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.training.adaptation import adaptation_config, require_arc
from trm_arc.training.build import Built, build_trainer, refuse_idle_settings
from trm_arc.training.machine import choose_options
from trm_arc.training.options import LoopConfig, Machine, RunConfig
from trm_arc.training.run import carry_out, load_resumed
from trm_arc.training.state import init_from, load_state

SettingValue = str | bool | int | float
SETTING_NAMES = tuple(setting.name for setting in list_settings())


def run_training(run: RunConfig, machine: Machine, preset: Config | None, given: Mapping[str, SettingValue]) -> None:
    """Train, or continue a run.

    Args:
        preset: the settings to start from; None: those of the run that is continued.

    Raises:
        InputError: settings, data or a folder that cannot be used.
    """
    run, processes = replace(run, loop=run.loop.fit_to(given)), _find_processes(machine)

    def build() -> Built:
        checkpoint, damaged = load_resumed(run, processes)
        config = checkpoint.config if preset is None else preset
        about_data = {"leave_out": ""} if "data" in given else {}  # the preset's is about the preset's data
        config = fit_to_data(config.override(about_data | given), given)
        refuse_idle_settings(given, config)
        device, options = choose_options(machine, checkpoint, run.loop.deadline.limit)
        trainer, evaluation, notes = build_trainer(config, machine.data_folder, device, processes, options)
        if checkpoint is not None:
            load_state(trainer, checkpoint)
            notes += [*damaged, f"resumed at step {trainer.step} of {trainer.steps}"]
        return trainer, evaluation, notes

    carry_out(run, processes, build, make_watchers)


def run_adaptation(
    run: RunConfig,
    machine: Machine,
    base: Path | None,
    challenges: str | None,
    given: Mapping[str, SettingValue],
    *,
    recipe: str = "own",
    start: Literal["mean", "zero"] = "mean",
    preset: str | None = None,
) -> None:
    """Adapt a trained model to unseen tasks, by their demonstrations, or continue an adaptation.

    Args:
        base: the checkpoint; None: none, from scratch, or an adaptation is continued.
        start: where the task embeddings begin: at the mean of the trained ones, or at 0.
        preset: settings to start from, without a checkpoint.

    Raises:
        InputError: it is not said what is adapted and to which tasks; settings, data or a folder that cannot be used.
    """
    require_arc([base] if base else (), preset, challenges)
    if not run.resume and not challenges:
        raise InputError("name the tasks to adapt to", flag="--challenges")
    if not run.resume and (base is None) == (preset is None):
        raise InputError("is for a trained model, --preset for training from scratch: give only one of them", flag="--checkpoint")
    run, processes = replace(run, loop=run.loop.fit_to(given, default=True)), _find_processes(machine)

    def build() -> Built:
        resumed, damaged = load_resumed(run, processes)
        trained = load_checkpoint(base) if base and resumed is None else None
        if resumed is not None:
            config = resumed.config
        else:
            source = load_preset(preset) if trained is None else trained.config
            config = adaptation_config(source, recipe, challenges, trained=trained is not None)
        device, options = choose_options(machine, resumed, run.loop.deadline.limit)
        config = config.override(given)
        refuse_idle_settings(given, config)
        trainer, tasks, notes = build_trainer(config, machine.data_folder, device, processes, options, fitting=True)
        if resumed is not None:
            load_state(trainer, resumed)
            notes += [*damaged, f"resumed at step {trainer.step}"]
        elif trained is not None:
            init_from(trainer, trained, from_zero=start == "zero")
            notes.append(f"adapting {trained.where}, step {trained.step}, by the recipe {recipe}")
        else:
            notes.append(f"from scratch, by the preset {preset} and the recipe {recipe}")
        return trainer, tasks, notes

    carry_out(run, processes, build, make_watchers)


def make_run(
    out: Path,
    time_limit: str | float | None,
    *,
    progress: bool,
    fit: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    evaluate_every: int = 0,
    evaluate_views: int | None = None,
) -> RunConfig:
    """What is to be done with a run, in words of Python; see `RunConfig`.

    Raises:
        InputError: a value is out of its range, or does nothing.
    """
    deadline = Deadline(None if time_limit is None else parse_duration(str(time_limit), "time_limit"))
    loop = LoopConfig(deadline=deadline, fit=fit, evaluate_every=evaluate_every, progress=progress)
    return RunConfig(out=out, resume=resume, overwrite=overwrite, evaluate_views=evaluate_views, loop=loop)


def make_machine(device: str, precision: str, compile_mode: str, data_folder: str | Path | None) -> Machine:
    """Where and how to compute, in words of Python.

    Raises:
        InputError: no such way to compile.
    """
    if compile_mode not in (AUTO, STEP, BLOCK, NONE):
        raise InputError(f"choose {AUTO}, {STEP}, {BLOCK} or {NONE}, got {printable(str(compile_mode), 40)}", flag="compile_mode")
    return Machine(device=device, precision=precision, compile=compile_mode, data_folder=optional_path(data_folder))


def require_settings(names: Collection[str]) -> None:
    """Raise InputError for a name that is not a setting; the nearest ones are named."""
    for name in names:
        if name not in SETTING_NAMES:
            raise InputError(f"{name} is not a setting{did_you_mean(name, SETTING_NAMES) or '; `trm_arc.settings()` lists them'}")


def require_recipe(recipe: str, *others: str) -> None:
    """Raise InputError unless there is such a recipe, or it is one of the other words that are taken."""
    if recipe not in (known := (*others, *RECIPES)):
        raise InputError(f"{printable(str(recipe), 40)} is no recipe; there are {', '.join(known)}")


def _find_processes(machine: Machine) -> ProcessGroup:
    return find_process_group(cpu=find_device(machine.device, machine.precision).device.type == "cpu")
