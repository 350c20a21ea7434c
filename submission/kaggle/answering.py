"""The beginning of a notebook that answers: a valid file first, then the model."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from submission.kaggle.inputs import Inputs
from submission.manifest import find_damage
from submission.reading import write_guesses
from submission.run_log import say
from submission.settings import Settings
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.launch import command_line
from trm_arc.common.paths import user_path
from trm_arc.common.text import printable
from trm_arc.inference.attempts import submission_file
from trm_arc.training.adaptation import require_arc

RERUN = "KAGGLE_IS_COMPETITION_RERUN"  # set in the scored run alone


def is_scored() -> bool:
    """Whether this is the scored run of a notebook."""
    return bool(os.environ.get(RERUN))


def rehearsal_file(out: Path) -> Path:
    """Where the rehearsal's answers go, beside the submission."""
    return out.with_name("rehearsal.json")


@dataclass(frozen=True)
class Notebook:
    """A notebook whose submission holds guesses.

    Attributes:
        inputs: what is attached to it.
        test: the competition's test file.
        out: the submission.
        tasks: how many were guessed.
        scored: whether this is the scored run.
    """

    inputs: Inputs
    test: Path
    out: Path
    tasks: int
    scored: bool


def begin(inputs: Inputs, challenges: str | None, out: Path) -> Notebook:
    """Write a submission of guesses, before anything can go wrong.

    Args:
        challenges: the test file; the attached competition's if None.
        out: the submission, or a folder for it.

    Raises:
        InputError: no competition is attached, or the file cannot be written and this is not the scored run.
    """
    test, why = (user_path(challenges), "named by --challenges") if challenges else inputs.choose_test()
    scored, out, tasks = is_scored(), submission_file(out), 0
    say(f"{'the scored run' if scored else 'an interactive session'}: {printable(str(test))} ({printable(why)})")
    try:
        tasks = write_guesses(test, out)
    except InputError as error:
        if not scored:
            raise
        say(f"WARNING: {error}", sys.stderr)  # `predict` may find another place
        if challenges:
            with suppress(InputError):
                attached, why = inputs.choose_test()
                tasks = write_guesses(attached, out)
                test = attached
                say(f"answering {printable(str(test))} instead ({printable(why)})")
    return Notebook(inputs, test, out, tasks, scored)


def find_model(notebook: Notebook, settings: Settings) -> Settings:
    """The settings with the checkpoints that can answer: those that were named, or those of the attached bundles.

    Raises:
        InputError: there is none, nor a preset to train by.
    """
    if settings.preset:
        return settings
    checkpoints = select_usable(settings.checkpoints or attached_checkpoints(notebook.inputs))
    if not checkpoints:
        raise InputError(
            f"no bundle with a checkpoint below it, and no --checkpoint or --preset; {notebook.out} holds guesses alone: add the "
            f"data set that `{command_line('python -m submission bundle')}` made to the notebook's inputs",
            file=notebook.inputs.root,
        )
    return replace(settings, checkpoints=tuple(checkpoints))


def attached_checkpoints(inputs: Inputs) -> list[Path]:
    """The checkpoints of all bundles, with a line on each bundle, and a warning on what is damaged: others may be usable."""
    checkpoints = []
    for error in inputs.find_unreadable():
        say(f"WARNING: {error}: this bundle is left out", sys.stderr)
    for bundle in inputs.find_bundles():
        checkpoints += bundle.checkpoints
        kit = printable(bundle.manifest.kit)
        say(f"bundle: {bundle.folder}, {len(bundle.checkpoints)} checkpoints, made by trm_arc {kit}")
        for fault in find_damage(bundle.folder, bundle.manifest):
            say(f"WARNING: {bundle.folder}: {fault}", sys.stderr)
    return checkpoints


def select_usable(checkpoints: Sequence[Path]) -> list[Path]:
    """The checkpoints without those that are missing or not for ARC, with a warning on each.

    Raises:
        InputError: none of them is left.
    """
    kept = []
    for path in checkpoints:
        try:
            if not os.path.isdir(path):  # a damaged one is left to `predict`, which may use an older one in its place
                raise InputError("no such folder", file=path)
            require_arc([path])
            kept.append(path)
        except InputError as error:
            say(f"WARNING: {error}: left out", sys.stderr)
    if checkpoints and not kept:
        raise InputError(f"{shorten([str(path) for path in checkpoints])}: none of these checkpoints can be used; attach another")
    return kept
