"""An evaluation by one or several checkpoints, whose votes are counted together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm_arc.common.device import Device
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_set import AnySet
from trm_arc.evaluation.results import Results, ResultsMetadata, make_results
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.votes import Predictions, count_views, tally
from trm_arc.model.checkpoint import Checkpoint, load_checkpoint
from trm_arc.model.checkpoint_files import domain_of_checkpoint, may_answer


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Checkpoints that vote together: where they are, and the first of them; the others are loaded one at a time."""

    paths: Sequence[Path]
    first: Checkpoint

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "Ensemble":
        """The ensemble of some checkpoints.

        Raises:
            InputError: the first cannot be read.
        """
        return cls(paths, load_checkpoint(paths[0]))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Ensemble":
        """A checkpoint alone."""
        return cls([Path(checkpoint.where)], checkpoint)

    def members(self) -> Iterator[Checkpoint]:
        """Every checkpoint, one at a time in memory beside the first."""
        yield self.first
        for path in self.paths[1:]:
            yield load_checkpoint(path)

    def check_tasks(self, tasks: AnySet, *, drop_leaks: bool) -> AnySet:
        """The tasks that all members may be scored on, checked before the first one computes for hours.

        Args:
            drop_leaks: leave out tasks whose answers one was trained on, instead of refusing.

        Raises:
            InputError: a member answers another kind of puzzle, or was trained on an answer.
        """
        for path in self.paths[1:]:
            if not may_answer(path, tasks.domain):
                domain = domain_of_checkpoint(path)
                raise InputError(f"answers {domain.title}, but {tasks.name} holds {tasks.domain.title}", file=path)
        for member in self.members() if tasks.has_solutions else ():
            tasks = check_not_trained_on(member, tasks, drop=drop_leaks)
        return tasks

    def evaluate(
        self, tasks: AnySet, device: Device, config: InferenceConfig, *, views: int, processes: ProcessGroup, quiet: bool = False
    ) -> Results | None:
        """Answer tasks, and count the votes.

        Args:
            views: of a test input by each member at most.
            processes: of the process group, each of which predicts a share of the views.

        Returns:
            The results, in the main process; None in the others.
        """
        parts: list[Predictions] = []
        copies = 0  # rollouts and latents of a view, of all members together
        for member in self.members():
            copies += config.rollouts * member.config.model.latents
            parts += predict_tasks(member, tasks, device, config, views=views, processes=processes, quiet=quiet)
        if not processes.is_main:
            return None
        metadata = ResultsMetadata(
            checkpoint=str(self.paths[0]),
            step=self.first.step,
            checkpoints=len(self.paths),
            data=tasks.name,
            views=views,
            steps=config.steps or self.first.config.training.steps_of_answer,
            canvas=config.canvas,
            rollouts=config.rollouts,
            noise=config.noise,
            patience=config.patience,
            supervision_steps=mean_steps(parts, copies / len(self.paths)),
        )
        ranked = tally(parts, tasks.outputs, views * len(self.paths), tasks.domain)
        return make_results(metadata, tasks, ranked, count_views(parts, tasks.outputs, tasks.domain))


def mean_steps(parts: Sequence[Predictions], copies: float) -> float:
    """Supervision steps that a rollout took, on average.

    Args:
        copies: rollouts and latents of each view, on average over the checkpoints.
    """
    steps = np.concatenate([part.steps for part in parts]) if parts else np.zeros(0)
    return float(steps.mean() / copies) if len(steps) else 0.0
