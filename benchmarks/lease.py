"""Train across short leases of a machine that returns only small files.

    python -m benchmarks.lease --out OUT --time-limit 9m -- --preset sudoku-fast --compile block --data-folder F
    python -m benchmarks.lease --out OUT --time-limit 9m --state BEFORE -- --data-folder F    # what the lease before gave back

Behind `--` are flags of trm_arc.train.  Each lease continues from the pieces of the one before (see trm_arc.model.export) and
ends by itself.  In OUT, all in one folder, are the pieces, the metrics so far, and with --evaluate the scores: written again
after every checkpoint, so that little is lost if a lease ends early.  Whether the files fit a transfer is printed at the
end, and the exit code is 1 if they do not.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trm_arc.cli import Parser
from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import parse_duration, parse_size
from trm_arc.common.errors import InputError
from trm_arc.common.files import SCORES_FILE, check_writable, write_atomic
from trm_arc.common.program import run
from trm_arc.common.signals import stop_signals
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.checkpoint_files import EXPORT, list_checkpoints
from trm_arc.model.export import export_pieces
from trm_arc.training.options import METRICS_FILE


def unpack(state: Path, run: Path) -> None:
    """Put the files of a lease into the folder of a run, which continues from there.

    Raises:
        InputError: there is no export.
    """
    if not (state / EXPORT.name).is_file():
        raise InputError(f"no {EXPORT.name} here; name the output folder of a lease", file=state)
    export = run / EXPORT.parent
    export.mkdir(parents=True)
    for path in state.iterdir():
        if path.name == EXPORT.name or path.name.startswith("piece-"):
            shutil.copy(path, export)
    if (state / METRICS_FILE).is_file():
        shutil.copy(state / METRICS_FILE, run)


class Parcel:
    """The files to return, updated with every checkpoint.

    Args:
        run: folder of the run, on this machine.
        out: folder of the files to return.
        size: of a piece at most, in bytes.
    """

    def __init__(self, run: Path, out: Path, size: int) -> None:
        self.run, self.out, self.size = run, out, size
        self.newest: Path | None = None  # the checkpoint that it holds

    def update(self) -> None:
        """Export the newest checkpoint if that is not done yet; it may be removed while it is read, and a newer one be there."""
        there = list_checkpoints(self.run)
        if there and there[-1] != self.newest:
            try:
                export_pieces(load_checkpoint(there[-1]), self.run, self.size)
                self.pack()
                self.newest = there[-1]
            except InputError as error:
                print(f"not exported: {error}", flush=True)

    def pack(self) -> list[Path]:
        """Put all files into the folder, each completely or not at all; returns the files."""
        pieces = sorted((self.run / EXPORT.parent).glob("*"))
        wanted = [path for path in (*pieces, self.run / METRICS_FILE, self.run / "scores" / SCORES_FILE) if path.is_file()]
        for path in wanted:
            write_atomic(self.out / path.name, path.read_bytes())
        for path in self.out.iterdir():
            if path.name.startswith("piece-") and path.name not in {one.name for one in wanted}:
                path.unlink()  # of an export that had more
        return sorted(self.out / path.name for path in wanted)


@dataclass(frozen=True)
class Lease:
    """The time of a lease, and its parts.

    Attributes:
        deadline: the end of the lease.
        reserve: seconds of it, for the last step, its saving and the export.
        scoring: seconds of it, for scores at the end; 0: none are wanted.
        program: what trains; it takes the flags of trm_arc.train.
        scorer: what scores; it takes the flags of trm_arc.evaluate.

    Raises:
        InputError: there is no time to train.
    """

    deadline: Deadline
    reserve: float
    scoring: float
    program: Sequence[str] = (sys.executable, "-m", "trm_arc.train")
    scorer: Sequence[str] = (sys.executable, "-m", "trm_arc.evaluate")

    def __post_init__(self) -> None:
        if self.training <= 0:
            kept = f"{self.reserve:.0f} s are kept back for saving and {self.scoring:.0f} s for scores"
            raise InputError(f"{self.deadline.limit:.0f} s leave no time to train: {kept}", flag="--time-limit")

    @property
    def training(self) -> float:
        """Seconds after which the training stops by itself."""
        return self.deadline.limit - self.scoring - self.reserve

    def train(self, flags: Sequence[str], parcel: Parcel) -> int:
        """Train as a separate program, keeping the parcel up to date; gives its exit code, or 0 if it was killed."""
        end = self.deadline.earlier(self.scoring + self.reserve / 3)  # it is killed then if it has not stopped by itself
        flags = ["--time-limit", f"{self.training:.0f}s", *flags]
        with stop_signals() as stopping, subprocess.Popen([*self.program, *flags]) as program:
            asked = killed = False
            while True:
                try:
                    code = program.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    parcel.update()
                if stopping and not asked:
                    program.terminate()  # it saves, and ends
                    asked = True
                if not killed and end.has_passed:
                    program.kill()
                    killed = True
                    print("the time is up, and the training had not stopped: its last checkpoint is used", flush=True)
        parcel.update()
        return 0 if killed else code

    def score(self, flags: Sequence[str], run: Path) -> int:
        """Score the run in the time that is left; gives the exit code."""
        flags = ["--checkpoint", str(run), "--out", str(run / "scores"), "--no-report", *flags]
        try:
            return subprocess.run([*self.scorer, *flags], check=False, timeout=self.deadline.left).returncode
        except subprocess.TimeoutExpired:
            print("the time is up: the evaluation was stopped and there are no scores; the run is exported")
            return 0


def make_parser() -> Parser:
    """The command line."""
    usage = "%(prog)s [options] -- FLAGS OF TRAINING"
    parser = Parser(prog="python -m benchmarks.lease", description=(__doc__ or "").splitlines()[0], usage=usage)
    flag = parser.add_argument
    flag("--out", type=Path, required=True, help="folder for the files to return; new or empty")
    flag("--state", type=Path, help="folder with the files of the lease before (default: a new run)")
    flag("--time-limit", default="9m", metavar="TIME", help="time limit of the whole lease")
    flag(
        "--reserve",
        default="30s",
        metavar="TIME",
        help="part of it that is reserved for the last step, its saving and the export",
    )
    flag("--save-every", default="2m", metavar="TIME", help="time between checkpoints, each of which is exported")
    flag("--evaluate", metavar="FLAGS", help="score at the end, with these flags of trm_arc.evaluate, such as '--puzzles 300'")
    flag("--evaluate-time", default="1m", metavar="TIME", help="time reserved for that; later scores are lost")
    flag("--piece", default="15MiB", help="size of a piece at most")
    flag("--most", default="64MiB", help="total size that a transfer allows")
    flag("--files", type=int, default=8, help="number of files that a transfer allows")
    flag("flags", nargs="*", help="flags of trm_arc.train")
    return parser


def main(arguments: Sequence[str], clock: Callable[[], float] = time.monotonic, python: Sequence[str] = (sys.executable,)) -> int:
    """Train, export, score; gives the exit code of what failed, 0 if all went well and fits a transfer, 1 if it does not fit.

    Args:
        arguments: the command line.
        clock: gives seconds; the lease ends by it.
        python: the interpreter, as the beginning of a command.
    """
    began = clock()
    values = make_parser().parse_args(arguments)  # not `parse`, which would take the flags of training for its own
    most, piece = parse_size(values.most, "--most"), parse_size(values.piece, "--piece")
    check_writable(values.out)
    if any(values.out.iterdir()):
        raise InputError("is not empty; its files would be returned, too", file=values.out)
    scoring = parse_duration(values.evaluate_time, "--evaluate-time") if values.evaluate is not None else 0.0
    programs = [(*python, "-m", name) for name in ("trm_arc.train", "trm_arc.evaluate")]
    deadline = Deadline(parse_duration(values.time_limit, "--time-limit"), began, clock)
    lease = Lease(deadline, parse_duration(values.reserve, "--reserve"), scoring, *programs)
    with tempfile.TemporaryDirectory() as folder:
        parcel = Parcel(Path(folder) / "run", values.out, piece)
        if values.state:
            unpack(values.state, parcel.run)
        resume = ["--resume"] if values.state else []
        code = lease.train(["--out", str(parcel.run), "--save-every", values.save_every, *resume, *values.flags], parcel)
        if not code and values.evaluate is not None and not lease.deadline.has_passed:
            code = lease.score(values.evaluate.split(), parcel.run)
        files = parcel.pack() if (parcel.run / EXPORT).is_file() else []
        if values.state and parcel.newest is None:
            print("no new checkpoint: the files of the lease before are returned again")
    size = sum(path.stat().st_size for path in files)
    print(f"to return: {len(files)} files, {size / 2**20:.1f} MiB of {most / 2**20:.0f}")
    fits = 0 < len(files) <= values.files and size <= most
    if not fits:
        print(f"a transfer allows {values.files} files and {values.most}: nothing was exported, or too much")
    return code or int(not fits)


if __name__ == "__main__":
    run(main)
