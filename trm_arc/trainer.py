"""One training run: model, optimizers and rows in flight, a step at a time, saved and resumed exactly."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trm_arc.checkpoint import Checkpoint, load_strictly, save_checkpoint
from trm_arc.config import Config
from trm_arc.data import Examples, fingerprint
from trm_arc.device import Device
from trm_arc.embedding import TaskEmbedding
from trm_arc.errors import InputError
from trm_arc.halting import Batch, Carry, draw_minimum, first_carry, take_puzzles
from trm_arc.model import Reasoner, State
from trm_arc.optim import MovingAverage, Optimizers
from trm_arc.supervision import Metrics, supervision_step


class Trainer:
    """Everything that a run holds.

    Args:
        config: the settings.
        examples: what to train on.
        device: where, and in which precision.
        steps: length of the run.
        compiled: let torch.compile fuse the step, for a minute or two at its first call.

    Raises:
        InputError: the model cannot be compiled.
    """

    def __init__(self, config: Config, examples: Examples, device: Device, steps: int, compiled: bool = False) -> None:
        if compiled and config.model.noise:
            raise InputError("noise: torch.compile cannot draw from a generator of our own, so use one of both")
        self.config, self.examples, self.device, self.steps = config, examples, device, steps
        # Weights and carried states are drawn on the host, so a seed means the same on every device.
        reasoner = Reasoner(config.model, torch.Generator().manual_seed(config.training.seed))
        wide = torch.promote_types(device.dtype, torch.float32)
        self.reasoner = reasoner.to(device.device, wide)
        self.reasoner.embedding_rows = examples.embedding_rows
        self.embedding = TaskEmbedding(examples.embedding_rows, config.model.width).to(device.device, wide)
        self.optimizers = Optimizers(self.reasoner, config.training, steps)
        self.average = MovingAverage(self.reasoner, config.training.ema) if config.training.ema else None
        self.generator = torch.Generator(device.device).manual_seed(config.training.seed)
        self.supervision_step = torch.compile(supervision_step, fullgraph=True, dynamic=False) if compiled else supervision_step
        self.carry: Carry | None = None
        self.step = 0
        self.seconds = 0.0

    def train_step(self) -> Metrics:
        """Do one supervision step of every row in flight, and one step of the optimizers."""
        began = time.perf_counter()
        batch = self.examples.batch(self.step, self.config.training)
        metrics = self.learn(Batch(*(part.to(self.device.device, non_blocking=True) for part in batch)))
        self.seconds += time.perf_counter() - began
        return metrics

    def learn(self, batch: Batch) -> Metrics:
        """The step itself, given the batch that the halted rows take their puzzles from."""
        config = self.config.training
        start = self.reasoner.start(*batch.tokens.shape, self.device.dtype, self.generator)
        carry = take_puzzles(self.carry or first_carry(start, batch), batch)
        vectors = self.embedding(carry.batch.rows)
        at_least = draw_minimum(len(vectors), config.halt_steps, config.halt_exploration, self.generator)
        noise = self.generator if self.config.model.noise else None
        loss, self.carry, metrics = self.supervision_step(
            self.reasoner, config, carry, vectors, start, at_least, self.depth(), noise
        )
        loss.backward()
        self.step += 1
        self.optimizers.step(self.step)
        if vectors.grad is not None:  # an answer alone (gradient_calls 1) does not look at the task
            rate = config.task_embedding_learning_rate * self.optimizers.schedule(self.step)
            self.embedding.update(carry.batch.rows, vectors.grad, rate, config.task_embedding_weight_decay)
        if self.average is not None:
            self.average.update()
        return metrics

    def depth(self) -> tuple[int, int] | None:
        """T and n of the next step, by the depth curriculum; None for the model's own."""
        stages = (stage for stage in self.config.training.depths() if self.step < stage[0] * self.steps)
        return next(((cycles, thoughts) for _, cycles, thoughts in stages), None)

    def save(self, folder: Path, keep: int, stale: Sequence[Path] = ()) -> Path:
        """Write a checkpoint below `folder`.

        Args:
            folder: the run's.
            keep: how many checkpoints to keep.
            stale: what to remove once the checkpoint is whole.

        Raises:
            InputError: it cannot be written.
        """
        tensors = {f"model.{name}": t for name, t in self.reasoner.state_dict().items()}
        if self.average is not None:
            names = [name for name, _ in self.reasoner.named_parameters()]
            tensors |= {f"average.{name}": t for name, t in zip(names, self.average.averages, strict=True)}
        tensors |= {f"optimizer.{name}": t for name, t in self.optimizers.tensors().items()}
        tensors |= {f"embedding.{name}": t for name, t in self.embedding.state_dict().items()}
        plan = self.examples.plan
        tensors |= {"plan.table": torch.from_numpy(plan.table), "plan.starts": torch.from_numpy(plan.starts)}
        tensors |= {"random": self.generator.get_state(), "trained": torch.from_numpy(self.examples.trained)}
        if self.carry is not None:
            tensors |= {f"carry.{name}": t for name, t in _carry_tensors(self.carry).items()}
        tasks = [(task.id, fingerprint(task)) for task in self.examples.tasks]
        extra = {
            "window": list(self.examples.window),
            "precision": str(self.device.dtype).removeprefix("torch."),
        }
        return save_checkpoint(folder, Checkpoint(self.config, self.step, tasks, tensors, extra, str(folder)), keep, stale)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same settings and data.

        Raises:
            InputError: the checkpoint is of other settings, tasks or plan.
        """
        where = checkpoint.where
        if checkpoint.config != self.config:
            differences = _differences(checkpoint.config, self.config)
            raise InputError(f"{where}: has other settings ({differences}); resume with its own")
        tasks = [(task.id, fingerprint(task)) for task in self.examples.tasks]
        plan = checkpoint.plan()
        if checkpoint.tasks != tasks or not np.array_equal(plan.starts, self.examples.plan.starts):
            raise InputError(f"{where}: was trained on other tasks; resume with the same data, or start anew")
        if not np.array_equal(plan.table, self.examples.plan.table):
            raise InputError(f"{where}: has another plan of transforms (another NumPy?); start anew")
        load_strictly(self.reasoner.state_dict(), checkpoint.part("model"), f"{where}: model")
        load_strictly(self.embedding.state_dict(), checkpoint.part("embedding"), f"{where}: embedding")
        if self.average is not None:
            names = [name for name, _ in self.reasoner.named_parameters()]
            averages = dict(zip(names, self.average.averages, strict=True))
            load_strictly(averages, checkpoint.part("average"), f"{where}: average")
        carry = checkpoint.part("carry")
        try:
            self.optimizers.load_tensors(checkpoint.part("optimizer"), checkpoint.step)
            self.generator.set_state(checkpoint.tensors["random"])
            self.carry = _carry_from(carry, self.device) if checkpoint.step else None
            self._check_carry()
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"{where}: the checkpoint is damaged ({error}); use an older one") from None
        self.step = checkpoint.step

    def _check_carry(self) -> None:
        """Raise ValueError unless the rows in flight have the shapes that this run gives them."""
        if self.carry is not None:
            batch = Batch(*(part.to(self.device.device) for part in self.examples.batch(0, self.config.training)))
            start = self.reasoner.start(*batch.tokens.shape, self.device.dtype, torch.Generator(self.device.device))
            expected = _carry_tensors(first_carry(start, batch))
            for name, tensor in _carry_tensors(self.carry).items():
                if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
                    raise ValueError(f"carry.{name}")


def _carry_tensors(carry: Carry) -> dict[str, Tensor]:
    return {
        "y": carry.state.y,
        **{f"z{number}": part for number, part in enumerate(carry.state.z)},
        **carry.batch._asdict(),
        "steps": carry.steps,
        "halted": carry.halted,
    }


def _carry_from(tensors: dict[str, Tensor], device: Device) -> Carry:
    tensors = {name: t.to(device.device) for name, t in tensors.items()}
    z = tuple(tensors[f"z{number}"].to(device.dtype) for number in range(sum(name[0] == "z" for name in tensors)))
    batch = Batch(*(tensors[name] for name in Batch._fields))
    return Carry(State(tensors["y"].to(device.dtype), z), batch, tensors["steps"], tensors["halted"])


def _differences(first: Config, second: Config) -> str:
    a, b = first.to_dict(), second.to_dict()
    return ", ".join(
        f"{name} {a[part][name]!r} there, {b[part][name]!r} here"
        for part in a
        for name in a[part]
        if a[part][name] != b[part][name]
    )
