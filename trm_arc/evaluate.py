"""Answer and score the public evaluation tasks: python -m trm_arc.evaluate"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trm_arc.cli import (
    JSON_HELP,
    NEWEST_OR_OURS,
    RUNS,
    Parser,
    add_compile_flag,
    add_machine_flags,
    add_refinement_flags,
    add_view_flags,
    chosen_inference,
    setting_help,
)
from trm_arc.common.device import find_device
from trm_arc.common.distributed import find_process_group
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import REPORT_FILE, RESULT_FILES, check_writable
from trm_arc.common.output import print_json, print_styled, words_aside
from trm_arc.common.program import run
from trm_arc.common.text import printable, wants_colour
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.evaluation.ensemble import Ensemble
from trm_arc.evaluation.loading import load_tests
from trm_arc.evaluation.saving import refuse_foreign, save_and_print
from trm_arc.inference.config import DEFAULT
from trm_arc.inference.predictor import choose_compiled
from trm_arc.model.checkpoint_files import pool_checkpoints, run_of
from trm_arc.model.locate import find_for, folder_for_results
from trm_arc.report.drawing import render_answers
from trm_arc.report.making import PICTURES, remove_pictures, report_evaluation


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.evaluate",
        brief="--checkpoint --data --solutions --puzzles --data-folder --views --answer-steps --rollouts --batch-size "
        "--out --json --show --no-report --device",
        description="Answer evaluation tasks under many augmented views, vote, score, and write predictions.json, "
        "predictions.csv (for other programs), metrics.json and report.html; for ARC tasks also submission.json.",
    )
    add_view_flags(parser, None, NEWEST_OR_OURS)
    flag = parser.group("input")
    default = "the evaluation tasks that the run learned to answer"
    flag("--data", metavar="SET", help=f"tasks or puzzles to answer: a name or path (default: {default})")
    flag("--solutions", type=Path, metavar="FILE", help="solutions file, if it is not beside the challenges file")
    flag("--puzzles", type=int, metavar="N", help="answer N puzzles of a file, drawn by the run's seed (0: all)")
    leaks = "leave out tasks whose answers were trained on, instead of refusing them"
    flag("--drop-leaks", action="store_true", help=leaks)
    flag("--skip-bad", action="store_true", help=setting_help("skip_bad"))
    add_refinement_flags(parser)
    add_compile_flag(parser)
    once = "also answer with one supervision step alone, and say what that scores"
    parser.group("answering")("--one-step", action="store_true", help=once)
    flag = parser.group("output")
    flag("--out", type=Path, metavar="DIR", help="folder for the results (default: the run's, with --data one in it)")
    flag("--json", action="store_true", help=JSON_HELP)
    flag("--no-report", action="store_true", help=f"write no {REPORT_FILE}")
    flag("--show", action="store_true", help="print every answer as a picture in the terminal")
    add_machine_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, score."""
    values = make_parser().parse(arguments)
    with words_aside(values.json):
        document = answer(values)
    return print_json(document) if values.json and document else 0


def answer(values: Namespace) -> dict[str, Any] | None:
    """Answer, vote, score, and write the files.

    Returns:
        What the evaluation was and scored; None in all but one of several processes.
    """
    config = chosen_inference(values)
    for name in ("views", "pool_checkpoints"):
        require_least(name, getattr(values, name))
    named = values.checkpoint or [find_for(values.data and domain_of_data(values.data), RUNS)]
    ensemble = Ensemble.load(pool_checkpoints(named, values.pool_checkpoints))
    checkpoint, run_folder = ensemble.first, folder_for_results(run_of(named[0]), RUNS)
    if config.canvas != DEFAULT.canvas and checkpoint.domain.shape is not None:
        raise InputError(f"does nothing for {checkpoint.domain.plural}, which fill their board", flag="--canvas")
    asked = {"solutions": values.solutions, "puzzles": values.puzzles, "skip_bad": values.skip_bad}
    tasks = load_tests(checkpoint, values.data, values.data_folder, **asked)
    tasks = ensemble.check_tasks(tasks, drop_leaks=values.drop_leaks)
    views = tasks.domain.default_views if values.views is None else values.views
    if values.one_step and (not tasks.has_solutions or (config.steps or checkpoint.config.training.steps_of_answer) == 1):
        raise InputError("does nothing without solutions, or where there is one supervision step anyway", flag="--one-step")
    out = values.out or (run_folder if values.data is None else run_folder / Path(values.data).stem)
    device = find_device(values.device, values.precision)
    processes = find_process_group(cpu=device.device.type == "cpu")
    if processes.is_main:
        check_writable(out, RESULT_FILES)
        refuse_foreign(out)
        print(printable(f"{named[0]}, step {checkpoint.step}: {tasks.describe()}"))
        if len(ensemble.paths) > 1:
            print(f"pooled votes of {len(ensemble.paths)} checkpoints")
        print(f"device: {choose_compiled(config, device).annotate(device).reason}")
    results = ensemble.evaluate(tasks, device, config, views=views, processes=processes)
    if values.one_step:
        once = replace(config, steps=1, patience=0)
        alone = ensemble.evaluate(tasks, device, once, views=views, processes=processes, quiet=True)  # notes stand above
        score = alone and alone.scores.headline()[0].rate.value
        results = results and replace(results, metadata=replace(results.metadata, one_step_score=score))
    if results is None:
        return None
    scores = save_and_print(out, results)
    remove_pictures(out / PICTURES)  # of earlier answers
    if values.show:
        print_styled(f"\n{render_answers(results, wants_colour())}\n")
    if not values.no_report:
        report_evaluation(out, results, run_folder, checkpoint, device)
    return {"out": str(out)} | results.metadata.document() | scores


if __name__ == "__main__":
    run(main)
