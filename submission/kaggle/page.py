"""Pages of a notebook: its answers, or how its training went."""

from pathlib import Path

from submission.kaggle.answering import is_scored, rehearsal_file
from submission.kaggle.inputs import EVALUATION, Inputs
from submission.page import render_page
from trm_arc.common.errors import InputError
from trm_arc.data.pictures import render_sections
from trm_arc.inference.attempts import DEFAULT_FILE
from trm_arc.model.checkpoint_files import list_checkpoints


def show_answers(count: int, out: str | Path = DEFAULT_FILE) -> str:
    """The first `count` answers as HTML: the rehearsal's where there was one, else those of the submission `out`."""
    rehearsal = rehearsal_file(Path(out))
    rehearsed = not is_scored() and rehearsal.is_file()
    try:
        test = Inputs().find_test()
    except InputError as error:
        return render_sections(str(error))
    return render_page(rehearsal if rehearsed else out, test.with_name(EVALUATION) if rehearsed else test, count)


def show_run(out: str | Path) -> str:
    """The checkpoints of a run and the curves of its training as HTML; where there are none, a sentence on why."""
    from trm_arc.report.curves import render_curves  # with torch, which the program that answers must not wait for
    from trm_arc.report.logs import read_log

    folder = Path(out)
    saved = ", ".join(path.name for path in list_checkpoints(folder))
    try:
        curves = render_curves([read_log(folder)], ["steps"], pictures=False)
    except InputError as error:
        return render_sections(f"{folder}: {saved or 'no checkpoint'}") + render_sections(str(error))
    return render_sections(f"{folder}: {saved or 'no checkpoint'}") + "".join(each._repr_html_() for each in curves)
