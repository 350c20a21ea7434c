"""The kit in a Kaggle notebook: what is attached is found wherever it lies; the scored run, its rehearsal, training in sessions.

Kaggle lays inputs out in several ways (`competitions/SLUG/`, `SLUG/`, `datasets/USER/SLUG/`, ...), so files are searched for by
name, and bundles by their manifests.
"""

import argparse
import html
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submission.bundle import DATA, MANIFEST, find_damage, read_manifest
from submission.journal import Clock, find_limit, say
from submission.page import make_page, show_page
from submission.programs import list_devices
from submission.reading import read_challenges, tasks_to_json
from trm_arc.adapt import require_arc
from trm_arc.common.durations import seconds_before, show_duration
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.data import sources
from trm_arc.data.task import TaskSet
from trm_arc.evaluation.score import ranks, score_table
from trm_arc.evaluation.trained_on import refuse_trained
from trm_arc.inference.attempts import read_attempts
from trm_arc.model.checkpoint import EXPORT, list_checkpoints
from trm_arc.model.export import load_newest
from trm_arc.train import DEFAULT_PRESET

TEST, EVALUATION = "arc-agi_test_challenges.json", "arc-agi_evaluation_challenges.json"
USUAL_FILE = Path("submission.json")
RERUN = "KAGGLE_IS_COMPETITION_RERUN"  # set in the scored run alone
LIMIT, REHEARSAL = "11h30m", "10m"
DEEPEST = 6  # folders below Kaggle's inputs; what we look for lies higher, and other data sets may be large
PAIR = (1, 2)
Predict = Callable[[argparse.Namespace], int]


# --- what is attached


def find_files(name: str) -> list[Path]:
    """Every file of a name below Kaggle's inputs, however they are laid out; one that lies there twice, by links, once."""
    root, found, seen = sources.KAGGLE_INPUT, [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders.sort()
        real = os.path.realpath(folder)
        if real in seen or len(Path(folder).relative_to(root).parts) >= DEEPEST:
            folders.clear()
        if name in files and real not in seen:
            found.append(Path(folder) / name)
        seen.add(real)
    return found


@dataclass(frozen=True)
class Bundle:
    """A bundle that is attached.

    Attributes:
        folder: where.
        manifest: what it says of itself.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def checkpoints(self) -> list[Path]:
        """Its checkpoints."""
        return [self.folder / entry["path"] for entry in self.manifest["checkpoints"]]

    @property
    def slim(self) -> list[Path]:
        """Those of them that training cannot go on from."""
        return [self.folder / entry["path"] for entry in self.manifest["checkpoints"] if not entry.get("whole")]


def find_bundles() -> list[Bundle]:
    """Every bundle that is attached; manifests of something else are passed over."""
    found = []
    for path in find_files(MANIFEST):
        try:
            found.append(Bundle(path.parent, read_manifest(path.parent)))
        except InputError:
            continue  # many data sets have a file of this name
    return found


def find_test() -> Path:
    """The competition's test file; of several, the latest year's.

    Raises:
        InputError: no competition is attached.
    """
    bundles = [bundle.folder for bundle in find_bundles()]
    found = [path for path in find_files(TEST) if not any(folder in path.parents for folder in bundles)]
    if not found:
        raise InputError(f"{sources.KAGGLE_INPUT}: no {TEST} below it; add the competition to the notebook's inputs")
    return max(found, key=lambda path: ("competitions" in path.parts, path.parent.name))


# --- answering


def answer(values: argparse.Namespace, predict: Predict) -> int:
    """Answer the competition's test file in the scored run; elsewhere leave a valid file and rehearse on its public tasks.

    Args:
        values: the command line.
        predict: the command of that name.
    """
    clock = Clock(None)
    test = Path(values.challenges) if values.challenges else find_test()
    scored, out = bool(os.environ.get(RERUN)), name_file(values.out)
    say(f"{'the scored run' if scored else 'an interactive session'}: {test}")
    tasks = 0
    try:  # first of all: whatever is wrong below, there is a valid file
        tasks = leave_guesses(test, out)
    except InputError as error:
        if not scored:
            raise
        say(f"WARNING: {error}", sys.stderr)  # `predict` may find another place
    clock.limit = find_limit(values.time_limit or (None if values.deadline else LIMIT), values.deadline)
    checkpoints = leave_out(values.checkpoint or ([] if values.preset else attached_checkpoints()))
    if not checkpoints and not values.preset:
        raise InputError(
            f"{sources.KAGGLE_INPUT}: no bundle with a checkpoint below it, and no --checkpoint or --preset; {out} holds "
            "guesses alone: add the data set that `python -m submission bundle` made to the notebook's inputs"
        )
    if scored:
        return predict(_changed(values, clock, challenges=str(test), checkpoint=checkpoints, out=out))
    code = rehearse(argparse.Namespace(**vars(values) | {"out": out}), predict, test.with_name(EVALUATION), checkpoints)
    say(f"wrote {out}: guesses for the {tasks} tasks of {test.name} here, valid, so that this version can be submitted;")
    say("the scored run answers its own tasks in the whole time")
    return code


def attached_checkpoints() -> list[Path]:
    """The checkpoints of all bundles, with a word on each bundle, and on what is damaged: other checkpoints may stand in."""
    checkpoints = []
    for bundle in find_bundles():
        checkpoints += bundle.checkpoints
        say(f"bundle: {bundle.folder}, {len(bundle.checkpoints)} checkpoints, made by trm_arc {bundle.manifest['kit']}")
        for fault in find_damage(bundle.folder, bundle.manifest):
            say(f"WARNING: {bundle.folder}: {fault}", sys.stderr)
    return checkpoints


def leave_out(checkpoints: Sequence[Path]) -> list[Path]:
    """The checkpoints without those that are missing or not for ARC, with a warning on each.

    Raises:
        InputError: none of them is left.
    """
    kept = []
    for path in checkpoints:
        try:
            if not os.path.isdir(path):  # what is there and broken is left to `predict`: an older one may stand in
                raise InputError("no such folder", file=path)
            require_arc([path])
            kept.append(path)
        except InputError as error:
            say(f"WARNING: {error}: left out", sys.stderr)
    if checkpoints and not kept:
        raise InputError(f"{shorten([str(path) for path in checkpoints])}: no checkpoint that can answer; attach another")
    return kept


def name_file(out: Path) -> Path:
    """The submission that --out means: a file, or one in a folder that is there."""
    return out / USUAL_FILE if os.path.isdir(out) else out  # pathlib's own question may raise


def leave_guesses(challenges: Path, out: Path) -> int:
    """Write a valid submission of guesses; the number of its tasks.

    Args:
        challenges: what to answer.
        out: the file.
    """
    read = read_challenges(str(challenges))
    write_atomic(out, read.document([[] for _ in range(read.tasks.outputs)]))
    return len(read.order)


def rehearse(values: argparse.Namespace, predict: Predict, evaluation: Path, checkpoints: list[Path]) -> int:
    """Answer the public evaluation tasks in a short time as the scored run would answer its own, and score the answers.

    The tasks travel without their hidden outputs, which are read for the score alone; those whose answers a checkpoint was
    trained on are left out.

    Args:
        values: the command line.
        predict: the command of that name.
        evaluation: the challenges file.
        checkpoints: who answers.

    Returns:
        The exit code.
    """
    limit = find_limit(values.rehearsal, None)
    if not evaluation.is_file():
        say(f"no rehearsal: {evaluation} is not there")
        return 0
    tasks = read_challenges(str(evaluation)).tasks
    everything, readable = len(tasks), []
    for path in checkpoints:
        try:
            checkpoint = load_newest(path)
        except InputError as error:
            if path == checkpoints[-1] and not readable:
                raise
            say(f"WARNING: {error}: left out", sys.stderr)
            continue
        readable.append(path)
        try:
            tasks = refuse_trained(checkpoint, tasks, drop=True)
        except InputError as error:
            say(f"no rehearsal: {error}")
            return 0
    out = rehearsal_file(values.out)
    with tempfile.TemporaryDirectory(prefix="trm_arc-") as folder:
        asked = Path(folder) / EVALUATION
        write_atomic(asked, to_json(tasks_to_json(tasks)))
        say(f"rehearsal: {len(tasks)} of {everything} tasks of {evaluation.name} in {show_duration(limit)}")
        code = predict(_changed(values, Clock(limit), challenges=str(asked), checkpoint=readable, out=out))
    truth = sources.load_tasks(evaluation)
    truth = TaskSet((task for task in truth if task.id in tasks), truth.name)
    if truth.has_solutions:
        attempts, _ = read_attempts(read_json(out), truth.test_counts, str(out))
        say(f"the rehearsal's score; one of {show_duration(limit)} says little of the whole time's\n")
        say(score_table(ranks(truth.solutions, attempts), PAIR) + "\n")
    else:
        say("no score: the solutions are not there")
    return code


def rehearsal_file(out: Path) -> Path:
    """Where the rehearsal's answers go, beside the submission."""
    return out.with_name("rehearsal.json")


def _changed(values: argparse.Namespace, clock: Clock, **changes: Any) -> argparse.Namespace:
    """The flags of `predict` with what was found out, and the time that is left."""
    # predict's own clock counts from the start of this program too
    changes |= {"time_limit": f"{max(1.0, clock.left + seconds_before()):.3f}s", "deadline": None}
    return argparse.Namespace(**vars(values) | changes)


# --- pretraining


def pretrain(values: argparse.Namespace, flags: Sequence[str]) -> int:
    """Train for one session on all devices: go on with the run of an earlier session where its output is attached, else begin.

    Args:
        values: the command line of `trm_arc.train`, read.
        flags: the same, as it was given.
    """
    clock = Clock(find_limit(values.time_limit or LIMIT, None))
    out = values.out or Path("runs") / (values.preset or DEFAULT_PRESET)
    flags = [*flags, "--out", str(out)]
    if not (values.resume or values.overwrite or values.dry_run) and bring_run(out):
        flags.append("--resume")
    bundles = [bundle.folder / DATA for bundle in find_bundles() if (bundle.folder / DATA).is_dir()]
    if bundles and values.data_folder is None and not os.environ.get(sources.DATA_VARIABLE):
        flags += ["--data-folder", str(bundles[-1])]
        print(f"data: {bundles[-1]}")
    program = training_program(list_devices(values.device, min(120.0, clock.left / 4), warn=say))
    return _show_run([sys.executable, *program, *flags, "--time-limit", f"{max(1.0, clock.left):.0f}s"])


def training_program(devices: list[str]) -> list[str]:
    """What Python runs to train on these devices: the program itself on one, under accelerate on several."""
    if len(devices) == 1:
        return ["-m", "trm_arc.train"]
    # all that accelerate would ask, or warn of, is said
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(len(devices)), "--num_machines", "1"]
    return [*launch, "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "trm_arc.train"]


def _show_run(command: list[str]) -> int:
    """Run a program and show what it says; its exit code.  Through a pipe: on a notebook's terminal, its progress bar would fill
    the notebook with a line every half second."""
    sys.stdout.flush()
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while True:
        try:
            for part in iter(program.stdout.read1, b""):
                os.write(1, part)
            return program.wait()
        except KeyboardInterrupt:
            continue  # training has heard it, too, and saves before it ends


def bring_run(out: Path) -> bool:
    """Copy the run that got furthest, of those attached, into `out`, unless a run is there already.

    Args:
        out: folder of the run.

    Returns:
        Whether there is a run to go on with.
    """
    if list_checkpoints(out) or (out / EXPORT).is_file():
        print(f"going on with {out}")
        return True
    runs = _find_runs()
    if not runs:
        print(f"no earlier run is attached: beginning {out}")
        return False
    step, run = max(runs)
    newest = [path.name for path in list_checkpoints(run)][-1:]
    print(f"going on with {run}, step {step}, copied to {out}")

    def left_behind(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(("checkpoint-", ".")) and name not in newest and Path(folder) == run]

    part = out.absolute().with_name(f".writing-{out.name}")  # half a run must not be gone on with
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(run, part, ignore=left_behind, copy_function=shutil.copyfile)
        part.rename(out)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise InputError(f"{run}: cannot be copied to {out} ({error}); free space, or name another --out") from None
    return True


def _find_runs() -> list[tuple[int, Path]]:
    """Every attached run that can go on, with its last step.  A bundle's slim checkpoint cannot."""
    slim = {path for bundle in find_bundles() for path in bundle.slim}
    there = [path.parent for path in find_files("checkpoint.json")]
    runs = [(int(path.name[-8:]), path.parent) for path in there if path in list_checkpoints(path.parent) and path not in slim]
    for index in find_files(EXPORT.name):
        try:
            runs.append((int(read_json(index)["checkpoint"]["step"]), index.parents[1]))
        except (InputError, KeyError, TypeError):
            continue
    return runs


# --- a page of answers


def show_answers(count: int, out: str | Path = "submission.json") -> str:
    """A page of the answers that matter here: the rehearsal's where there was one, else the submission's.

    Args:
        count: tasks to show.
        out: the submission.
    """
    rehearsal = rehearsal_file(Path(out))
    rehearsed = not os.environ.get(RERUN) and rehearsal.is_file()
    try:
        test = find_test()
    except InputError as error:
        return make_page(html.escape(str(error)), [])
    return show_page(rehearsal if rehearsed else out, test.with_name(EVALUATION) if rehearsed else test, count)


# --- flags


def add_kaggle_flags(entry: argparse.ArgumentParser) -> None:
    """The flags of `kaggle` that `predict` does not have.

    Args:
        entry: where to add.
    """
    entry.add_argument("--challenges", help="the test file (default: the attached competition's)")
    what = "time for answering the public evaluation tasks where this is not the scored run"
    entry.add_argument("--rehearsal", metavar="TIME", default=REHEARSAL, help=what)
