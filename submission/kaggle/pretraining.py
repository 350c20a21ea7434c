"""Pretraining in a Kaggle notebook: one run over several sessions."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from submission.bundle_options import DATA
from submission.kaggle.inputs import Inputs
from submission.programs import list_devices
from submission.run_log import say
from trm_arc.common.deadline import Deadline
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json
from trm_arc.common.folders import new_folder
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.model.checkpoint_files import EXPORT, list_checkpoints


@dataclass(frozen=True, kw_only=True)
class PretrainingOptions:
    """How to pretrain.

    Attributes:
        flags: of `trm_arc.train`, as they were given.
        out: folder of the run.
        device: to train on.
        find_run: whether to continue the run of an earlier session.
        find_data: whether to look for task sets in the bundles.
    """

    flags: tuple[str, ...]
    out: Path
    device: str = "auto"
    find_run: bool = True
    find_data: bool = True


def pretrain(options: PretrainingOptions, deadline: Deadline, inputs: Inputs) -> int:
    """Train until the deadline on all devices: continue the run of an earlier session where its output is attached, or begin one.

    Training is another program, so the time that it has becomes text on its command line.
    """
    flags = [*options.flags, "--out", str(options.out)]
    if options.find_run and bring_run(options.out, inputs):
        flags.append("--resume")
    bundles = [bundle for bundle in inputs.find_bundles() if (bundle.folder / DATA).is_dir()]
    if bundles and options.find_data and not os.environ.get(DATA_VARIABLE):
        folder = max(bundles, key=lambda bundle: bundle.manifest.made).folder / DATA
        flags += ["--data-folder", str(folder)]
        print(f"data: {folder}" + (f", of the newest of {len(bundles)} bundles" if len(bundles) > 1 else ""))
    program = training_program(list_devices(options.device, min(120.0, deadline.left / 4), warn=say))
    return _show_run([sys.executable, *program, *flags, "--time-limit", f"{max(1.0, deadline.left):.0f}s"])


def training_program(devices: list[str]) -> list[str]:
    """What Python runs to train on these devices: the program itself on one, under accelerate on several."""
    if len(devices) == 1:
        return ["-m", "trm_arc.train"]
    # every option that accelerate would ask for, or warn about
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(len(devices)), "--num_machines", "1"]
    return [*launch, "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "trm_arc.train"]


def _show_run(command: list[str]) -> int:
    """Run a program and show its output; its exit code.  Through a pipe: on a notebook's terminal, its progress bar would fill
    the notebook with a line every half second."""
    sys.stdout.flush()
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while True:
        try:
            for part in iter(program.stdout.read1, b""):
                sys.stdout.buffer.write(part)
                sys.stdout.flush()
            return program.wait()
        except KeyboardInterrupt:
            continue  # training gets it, too, and saves before it ends


def bring_run(out: Path, inputs: Inputs) -> bool:
    """Copy the attached run with the most steps into `out`, unless a run is there already; whether there is a run to continue."""
    if list_checkpoints(out) or (out / EXPORT).is_file():
        print(f"continuing {out}")
        return True
    runs = _find_runs(inputs)
    if not runs:
        print(f"no earlier run is attached: beginning {out}")
        return False
    step, run = max(runs)
    newest = [path.name for path in list_checkpoints(run)][-2:]  # if the last is damaged, the run goes on from the one before
    print(f"continuing {run}, step {step}, copied to {out}")

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(("checkpoint-", ".")) and name not in newest and Path(folder) == run]

    try:
        with new_folder(out.absolute()) as part:  # a partial copy must not be continued
            shutil.copytree(run, part, ignore=left_out, copy_function=shutil.copyfile, dirs_exist_ok=True)
            if out.exists():
                out.rmdir()  # which refuses a folder that holds something
    except (OSError, shutil.Error) as error:
        problem = f"cannot be copied to {out} ({error}); free space, or name another --out"
        raise InputError(problem, file=run) from None
    return True


def _find_runs(inputs: Inputs) -> list[tuple[int, Path]]:
    """Every attached run that can be continued, with its last step.  A bundle's slim checkpoint cannot."""
    slim = {path for bundle in inputs.find_bundles() for path in bundle.slim}
    there = [path.parent for path in inputs.find_files("checkpoint.json")]
    runs = [(int(path.name[-8:]), path.parent) for path in there if path in list_checkpoints(path.parent) and path not in slim]
    for index in inputs.find_files(EXPORT.name):
        try:
            runs.append((int(read_json(index)["checkpoint"]["step"]), index.parents[1]))
        except (InputError, KeyError, TypeError):
            continue
    return runs
