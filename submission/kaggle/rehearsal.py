"""A rehearsal: where the notebook is not scored, the public evaluation tasks are answered in a short time, and scored."""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from submission.checking import PASS_AT
from submission.kaggle.answering import Notebook, rehearsal_file
from submission.kaggle.inputs import EVALUATION
from submission.reading import read_challenges
from submission.run_log import say
from submission.settings import Settings
from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import format_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.data.sources import load_tasks
from trm_arc.data.task_files import tasks_to_json
from trm_arc.evaluation.score import ranks, score_table
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.inference.attempts import read_attempts
from trm_arc.model.export import load_newest


def rehearse(notebook: Notebook, settings: Settings, seconds: float, predict: Callable[..., int]) -> int:
    """Answer the public evaluation tasks as the scored run would answer its own, and score the answers; the exit code.

    The tasks are given without their hidden outputs, which are read for the leak check and the score alone; tasks whose
    answers a checkpoint was trained on are left out.
    """
    evaluation, code = notebook.test.with_name(EVALUATION), 0
    if evaluation.is_file():
        code = _rehearse(evaluation, settings, seconds, predict)
    else:
        say(f"no rehearsal: {evaluation} does not exist")
    guesses = f"guesses for the {notebook.tasks} tasks of {notebook.test.name}"
    say(f"wrote {notebook.out}: {guesses}, so that this version can be submitted")
    say("the scored run uses its whole time for its own tasks")
    return code


def _rehearse(evaluation: Path, settings: Settings, seconds: float, predict: Callable[..., int]) -> int:
    asked = read_challenges(str(evaluation)).tasks
    truth = known = load_tasks(evaluation)
    readable: list[Path] = []
    for path in settings.checkpoints:
        try:
            checkpoint = load_newest(path)
        except InputError as error:
            if path == settings.checkpoints[-1] and not readable:
                raise
            say(f"WARNING: {error}: left out", sys.stderr)
            continue
        readable.append(path)
        try:
            truth = check_not_trained_on(checkpoint, truth, drop=True)
        except InputError as error:
            say(f"no rehearsal: {error}")
            return 0
    tasks = asked.without([task.id for task in known if task.id not in truth])
    out, time = rehearsal_file(settings.out), format_duration(seconds)
    with tempfile.TemporaryDirectory(prefix="trm_arc-") as folder:
        path = Path(folder) / EVALUATION
        write_atomic(path, to_json(tasks_to_json(tasks)))
        say(f"rehearsal: {len(tasks)} of {len(asked)} tasks of {evaluation.name} in {time}")
        code = predict(str(path), replace(settings, checkpoints=tuple(readable), out=out), Deadline(seconds))
    if truth.has_solutions:
        attempts, _ = read_attempts(read_json(out), truth.test_counts, str(out))
        say(f"the score of the rehearsal; a run of {time} does not predict the score of a full run\n")
        say(score_table(ranks(truth.solutions, attempts), PASS_AT) + "\n")
    else:
        say("no score: there is no solutions file")
    return code
