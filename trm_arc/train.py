"""Train a recursive model: python -m trm_arc.train --preset arc1"""

from collections.abc import Sequence
from functools import partial

from trm_arc.cli import DEFAULT_PRESET, choose_options, chosen_settings, parse_train_flags, read_run_flags, train_folder
from trm_arc.common.deadline import program_start
from trm_arc.common.device import find_device
from trm_arc.common.distributed import find_process_group
from trm_arc.common.program import run
from trm_arc.config import load_preset
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.evaluation.monitor import make_watchers
from trm_arc.training.build import Built, build_trainer, refuse_idle_settings
from trm_arc.training.run import carry_out, load_resumed
from trm_arc.training.state import load_state


def main(arguments: Sequence[str], started: float | None = None) -> int:
    """Parse, build, run.

    Args:
        started: when the time limit begins, by `time.monotonic`; now if None.
    """
    values = parse_train_flags(arguments)
    given = chosen_settings(values)
    settings = read_run_flags(values, train_folder(values), started)
    processes = find_process_group(cpu=find_device(values.device, values.precision).device.type == "cpu")

    def build() -> Built:
        checkpoint, damaged = load_resumed(settings, processes)
        config = load_preset(values.preset or DEFAULT_PRESET) if checkpoint is None or values.preset else checkpoint.config
        about_data = {"leave_out": ""} if "data" in given else {}  # the preset's is about the preset's data
        config = fit_to_data(config.override(about_data | given), given)
        refuse_idle_settings(given, config)
        device, options = choose_options(values, checkpoint)
        trainer, evaluation, notes = build_trainer(config, values.data_folder, device, processes, options)
        if checkpoint is not None:
            load_state(trainer, checkpoint)
            notes += [*damaged, f"resumed at step {trainer.step} of {trainer.steps}"]
        return trainer, evaluation, notes

    carry_out(settings, processes, build, make_watchers)
    return 0


if __name__ == "__main__":
    run(partial(main, started=program_start()))
