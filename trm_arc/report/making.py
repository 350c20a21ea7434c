"""From folders to a report: what a run has left is gathered, and the page and its pictures are written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trm_arc.compare import name_tests
from trm_arc.device import Device
from trm_arc.errors import InputError
from trm_arc.export import load_newest
from trm_arc.files import ANSWERS_FILE, FORMING_FILE, PREDICTIONS_FILE, write_atomic
from trm_arc.forming import Forming, choose_slots, read_forming, watch_forming, write_forming
from trm_arc.puzzles.puzzle_set import PuzzleSet
from trm_arc.reading import find_results
from trm_arc.report.curves import draw_curves
from trm_arc.report.logs import RunLog, has_log, read_log, show_summary
from trm_arc.report.page import Training, make_page
from trm_arc.report.strips import BoardDrawer, write_strips
from trm_arc.results import Results, truths


@dataclass(frozen=True, eq=False)
class Subject:
    """What a report is of.

    Attributes:
        name: as the user calls it.
        folder: where its files lie.
        results: its evaluation; None if there is none.
        log: of its training; None if there is none.
        forming: how some of its answers form.
    """

    name: str
    folder: Path
    results: Results | None
    log: RunLog | None
    forming: Sequence[Forming] = ()


def find_subject(path: Path) -> Subject:
    """What a run's folder, or the file of predictions in one, holds.

    Args:
        path: see above.

    Raises:
        InputError: nothing that can be shown, or a file that is damaged.
    """
    path = path.parent if path.name.startswith("checkpoint-") else path
    folder = path if path.is_dir() else path.parent
    answered = not path.is_dir() or any((path / name).is_file() for name in (PREDICTIONS_FILE, ANSWERS_FILE))
    if not answered and not has_log(path):
        raise InputError(
            f"{path}: holds neither an evaluation nor the metrics of training; name a run's folder, or make predictions with "
            "`python -m trm_arc.evaluate --checkpoint RUN`"
        )
    results = find_results(path) if answered else None
    return make_subject(str(path), folder, results)


def make_subject(name: str, folder: Path, results: Results | None) -> Subject:
    """What lies beside an evaluation: the metrics of the run that it is of, and how some answers form.

    Args:
        name: as the user calls it.
        folder: of the evaluation.
        results: the evaluation; None if there is only training.

    Raises:
        InputError: a file is damaged.
    """
    run = find_run(folder, results)
    log = read_log(run, name) if run else None
    file = folder / FORMING_FILE
    forming = read_forming(file) if results is not None and file.is_file() else ()
    return Subject(name, folder, results, log, forming)


def find_run(folder: Path, results: Results | None) -> Path | None:
    """The folder of the run whose training has made an evaluation's checkpoint, if its metrics are there.

    Args:
        folder: of the evaluation.
        results: the evaluation.
    """
    made = Path(str(results.made.get("checkpoint", folder))) if results is not None else folder
    return next((place for place in (folder, made, made.parent) if has_log(place)), None)


def renew_forming(subject: Subject, names: Sequence[str], checkpoint: Path | None, device: Device) -> Subject:
    """Watch how answers form, and keep that beside the evaluation.

    Args:
        subject: whose.
        names: of the tests; those that are usual if there are none.
        checkpoint: what answers; the one that answered if None.
        device: where to compute.

    Raises:
        InputError: there is no evaluation, no checkpoint, or no such test.
    """
    results = subject.results
    if results is None:
        raise InputError(f"--forming: {subject.name} holds no predictions; make them with `python -m trm_arc.evaluate`")
    slots = choose_slots(results, names)
    path = checkpoint or Path(str(results.made.get("checkpoint", subject.folder)))
    if not path.exists():
        raise InputError(f"{path}: the checkpoint that answered is not there; name one with --checkpoint")
    options = {name: results.made[name] for name in ("steps", "window") if name in results.made}
    formed = watch_forming(load_newest(path), results.tasks, slots, name_tests(results), device, **options)
    write_forming(subject.folder / FORMING_FILE, formed)
    return replace(subject, forming=formed)


def write_report(out: Path, first: Subject, others: Sequence[Subject] = (), pictures: Path | None = None) -> list[Path]:
    """Write the page, and pictures for a paper.

    Args:
        out: the file of the page.
        first: what it shows.
        others: what that is compared with.
        pictures: a folder for curves and strips as SVG, PNG and GIF; None: the page alone.

    Returns:
        The pictures.

    Raises:
        InputError: matplotlib or the template engine are not installed, or something cannot be written.
    """
    logs = [subject.log for subject in (first, *others) if subject.log is not None]
    files: list[Path] = []
    training = None
    if logs:
        curves = draw_curves(logs, pictures)
        files += [file for curve in curves for file in curve.files]
        training = Training(curves, show_summary(logs))
    rivals = {other.name: other.results for other in others if other.results is not None} if first.results is not None else {}
    title = first.name if first.results is None else f"{first.name}: {first.results.tasks.name}"
    page = make_page(title, first.results, forming=first.forming, training=training, others=rivals)
    write_atomic(out, page.encode())
    return files + (draw_forming(first, pictures) if pictures is not None else [])


def draw_forming(subject: Subject, folder: Path) -> list[Path]:
    """Write the strips and animated pictures of what was watched, in place of those that are there.

    Args:
        subject: whose.
        folder: where to write.

    Raises:
        InputError: nothing can be written.
    """
    for stale in folder.glob("forming-*"):
        stale.unlink()
    if subject.results is None:
        return []
    tasks, names, known = subject.results.tasks, name_tests(subject.results), truths(subject.results.tasks)
    inputs = list(tasks.questions) if isinstance(tasks, PuzzleSet) else [task.test[n].input for task, n in tasks.tests]
    formed = [one for one in subject.forming if one.name in names]
    places = [names.index(one.name) for one in formed]
    return write_strips(formed, [BoardDrawer(tasks.family, inputs[at], known[at]) for at in places], folder)
