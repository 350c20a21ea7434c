"""The competition entry as commands: python -m submission predict | check | score | merge | bundle | verify | kaggle | pretrain

What needs torch, or takes long to import, is imported only where it is used: on a busy machine, torch takes as long as a short
time limit, and neither the first guesses nor the program that watches the clock need it.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from submission.cli import LIMIT, make_parser, read_bundle_options, read_pretraining_options, read_settings
from submission.kaggle.answering import begin, find_model
from submission.kaggle.inputs import Inputs
from submission.kaggle.pretraining import pretrain
from submission.manifest import verify
from submission.predict import predict
from submission.reading import read_challenges, write_guesses
from submission.settings import find_deadline
from trm_arc.common.deadline import program_start
from trm_arc.common.durations import parse_duration
from trm_arc.common.errors import InputError
from trm_arc.common.folders import refuse_foreign_file
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed
from trm_arc.data.sources import kaggle_input
from trm_arc.inference.attempts import DEFAULT_FILE, SUBMISSION, submission_file


def main(
    arguments: Sequence[str],
    *,
    started: float | None = None,
    root: Path | None = None,
    answer: Callable[..., int] = predict,
) -> int:
    """Parse, and do what the subcommand says.

    Args:
        started: when time limits begin, by `time.monotonic`; now if None.
        root: where Kaggle's inputs lie; `kaggle_input` if None.
        answer: does the work of `predict`.
    """
    started, inputs = time.monotonic() if started is None else started, Inputs(root or kaggle_input())
    try:
        values = make_parser().parse(arguments)
    except InputError:
        if arguments[:1] == ["kaggle"]:  # even after a mistyped flag there must be a file
            with suppress(InputError):
                write_guesses(inputs.find_test(), DEFAULT_FILE)
        raise
    match values.command:
        case "predict":
            deadline = find_deadline(values.time_limit, values.deadline, started)
            settings = read_settings(values)
            refuse_foreign_file(settings.out, SUBMISSION)
            return answer(values.challenges, settings, deadline, values.data_folder)
        case "check":
            from submission.checking import check

            challenges = values.challenges or str(inputs.find_test())
            return check(values.submission, challenges, values.data_folder, as_json=values.json)
        case "score":
            from submission.checking import score_submissions

            return score_submissions(values.submission, values.solutions, values.data_folder, as_json=values.json)
        case "merge":
            from submission.merging import merge

            asked = read_challenges(values.challenges, values.data_folder) if values.challenges else None
            return merge(values.files, submission_file(values.out), values.rule, values.weights or (), asked)
        case "bundle":
            from submission.bundle import bundle

            return bundle(read_bundle_options(values))
        case "verify":
            return require_printed(verify(values.bundle))
        case "kaggle":
            notebook = begin(inputs, values.challenges, values.out)  # whatever is wrong below, there is a valid file
            limit = values.time_limit or (None if values.deadline else LIMIT)
            deadline = find_deadline(limit, values.deadline or None, started)
            settings = find_model(notebook, read_settings(values))
            if notebook.scored:
                return answer(str(notebook.test), settings, deadline, values.data_folder)
            from submission.kaggle.rehearsal import rehearse

            return rehearse(notebook, settings, parse_duration(values.rehearsal, "--rehearsal"), answer)
        case "pretrain":
            deadline = find_deadline(values.time_limit or LIMIT, None, started)
            return pretrain(read_pretraining_options(values, arguments[1:]), deadline, inputs)


if __name__ == "__main__":
    try:
        run(partial(main, started=program_start()))
    except SystemExit as done:  # all is written: on a busy machine, the end of the interpreter can take seconds
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code)
