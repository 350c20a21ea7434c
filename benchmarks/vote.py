"""Un-transform, hash and rank 400,000 predictions of real grids under 1,000 views each, on one core."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augment import Window, pack_grids, paint, sample_transforms
from benchmarks import common
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.data.sources import load_tasks
from trm_arc.inference.votes import Predictions, tally

KEEP = 2  # candidates of a test input that are made into grids: the attempts


def make_predictions(outputs: list[np.ndarray], views: int, generator: np.random.Generator) -> Predictions:
    """Predictions as a half-trained model makes them: in a third of the views right, else with a few wrong cells."""
    count = len(outputs) * views
    test_index = np.repeat(np.arange(len(outputs)), views)
    table = sample_transforms(count, generator)
    canvases = paint(pack_grids(outputs), test_index, table, Window())
    wrong = np.flatnonzero(generator.random(count) < 2 / 3)
    canvases[wrong, 0, 0] = generator.integers(2, 12, len(wrong))
    return Predictions(canvases, table, test_index, generator.random(count, dtype=np.float32), np.full(count, 16, np.int32))


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("vote", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the named task sets")
    parser.add_argument("--outputs", type=int, default=400, help="test inputs")
    parser.add_argument("--views", type=int, default=1000, help="views of each")
    values = parser.parse(arguments)
    require_least("outputs", values.outputs)
    require_least("views", values.views)
    grids = [pair.output for task in load_tasks("arc1-training", values.data_folder) for pair in task.test]
    predictions = make_predictions(grids[: values.outputs], values.views, np.random.default_rng(0))
    tally([predictions.take(np.arange(100))], values.outputs, KEEP)
    before = common.peak_megabytes()
    began = time.perf_counter()
    ranked = tally([predictions], values.outputs, KEEP)
    seconds = time.perf_counter() - began
    held = sum(array.nbytes for array in vars(predictions).values()) / 2**20
    common.report(
        {
            "predictions": len(predictions.test_index),
            "seconds": seconds,
            "predictions/s": len(predictions.test_index) / seconds,
            "MB of predictions, held": held,
            "MB more at the peak of ranking": common.peak_megabytes() - before,
            "MB in all": held + common.peak_megabytes() - before,
            "cells hashed, counted": int(sum(g.size for g in grids[: values.outputs]) * values.views),
            "right answers ranked first": sum(
                bool(c) and np.array_equal(c[0].grid, g) for c, g in zip(ranked, grids[: values.outputs], strict=True)
            ),
        },
        values.json,
    )
    return 0


if __name__ == "__main__":
    run(main)
