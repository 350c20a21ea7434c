"""How test inputs are answered: one record from the command line to the refinement loop."""

from dataclasses import dataclass
from typing import Literal

from trm_arc.common.errors import InputError, require_least
from trm_arc.common.records import check_record

Canvas = Literal["trained", "full", "fit", "buckets"]


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """How a view of a test input is answered.

    Attributes:
        steps: supervision steps at most; None: the `steps_of_answer` of the checkpoint.
        batch_size: rollouts of views at a time; halved when the memory is not enough.
        canvas: of a view: as in training, the whole board, the smallest square that holds all tasks, or by the visible sizes.
        rollouts: noisy attempts at a view, of which the one with the highest halting probability counts; the first has no noise.
        noise: deviation of what is added to the scratch states of the other rollouts before every step.
        compile: "block" to fuse the operators of every block, "none" not to, "auto" where the device gains by it.
        patience: a rollout stops when its answer has not changed for this many steps; 0: never before the last.

    Raises:
        InputError: a value is out of its range.
    """

    steps: int | None = None
    batch_size: int = 256
    canvas: Canvas = "trained"
    rollouts: int = 1
    noise: float = 0.2
    patience: int = 0
    compile: Literal["auto", "block", "none"] = "auto"

    def __post_init__(self) -> None:
        check_record(self)
        require_least("answer_steps", self.steps)
        for name, least in (("batch_size", 1), ("rollouts", 1), ("patience", 0)):
            require_least(name, getattr(self, name), least)
        if not 0 < self.noise < 100:
            raise InputError(f"a deviation above 0 and below 100 is needed, got {self.noise}", flag="--rollout-noise")
        if self.patience and self.compile == "block":
            raise InputError("--patience makes batches smaller, which would be compiled again; leave one out", flag="--compile")


DEFAULT = InferenceConfig()
