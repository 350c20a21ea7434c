"""Paint canvases of real tasks at 30 x 30 and at smaller windows, on one core, beside a plain NumPy painter in the same run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augment import Window, apply_symmetry, pack_grids, paint, sample_transforms
from benchmarks import common
from trm_arc.common.durations import median_seconds
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.data.sources import load_tasks


def paint_plainly(grid: np.ndarray, row: np.ndarray) -> np.ndarray:
    """One canvas with NumPy, as the original does it."""
    image = row[1:][apply_symmetry(grid, int(row[0]))] + 2
    rows, columns = image.shape
    canvas = np.pad(image, ((0, 30 - rows), (0, 30 - columns)))
    if rows < 30:
        canvas[rows, :columns] = 1
    if columns < 30:
        canvas[:rows, columns] = 1
    return canvas


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("paint", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the named task sets")
    parser.add_argument("--canvases", type=int, default=100_000, help="canvases a measurement")
    values = parser.parse(arguments)
    require_least("canvases", values.canvases, 50)
    grids = [grid for task in load_tasks("arc1-training", values.data_folder) for grid in task.visible_grids]
    packed, generator = pack_grids(grids), np.random.default_rng(0)
    index = generator.integers(0, len(grids), values.canvases)
    table = sample_transforms(values.canvases, generator)
    results: dict[str, float | int] = {}
    seconds = median_seconds(lambda: paint(packed, index, table, Window()), 5)
    results["canvases/s at 30 x 30"] = values.canvases / seconds
    results["bytes written a canvas, counted"] = 900
    results["cells mapped a canvas, counted"] = float(np.prod(packed.shapes[index], axis=1).mean())
    results["GB/s"] = values.canvases * 900 / seconds / 1e9
    small = [number for number, grid in enumerate(grids) if max(grid.shape) <= 10]
    here = np.array(small)[index % len(small)]
    seconds = median_seconds(lambda: paint(packed, here, table, Window(10, 10)), 5)
    results["canvases/s at 10 x 10"] = values.canvases / seconds
    few = values.canvases // 50
    plain = median_seconds(lambda: [paint_plainly(grids[i], r) for i, r in zip(index[:few], table[:few], strict=True)], 3)
    results["canvases/s of plain NumPy"] = few / plain
    results["times faster than plain NumPy"] = results["canvases/s at 30 x 30"] / results["canvases/s of plain NumPy"]
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
