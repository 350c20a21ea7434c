"""What each piece of our own presets is worth at small scale: one changed at a time, a few steps, some seeds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.short_runs import Case, Outcome, run_all, spread
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.program import run
from trm_arc.config import PRESETS, Config

AS_IS = "as it is"
_SCALE: dict[str, Any] = {
    "width": 64,
    "heads": 2,
    "expansion": 2.0,
    "cycles": 1,
    "latent_steps": 3,
    "depth_curriculum": "",
    "halt_steps": 2,
    "batch_size": 32,
    "ema": 0.9,
}
_ARC: dict[str, Any] = {
    "data": "",
    "leave_out": "",
    "smallest": 13,
    "augmentations": 100,
    "canvas": "fit",
    "translate": False,
    "prefix": 12,
}
_PUZZLES: dict[str, Any] = {"puzzles": 1000, "evaluation_puzzles": 50, "prefix": 1}
_SUDOKU = _PUZZLES | {"data": "sudoku-9x9-easy", "evaluation_data": "sudoku-9x9-easy"}
_MAZE = _PUZZLES | {"data": "maze-8x8-easy", "evaluation_data": "maze-8x8-easy", "board_rows": 8, "board_columns": 8}
# Of each preset, the changes that make it small.
SCALES: dict[str, dict[str, Any]] = {
    "arc1-fast": _ARC,
    "arc1-parallel": _ARC,
    "arc1-loop": _ARC | {"layers": 2, "cycles": 4, "latent_steps": 0, "gradient_calls": 3, "learning_rate": 1e-3},
    "arc1-equilibrium": _ARC | {"learning_rate": 1e-3},
    "sudoku-fast": _SUDOKU,
    "sudoku-parallel": _SUDOKU,
    "maze-fast": _MAZE | {"cycles": 2, "latent_steps": 1},
}
_NORMUON: dict[str, Any] = {"matrix_optimizer": "normuon", "matrix_momentum": 0.95}
# Of each preset, the pieces by what is there without them: taken away, put in, or another value.
_ADAM = {"no matrix optimizer": {"matrix_optimizer": "same"}}
_MOMENTUM = {"momentum 0.95, five Newton-Schulz steps": {"matrix_momentum": 0.95, "newton_schulz_steps": 5}}
_WHOLE = {"heads together": {"matrix_parts": "whole"}}
_UNBOUNDED = {"no query-key norm": {"qk_norm": False}}
_NO_OUTPUT_NORM = {"no norm before the output": {"output_norm": False}}
_GATE = {"plain SwiGLU": {"gate": "swiglu"}}
_ROW = {"1-D positions": {"positions": "rotary-1d"}}
_NO_CONVOLUTION = {"no convolution": {"convolution": 0}}
_SLOTS = {"an embedding for each transform": {"transform_tokens": False}}
_STABLEMAX = {"stablemax": {"loss": "stablemax"}}
_SHARP = {"no label smoothing": {"label_smoothing": 0.0}}
_SMOOTH = {"label smoothing 0.1": {"label_smoothing": 0.1}}
_CONSTANT = {"constant rate": {"decay_share": 0.0, "decay_shape": "linear"}}
_COSINE = {"cosine": {"decay_share": 1.0, "decay_shape": "cosine"}}
_UNCLIPPED = {"no clipping": {"gradient_clip": 0.0}}
_APART = {"each latent its own y": {"carry_best": False, "shared_start": False}}
_ONE = {"one latent": {"latents": 1, "carry_best": False, "shared_start": False}}
PIECES: dict[str, dict[str, dict[str, Any]]] = {
    "arc1-fast": {
        **_ADAM,
        "its rate 1.66e-3": {"matrix_learning_rate": 1.66e-3},
        "its rate 0.02": {"matrix_learning_rate": 0.02},
        "NorMuon's own scale, 1.66e-3": {"matrix_scale": "own", "matrix_learning_rate": 1.66e-3},
        "Muon": {"matrix_optimizer": "muon", "matrix_scale": "own", "normuon_nesterov": False},
        **_UNBOUNDED,
        **_GATE,
        **_ROW,
        **_SLOTS,
        "task embeddings at 1e-3": {"task_embedding_learning_rate": 1e-3},
        "AdamW at 1e-3": {"learning_rate": 1e-3},
        **_SMOOTH,
        "curriculum": {"depth_curriculum": "1/1:0.3,1/2:0.6"},
        **_COSINE,
        **_CONSTANT,
        **_UNCLIPPED,
        "no Nesterov momentum": {"normuon_nesterov": False},
        **_STABLEMAX,
    },
    "arc1-parallel": {
        **_ONE,
        **_APART,
        **_UNBOUNDED,
        **_NO_OUTPUT_NORM,
        **_WHOLE,
        "its rate 0.02": {"matrix_learning_rate": 0.02},
        **_MOMENTUM,
        **_SHARP,
        "halting loss 0.5": {"halting_loss_weight": 0.5},
        **_UNCLIPPED,
        **_CONSTANT,
    },
    "arc1-loop": {
        **_NO_CONVOLUTION,
        **_ROW,
        "half as many loops again": {"cycles": 6},
        "gradient through all": {"gradient_calls": -1},
        "gradient through the last": {"gradient_calls": 1},
    },
    "arc1-equilibrium": {
        "fixed start": {"random_start": False},
        "no damping": {"damping": 1.0},
        "no noise": {"noise": 0.0},
        **_ROW,
        **_SLOTS,
    },
    "sudoku-fast": {
        **_ADAM,
        **_MOMENTUM,
        **_GATE,
        **_STABLEMAX,
        **_SHARP,
        **_CONSTANT,
        **_UNCLIPPED,
        "halting loss 0.5": {"halting_loss_weight": 0.5},
        "attention, 2-D positions, query-key norm": {"mixer": "attention", "positions": "rotary-2d", "qk_norm": True},
    },
    "sudoku-parallel": {**_ONE, **_APART, "starts drawn": {"random_start": True}},
    "maze-fast": {
        **_NO_CONVOLUTION,
        **_ROW,
        **_ADAM,
        "NorMuon, spectral": {**_NORMUON, "matrix_scale": "spectral"},
        **_WHOLE,
        **_NO_OUTPUT_NORM,
        "query-key norm": {"qk_norm": True},
        **_GATE,
        "gradient through all cycles": {"gradient_calls": -1},
        **_MOMENTUM,
        **_SHARP,
        **_STABLEMAX,
        **_CONSTANT,
        **_UNCLIPPED,
    },
}


def list_cases(preset: str, changes: dict[str, Any], only: Iterable[str] | None) -> list[Case]:
    """The preset at small scale as it is, then with each piece changed; what a piece does not change is left out.

    Args:
        changes: to the scale, for all cases.
        only: pieces, by name; None: all.

    Raises:
        InputError: no such piece.
    """
    base = PRESETS[preset].override(_SCALE | SCALES[preset] | changes)
    unknown = set(only or ()) - PIECES[preset].keys()
    if unknown:
        raise InputError(f"{min(unknown)!r} is not a piece of {preset}; there are {', '.join(PIECES[preset])}", flag="--only")
    chosen = {name: piece for name, piece in PIECES[preset].items() if only is None or name in only}
    cases = [Case(AS_IS, base), *(Case(name, base.override(piece)) for name, piece in chosen.items())]
    return [case for number, case in enumerate(cases) if number == 0 or case.config != base]


def scaled_schedule(config: Config, steps: int) -> dict[str, Any]:
    """The length of a short run, with a warm-up of a twentieth of it for a preset that has one."""
    return {"steps": steps, "warmup_steps": max(1, steps // 20) if config.training.warmup_steps > 1 else 0}


def format_table(preset: str, outcomes: Sequence[Outcome]) -> str:
    """A row for each case, over its seeds."""
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_name.setdefault(outcome.name, []).append(outcome)
    lines = [f"| {preset} | loss at the end | held out: cells % | exact % | CPU s |", "|---|---|---|---|---|"]
    for name, of in by_name.items():
        cells, exact = (spread([100 * getattr(one, what) for one in of], 1) for what in ("cells", "exact"))
        seconds = sum(one.seconds for one in of) / len(of)
        lines.append(f"| {name} | {spread([one.loss for one in of], 3)} | {cells} | {exact} | {seconds:.0f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure and print a table in Markdown for each preset."""
    parser = common.parser("ablation", __doc__ or "")
    parser.add_argument(
        "--presets", nargs="+", choices=tuple(PIECES), default=tuple(PIECES), metavar="NAME", help="which presets"
    )
    parser.add_argument("--only", nargs="+", metavar="PIECE", help="only these pieces, besides the preset as it is")
    parser.add_argument("--steps", type=int, default=150, help="training steps of a run")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each setting")
    parser.add_argument("--width", type=int, default=64, help="width, with heads of 32")
    parser.add_argument("--data-folder", type=Path, help="folder with the ARC-AGI-1 files")
    parser.add_argument("--results", type=Path, help="file of JSON lines with what is done, which is continued")
    values = parser.parse(arguments)
    require_least("steps", values.steps)
    require_least("seeds", values.seeds)
    tables = {}
    for preset in values.presets:
        changes = {"width": values.width, "heads": max(1, values.width // 32)}
        changes |= scaled_schedule(PRESETS[preset], values.steps)
        cases = list_cases(preset, changes, values.only)
        tables[preset] = format_table(preset, run_all(cases, values.seeds, values.data_folder, values.results))
    lines = {name: table.splitlines() if values.json else f"\n{table}\n" for name, table in tables.items()}
    common.report(lines, values.json)
    return 0


if __name__ == "__main__":
    run(main)
