"""What a user asks of a submission; below the session, the workers and the adaptation, which all read it."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import parse_duration, seconds_until
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.modes import PRECISIONS
from trm_arc.common.text import printable
from trm_arc.data.guesses import ATTEMPTS
from trm_arc.inference.config import InferenceConfig

WORKER = (sys.executable, "-m", "submission.child", "submission.worker")
ADAPTER = (sys.executable, "-m", "submission.child", "trm_arc.adapt")

# Of a merge, what an answer counts, by its place among those of its system, from 0, and its share of the votes there.
MERGE_RULES: dict[str, Callable[[int, float], float]] = {
    "agree": lambda place, votes: max(0, len(ATTEMPTS) - place),  # a first attempt 2, a second one 1
    "votes": lambda place, votes: votes,
    "first": lambda place, votes: 0,  # the first attempts in the order of the systems, then the second ones
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user asks of a submission.

    Attributes:
        out: the file.
        checkpoints: runs or checkpoints whose votes are counted together; none to train from scratch.
        recipe: how to adapt; None not to; "auto" until the session has chosen.
        preset: settings to train by from scratch.
        start: where task embeddings begin in an adaptation: the mean of those trained, or 0.
        adaptation_flags: further flags of `trm_arc.adapt`.
        views: of a test input at most, by each checkpoint.
        pool_checkpoints: of each run that vote, newest first.
        device: "auto", or names by commas.
        precision: "auto", or a name.
        inference: how a view is answered.
        settle: see `submission.vote_counter.is_decided`; None to stop by count alone.
        work_folder: where adapted runs are kept, in a folder of its own for each session; None to keep none.
        worker: the program of a worker.
        adapter: the program that adapts, without its flags.

    Raises:
        InputError: a value is out of its range.
    """

    out: Path
    checkpoints: tuple[Path, ...] = ()
    recipe: str | None = None
    preset: str | None = None
    start: Literal["mean", "zero"] = "mean"
    adaptation_flags: tuple[str, ...] = ()
    views: int = 1000
    pool_checkpoints: int = 1
    device: str = "auto"
    precision: str = "auto"
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    settle: float | None = None
    work_folder: Path | None = None
    worker: Sequence[str] = WORKER
    adapter: Sequence[str] = ADAPTER

    def __post_init__(self) -> None:
        for name in ("views", "pool_checkpoints"):
            require_least(name, getattr(self, name))
        if self.precision not in ("auto", *PRECISIONS):  # checked here, as every worker would refuse it
            raise InputError(f"choose auto or one of {', '.join(PRECISIONS)}, got {self.precision}", flag="--precision")
        names = self.device.split(",")
        if wrong := [name for name in names if not re.fullmatch(r"\s*[a-z]+(:\d+)?\s*", name)]:
            problem = f"choose auto, or names such as cpu or cuda:0, separated by commas; got {printable(wrong[0], 40)!r}"
            raise InputError(problem, flag="--device")
        if self.settle is not None and not self.settle > 0:
            raise InputError(f"must be above 0, got {self.settle}", flag="--settle")
        if self.checkpoints and self.preset:
            raise InputError("trains from scratch; leave out --checkpoint", flag="--preset")


def find_deadline(time_limit: str | None, moment: str | None, start: float) -> Deadline:
    """When a run must be done.

    Args:
        time_limit: a duration, as 11h30m.
        moment: a time of day, as 17:45 (today, or else tomorrow), or a date and time in ISO form.
        start: when the time limit begins, by `time.monotonic`.

    Raises:
        InputError: not a duration or time of day, one that has passed, or both were given.
    """
    if time_limit is not None and moment is not None:
        raise InputError("give one of --time-limit and --deadline", flag="--deadline")
    if moment is not None:
        return Deadline(seconds_until(moment, "--deadline") + time.monotonic() - start, start)
    return Deadline(None if time_limit is None else parse_duration(time_limit, "--time-limit"), start)
