"""A page of a notebook's answers."""

from pathlib import Path

from submission.kaggle.answering import is_scored, rehearsal_file
from submission.kaggle.inputs import EVALUATION, Inputs
from submission.page import render_page
from trm_arc.common.errors import InputError
from trm_arc.data.pictures import draw_sections
from trm_arc.inference.attempts import DEFAULT_FILE


def show_answers(count: int, out: str | Path = DEFAULT_FILE) -> str:
    """The first `count` answers as HTML: the rehearsal's where there was one, else those of the submission `out`."""
    rehearsal = rehearsal_file(Path(out))
    rehearsed = not is_scored() and rehearsal.is_file()
    try:
        test = Inputs().find_test()
    except InputError as error:
        return draw_sections(str(error))
    return render_page(rehearsal if rehearsed else out, test.with_name(EVALUATION) if rehearsed else test, count)
