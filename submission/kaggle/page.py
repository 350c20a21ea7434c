"""A page of a notebook's answers."""

from pathlib import Path

from submission.kaggle.answering import is_scored, rehearsal_file
from submission.kaggle.inputs import EVALUATION, Inputs
from submission.page import render_page
from submission.settings import DEFAULT_FILE
from trm_arc.common.errors import InputError
from trm_arc.report.grids import frame_grids


def show_answers(count: int, out: str | Path = DEFAULT_FILE) -> str:
    """The first `count` answers as HTML: the rehearsal's where there was one, else those of the submission `out`."""
    rehearsal = rehearsal_file(Path(out))
    rehearsed = not is_scored() and rehearsal.is_file()
    try:
        test = Inputs().find_test()
    except InputError as error:
        return frame_grids(str(error))
    return render_page(rehearsal if rehearsed else out, test.with_name(EVALUATION) if rehearsed else test, count)
