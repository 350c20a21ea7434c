"""Accuracy against compute at test time, on Sudoku and mazes: python -m trm_arc.sweep --checkpoint runs/sudoku"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from trm_arc.cli import (
    JSON_HELP,
    RUNS,
    Parser,
    add_batch_flag,
    add_compile_flag,
    add_machine_flags,
    add_model_flag,
    setting_help,
)
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError
from trm_arc.common.files import check_writable, to_json, write_atomic
from trm_arc.common.output import print_json, words_aside
from trm_arc.common.program import run
from trm_arc.common.text import printable
from trm_arc.evaluation.loading import load_tests
from trm_arc.evaluation.saving import refuse_foreign
from trm_arc.evaluation.sweeping import Sweep, SweepConfig
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.model.checkpoint_files import newest_checkpoint, run_of
from trm_arc.model.compiling import choose_compile_mode
from trm_arc.model.export import load_newest
from trm_arc.model.locate import folder_for_results
from trm_arc.report.plots import MISSING
from trm_arc.report.sweep_curves import PICTURES, write_sweep

RESULT = "sweep.json"


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.sweep",
        brief="--checkpoint --data --puzzles --data-folder --answer-steps --patience --rollouts --views --out --json --device",
        description=f"Answer the same puzzles with increasing compute, and write {RESULT} and the curves as a picture. "
        "Rollouts and views use as many steps as in training.",
    )
    add_model_flag(parser)
    flag, default = parser.group("input"), SweepConfig()
    flag("--data", metavar="SET", help="puzzles to answer: a name or path (default: those that the run is scored on)")
    flag("--puzzles", type=int, default=200, metavar="N", help="answer N of them (0: all)")
    flag("--skip-bad", action="store_true", help=setting_help("skip_bad"))
    flag = parser.group("answering")
    steps = "numbers of supervision steps of an answer to try"
    flag("--answer-steps", dest="steps", type=int, nargs="*", default=list(default.steps), metavar="N", help=steps)
    flag(
        "--patience",
        type=int,
        default=default.patience,
        metavar="N",
        help="also try the same steps with this patience (0: do not)",
    )
    flag(
        "--rollouts",
        type=int,
        nargs="*",
        default=list(default.rollouts),
        metavar="K",
        help="numbers of rollouts to try",
    )
    flag(
        "--rollout-noise",
        dest="noise",
        type=float,
        default=default.noise,
        metavar="STD",
        help="noise on the states of all rollouts but the first",
    )
    flag("--views", type=int, nargs="*", default=list(default.views), metavar="N", help="numbers of views to try")
    add_batch_flag(parser)
    flag = parser.group("output")
    flag("--out", type=Path, metavar="DIR", help="folder for the results (default: the run's)")
    flag("--json", action="store_true", help=JSON_HELP)
    add_compile_flag(parser)
    add_machine_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, draw."""
    values = make_parser().parse(arguments)
    with words_aside(values.json):
        document = sweep(values)
    return print_json(document) if values.json else 0


def sweep(values: Namespace) -> dict[str, Any]:
    """Answer, draw, and write the result, which is returned."""
    chosen = {field.name: getattr(values, field.name) for field in fields(SweepConfig)}
    config = SweepConfig(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})
    path = values.checkpoint or newest_checkpoint(RUNS)
    checkpoint = load_newest(path)
    if checkpoint.domain.scoring != "exact":
        raise InputError("answers ARC tasks; this is for Sudoku and mazes", file=path)
    puzzles = load_tests(checkpoint, values.data, values.data_folder, puzzles=values.puzzles, skip_bad=values.skip_bad)
    puzzles = check_not_trained_on(checkpoint, puzzles, drop=False)
    folder = values.out or folder_for_results(run_of(path), RUNS)
    check_writable(folder, (RESULT, *PICTURES))
    refuse_foreign(folder, (RESULT, *PICTURES), RESULT, "points")
    device = find_device(values.device, values.precision)
    print(printable(f"{path}, step {checkpoint.step}: {puzzles.describe()}"))
    print(f"device: {choose_compile_mode(config.compile, device.device).annotate(device).reason}")
    points = Sweep(checkpoint, puzzles, device).run(config)
    document: dict[str, Any] = {"checkpoint": str(path), "step": checkpoint.step, "data": puzzles.name, "puzzles": len(puzzles)}
    listed = [point._asdict() | {"exact": asdict(point.exact), "valid": asdict(point.valid)} for point in points]
    document |= {"points": listed}
    write_atomic(folder / RESULT, to_json(document, pretty=True))
    drawn = write_sweep(points, f"{puzzles.name}, {len(puzzles)} puzzles", folder)
    print(f"wrote {', '.join(map(str, [folder / RESULT, *drawn]))}")
    if not drawn:
        print(f"no picture: {MISSING}")
    return document


if __name__ == "__main__":
    run(main)
