"""The results of a run, wherever its evaluation has put them."""

from pathlib import Path

from trm_arc.common.errors import InputError
from trm_arc.common.files import ANSWERS_FILE, PREDICTIONS_FILE
from trm_arc.evaluation.puzzle_answers import read_answers
from trm_arc.evaluation.results import Results, read_predictions
from trm_arc.model.checkpoint import run_of


def find_results(path: Path) -> Results:
    """Read what an evaluation has kept.

    Args:
        path: a run's folder or another one with an evaluation's files, a checkpoint in it, or the file of predictions itself.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    folder = run_of(path)
    try:
        found = [file for name in (PREDICTIONS_FILE, ANSWERS_FILE) if (file := folder / name).is_file()]
        file = found[0] if found else path if path.is_file() else None
        is_folder = path.is_dir()
    except OSError as error:
        raise InputError(f"cannot be looked up ({error.strerror})", file=path) from None
    if file is not None and file.suffix not in (Path(PREDICTIONS_FILE).suffix, Path(ANSWERS_FILE).suffix):
        raise InputError(f"name the run's folder, or the {PREDICTIONS_FILE} or {ANSWERS_FILE} in it", file=path)
    if file is not None:
        return read_answers(file) if file.suffix == Path(ANSWERS_FILE).suffix else read_predictions(file)
    if is_folder:
        raise InputError(f"holds no predictions yet; run `python -m trm_arc.evaluate --checkpoint {path}` first", file=path)
    raise InputError(f"no such run; name its folder, or the {PREDICTIONS_FILE} or {ANSWERS_FILE} in it", file=path)
