"""Answer and score the public evaluation tasks: python -m trm_arc.evaluate"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trm_arc.cli import RUNS, Parser, add_compile_flag, add_machine_flags, add_refinement_flags, add_view_flags, chosen_inference
from trm_arc.common.device import Device, find_device
from trm_arc.common.distributed import find_process_group
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import REPORT_FILE, RESULT_FILES, check_writable
from trm_arc.common.output import print_styled
from trm_arc.common.program import run
from trm_arc.common.text import printable, wants_colour
from trm_arc.evaluation.ensemble import Ensemble
from trm_arc.evaluation.loading import load_tests
from trm_arc.evaluation.outcomes import score_results
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.saving import refuse_foreign, save_results
from trm_arc.inference.config import DEFAULT
from trm_arc.inference.predictor import choose_compiled
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.checkpoint_files import newest_checkpoint, pool_checkpoints, run_of
from trm_arc.model.locate import folder_for_results
from trm_arc.report.drawing import draw_answers
from trm_arc.report.making import PICTURES, make_subject, remove_pictures, renew_traces, write_report


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.evaluate",
        description="Answer evaluation tasks under many augmented views, vote, score, and write predictions.json, "
        "predictions.csv (for other programs), metrics.json and report.html; for ARC tasks also submission.json.",
    )
    add_view_flags(parser, None)
    parser.add_argument("--data", help="task set: a name or path (default: the evaluation tasks that the run learned to answer)")
    parser.add_argument("--solutions", type=Path, help="solutions file, if it is not beside the challenges file")
    parser.add_argument("--out", type=Path, help="folder for the results (default: the run's, with --data one in it)")
    parser.add_argument(
        "--drop-leaks", action="store_true", help="leave out tasks whose answers were trained on, instead of refusing"
    )
    parser.add_argument("--puzzles", type=int, metavar="N", help="answer N puzzles of a file, drawn by the run's seed (0: all)")
    parser.add_argument("--skip-bad", action="store_true", help="leave out broken tasks, or rows that are not puzzles")
    add_refinement_flags(parser)
    add_compile_flag(parser)
    parser.add_argument(
        "--one-step",
        action="store_true",
        help="also answer with one supervision step alone, and say what that scores",
    )
    parser.add_argument("--no-report", action="store_true", help=f"write no {REPORT_FILE}")
    parser.add_argument("--show", action="store_true", help="print every answer as a picture in the terminal")
    add_machine_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, score."""
    values = make_parser().parse(arguments)
    config = chosen_inference(values)
    for name in ("views", "pool_checkpoints"):
        require_least(name, getattr(values, name))
    named = values.checkpoint or [newest_checkpoint(RUNS)]
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
    if results is not None:
        save(results, out)
        if values.show:
            print_styled(f"\n{draw_answers(results, wants_colour())}\n")
        if not values.no_report:
            write_page(results, out, run_folder, checkpoint, device)
    return 0


def save(results: Results, out: Path) -> None:
    """Write the files of an evaluation into a folder without those of an earlier one, then print the scores."""
    scores, table = None, "no solutions are known, so there is no score"
    if results.tasks.has_solutions:
        scores, table = score_results(results)
    if scores is not None and not results.tasks.domain.submits:
        table = f"{results.metadata.supervision_steps:.1f} supervision steps per rollout on average\n{table}"
    if (alone := results.metadata.one_step_score) is not None:
        table = f"one supervision step alone: {100 * alone:.1f} % {results.scores.headline()[0].name}\n{table}"
    try:
        written = save_results(out, results, scores)
        remove_pictures(out / PICTURES)
    finally:  # the scores are printed even if nothing can be written
        print(table)
    print(written)


def write_page(results: Results, out: Path, run_folder: Path, checkpoint: Checkpoint, device: Device) -> None:
    """Trace how some answers are refined, and write the report; if that fails, all other files stay."""
    try:
        subject = renew_traces(make_subject(str(out), out, results, run_folder), (), checkpoint, device)
        write_report(out / REPORT_FILE, subject)
        print("\n".join(filter(None, (subject.note, f"wrote {out / REPORT_FILE}: open it in a browser"))))
    except InputError as error:
        print(printable(f"no report: {error}"))


if __name__ == "__main__":
    run(main)
