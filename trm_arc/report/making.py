"""From folders to a report: the results of a run are collected, and the page and its pictures are written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.common.files import ANSWERS_FILE, PREDICTIONS_FILE, REPORT_FILE, TRACES_FILE, read_json, to_json, write_atomic
from trm_arc.common.launch import command_line
from trm_arc.common.text import printable
from trm_arc.evaluation.result_files import find_results
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.traces import Trace, choose_tests, read_traces, trace_refinement, write_traces
from trm_arc.inference.config import InferenceConfig
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints, read_step, run_of
from trm_arc.report.cost_chart import render_costs
from trm_arc.report.curves import render_curves
from trm_arc.report.logs import MetricsLog, add_scores, format_summary, has_log, read_log
from trm_arc.report.page import Training, make_page, require_template_engine
from trm_arc.report.plots import write_pictures
from trm_arc.report.strips import BoardDrawer, render_strips

PICTURES, _LIST = "pictures", "pictures.json"  # the folder for them, beside the page, and its list of them
PAGE = re.compile(rb"<!doctype html>.{,500}script-src 'sha256-", re.DOTALL)  # how the page begins
_PICTURE = re.compile(r"(trace-[\w-]+|curves-\w+)\.(svg|png|gif)")


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is of.

    Attributes:
        name: as the user calls it.
        folder: where its files lie.
        results: its evaluation; None if there is none.
        run: the folder of the training that made it; None if that is not known.
        log: of that training; None if there is none.
        traces: of some of its answers.
        note: a remark for the user; may be empty.
    """

    name: str
    folder: Path
    results: Results | None
    run: Path | None = None
    log: MetricsLog | None = None
    traces: Sequence[Trace] = ()
    note: str = ""


def find_subject(path: Path) -> Subject:
    """What a run's folder, or the file of predictions in one, holds.

    Raises:
        InputError: nothing that can be shown, or a file that is damaged.
    """
    path = run_of(path)
    try:
        is_folder, there = path.is_dir(), path.exists()
        answered = not is_folder or any((path / name).is_file() for name in (PREDICTIONS_FILE, ANSWERS_FILE))
        logged = is_folder and has_log(path)
    except OSError as error:
        raise InputError(f"cannot be accessed ({error.strerror})", file=path) from None
    if is_folder and not answered and not logged:
        raise InputError(
            "holds neither an evaluation nor the metrics of training; name a run's folder, or make predictions with "
            f"`{command_line('python -m trm_arc.evaluate')} --checkpoint RUN`",
            file=path,
        )
    results = find_results(path) if answered or not there else None
    folder = path if is_folder else path.parent
    return make_subject(str(path), folder, results, folder if logged else find_run(folder, results))


def make_subject(name: str, folder: Path, results: Results | None, run: Path | None) -> Subject:
    """An evaluation with what is stored beside it: the metrics of its run, and refinement traces.

    Raises:
        InputError: a file is damaged.  Unusable metrics do not prevent the report of an evaluation.
    """
    name, log, note = printable(name), None, ""
    if run is not None and (results is None or has_log(run)):
        try:
            log = read_log(run, name)
        except InputError as error:
            if results is None:
                raise
            note = f"no curves of training: {error}"
    file = folder / TRACES_FILE
    traces = read_traces(file, results) if results is not None and file.is_file() else ()
    return Subject(name, folder, results, run, log, traces, note)


def find_run(folder: Path, results: Results | None) -> Path | None:
    """The folder of the run of an evaluation, if that is certain: the folder around an evaluation of other data.

    A path that the evaluation states is no proof: there may be another run by now.
    """
    above = folder.resolve().parent
    stated = run_of(Path(results.metadata.checkpoint or "")) if results else Path()
    return above if stated.name == above.name and has_log(above) else None


def find_checkpoint(subject: Subject) -> Path:
    """The checkpoint that gave an evaluation's answers: where the evaluation says, or in the run's folder.

    Raises:
        InputError: there is no evaluation, or its checkpoint no longer exists.
    """
    results = _require_results(subject)
    stated, step = Path(results.metadata.checkpoint or ""), results.metadata.step
    run = subject.run or subject.folder
    for place in (stated, subject.folder / stated.name, run / stated.name, run):
        try:
            found = next((one for one in (place, *list_checkpoints(place)) if step and read_step(one) == step), None)
        except OSError:  # not the name of a file
            continue
        if found is not None:
            return found
    problem = f"the checkpoint that gave the answers, of step {step}, no longer exists; name one with --checkpoint"
    raise InputError(problem, file=stated)


def _require_results(subject: Subject) -> Results:
    if subject.results is None:
        evaluate = command_line("python -m trm_arc.evaluate")
        raise InputError(f"{subject.name} holds no predictions; make them with `{evaluate}`", flag="--trace")
    return subject.results


def renew_traces(subject: Subject, names: Sequence[str], model: Checkpoint, device: Device) -> Subject:
    """Trace how answers are refined, and save the traces beside the evaluation.

    Raises:
        InputError: there is no evaluation, or no such test.
    """
    results = _require_results(subject)
    tests = choose_tests(results, names)
    made = results.metadata
    config = InferenceConfig(steps=made.steps, canvas=made.canvas, compile="none")  # a view of each canvas alone
    traces = trace_refinement(model, results.tasks, tests, results.tasks.names, device, config)
    write_traces(subject.folder / TRACES_FILE, traces)
    return replace(subject, traces=traces)


def write_report(out: Path, first: Subject, others: Sequence[Subject] = (), pictures: Path | None = None) -> list[Path]:
    """Write the page, and after it pictures for a paper.

    Args:
        pictures: a folder for curves and strips as SVG, PNG and GIF; None: the page alone.

    Returns:
        The pictures.

    Raises:
        InputError: matplotlib or the template engine are not installed, or something cannot be written.
    """
    require_template_engine()
    logs = list_logs((first, *others))
    curves = [curve for render in (render_curves, render_costs) for curve in render(logs, pictures=pictures is not None)]
    training = Training(curves, format_summary(logs)) if curves else None
    rivals = {other.name: other.results for other in others if other.results is not None} if first.results is not None else {}
    title = first.name if first.results is None else f"{first.name}: {printable(first.results.tasks.name)}"
    page = make_page(title, first.results, traces=first.traces, training=training, others=rivals)
    replaced = out.exists()
    write_atomic(out, page.encode())
    if pictures is None:
        return []
    drawn = {name: data for curve in curves for name, data in curve.pictures.items()} | render_traces(first)
    foreign = [name for name in drawn.keys() - _list_pictures(pictures) if (pictures / name).exists()]
    if foreign and not replaced:  # beside a page, they are of an earlier version, which kept no list
        raise InputError(f"holds {min(foreign)}, which no report wrote, so it is not replaced; move it away", file=pictures)
    remove_pictures(pictures)
    if drawn:
        write_atomic(pictures / _LIST, to_json({"pictures": list(drawn)}))
    return write_pictures(drawn, pictures)


def report_evaluation(out: Path, results: Results, run: Path, checkpoint: Checkpoint, device: Device) -> None:
    """Trace how some answers of an evaluation are refined, and write its page; if that fails, all other files stay."""
    try:
        subject = renew_traces(make_subject(str(out), out, results, run), (), checkpoint, device)
        write_report(out / REPORT_FILE, subject)
        print("\n".join(filter(None, (subject.note, f"wrote {out / REPORT_FILE}: open it in a browser"))))
    except InputError as error:
        print(printable(f"no report: {error}"))


def list_logs(subjects: Sequence[Subject]) -> list[MetricsLog]:
    """The logs of the runs that subjects are of, each once, with the scores of all evaluations of its checkpoints."""
    answered = [subject.results for subject in subjects if subject.results and subject.results.tasks.has_solutions]
    several = len({results.metadata.data for results in answered}) > 1
    logs, scores = {}, {}
    for subject in subjects:
        if subject.run and subject.log:
            run = subject.run.resolve()
            folder = subject.folder if subject.folder.resolve() == run else subject.folder.parent
            named = replace(subject.log, name=printable(str(folder) if folder.name else run.name))
            logs[run] = named if run in logs else subject.log  # of several evaluations of a run none gives it its name
            scores.setdefault(run, []).extend(_score(one, several) for one in answered if one is subject.results)
    return [add_scores(log, scores[run]) for run, log in logs.items()]


def _score(results: Results, several: bool) -> dict[str, Any]:
    """The score that says most of an evaluation, as a line of metrics has it.

    Args:
        several: there are others of other data, from which its name tells it apart.
    """
    measure, value = next(iter(results.scores.means().items()))
    made = results.metadata
    counts = {"views": made.views or 1, "rollouts": made.rollouts, "checkpoints": made.checkpoints}
    numbers = [f"{count} {key if count != 1 else key[:-1]}" for key, count in counts.items() if key == "views" or count != 1]
    name = ", ".join([measure, *[str(made.data)] * several, *numbers])
    return {"step": made.step, name: value}


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier report, by its list of them, and nothing else.

    Raises:
        InputError: they cannot be removed.
    """
    try:
        for name in _list_pictures(folder):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"pictures of an earlier report cannot be removed ({error.strerror})", file=folder) from None


def _list_pictures(folder: Path) -> list[str]:
    """The pictures that an earlier report wrote into a folder, and the list of them."""
    try:
        listed = read_json(folder / _LIST) if (folder / _LIST).is_file() else {}
    except InputError:
        return []
    names = listed.get("pictures") if isinstance(listed, dict) else None
    return [name for name in names if isinstance(name, str) and _PICTURE.fullmatch(name)] + [_LIST] if names else []


def render_traces(subject: Subject) -> dict[str, bytes]:
    """The strips and animated pictures of the traces, by the names of their files."""
    if subject.results is None or not subject.traces:
        return {}
    tasks = subject.results.tasks
    names, inputs, known = tasks.names, tasks.questions, tasks.truths
    places = [names.index(one.name) for one in subject.traces]
    return render_strips(subject.traces, [BoardDrawer(tasks.domain, inputs[at], known[at]) for at in places])
