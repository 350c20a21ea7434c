"""A submission in Python: what `python -m submission predict` does, for a notebook or a program of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from submission.page import render_submission
from submission.predict import answer, require_model
from submission.reading import Challenges, read_challenges
from submission.settings import Settings, find_deadline
from trm_arc.api.network import Network
from trm_arc.api.runs import require_recipe
from trm_arc.common.deadline import Deadline
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json
from trm_arc.common.folders import refuse_foreign_file
from trm_arc.common.keywords import name_keywords
from trm_arc.common.paths import optional_path, user_path
from trm_arc.data.puzzle_set import as_set
from trm_arc.data.solutions import Solutions
from trm_arc.data.task import Task, TaskSet
from trm_arc.evaluation.score import PassScores
from trm_arc.evaluation.submissions import score
from trm_arc.inference.attempts import DEFAULT_FILE, SUBMISSION, submission_file
from trm_arc.inference.config import InferenceConfig
from trm_arc.model.locate import locate

Model = str | Path | Network


@dataclass(frozen=True, eq=False)
class Submission:
    """A submission that was written.

    Attributes:
        path: its file, which was checked.
        tasks: what was answered.
        is_answered: whether the network has answered any test input; all others have guesses.
    """

    path: Path
    tasks: TaskSet
    is_answered: bool

    def __repr__(self) -> str:
        made = "" if self.is_answered else ", all guesses"
        return f"<Submission {self.path}: {len(self.tasks)} tasks, {self.tasks.outputs} test inputs{made}>"

    def document(self) -> dict[str, list[dict[str, list[list[int]]]]]:
        """Two attempts at every test input of every task, as the file has them."""
        return read_json(self.path)

    def score(self, solutions: Solutions, *, data_folder: str | Path | None = None) -> PassScores:
        """How the attempts did; see `trm_arc.score`."""
        return score(self.path, solutions, data_folder=data_folder)

    def _repr_html_(self) -> str:
        return render_submission(self.path, self.tasks, 8)


@name_keywords()
def submit(
    challenges: str | Path | TaskSet | Task,
    checkpoints: Model | Sequence[Model],
    out: str | Path = DEFAULT_FILE,
    *,
    time_limit: str | float | None = None,
    views: int = 1000,
    recipe: Literal["auto", "none", "own", "nvarc", "trelis"] = "auto",
    device: str = "auto",
    precision: str = "auto",
    work_folder: str | Path | None = None,
    data_folder: str | Path | None = None,
    progress: bool = True,
) -> Submission:
    """Answer tasks within a time limit: adapt, predict under many views, vote; a valid file is there from the start.

    What went wrong on the way, and what was done instead, is printed, and kept beside the submission in a file `OUT-run.json`.

    Args:
        challenges: Kaggle's challenges file, a task set by its name, its path or itself, or a task; hidden outputs are not read.
        checkpoints: one or several, which vote together: networks, or what `load` takes.
        out: the file to write.
        time_limit: such as 11h30m, or seconds; None: no limit.
        views: of a test input by each checkpoint at most.
        recipe: how to adapt to the tasks; "auto": own with a time limit, unless the checkpoint was trained to answer them.
        device: "auto", or names by commas, all of which are used.
        precision: "auto", or one of those of the commands.
        work_folder: keep adapted runs here; None: they are not kept.
        data_folder: where to look for named sets first.
        progress: print what happens.

    Raises:
        InputError: there are no challenges or no checkpoints, or none for ARC; the file cannot be written at all.
    """
    require_recipe(recipe, "auto", "none")
    deadline = find_deadline(None if time_limit is None else str(time_limit), None, Deadline().start)
    several = [checkpoints] if isinstance(checkpoints, Model) else checkpoints
    if not isinstance(several, Sequence) or not all(isinstance(model, Model) for model in several):
        raise InputError("networks, names or paths are needed, such as the folder of a run; see `load`", flag="checkpoints")
    settings = Settings(
        out=submission_file(user_path(out)),
        checkpoints=tuple(map(_locate, several)),
        recipe=None if recipe == "none" else recipe,
        views=views,
        device=str(device),
        precision=precision,
        inference=InferenceConfig(),
        work_folder=optional_path(work_folder),
    )
    refuse_foreign_file(settings.out, SUBMISSION)
    require_model(settings)
    read = _read(challenges, data_folder, deadline)
    session = answer(read, settings, deadline, shown=progress)
    if not session.current:
        raise InputError("the last answers could not be written; see what was printed", file=session.out)
    return Submission(session.out, read.tasks, session.is_answered)


def _locate(model: Model) -> Path:
    return Path(model.checkpoint.where) if isinstance(model, Network) else locate(str(model))


def _read(challenges: str | Path | TaskSet | Task, data_folder: str | Path | None, deadline: Deadline) -> Challenges:
    if isinstance(challenges, str | Path):
        return read_challenges(str(challenges), optional_path(data_folder), deadline)
    tasks = as_set(challenges)
    if not tasks.domain.submits:
        raise InputError(f"{tasks.name} holds {tasks.domain.plural}, which have no submission")
    return Challenges(tasks.without_solutions(), {}, [task.id for task in tasks], [])
