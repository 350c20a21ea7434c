"""Model what a preset's training costs on cards that are not here, from operations and bytes counted on the meta device.

    python -m benchmarks.cost --data-folder FOLDER --presets trm arc1-fast

No card is needed and nothing is measured: every time in the table is modelled (`trm_arc.training.cost` says how).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import common
from trm_arc.common.program import run
from trm_arc.config import PRESETS, Config
from trm_arc.data.loading import load_training_tasks
from trm_arc.training.build import total_steps
from trm_arc.training.cost import Rates, count_step, mean_over_buckets

# Data sheets: bfloat16 operations a second without sparsity (a T4: float16), bytes a second of the memory.
CARDS = {
    "H100": Rates.of_data_sheet(989e12, 3.35e12),
    "L4": Rates.of_data_sheet(121e12, 0.3e12),
    "T4": Rates.of_data_sheet(65e12, 0.32e12),
}


class Cost(NamedTuple):
    """The cost of a preset's training.

    Attributes:
        steps: of the whole run.
        rows: of a step.
        launches: kernels of a step, one by one and fused.
        operations: FLOPs of a step.
        traffic: bytes of a step that elementwise kernels move, one by one and fused.
        kept: bytes of a row that are kept for the backward pass, at the most.
        seconds: of a step by card, one by one and fused.
    """

    steps: int
    rows: int
    launches: tuple[float, float]
    operations: float
    traffic: tuple[float, float]
    kept: float
    seconds: dict[str, tuple[float, float]]


def cost_of(config: Config, folder: Path | None) -> Cost:
    """Count a preset's steps on its own data, as means over the size buckets.

    Args:
        folder: with the named task sets.
    """
    training, evaluation, _ = load_training_tasks(config.training, folder)
    examples, _ = evaluation.domain.prepare(training, evaluation, config)
    rows = config.training.batch_size
    counts = [count_step(config, bucket.window, rows) for bucket in examples.buckets]

    def mean(values: list[float]) -> float:
        return mean_over_buckets(examples, values)

    return Cost(
        total_steps(config.training, len(examples.pairs)),
        rows,
        (mean([c.launches for c in counts]), mean([c.fused_launches for c in counts])),
        mean([c.products + c.attention for c in counts]),
        (mean([c.traffic for c in counts]), mean([c.fused_traffic for c in counts])),
        max(c.kept for c in counts) / rows,
        {
            card: (mean([c.seconds(rates, fused=False) for c in counts]), mean([c.seconds(rates, fused=True) for c in counts]))
            for card, rates in CARDS.items()
        },
    )


def main(arguments: Sequence[str]) -> int:
    """Count and print, as a table in Markdown."""
    parser = common.parser("cost", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the named task sets")
    parser.add_argument("--presets", nargs="+", choices=tuple(PRESETS), default=["trm"], metavar="NAME", help="default: trm")
    values = parser.parse(arguments)
    costs = {name: cost_of(PRESETS[name], values.data_folder) for name in values.presets}
    if values.json:
        common.report({name: cost._asdict() for name, cost in costs.items()}, as_json=True)
        return 0
    titles = ["preset", "steps x samples", "kernels", "TFLOP", "elementwise GB", "MiB kept a sample"]
    titles += [f"{card}: ms a step, share; run" for card in CARDS]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name, cost in costs.items():
        cells = [f"`{name}`", f"{cost.steps:,} x {cost.rows}", "{:,.0f} / {:,.0f}".format(*cost.launches)]
        cells += [f"{cost.operations / 1e12:,.1f}", "{:,.0f} / {:,.0f}".format(*(b / 1e9 for b in cost.traffic))]
        cells.append(f"{cost.kept / 2**20:,.0f}")
        for card, times in cost.seconds.items():
            both = " / ".join(f"{1000 * s:,.0f}, {cost.operations / s / CARDS[card].peak:.0%}" for s in times)
            cells.append(f"{both}; {cost.steps * times[1] / 3600:,.1f} h")
        print(f"| {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    run(main)
