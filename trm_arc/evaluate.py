"""Answer and score the public evaluation tasks: python -m trm_arc.evaluate"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trm_arc.cli import Parser, add_machine_flags, add_thinking_flags, add_view_flags, chosen_thinking, run
from trm_arc.common.device import Device, find_device
from trm_arc.common.distributed import find_processes
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import (
    ANSWERS_FILE,
    FORMING_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    RESULT_FILES,
    SCORES_FILE,
    SUBMISSION_FILE,
    check_writable,
    to_json,
    write_atomic,
)
from trm_arc.common.text import wants_colour
from trm_arc.data.domains import LoadOptions
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.puzzle_sources import domain_of_data
from trm_arc.evaluation.outcomes import score_results
from trm_arc.evaluation.results import Results, make_results, write_csv, write_results
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.attempts import write_submission
from trm_arc.inference.votes import Predictions, count_views, tally
from trm_arc.model.checkpoint import (
    Checkpoint,
    domain_of_checkpoint,
    load_checkpoint,
    newest_checkpoint,
    pool_checkpoints,
    run_of,
)
from trm_arc.report.drawing import show_answers
from trm_arc.report.making import PICTURES, make_subject, remove_pictures, renew_forming, write_report

RUNS = Path("runs")


def load_tests(checkpoint: Checkpoint, values: Namespace) -> AnySet:
    """The tasks or puzzles that a command line names, or those that the run learned to answer.

    Args:
        checkpoint: of the run.
        values: the command line, with `data`, `data_folder`, `solutions`, `puzzles` and `skip_bad`.

    Raises:
        InputError: they cannot be loaded, or a flag says nothing of them.
    """
    training = checkpoint.config.training
    names = values.data or training.evaluation_data
    domain = domain_of_data(names, values.data_folder)
    domain.refuse_unused({name: value for name in ("solutions", "puzzles", "skip_bad") if (value := getattr(values, name))})
    require_least("puzzles", values.puzzles, 0)
    if domain.shape is not None and getattr(values, "window", "trained") != "trained":
        raise InputError(f"does nothing for {domain.plural}, which fill their board", flag="--window")
    checkpoint.require_domain(domain, names)  # before any is generated
    count = values.puzzles if values.puzzles is not None else 0 if values.data else training.evaluation_puzzles
    skip_bad = values.skip_bad or (not values.data and training.skip_bad)
    smallest = 0 if values.data else training.smallest
    options = LoadOptions(count, training.seed, skip_bad, values.solutions, smallest)
    return domain.load(names, "test", values.data_folder, options)


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.evaluate",
        description="Answer evaluation tasks under many augmented views, vote, score, and write predictions.json, "
        "predictions.csv (for other programs), metrics.json and report.html; for ARC tasks submission.json, too.",
    )
    named = "a checkpoint or a run's folder; several vote together (default: the newest below runs/)"
    parser.add_argument("--checkpoint", type=Path, nargs="+", help=named)
    parser.add_argument("--data", help="task set: a name or path (default: the evaluation tasks that the run learned to answer)")
    parser.add_argument("--solutions", type=Path, help="solutions file, if it does not lie beside the challenges")
    parser.add_argument("--out", type=Path, help="folder for the results (default: the run's, with --data one in it)")
    parser.add_argument("--drop-leaks", action="store_true", help="leave out tasks whose answers were trained on, or else refuse")
    parser.add_argument("--puzzles", type=int, metavar="N", help="answer N puzzles of a file, drawn by the run's seed (0: all)")
    parser.add_argument("--skip-bad", action="store_true", help="leave out rows of a file that are no puzzles")
    add_view_flags(parser, None)
    add_thinking_flags(parser)
    parser.add_argument("--no-report", action="store_true", help=f"write no {REPORT_FILE}")
    parser.add_argument("--show", action="store_true", help="print every answer as a picture in the terminal")
    add_machine_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, score.

    Args:
        arguments: the command line.
    """
    values = make_parser().parse(arguments)
    require_least("pool_checkpoints", values.pool_checkpoints)
    named = values.checkpoint or [newest_checkpoint(RUNS)]
    paths, checkpoint_path = pool_checkpoints(named, values.pool_checkpoints), named[0]
    checkpoint = load_checkpoint(paths[0])
    tasks = load_tests(checkpoint, values)
    for path in paths[1:]:  # before the first has worked for hours
        domain = domain_of_checkpoint(path)
        if domain is not tasks.domain:
            raise InputError(f"answers {domain.title}, and {tasks.name} holds {tasks.domain.title}", file=path)
    views = tasks.domain.default_views if values.views is None else values.views
    if tasks.has_solutions:
        for path in paths:
            tasks = check_not_trained_on(load_checkpoint(path) if path != paths[0] else checkpoint, tasks, drop=values.drop_leaks)
    run_folder = run_of(checkpoint_path)
    out = values.out or (run_folder if values.data is None else run_folder / Path(values.data).stem)
    device = find_device(values.device, values.precision)
    processes = find_processes(device.device.type == "cpu")
    if processes.is_main:
        check_writable(out, RESULT_FILES)
        print(f"{checkpoint_path}, step {checkpoint.step}: {tasks.describe()}")
        if len(paths) > 1:
            print(f"pooled votes of {len(paths)} checkpoints")
        print(f"device: {device.reason}")
    options = {name: getattr(values, name) for name in ("steps", "batch_size", "window")} | chosen_thinking(values)
    parts, attempts = [], 0
    for path in paths:  # one at a time in memory
        voter = checkpoint if path == paths[0] else load_checkpoint(path)
        attempts += values.rollouts * voter.config.model.latents
        parts += predict_tasks(voter, tasks, device, views=views, processes=processes, **options)
    if processes.is_main:
        metadata = {"checkpoint": str(paths[0]), "step": checkpoint.step, "checkpoints": len(paths), "data": tasks.name}
        metadata |= {"views": views, "steps": values.steps or checkpoint.config.training.halt_steps, "window": values.window}
        metadata |= chosen_thinking(values) | {"steps_of_thought": mean_steps(parts, attempts / len(paths))}
        ranked = tally(parts, tasks.outputs, views * len(paths), tasks.domain)
        results = make_results(metadata, tasks, ranked, count_views(parts, tasks.outputs, tasks.domain))
        report(results, out, values.show)
        if not values.no_report:
            write_page(results, out, run_folder, checkpoint, device)
    return 0


def mean_steps(parts: list[Predictions], copies: float) -> float:
    """Supervision steps that a rollout took, on average.

    Args:
        parts: predictions.
        copies: rollouts and latents of each view, on average over the checkpoints.
    """
    steps = np.concatenate([part.steps for part in parts]) if parts else np.zeros(0)
    return float(steps.mean() / copies) if len(steps) else 0.0


def report(results: Results, out: Path, show: bool) -> None:
    """Write predictions, submission and scores, and print what a person wants to know.

    Args:
        results: what was answered.
        out: folder for the files.
        show: print every answer as a picture.
    """
    tasks, domain = results.tasks, results.tasks.domain
    if show:
        print(f"\n{show_answers(results, wants_colour())}\n")
    if tasks.has_solutions:
        scores, table = score_results(results)
        if not domain.submits:
            print(f"{results.metadata['steps_of_thought']:.1f} steps of thought a rollout on average")
        print(table)
    else:
        print("no solutions are known here, so there is no score")
    # What matters most comes first, should the disk be full; what is left of other answers goes.
    if domain.submits:
        write_submission(out / SUBMISSION_FILE, tasks, results.grids)
    remove_stale(out, (REPORT_FILE, FORMING_FILE))
    if tasks.has_solutions:
        write_atomic(out / SCORES_FILE, to_json(dict(results.metadata) | scores, pretty=True))
    else:
        remove_stale(out, (SCORES_FILE,))
    write_results(out / PREDICTIONS_FILE, results)
    write_csv(out / ANSWERS_FILE, results)
    print(f"wrote {out / PREDICTIONS_FILE}, and as a table {ANSWERS_FILE}")
    if domain.submits:
        print(f"wrote {out / SUBMISSION_FILE}, checked: {len(tasks)} tasks, {tasks.outputs} test inputs")


def remove_stale(out: Path, names: Sequence[str]) -> None:
    """Remove files of other answers, and the pictures of a report.

    Args:
        out: folder of the files.
        names: of the files.

    Raises:
        InputError: one cannot be removed.
    """
    try:
        for name in names:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{name} of an earlier evaluation cannot be removed ({error.strerror})", file=out) from None
    remove_pictures(out / PICTURES)


def write_page(results: Results, out: Path, run_folder: Path, checkpoint: Checkpoint, device: Device) -> None:
    """Watch how some answers form, and write the report; a report that cannot be made costs nothing that was written before.

    Args:
        results: what was answered.
        out: folder for the files.
        run_folder: of the training.
        checkpoint: that answered.
        device: where to compute.
    """
    try:
        subject = renew_forming(make_subject(str(out), out, results, run_folder), (), checkpoint, device)
        write_report(out / REPORT_FILE, subject)
        print("\n".join(filter(None, (subject.note, f"wrote {out / REPORT_FILE}: open it in a browser"))))
    except InputError as error:
        print(f"no report: {error}")


if __name__ == "__main__":
    run(main)
