"""Train and score variants of settings with several seeds, each with the same budget, side by side and one to a core.

python -m benchmarks.ladder FILE.toml; the file has the budget, and groups of variants, compared with the first of their group:

    minutes = 20                      # wall clock of each training run; or operations = 2e14, its FLOPs
    seeds = 3                         # 0, 1, 2: round by round, so that there is a first picture early

    [groups.sudoku]
    preset = "sudoku-small"
    data_folder = "../data"           # where to look for named sets first
    train = ["--compile", "block"]    # further flags of trm_arc.train
    evaluate = ["--views", "8"]       # further flags of trm_arc.evaluate, which scores each run at its end
    settings = {batch_size = 128}     # of all variants

    [groups.sudoku.variants]
    as-it-is = {}
    wide = {width = 256}

What is done stands in OUT/results.jsonl and is not done again; a run that was stopped or killed continues from its last save.
"""

import hashlib
import os
import re
import statistics
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate, count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from benchmarks import common
from benchmarks.ladder_table import INTERVALS, Outcome, write_tables
from trm_arc.cli import Parser
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError, did_you_mean, require_least
from trm_arc.common.files import append_line, exclusive, read_lines, to_json, write_atomic
from trm_arc.common.program import run
from trm_arc.common.records import load_record
from trm_arc.common.signals import stop_signals
from trm_arc.common.streams import require_printed
from trm_arc.config import Config, load_preset, write_preset
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.evaluation.outcomes import SOLVED, score_tests
from trm_arc.evaluation.result_files import find_results
from trm_arc.model.checkpoint_files import list_checkpoints, read_step
from trm_arc.report.logs import format_operations
from trm_arc.training.build import build_trainer
from trm_arc.training.options import METRICS_FILE

RESULTS = "results.jsonl"
MOST_SEEDS = 10_000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0"}


@dataclass(frozen=True)
class Group:
    """Variants of one preset on one data set; paths of `data_folder` and in flags are relative to where the program runs."""

    preset: str
    variants: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    data_folder: str = ""
    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ladder:
    """What is tried.

    Attributes:
        groups: by name.
        minutes: wall clock of each run; 0: a budget of operations.
        operations: FLOPs of each run; 0: a budget of time.
        seeds: 0 to this number.
    """

    groups: Mapping[str, Group]
    minutes: float = 0.0
    operations: float = 0.0
    seeds: int = 3

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be run."""
        if (self.minutes > 0) == (self.operations > 0):
            raise ValueError("needs a budget above 0: either minutes or operations")
        if self.seeds > MOST_SEEDS:
            raise ValueError(f"at most {MOST_SEEDS:,} seeds, got {self.seeds}")
        if self.seeds < 1 or not self.groups or not all(group.variants for group in self.groups.values()):
            raise ValueError("needs at least one seed, one group, and one variant in each group")
        names = [*self.groups, *(variant for group in self.groups.values() for variant in group.variants)]
        if wrong := [name for name in names if not re.fullmatch(r"\w[\w.-]*", name)]:
            raise ValueError(f"{wrong[0]!r} would not do as the name of a folder: letters, digits, _, - and . do")

    @property
    def budget(self) -> str:
        """Of each run, in words."""
        return f"{self.minutes:g} minutes" if self.minutes else format_operations(self.operations)


class Rung(NamedTuple):
    """One run to make: a variant with a seed; `digest` is of all that decides on its result, but for the seed."""

    group: str
    variant: str
    seed: int
    config: Config
    digest: str

    @property
    def key(self) -> tuple[str, int]:
        """What its outcome is found by."""
        return self.digest, self.seed

    @property
    def name(self) -> str:
        """Of its folder and its log."""
        return f"{self.group}-{self.variant}-{self.seed}-{self.digest}"


def read_ladder(file: Path) -> Ladder:
    """What a file asks for.

    Raises:
        InputError: it cannot be read, or says something else.
    """
    try:
        values = tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from None
    except ValueError as error:  # of TOML and of UTF-8
        raise InputError(f"is not TOML ({error})", file=file) from None
    return load_record(Ladder, values, file)


def list_rungs(ladder: Ladder, file: Path) -> list[Rung]:
    """All runs, round by round.

    Args:
        file: that asks for them, for an error.

    Raises:
        InputError: no such preset or setting.
    """
    rungs, default = [], Config().values()
    for name, group in ladder.groups.items():
        for variant, changes in group.variants.items():
            values = {**group.settings, **changes}
            try:
                if unknown := values.keys() - default.keys():
                    raise InputError(f"{min(unknown)} is not a setting{did_you_mean(min(unknown), default)}")
                config = load_preset(group.preset).override(values)
            except InputError as error:
                raise InputError(
                    f"{error.flag}: {error.problem}" if error.flag else str(error), file=file, place=f"{name}.{variant}"
                ) from None
            # without defaults, so that a new setting, which is off, leaves what is known
            chosen = {key: value for key, value in config.values().items() if value != default[key]}
            told = [chosen, group.data_folder, group.train, group.evaluate, ladder.minutes, ladder.operations]
            digest = hashlib.sha256(to_json(told)).hexdigest()[:8]
            rungs += [Rung(name, variant, seed, config, digest) for seed in range(ladder.seeds)]
    return sorted(rungs, key=lambda rung: rung.seed)  # stable


class Runner:
    """Runs rungs, several at a time; `stop` ends them, saved.

    Args:
        program: what runs a module with flags, and ends with this program.
    """

    def __init__(self, ladder: Ladder, out: Path, program: Sequence[str] = (sys.executable, "-m", "submission.child")) -> None:
        self.ladder, self.out, self.program = ladder, out, program
        self.stopping = threading.Event()
        self.running: set[subprocess.Popen] = set()
        self.writing = threading.Lock()

    def stop(self) -> None:
        """Ask all programs to save and end; none begins after this."""
        self.stopping.set()
        for process in list(self.running):
            process.terminate()

    def complete(self, rung: Rung) -> Outcome | None:
        """Train, or continue, and score; what fails is told as such; None if it was stopped."""
        try:
            return self._complete(rung)
        except InputError as error:
            return Outcome(rung.group, rung.variant, rung.seed, rung.digest, failed=str(error))

    def _complete(self, rung: Rung) -> Outcome | None:
        folder, group = self.out / "runs" / rung.name, self.ladder.groups[rung.group]
        trained = folder.with_suffix(".trained")
        data = ["--data-folder", group.data_folder] if group.data_folder else []
        dev = folder / "dev"
        work = [] if trained.exists() else [("trm_arc.train", [*self._train_flags(rung, folder), *data, *group.train])]
        work += [("trm_arc.evaluate", ["--checkpoint", str(folder), "--out", str(dev), "--no-report", *data, *group.evaluate])]
        for module, flags in work:
            failed = self._call(module, flags, rung)
            if self.stopping.is_set():
                return None
            if failed:
                raise InputError(failed)
            if module == "trm_arc.train":
                write_atomic(trained, b"")
        outcome = _measure(rung, folder, dev)
        with self.writing:
            append_line(self.out / RESULTS, to_json(asdict(outcome)))
        return outcome

    def _train_flags(self, rung: Rung, folder: Path) -> list[str]:
        """The flags of a run that begins, or that goes on with what is left of its time."""
        resumes = bool(list_checkpoints(folder)) if folder.is_dir() else False
        flags = ["--out", str(folder), "--save-every", "2m", "--resume" if resumes else "--overwrite"]
        if self.ladder.minutes:
            lines = _lines(folder)
            left = max(1.0, 60 * self.ladder.minutes - (lines[-1]["seconds"] if lines else 0))
            flags += ["--fit", "--time-limit", f"{left:.1f}s"]
        if not resumes:
            preset = self.out / "presets" / f"{rung.name}.toml"
            config = rung.config.override({"seed": rung.seed})
            if self.ladder.operations:
                config = config.override({"steps": self._count_steps(rung, config)})
            preset.parent.mkdir(parents=True, exist_ok=True)
            write_preset(preset, config, f"{rung.variant} of the ladder's group {rung.group}")
            flags += ["--preset", str(preset)]
        return flags

    def _count_steps(self, rung: Rung, config: Config) -> int:
        """Steps that the operations suffice for."""
        named = self.ladder.groups[rung.group].data_folder
        folder = Path(named) if named else None
        trainer, _, _ = build_trainer(fit_to_data(config, {}), folder, find_device("cpu"))
        each = (trainer.operations(trainer.examples.schedule.at(step)[0], trainer.depth(step)) for step in count())
        return max(1, sum(1 for _ in takewhile(lambda total: total <= self.ladder.operations, accumulate(each))))

    def _call(self, module: str, flags: list[str], rung: Rung) -> str:
        """Run a program, which ends with this one; the end of its output if it failed, else nothing."""
        log = self.out / "logs" / f"{rung.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [*self.program, module, *flags]
        with log.open("ab") as output:
            begins = output.tell()
            process = subprocess.Popen(
                command, env={**os.environ, **ONE_THREAD}, stdin=subprocess.PIPE, stdout=output, stderr=output
            )
            self.running.add(process)
            if self.stopping.is_set():
                process.terminate()
            code = process.wait()
            self.running.discard(process)
            process.stdin.close()
        said = log.read_bytes()[begins:].decode(errors="replace").strip().splitlines()
        return f"{module} ended with {code}: {said[-1] if said else 'it said nothing'}" if code else ""


def _lines(folder: Path) -> list[dict[str, Any]]:
    """The metrics of the training steps up to the last save."""
    saved = read_step(folder) or 0
    return [line for line in read_lines(folder / METRICS_FILE) if "loss" in line and line["step"] <= saved]


def _measure(rung: Rung, folder: Path, dev: Path) -> Outcome:
    lines, outcomes = _lines(folder), score_tests(find_results(dev))
    loss, exact_at_first, norm = (_mean_of_last(lines, name) for name in ("loss", "exact_at_first", "gradient_norm"))
    end = lines[-1]
    return Outcome(
        rung.group,
        rung.variant,
        rung.seed,
        rung.digest,
        solved=sum(one.outcome in SOLVED for one in outcomes),
        asked=len(outcomes),
        loss=loss or 0.0,
        exact_at_first=exact_at_first,
        gradient_norm=norm or 0.0,
        steps=end["step"],
        examples_per_second=end["step"] * rung.config.training.batch_size / max(1e-9, end["seconds"]),
        operations=sum(line["operations"] for line in lines),
        seconds=end["seconds"],
    )


def _mean_of_last(lines: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Of the last three lines that hold a number; None if there is none."""
    last = [line[name] for line in lines if line.get(name) is not None][-3:]
    return statistics.fmean(last) if last else None


def climb(rungs: Sequence[Rung], runner: Runner, at_once: int) -> Iterator[Outcome]:
    """Run all that is not done, and yield what is known, as it becomes known; a signal to stop saves and ends all.

    Args:
        rungs: all that the ladder asks for.
        runner: of the ladder, in the folder of its results.
        at_once: runs side by side.

    Raises:
        InputError: the folder has other results, or another ladder is at work in it.
    """
    with exclusive(runner.out), stop_signals() as stopping, ThreadPoolExecutor(at_once) as pool:
        known = find_known(rungs, runner.out)
        yield from known
        keys = {outcome.key for outcome in known}
        pending = {pool.submit(runner.complete, rung) for rung in rungs if rung.key not in keys}
        try:
            while pending and not stopping:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                yield from filter(None, (future.result() for future in done))
        finally:  # also after an error, or where nobody asks for more
            runner.stop()
            pool.shutdown(cancel_futures=True)


def find_known(rungs: Sequence[Rung], out: Path) -> list[Outcome]:
    """The outcomes of those runs that are done, under the names that they have now."""
    known = {outcome.key: outcome for outcome in common.read_results(Outcome, out / RESULTS, "a ladder")}
    return [replace(known[rung.key], group=rung.group, variant=rung.variant) for rung in rungs if rung.key in known]


def main(arguments: Sequence[str]) -> int:
    """Run what is not done yet, and print the tables of all that is."""
    parser = Parser(prog="python -m benchmarks.ladder", description=" ".join((__doc__ or "").split("\n\n")[0].split()))
    parser.add_argument("file", type=Path, help="a .toml file of variants; docs/training.md has an example")
    parser.add_argument("--out", type=Path, help="folder of the results (default: runs/NAME OF THE FILE)")
    parser.add_argument(
        "--at-once", type=int, default=os.cpu_count() or 1, metavar="N", help="runs side by side, one thread each"
    )
    parser.add_argument("--table", action="store_true", help="run nothing: the tables of what is done")
    values = parser.parse(arguments)
    require_least("at_once", values.at_once, 1)
    ladder, out = read_ladder(values.file), values.out or Path("runs") / values.file.stem
    groups = {name: list(group.variants) for name, group in ladder.groups.items()}
    head = f"{common.machine()}, one thread a run, {ladder.budget} of training each; {INTERVALS}"
    rungs = list_rungs(ladder, values.file)
    outcomes = find_known(rungs, out) if values.table else []
    if not values.table:
        out.mkdir(parents=True, exist_ok=True)
        for outcome in climb(rungs, Runner(ladder, out), values.at_once):
            outcomes.append(outcome)
            tqdm.write(f"{len(outcomes)} of {len(rungs)}: {outcome.describe()}")
            write_tables(groups, outcomes, head, out)
    print(write_tables(groups, outcomes, head, out))
    require_printed()
    return 0 if len(outcomes) == len(rungs) and not any(outcome.failed for outcome in outcomes) else 1


if __name__ == "__main__":
    run(main)
