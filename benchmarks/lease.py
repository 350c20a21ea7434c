"""Train across leases of a machine that is there for minutes and gives back small files only.

    python -m benchmarks.lease --out OUT --time-limit 25m -- --preset sudoku-fast --steps 20000 --data-folder F
    python -m benchmarks.lease --out OUT --time-limit 25m --state BEFORE -- --data-folder F    # what the lease before gave back

Behind `--` stand flags of trm_arc.train.  Each lease goes on from the pieces of the one before (see trm_arc.export), ends by
itself, and leaves in OUT, all in one folder: the pieces, the metrics of the run so far, and with --evaluate the scores.  Whether
that fits a transfer is said before the machine is gone, and the exit code is 1 if it does not.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trm_arc.checkpoint import EXPORT
from trm_arc.clock import parse_duration, parse_size
from trm_arc.errors import InputError
from trm_arc.files import SCORES_FILE
from trm_arc.loop import METRICS_FILE


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


def pack(run: Path, scores: Path, out: Path) -> list[Path]:
    """Put what is to be given back into one folder.

    Args:
        run: folder of the run.
        scores: the file of scores, if there is one.
        out: the folder.

    Returns:
        The files.
    """
    wanted = [*sorted((run / EXPORT.parent).iterdir()), run / METRICS_FILE, scores]
    return [Path(shutil.copy(path, out)) for path in wanted if path.is_file()]


def carry_on(values: argparse.Namespace, run: Path) -> int:
    """Train until the time is up, export, and score.

    Args:
        values: the command line.
        run: folder of the run, on this machine.

    Returns:
        The exit code of the first program that failed, or 0.
    """
    began, limit = time.monotonic(), parse_duration(values.time_limit)
    reserve = parse_duration(values.evaluate_time) if values.evaluate is not None else 0.0
    if limit <= reserve:
        raise InputError(f"--time-limit {values.time_limit}: leaves no time beside --evaluate-time {values.evaluate_time}")
    flags = ["--out", str(run), "--export-size", values.piece, *(["--resume"] if values.state else [])]
    flags += ["--time-limit", f"{limit - reserve:.0f}s", *values.flags]
    code = subprocess.run([sys.executable, "-m", "trm_arc.train", *flags], check=False).returncode
    left = limit - (time.monotonic() - began)
    if code or values.evaluate is None or left <= 0:
        return code
    flags = ["--checkpoint", str(run), "--out", str(run / "scores"), "--no-report", *values.evaluate.split()]
    try:
        return subprocess.run([sys.executable, "-m", "trm_arc.evaluate", *flags], check=False, timeout=left).returncode
    except subprocess.TimeoutExpired:
        print("the evaluation was cut off, as the time is up; the run is exported")
        return 0


def main() -> None:
    """Train, export, and say whether it fits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], usage="%(prog)s [options] -- FLAGS OF TRAINING")
    flag = parser.add_argument
    flag("--out", type=Path, required=True, help="folder for what is to be given back; new or empty")
    flag("--state", type=Path, help="folder with what the lease before gave back (default: a new run)")
    flag("--time-limit", default="8m", metavar="TIME", help="of this lease, evaluation included")
    flag("--evaluate", metavar="FLAGS", help="score at the end, with these flags of trm_arc.evaluate ('' for none)")
    flag("--evaluate-time", default="1m", metavar="TIME", help="kept back for that")
    flag("--piece", default="15MiB", help="size of a piece at most")
    flag("--most", default="64MiB", help="size of all files together that a transfer takes")
    flag("--files", type=int, default=8, help="files that a transfer takes")
    flag("flags", nargs="*", help="of trm_arc.train")
    values = parser.parse_args()
    try:
        most = parse_size(values.most)
        values.out.mkdir(parents=True, exist_ok=True)
        if any(values.out.iterdir()):
            raise InputError(f"{values.out}: is not empty; what lies there would be given back, too")
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            if values.state:
                unpack(values.state, run)
            code = carry_on(values, run)
            files = pack(run, run / "scores" / SCORES_FILE, values.out) if (run / EXPORT).is_file() else []
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    size = sum(path.stat().st_size for path in files)
    print(f"to give back: {len(files)} files, {size / 2**20:.1f} MiB of {most / 2**20:.0f}")
    fits = 0 < len(files) <= values.files and size <= most
    if not fits:
        print(f"a transfer takes {values.files} files and {values.most}: nothing was exported, or too much")
    sys.exit(code or int(not fits))


if __name__ == "__main__":
    main()
