"""Train across leases of a machine that is there for minutes and gives back small files only.

    python -m benchmarks.lease --out OUT --time-limit 9m -- --preset sudoku-fast --compile block --data-folder F
    python -m benchmarks.lease --out OUT --time-limit 9m --state BEFORE -- --data-folder F    # what the lease before gave back

Behind `--` stand flags of trm_arc.train.  Each lease goes on from the pieces of the one before (see trm_arc.model.export) and
ends by itself.  In OUT, all in one folder, lie the pieces, the metrics so far, and with --evaluate the scores: after every
checkpoint anew, so that a lease that is cut off has not been for nothing.  Whether that fits a transfer is said before the
machine is gone, and the exit code is 1 if it does not.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from trm_arc.cli import Parser, run
from trm_arc.common.durations import parse_duration, parse_size
from trm_arc.common.errors import InputError
from trm_arc.common.files import SCORES_FILE, check_writable, write_atomic
from trm_arc.model.checkpoint import EXPORT, list_checkpoints, load_checkpoint
from trm_arc.model.export import export_pieces
from trm_arc.training.loop import METRICS_FILE, stop_signals


def unpack(state: Path, run: Path) -> None:
    """Put what a lease gave back where a run goes on from.

    Args:
        state: the folder of the lease before.
        run: folder of the run.

    Raises:
        InputError: there is no export.
    """
    if not (state / EXPORT.name).is_file():
        raise InputError(f"{state}: no {EXPORT.name} here; name the folder that a lease has left")
    export = run / EXPORT.parent
    export.mkdir(parents=True)
    for path in state.iterdir():
        if path.name == EXPORT.name or path.name.startswith("piece-"):
            shutil.copy(path, export)
    if (state / METRICS_FILE).is_file():
        shutil.copy(state / METRICS_FILE, run)


class Parcel:
    """What is to be given back, brought up to date with every checkpoint.

    Args:
        run: folder of the run, on this machine.
        out: folder of what is given back.
        size: of a piece at most, in bytes.
    """

    def __init__(self, run: Path, out: Path, size: int) -> None:
        self.run, self.out, self.size = run, out, size
        self.newest: Path | None = None  # the checkpoint that is in it

    def update(self) -> None:
        """Export the newest checkpoint if it is not in it yet; it may be removed while it is read, and a newer one be there."""
        there = list_checkpoints(self.run)
        if there and there[-1] != self.newest:
            try:
                export_pieces(load_checkpoint(there[-1]), self.run, self.size)
                self.pack()
                self.newest = there[-1]
            except InputError as error:
                print(f"not exported: {error}", flush=True)

    def pack(self) -> list[Path]:
        """Put all files into the folder, each whole or not at all.

        Returns:
            The files.
        """
        pieces = sorted((self.run / EXPORT.parent).glob("*"))
        wanted = [path for path in (*pieces, self.run / METRICS_FILE, self.run / "scores" / SCORES_FILE) if path.is_file()]
        for path in wanted:
            write_atomic(self.out / path.name, path.read_bytes())
        for path in self.out.iterdir():
            if path.name not in {one.name for one in wanted}:
                path.unlink()  # a piece of an export that had more
        return sorted(self.out.iterdir())


def train(flags: list[str], parcel: Parcel, end: float) -> int:
    """Train as a program of its own, keeping the parcel up to date.

    Args:
        flags: of the training.
        parcel: of its run.
        end: when it is killed if it has not stopped by itself, by the monotonic clock.

    Returns:
        Its exit code; 0 if it was killed.
    """
    with stop_signals() as stopping, subprocess.Popen([sys.executable, "-m", "trm_arc.train", *flags]) as program:
        told = killed = False
        while True:
            try:
                code = program.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                parcel.update()
            if stopping and not told:
                program.terminate()  # it saves, and ends
                told = True
            if time.monotonic() > end and not killed:
                program.kill()
                killed = True
                print("the time is up, and the training had not stopped: what counts is its last checkpoint", flush=True)
    parcel.update()
    return 0 if killed else code


def carry_on(values: Namespace, parcel: Parcel) -> int:
    """Train until the time is up, export, and score.

    Args:
        values: the command line.
        parcel: of the run.

    Returns:
        The exit code of the first program that failed, or 0.

    Raises:
        InputError: the limit leaves no time to train.
    """
    began, limit, reserve = time.monotonic(), parse_duration(values.time_limit), parse_duration(values.reserve)
    scoring = parse_duration(values.evaluate_time) if values.evaluate is not None else 0.0
    training = limit - scoring - reserve
    if training <= 0:
        kept = f"--reserve {values.reserve}" + f" and --evaluate-time {values.evaluate_time}" * (values.evaluate is not None)
        raise InputError(f"--time-limit {values.time_limit}: leaves no time beside {kept}")
    flags = ["--out", str(parcel.run), "--save-every", values.save_every, *(["--resume"] if values.state else [])]
    code = train([*flags, "--time-limit", f"{training:.0f}s", *values.flags], parcel, began + limit - scoring - reserve / 3)
    left = limit - (time.monotonic() - began)
    if code or values.evaluate is None or left <= 0:
        return code
    flags = ["--checkpoint", str(parcel.run), "--out", str(parcel.run / "scores"), "--no-report", *values.evaluate.split()]
    try:
        return subprocess.run([sys.executable, "-m", "trm_arc.evaluate", *flags], check=False, timeout=left).returncode
    except subprocess.TimeoutExpired:
        print("the evaluation was cut off, as the time is up, and there are no scores; the run is exported")
        return 0


def main(arguments: Sequence[str]) -> int:
    """Train, export, and say whether it fits.

    Args:
        arguments: the command line.

    Returns:
        The exit code of what failed; 0 if all went well and fits, 1 if it does not fit.
    """
    usage = "%(prog)s [options] -- FLAGS OF TRAINING"
    parser = Parser(prog="python -m benchmarks.lease", description=(__doc__ or "").splitlines()[0], usage=usage)
    flag = parser.add_argument
    flag("--out", type=Path, required=True, help="folder for what is to be given back; new or empty")
    flag("--state", type=Path, help="folder with what the lease before gave back (default: a new run)")
    flag("--time-limit", default="9m", metavar="TIME", help="of this lease, with all that it does")
    flag("--reserve", default="30s", metavar="TIME", help="of it, kept back for the last step, its saving and the export")
    flag("--save-every", default="2m", metavar="TIME", help="time between checkpoints, each of which is exported")
    flag("--evaluate", metavar="FLAGS", help="score at the end, with these flags of trm_arc.evaluate, as '--puzzles 300'")
    flag("--evaluate-time", default="1m", metavar="TIME", help="kept back for that; scores that come later are lost")
    flag("--piece", default="15MiB", help="size of a piece at most")
    flag("--most", default="64MiB", help="size of all files together that a transfer takes")
    flag("--files", type=int, default=8, help="files that a transfer takes")
    flag("flags", nargs="*", help="of trm_arc.train")
    values = parser.parse_args(arguments)  # not `parse`, which would take the flags of training for its own
    most = parse_size(values.most)
    check_writable(values.out)
    if any(values.out.iterdir()):
        raise InputError(f"{values.out}: is not empty; what lies there would be given back, too")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if values.state:
            unpack(values.state, run)
        parcel = Parcel(run, values.out, parse_size(values.piece))
        code = carry_on(values, parcel)
        files = parcel.pack() if (run / EXPORT).is_file() else []
        if values.state and parcel.newest is None:
            print("no new checkpoint: what the lease before gave back is given back again")
    size = sum(path.stat().st_size for path in files)
    print(f"to give back: {len(files)} files, {size / 2**20:.1f} MiB of {most / 2**20:.0f}")
    fits = 0 < len(files) <= values.files and size <= most
    if not fits:
        print(f"a transfer takes {values.files} files and {values.most}: nothing was exported, or too much")
    return code or int(not fits)


if __name__ == "__main__":
    run(main)
