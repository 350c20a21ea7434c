"""Answer a challenges file: adapt, predict under many views, vote; within a time limit, even if something fails."""

from pathlib import Path

from submission.reading import Challenges, read_challenges
from submission.run_log import RunLog
from submission.session import Session
from submission.settings import Settings
from submission.signals import ignore_signals
from trm_arc.common.deadline import Deadline
from trm_arc.common.errors import InputError
from trm_arc.data.domains.arc import ARC
from trm_arc.model.locate import list_networks_for
from trm_arc.training.adaptation import require_arc

NOT_WRITTEN, ONLY_GUESSES = 1, 3  # exit codes: the last answers are not on disk; they are, and the model gave none of them


def predict(challenges: str, settings: Settings, deadline: Deadline, data_folder: Path | None = None) -> int:
    """Answer a challenges file; the exit code.

    Raises:
        InputError: there is no model, or none for ARC, or there are no challenges.
    """
    require_model(settings)
    session = answer(read_challenges(challenges, data_folder, deadline), settings, deadline)
    if session.stopping:
        ignore_signals()  # the program is at its end: a repeated signal must not change its exit code
    return NOT_WRITTEN if not session.current else 0 if session.is_answered else ONLY_GUESSES


def require_model(settings: Settings) -> None:
    """Raise InputError unless there is a model that answers ARC tasks."""
    if not settings.checkpoints and not settings.preset:
        ours = "".join(f", such as {name}, which comes with the kit" for name in list_networks_for(ARC))
        problem = f"name a trained model{ours}; or with --preset the settings to train one from scratch"
        raise InputError(problem, flag="--checkpoint")
    for path in settings.checkpoints:
        if not path.is_dir():  # a damaged one does not stop the run: something else may still answer
            raise InputError("no such folder", flag="--checkpoint", file=path)
    require_arc(settings.checkpoints, settings.preset)


def answer(challenges: Challenges, settings: Settings, deadline: Deadline, *, shown: bool = True) -> Session:
    """Answer challenges until the deadline; the session at its end.

    Args:
        shown: print what happens, and not only what goes wrong.
    """
    log = RunLog(settings.out.with_name(f"{settings.out.stem}-run.json"), deadline, shown=shown)
    session = Session(challenges, settings, deadline, log)
    session.run()
    return session
