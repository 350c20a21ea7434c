"""Sample the plan of the published ARC-AGI-1 run: 960 tasks x 1,000 augmentations, on one core, nothing on disk."""

import os

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common
from trm_arc.cli import run
from trm_arc.data.examples import sample_plans
from trm_arc.data.sources import load_tasks
from trm_arc.data.task_files import join_tasks

PUBLISHED_ROWS = 876_406 - 1  # embeddings of the published run, less the one that stands for padding


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("plan", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the named task sets (ConceptARC is in no package)")
    parser.add_argument("--data", default="arc1-training,arc1-evaluation,concept", help="task sets")
    values = parser.parse(arguments)
    tasks = join_tasks([load_tasks(name, values.data_folder) for name in values.data.split(",")])
    sample_plans(tasks[:2], 10, 0)  # compile
    before = common.peak_megabytes()
    began, written = time.perf_counter(), _bytes_written()
    plan = sample_plans(tasks, 1000, 0)
    seconds = time.perf_counter() - began
    grids = sum(2 * len(task.train + task.test) for task in tasks)
    cells = sum(g.size for task in tasks for pair in task.train + task.test for g in (pair.input, pair.output) if g is not None)
    sampled = len(plan) * grids // len(tasks)
    common.report(
        {
            "tasks": len(tasks),
            "rows": len(plan),
            "rows of the published run": PUBLISHED_ROWS,
            "seconds": seconds,
            "bytes of the plan": plan.table.nbytes + plan.starts.nbytes,
            "bytes written to disk": _bytes_written() - written,
            "peak MB of the process": common.peak_megabytes(),
            "of which before sampling, MB": before,
            "cells read (8 symmetries), counted": 8 * cells,
            "products for hashes, counted, at least": 10 * sampled,
            "cells that painting would take": cells * len(plan) // len(tasks),
        },
        values.json,
    )
    return 0


def _bytes_written() -> int:
    return int(next(line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("write_bytes")).split()[1])


if __name__ == "__main__":
    run(main)
