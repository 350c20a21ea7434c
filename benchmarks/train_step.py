"""Training steps of the published network on the real ARC-AGI-1 mix: size buckets, full boards, loader, processes, start."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import common
from benchmarks.speed import time_buckets
from trm_arc import WAITING
from trm_arc.common.device import find_device
from trm_arc.common.errors import require_least
from trm_arc.common.files import read_lines
from trm_arc.common.program import run
from trm_arc.config import PRESETS
from trm_arc.model.flops import measure_peak
from trm_arc.training.build import build_trainer

LAUNCH = "--multi_gpu --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0 --num_processes 2".split()


def time_command(flags: list[str], out: Path, processes: int, waiting: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Seconds from the start of `trm_arc.train` to its first step, and milliseconds of a later step.

    Args:
        waiting: variables that say how threads wait for one another; the environment's if None.
    """
    launcher = ["-m", "accelerate.commands.launch", *LAUNCH] if processes > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    if waiting is not None:
        environment = {name: value for name, value in environment.items() if name not in WAITING} | dict(waiting)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *launcher, "-m", "trm_arc.train", *flags, "--out", str(out)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not read_lines(out / "metrics.jsonl"):  # the file may be there before its first line
        if process.poll() is not None and not read_lines(out / "metrics.jsonl"):
            raise SystemExit(f"trm_arc.train {' '.join(flags)} ended with {process.returncode}")
        time.sleep(0.02)
    first = time.monotonic() - began
    if process.wait():
        raise SystemExit(f"trm_arc.train {' '.join(flags)} ended with {process.returncode}")
    lines = [line for line in read_lines(out / "metrics.jsonl") if isinstance(line, dict)]
    paces = [line["milliseconds_per_step"] for line in lines]
    return first - lines[0]["seconds"], statistics.median(paces[1:] or paces)


def time_presets(names: list[str], folder: Path | None, batch: int, repeats: int, peak: float) -> dict[str, str]:
    """What a training step of each preset costs and takes, by name.

    Args:
        repeats: steps of each bucket, of which the median counts.
        peak: operations a second of the fastest matrix product.
    """
    results = {}
    for name in names:
        config = PRESETS[name].override({"batch_size": batch, "augmentations": 20, "depth_curriculum": ""})
        trainer, _, _ = build_trainer(config, folder, find_device("cpu"))
        timed = time_buckets(trainer, repeats)
        cost = f"{timed.operations / batch / 1e9:,.0f} GFLOP an example, {batch / timed.seconds:.2f} examples/s"
        results[name] = f"{cost}, {timed.operations / timed.seconds / peak:.0%} of peak"
    return results


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("train_step", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the ARC-AGI-1 and ConceptARC files")
    parser.add_argument("--batch", type=int, default=8, help="samples of a step")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each bucket, of which the median counts")
    only = "time the steps of these presets, and nothing else"
    parser.add_argument("--presets", nargs="+", choices=tuple(PRESETS), metavar="NAME", help=only)
    values = parser.parse(arguments)
    require_least("batch", values.batch)
    require_least("repeats", values.repeats)
    device = find_device("cpu")
    peak = measure_peak(device)
    if values.presets:
        common.report(time_presets(values.presets, values.data_folder, values.batch, values.repeats, peak), values.json)
        return 0
    results: dict[str, float | str] = {"precision": str(device.dtype), "matrix products, TFLOP/s": peak / 1e12}
    rates = {}
    for canvas in ("full", "buckets"):
        config = PRESETS["trm"].override({"canvas": canvas, "batch_size": values.batch, "augmentations": 20})
        trainer, _, _ = build_trainer(config, values.data_folder, device)
        timed = time_buckets(trainer, values.repeats)
        rates[canvas] = values.batch / timed.seconds
        results |= {
            f"{canvas}: windows": ", ".join(str(w.rows) for w in trainer.examples.windows),
            f"{canvas}: examples/s": rates[canvas],
            f"{canvas}: share of peak": timed.operations / timed.seconds / peak,
            f"{canvas}: loader's share of a step": timed.loading / timed.seconds,
        }
    results["buckets: times as many examples/s"] = rates["buckets"] / rates["full"]
    folder = ["--data-folder", str(values.data_folder)] if values.data_folder else []
    common_flags = [*folder, "--preset", "trm", "--canvas", "buckets", "--log-every", "5", "--batch-size", str(values.batch)]
    with tempfile.TemporaryDirectory() as scratch:
        light = [*common_flags, "--augmentations", "20", "--steps", "30"]
        one, two = (time_command(light, Path(scratch) / str(n), n)[1] for n in (1, 2))
        results |= {"one process, ms a step": one, "two processes, ms a step": two, "two processes lose": two / one - 1}
        start, _ = time_command([*common_flags, "--steps", "1", "--log-every", "1"], Path(scratch) / "start", 1)
        results[f"full setting, {values.batch} rows: start to the first step, s"] = start
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
