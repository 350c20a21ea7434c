"""The folder of a run: what may be written there, and which of its lines and scores belong to a resumed run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from trm_arc.common.errors import InputError
from trm_arc.common.files import LOCK, RESULT_FILES, check_writable, read_lines, to_json, write_atomic
from trm_arc.common.folders import find_foreign, not_replaced, rehearse_saving, remove_folder
from trm_arc.config import SETTINGS_FILE
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.checkpoint_files import EXPORT, FILES, checkpoint_name, list_checkpoints
from trm_arc.model.export import FOLDER, check_pieces, list_pieces
from trm_arc.training.loop import BAD_BATCH, BEST, OLD_METRICS
from trm_arc.training.options import METRICS_FILE

_OWN = (SETTINGS_FILE, METRICS_FILE, OLD_METRICS, BAD_BATCH)  # what a run writes beside its checkpoints

DAMAGED_NAME = "damaged"  # instead of "checkpoint", in the names of folders


def prepare_folder(out: Path, *, resume: bool = False, overwrite: bool = False, export: bool = False) -> None:
    """Check that a run may write into its folder, and that checkpoints can be saved there, before any work.

    Raises:
        InputError: it cannot be written, or holds another run or files of others, or has nothing to resume.
    """
    check_writable(out, _OWN)
    rehearse_saving(out)
    there = list_checkpoints(out)
    if resume and overwrite:
        raise InputError("cannot be given together with --overwrite", flag="--resume")
    if resume and not there and not (out / EXPORT).is_file():
        if (out / EXPORT.name).is_file():
            raise InputError(
                f"these are the pieces of a run; put them into a folder RUN/{EXPORT.parent}, and resume RUN", file=out
            )
        raise InputError("no checkpoint to resume; leave --resume out to start the run", file=out)
    pieces = list_pieces(out)
    if (there or pieces) and not resume and not overwrite:
        advice = "continue it with --resume, replace it with --overwrite, or name another --out"
        raise InputError(f"holds a run ({(there or pieces)[-1].relative_to(out)}); {advice}", file=out)
    if not there and not pieces and not (out / LOCK).exists():  # no run has ever begun here
        _refuse_foreign(out, next((name for name in _OWN if (out / name).exists()), None))
    if overwrite:
        for checkpoint in [*there, *list_checkpoints(out / BEST)]:
            _refuse_foreign(checkpoint, "a link" if checkpoint.is_symlink() else find_foreign(checkpoint, FILES))
    if overwrite or export:
        check_pieces(out)


def _refuse_foreign(folder: Path, name: str | None) -> None:
    """Raise InputError if there is something in a folder that a run would replace, though no run wrote it."""
    if name is not None:
        raise not_replaced(folder, f"holds {name}, which no run wrote")


def set_damaged_aside(out: Path, resumed: Checkpoint) -> list[Path]:
    """Rename the damaged checkpoints after the one that a run continues from, so that none of them passes for its newest.

    Returns:
        Where they are now.

    Raises:
        InputError: they cannot be renamed.
    """
    moved = []
    for path in list_checkpoints(out):
        if path.name >= checkpoint_name(resumed.step) and str(path) != resumed.where:
            target = path.with_name(path.name.replace("checkpoint", DAMAGED_NAME))
            try:
                remove_folder(target, FILES)
                path.rename(target)
            except OSError as error:
                raise InputError(f"is damaged and cannot be renamed ({error.strerror}); remove it", file=path) from None
            moved.append(target)
    return moved


def set_metrics_aside(out: Path, *, overwrite: bool) -> None:
    """Keep the lines of a run that is to be replaced until the first checkpoint of the new one is whole, or take them back.

    Args:
        overwrite: whether the folder's run is to be replaced; if not, an earlier attempt at that may have ended before it saved.

    Raises:
        InputError: the files cannot be moved.
    """
    now, old = out / METRICS_FILE, out / OLD_METRICS
    try:
        if overwrite and now.exists() and not old.exists():
            now.replace(old)
        elif overwrite:
            now.unlink(missing_ok=True)
        elif old.exists():
            old.replace(now)
    except OSError as error:
        raise InputError(f"cannot be written ({error})", file=out) from None


def drop_later_metrics(out: Path, step: int) -> list[dict[str, float]]:
    """Remove logged lines beyond a checkpoint, so that a resumed run logs each step once.

    Args:
        step: last step to keep; 0 removes all.

    Returns:
        The lines up to there.  The time that training took is in them and not in the checkpoint, so that equal runs have equal
        checkpoints.

    Raises:
        InputError: the file cannot be read or written.
    """
    path = out / METRICS_FILE
    kept = [line for line in read_lines(path) if isinstance(line, dict) and 0 < line.get("step", 0) <= step]
    data = b"".join(map(to_json, kept))
    if data != (path.read_bytes() if path.exists() else b""):  # a full disk must not prevent a run from continuing
        write_atomic(path, data)
    return kept


def best_so_far(out: Path, lines: Sequence[Mapping[str, float]], measure: str) -> float:
    """The best score of a run, whose checkpoint is kept; minus infinity if there is none."""
    scores = [line[measure] for line in lines if measure in line]
    return max(scores, default=-math.inf) if list_checkpoints(out / BEST) else -math.inf


def owes_scores(step: int, steps: int, every: int, lines: Sequence[Mapping[str, float]], measure: str) -> bool:
    """Whether the step that a run of `steps` continues from should have been evaluated, but there was no time."""
    due = step > 0 and (step % every == 0 or step == steps)
    return due and not any(measure in line for line in lines if line["step"] == step)


def list_stale(out: Path) -> list[Path]:
    """The files of a run that is to be replaced, to be removed when the first checkpoint of the new one is saved."""
    files = [*(out / name for name in (OLD_METRICS, *RESULT_FILES)), *list_pieces(out)]
    checkpoints = [*list_checkpoints(out), *out.glob(f"{DAMAGED_NAME}-*"), *list_checkpoints(out / BEST)]
    return [*files, *checkpoints, out / FOLDER, out / BEST]  # the last two are empty then
