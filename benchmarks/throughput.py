"""Small networks on a CPU: training examples a second, eager and fused, on one thread and two; views a second by their batch."""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from trm_arc.common.device import find_device
from trm_arc.common.errors import require_least
from trm_arc.common.modes import BLOCK
from trm_arc.common.program import run
from trm_arc.config import PRESETS
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.predictor import views_in_cache
from trm_arc.inference.refinement import refine
from trm_arc.model.reasoner import Reasoner
from trm_arc.training.build import build_trainer
from trm_arc.training.options import Options

NARROW: dict[str, Any] = {"smallest": 100, "canvas": "buckets", "bucket_sides": "auto:3", "width": 192, "heads": 6}
NARROW |= {"board_rows": 30, "board_columns": 30, "augmentations": 100}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "demo": ("demo", {}),
    "arc, 3 buckets": ("demo", NARROW),
    "sudoku-small": ("sudoku-small", {"puzzles": 1000}),
    "maze-small": ("maze-small", {"puzzles": 1000}),
}
VIEWS, SIDES = 256, (6, 12, 20)  # views answered, and sides of their boards
MODES = {"eager": "", "fused": BLOCK}


def time_training(preset: str, changes: dict[str, Any], folder: Path | None, mode: str) -> Callable[[], float]:
    """A function that trains for a step, and gives its examples a second; the first steps are done."""
    config = fit_to_data(PRESETS[preset].override(changes), {})
    trainer, _, _ = build_trainer(config, folder, find_device("cpu"), options=Options(compile_mode=mode))
    met: set[int] = set()
    while len(met) < len(trainer.examples.buckets):  # each is compiled for
        met.add(trainer.examples.schedule.at(trainer.step)[0])
        trainer.train_step()
    trainer.train_step()

    def step() -> float:
        began = time.perf_counter()
        trainer.train_step()
        return config.training.batch_size / (time.perf_counter() - began)

    return step


def time_views(preset: str, changes: dict[str, Any], side: int, batch: int) -> Callable[[], float]:
    """A function that answers random boards, and gives views a second, all in batches of one size."""
    config = PRESETS[preset].override({"board_rows": 30, "board_columns": 30, **changes}).model
    generator = torch.Generator().manual_seed(0)
    reasoner = Reasoner(config, generator).eval()
    tokens = torch.randint(config.vocabulary, (VIEWS, side, side), generator=generator)
    vectors, transforms = torch.zeros(VIEWS, config.width), torch.arange(11).sub(1).clamp_min(0).expand(VIEWS, 11)
    dtype = find_device("cpu").dtype

    def answer() -> float:
        began = time.perf_counter()
        for piece in zip(tokens.split(batch), vectors.split(batch), transforms.split(batch), strict=True):
            refine(reasoner, *piece, InferenceConfig(steps=1), dtype, [0] * len(piece[0]))
        return VIEWS / (time.perf_counter() - began)

    return answer


def main(arguments: Sequence[str]) -> int:
    """Measure in turn, and print medians."""
    parser = common.parser("throughput", __doc__ or "")
    parser.add_argument("--cases", nargs="*", choices=tuple(CASES), default=tuple(CASES), metavar="CASE", help="which")
    parser.add_argument("--repeats", type=int, default=9, help="steps of each, of which the median counts")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="N", help="numbers of threads")
    parser.add_argument("--data-folder", type=Path, help="folder with the ARC-AGI-1 files")
    values = parser.parse(arguments)
    require_least("repeats", values.repeats)
    results: dict[str, float] = {}
    for case in values.cases:
        preset, changes = CASES[case]
        paces: dict[tuple[str, int], list[float]] = {}
        for threads in values.threads:
            torch.set_num_threads(threads)  # which compiled code is made for
            steps = {name: time_training(preset, changes, values.data_folder, mode) for name, mode in MODES.items()}
            for _, name in product(range(values.repeats), steps):
                paces.setdefault((name, threads), []).append(steps[name]())
        for (name, threads), pace in paces.items():
            results[f"{case}, {name}, {threads} thread{'s' * (threads > 1)}"] = statistics.median(pace)
    torch.set_num_threads(1)
    for side in SIDES:
        chosen = views_in_cache(PRESETS["demo"].model.prefix + side * side)
        batches = {"all at once": VIEWS, f"{chosen} at a time, as chosen": chosen, "4 at a time": 4}
        answers = {name: time_views("demo", {"width": 192, "heads": 6}, side, batch) for name, batch in batches.items()}
        paces = [[answer() for answer in answers.values()] for _ in range(values.repeats)]
        for name, pace in zip(answers, zip(*paces, strict=True), strict=True):
            results[f"views of {side} x {side}, {name}"] = statistics.median(pace)
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
