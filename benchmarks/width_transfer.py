"""Does the best learning rate of Muon and NorMuon move with the width?  Sudoku of 6 x 6 with attention, a few steps each."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.short_runs import Case, Outcome, run_all, spread
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.config import PRESETS

WIDTHS, FACTORS, HEAD = (64, 128, 256), (0.5, 1.0, 2.0), 32  # HEAD: width of a head, the same at every width
# The matrix optimizer, the scale of its steps, and the rate that the factors are of.  Muon's own scale is the spectral one.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "Muon": {"matrix_optimizer": "muon", "matrix_learning_rate": 0.01},
    "NorMuon, rms 0.2": {"matrix_optimizer": "normuon", "matrix_learning_rate": 4e-3},
    "NorMuon, spectral": {"matrix_optimizer": "normuon", "matrix_scale": "spectral", "matrix_learning_rate": 0.01},
}
SETTING: dict[str, Any] = {
    "data": "sudoku-6x6-easy",
    "evaluation_data": "sudoku-6x6-easy",
    "puzzles": 1000,
    "evaluation_puzzles": 50,
    "positions": "rotary-2d",
    "gate": "norm-swiglu",
    "qk_norm": True,
    "expansion": 4.0,
    "prefix": 1,
    "board_rows": 6,
    "board_columns": 6,
    "vocabulary": 8,
    "cycles": 1,
    "latent_steps": 2,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "matrix_weight_decay": 0.0,
    "ema": 0.9,
    "loss": "softmax",
    "halt_steps": 4,
    "batch_size": 16,
    "warmup_steps": 10,
}


def list_cases(widths: Iterable[int], factors: Iterable[float], steps: int) -> list[Case]:
    """A case for each optimizer, width and factor on its rate."""
    base = PRESETS["sudoku-attention"].override(SETTING | {"steps": steps})
    cases = []
    for name, changes in OPTIMIZERS.items():
        for width in widths:
            for factor in factors:
                rate = changes["matrix_learning_rate"] * factor
                changed = {"width": width, "heads": width // HEAD, **changes, "matrix_learning_rate": rate}
                cases.append(Case(f"{name}|{width}|{rate:g}", base.override(changed)))
    return cases


def format_table(outcomes: Sequence[Outcome]) -> str:
    """A row for each optimizer and width: the loss at each rate, over seeds, the lowest marked."""
    losses: dict[tuple[str, str], dict[str, list[float | None]]] = {}
    for outcome in outcomes:
        name, width, rate = outcome.name.split("|")
        losses.setdefault((name, width), {}).setdefault(rate, []).append(outcome.loss)
    lines = ["| optimizer | width | loss at each rate, mean (seeds) | best rate |", "|---|---|---|---|"]
    for (name, width), rates in losses.items():
        told = "; ".join(f"{rate}: {spread(found, 3)}" for rate, found in rates.items())
        means = {rate: math.inf if None in found else sum(found) for rate, found in rates.items()}
        lines.append(f"| {name} | {width} | {told} | {min(means, key=means.__getitem__)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure and print a table in Markdown."""
    parser = common.parser("width_transfer", __doc__ or "")
    parser.add_argument("--steps", type=int, default=150, help="training steps of a run")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each setting")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help=f"widths, multiples of {HEAD}")
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS, help="factors on each optimizer's rate")
    parser.add_argument("--results", type=Path, help="file of JSON lines with what is done, which is continued")
    values = parser.parse(arguments)
    require_least("steps", values.steps)
    require_least("seeds", values.seeds)
    outcomes = run_all(list_cases(values.widths, values.factors, values.steps), values.seeds, None, values.results)
    table = format_table(outcomes)
    common.report({"table": table.splitlines()} if values.json else {"table": f"\n{table}"}, values.json)
    return 0


if __name__ == "__main__":
    run(main)
