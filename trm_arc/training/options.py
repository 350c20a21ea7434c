"""What is asked of a run beside its settings: where and how it computes, saves, logs and ends; known without torch."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from trm_arc.common.deadline import Deadline
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.modes import AUTO

METRICS_FILE = "metrics.jsonl"
EVALUATE_VIEWS = 16  # views of a test input in an evaluation during training, by default


class Options(NamedTuple):
    """How a run computes; none of these changes the result, except for rounding.

    Attributes:
        compile_mode: what torch.compile compiles, STEP or BLOCK of `trm_arc.common.modes`; or nothing; AUTO is left to
            `build_trainer`.
        accumulation: number of pieces that a process splits its rows into, to save memory.
        host_embeddings: keep the task embeddings in host memory.
        half_embeddings: keep the task embeddings in bfloat16.
        skips: stop after this many steps in a row whose loss or gradient is not finite.
        falls_back: go on without compiling where that fails.
    """

    compile_mode: str = ""
    accumulation: int = 1
    host_embeddings: bool = False
    half_embeddings: bool = False
    skips: int = 20
    falls_back: bool = False


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how a run computes, as it is asked for; None: as before in a run that continues.

    Attributes:
        device: "auto", "cpu", or the name of an accelerator.
        precision: "auto", or the name of one.
        compile: what torch.compile compiles, see `trm_arc.common.modes`.
        accumulation_steps: number of pieces that a batch is split into, to save memory.
        embeddings: where the task embeddings are kept.
        half_embeddings: keep them in bfloat16.
        max_skips: see `Options.skips`.
        data_folder: where to look for named sets first.

    Raises:
        InputError: a number is out of its range.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: str = AUTO
    accumulation_steps: int | None = None
    embeddings: Literal["device", "cpu"] = "device"
    half_embeddings: bool | None = None
    max_skips: int = Options().skips
    data_folder: Path | None = None

    def __post_init__(self) -> None:
        for name in ("accumulation_steps", "max_skips"):
            require_least(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How often a run saves, logs and evaluates, and when it ends.

    Attributes:
        save_every: steps between checkpoints; 0: by time.
        save_seconds: seconds between checkpoints, if not by steps.
        keep: checkpoints kept.
        log_every: steps between lines of metrics.
        evaluate_every: steps between evaluations; 0: none.
        deadline: when the run has to be saved and stop.
        fit: let the run have as many steps as there is time for, with all that depends on its length.
        progress: print what a user should know, and draw the progress line.

    Raises:
        InputError: a number is out of its range, or does nothing.
    """

    save_every: int = 0
    save_seconds: float = 600.0
    keep: int = 2
    log_every: int = 10
    evaluate_every: int = 0
    deadline: Deadline = field(default_factory=Deadline)
    fit: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("keep", 1), ("log_every", 1), ("evaluate_every", 0)):
            require_least(name, getattr(self, name), least)
        if self.fit and self.deadline.limit is None:
            raise InputError("does nothing without a time limit", flag="--fit")

    def fit_to(self, given: Collection[str], *, default: bool = False) -> "LoopConfig":
        """The same for a run with some settings of its own.

        Args:
            given: their names.
            default: whether a run with a time limit is as long as that allows, unless `steps` says how long.

        Raises:
            InputError: they say how long the run is, and so does the time limit.
        """
        if self.fit and {"steps", "epochs"} & set(given):
            raise InputError("takes the number of steps from the time limit; leave out steps and epochs", flag="--fit")
        return replace(self, fit=self.fit or (default and self.deadline.limit is not None and "steps" not in given))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is to be done with a run, beside its settings.

    Attributes:
        out: its folder.
        resume: continue the run that is there.
        overwrite: replace what is there.
        dry_run: only print what the run would do and cost.
        export_size: bytes of a piece of the export at the end; 0: none.
        evaluate_views: of a test input at most, in evaluations; None: the default of the domain.
        pool_votes: score the votes of all evaluations so far together, too.
        tensorboard: also write the metrics for TensorBoard.
        loop: how often to save, log and evaluate, and when to end.

    Raises:
        InputError: a value is out of its range, or does nothing.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    export_size: int = 0
    evaluate_views: int | None = None
    pool_votes: bool = False
    tensorboard: bool = False
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        require_least("evaluate_views", self.evaluate_views)
        for name in ("pool_votes", "evaluate_views"):
            if getattr(self, name) and not self.loop.evaluate_every:
                raise InputError("does nothing without --evaluate-every", flag=f"--{name.replace('_', '-')}")

    def print(self, *lines: str) -> None:
        """Print what a user should know, if the run is to print."""
        if self.loop.progress and lines:
            print("\n".join(lines))
