"""One training run: model, optimizers and rows in flight, a step at a time, saved and resumed exactly."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from trm_arc.common.device import NARROW, Device, free_memory, is_out_of_memory
from trm_arc.common.distributed import Processes
from trm_arc.common.errors import InputError, OwnError
from trm_arc.config import Config
from trm_arc.data.batch import Batch
from trm_arc.data.examples import Examples, step_seeds
from trm_arc.model.checkpoint import Checkpoint, load_strictly, save_checkpoint
from trm_arc.model.compiling import check_fusing, explain
from trm_arc.model.embedding import TaskEmbedding
from trm_arc.model.flops import count_training
from trm_arc.model.reasoner import Reasoner, State
from trm_arc.training.halting import Carry, draw_minimum, first_carry, take_puzzles
from trm_arc.training.optim import MovingAverage, Optimizers
from trm_arc.training.supervision import Metrics, fused_step


class Options(NamedTuple):
    """How a run computes; none of these changes what it computes, but for rounding.

    Attributes:
        fused: what torch.compile fuses, STEP or BLOCK of `trm_arc.model.compiling`; or nothing.
        accumulation: pieces in which a process goes through its rows, to save memory.
        host_embeddings: keep the task embeddings in host memory.
        half_embeddings: keep the task embeddings in bfloat16.
        skips: stop after so many steps in a row whose loss or gradient is not finite.
    """

    fused: str = ""
    accumulation: int = 1
    host_embeddings: bool = False
    half_embeddings: bool = False
    skips: int = 20


class Wish(NamedTuple):
    """What a process asks for with a step; all do what one of them asks.

    Attributes:
        stop: save after the step, and stop.
        save: save after the step.
        steps: length of the run; the main process's word counts.  0: as it is.
    """

    stop: bool = False
    save: bool = False
    steps: int = 0


NO_WISH = Wish()
SMALL = 1e-3  # steps of task embeddings that bfloat16 loses where a coordinate is above one half


class NotFiniteError(Exception):
    """Too many steps in a row came to nothing.

    Args:
        step: the last of them.
        batch: its puzzles, for a look.
    """

    def __init__(self, step: int, batch: Batch) -> None:
        super().__init__(f"step {step}")
        self.step, self.batch = step, batch


class LossScale:
    """The factor that keeps float16 gradients above zero: halved when one is infinite, doubled after many that were not.

    Args:
        enabled: else the factor is 1 and stays so.
    """

    PATIENCE = 2000  # good steps before it is doubled

    def __init__(self, enabled: bool) -> None:
        self.enabled, self.value, self.successes = enabled, 2.0**16 if enabled else 1.0, 0

    def succeed(self) -> None:
        """A step whose gradients were finite."""
        self.successes += self.enabled
        if self.successes == self.PATIENCE:
            self.value, self.successes = self.value * 2, 0

    def fail(self) -> None:
        """A step whose gradients were not."""
        self.successes = 0
        if self.enabled:
            self.value /= 2


class Trainer:
    """Everything that a run holds.

    Args:
        config: the settings.
        examples: what to train on.
        device: where, and in which precision.
        steps: length of the run.
        processes: this one and its like, which share every batch.
        options: what changes how fast and in how much memory a run goes, and not where it leads.

    Raises:
        InputError: the model cannot be fused, the device has no float64 for the loss, or the batch cannot be shared out.
    """

    def __init__(
        self,
        config: Config,
        examples: Examples,
        device: Device,
        steps: int,
        processes: Processes | None = None,
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        check_fusing(self.options.fused, config.model, device.device)
        if config.training.loss == "stablemax-float64" and device.device.type in NARROW:
            raise InputError(f"--loss stablemax-float64: {device.device} has no float64; take stablemax, or --device cpu")
        if self.options.half_embeddings and config.training.task_embedding_learning_rate < SMALL:
            raise InputError(
                f"bfloat16 loses steps of {config.training.task_embedding_learning_rate:g} "
                "(task_embedding_learning_rate); leave it out",
                flag="--half-embeddings",
            )
        self.config, self.examples, self.device, self.steps = config, examples, device, steps
        self.processes = processes or Processes()
        self.part = self.processes.part(config.training.batch_size)
        piece = -(-(self.part.stop - self.part.start) // self.options.accumulation)
        self.pieces = [piece] * len(examples.lanes)  # rows at a time; a lane of large windows may not have the memory for as many
        # Weights and carried states are drawn on the host, so a seed means the same on every device.
        reasoner = Reasoner(config.model, torch.Generator().manual_seed(config.training.seed))
        wide = torch.promote_types(device.dtype, torch.float32)
        self.reasoner = reasoner.to(device.device, wide)
        self.reasoner.embedding_rows = examples.embedding_rows
        self.embedding = TaskEmbedding(
            examples.embedding_rows,
            config.model.width,
            torch.bfloat16 if self.options.half_embeddings else wide,
            torch.device("cpu") if self.options.host_embeddings else device.device,
        )
        self.optimizers = Optimizers(self.reasoner, config.training, steps)
        self.average = MovingAverage(self.reasoner, config.training.ema) if config.training.ema else None
        # Seeded for each step anew, so nothing of them is saved, and all processes draw the same for the whole batch.
        self.host_generator, self.generator = torch.Generator(), torch.Generator(device.device)
        self.supervision_step = fused_step(self.reasoner, self.options.fused)
        self.carries: list[Carry | None] = [None] * len(examples.lanes)
        self.scale = LossScale(enabled=device.dtype == torch.float16)
        self.stages = config.training.depths()
        self.step = 0
        self.seconds = 0.0
        self.agreed = Wish()  # what the processes asked for with the last step
        self.skipped = 0  # steps so far whose loss or gradient was not finite
        self.skipped_in_a_row = 0

    def train_step(self, wish: Wish = NO_WISH) -> Metrics:
        """Do one supervision step of every row in flight of one lane, and one step of the optimizers.

        Args:
            wish: what this process asks for; `agreed` then is what all do.

        Returns:
            Metrics of the whole batch.

        Raises:
            InputError: too many steps in a row whose loss is not finite, it cannot be fused, or no memory for a single row.
        """
        began = time.perf_counter()
        batch = self.examples.batch(self.step, self.config.training, self.part)
        lane = self.examples.turns.at(self.step)[0]
        metrics = self.learn(Batch(*(part.to(self.device.device, non_blocking=True) for part in batch)), lane, wish)
        self.seconds += time.perf_counter() - began
        return metrics

    def learn(self, batch: Batch, lane: int = 0, wish: Wish = NO_WISH) -> Metrics:
        """The step itself.

        Args:
            batch: this process's part of the batch, which the halted rows take their puzzles from.
            lane: whose rows in flight go on.
            wish: see `train_step`.

        Returns:
            As `train_step`.
        """
        config, latents = self.config.training, self.config.model.latents
        whole, part = config.batch_size, self.part
        for generator, seed in zip((self.host_generator, self.generator), step_seeds(config.seed, self.step), strict=True):
            generator.manual_seed(seed)
        self.reasoner.requires_grad_(self.step >= config.embeddings_first * self.steps)
        start = self.reasoner.start(whole, *batch.tokens.shape[1:], self.device.dtype, self.generator).take(part, latents)
        at_least = draw_minimum(whole, config.halt_steps, config.halt_exploration, self.host_generator)[part]
        at_least = at_least.to(self.device.device, non_blocking=True)
        noisy = whole if self.config.model.noise else 0
        seeds = torch.randint(2**63 - 1, (noisy,), generator=self.host_generator)[part].tolist()  # of each row's noise
        carry = take_puzzles(self.carries[lane] or first_carry(start, batch), batch)
        after, metrics, vector_gradient = self._think(lane, carry, start, at_least, seeds)
        metrics, vector_gradient, self.agreed = self._share(metrics, vector_gradient, wish)
        self.steps = self.optimizers.steps = self.agreed.steps or self.steps
        gradients = [p.grad for p in self.reasoner.parameters() if p.grad is not None]
        size = torch.nn.utils.get_total_norm(gradients) + vector_gradient.abs().sum()
        self.step += 1
        if bool(torch.isfinite(metrics.loss + size)):  # the one wait for the device in a step
            self.carries[lane] = after
            self._move(self.processes.gather(carry.batch.rows), vector_gradient, gradients)
            self.skipped_in_a_row = 0
        else:
            self._skip(lane, carry, after, bool(torch.isfinite(metrics.loss)))
        return metrics

    def _think(self, lane: int, carry: Carry, start: State, at_least: Tensor, seeds: list[int]) -> tuple[Carry, Metrics, Tensor]:
        """Forward and backward, in pieces that fit the memory; the parameters collect their gradients, the vectors' return."""
        while True:
            try:
                return self._think_in_pieces(self.pieces[lane], carry, start, at_least, seeds)
            except RuntimeError as error:
                if self.options.fused:
                    explain(error)
                if not is_out_of_memory(error):
                    raise
                if self.pieces[lane] == 1:
                    raise OwnError("not enough memory for a single row; lower --width, or use --window lanes") from None
            # Only now: the error would hold what the step has kept for its backward pass.
            self.reasoner.zero_grad(set_to_none=True)
            self.pieces[lane] = -(-self.pieces[lane] // 2)
            free_memory()
            rows = f"{self.pieces[lane]} rows of {' x '.join(map(str, self.examples.lanes[lane].window))} at a time"
            tqdm.write(f"out of memory at step {self.step + 1}: going on with {rows}, the batch as set")

    def _think_in_pieces(
        self, size: int, carry: Carry, start: State, at_least: Tensor, seeds: list[int]
    ) -> tuple[Carry, Metrics, Tensor]:
        config, latents = self.config.training, self.config.model.latents
        rows = len(at_least)
        done, metrics, gradients = [], [], []
        for begin in range(0, rows, size):
            here = slice(begin, begin + size)
            piece = carry.take(here, latents)
            noise = [torch.Generator(self.device.device).manual_seed(seed) for seed in seeds[here]] or None
            vectors = self.embedding(piece.batch.rows)
            loss, after, measured = self.supervision_step(
                self.reasoner, config, piece, vectors, start.take(here, latents), at_least[here], self.depth(), noise
            )
            (loss * self.scale.value).backward()
            done.append(after)
            metrics.append(measured)
            # an answer alone (gradient_calls 1) does not look at the task
            gradients.append(torch.zeros_like(vectors) if vectors.grad is None else vectors.grad)
        if len(done) == 1:
            return done[0], metrics[0], gradients[0]
        sums = Metrics(*(torch.stack(parts).sum(dim=0) for parts in zip(*metrics, strict=True)))
        return Carry.join(done), sums, torch.cat(gradients)

    def _share(self, metrics: Metrics, vector_gradient: Tensor, wish: Wish) -> tuple[Metrics, Tensor, Wish]:
        """Sum gradients and metrics over the processes, and agree on their wishes; undo the scale of the loss."""
        parameters = [p for p in self.reasoner.parameters() if p.grad is not None]
        if self.processes.count > 1:
            wide = self.reasoner.halt_bias.dtype
            asked = metrics.loss.new_tensor([wish.stop, wish.save, wish.steps * self.processes.is_main], dtype=wide)
            told = torch.cat([torch.stack([m.to(wide) for m in metrics]), asked])
            flat = self.processes.sum(torch.cat([*(p.grad.flatten() for p in parameters), told]))
            *gradients, told = flat.split([*(p.numel() for p in parameters), len(told)])
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient.view_as(p)
            metrics, (stop, save, steps) = Metrics(*told[:-3]), told[-3:].tolist()
            wish = Wish(stop > 0, save > 0, round(steps))
            vector_gradient = self.processes.gather(vector_gradient)
        if self.scale.value != 1 and parameters:  # none where the task embeddings learn alone
            torch._foreach_div_([p.grad for p in parameters], self.scale.value)
        return metrics, vector_gradient, wish

    def _move(self, rows: Tensor, vector_gradient: Tensor, gradients: list[Tensor]) -> None:
        """Move weights, task embeddings and average by the gradients of the whole batch."""
        config = self.config.training
        if gradients:  # else the task embeddings learn alone
            self.optimizers.step(self.step)
        if self.config.model.gradient_calls != 1 or self.config.model.thoughts == 0:
            rate = config.task_embedding_learning_rate * self.optimizers.schedule(self.step)
            self.embedding.update(rows, vector_gradient, rate, config.task_embedding_weight_decay, self.processes.from_main)
        if self.average is not None:
            self.average.update()
        self.scale.succeed()

    def _skip(self, lane: int, carry: Carry, after: Carry, finite_loss: bool) -> None:
        """Leave the weights as they are after a step whose loss or gradient was not finite."""
        self.reasoner.zero_grad(set_to_none=True)
        self.skipped += 1
        self.skipped_in_a_row += 1
        self.scale.fail()
        # States that are not finite would stay so: all rows begin anew.
        self.carries[lane] = after if finite_loss else after._replace(halted=torch.ones_like(after.halted))
        if self.skipped_in_a_row >= self.options.skips:
            raise NotFiniteError(self.step, carry.batch)

    def depth(self, step: int | None = None) -> tuple[int, int] | None:
        """T and n of a step, or of the next one, by the depth curriculum; None for the model's own."""
        step = self.step if step is None else step
        now = (stage for stage in self.stages if step < stage[0] * self.steps)
        return next(((cycles, thoughts) for _, cycles, thoughts in now), None)

    def operations(self, lane: int, depth: tuple[int, int] | None) -> float:
        """Operations of the matrix products of a step of a lane, of all processes, at a depth of recursion."""
        config, cells = self.config, self.examples.lanes[lane].window.cells
        return config.training.batch_size * count_training(config.model, config.training, cells, depth)

    def whole(self) -> Checkpoint:
        """Everything that a run goes on from, of all processes; all must come here."""
        snapshot = self.snapshot()
        tensors = snapshot.tensors | {f"optimizer.{name}": t for name, t in self.optimizers.tensors().items()}
        for number, carry in enumerate(self.carries):
            if carry is not None:
                named = {f"carry.{number}.{name}": t for name, t in _carry_tensors(carry).items()}
                tensors |= {name: self.processes.gather(t) for name, t in named.items()}
        tensors["counts"] = torch.tensor([self.scale.value, self.scale.successes, self.skipped], dtype=torch.float64)
        lanes = [number for number, carry in enumerate(self.carries) if carry is not None]
        return replace(snapshot, tensors=tensors, extra=snapshot.extra | {"rows_in_flight": lanes})

    def save(self, folder: Path, keep: int, stale: Sequence[Path] = ()) -> Path:
        """Write a checkpoint below `folder`.

        All processes must come here; the main one writes.

        Args:
            folder: the run's.
            keep: how many checkpoints to keep.
            stale: what to remove once the checkpoint is whole.

        Raises:
            InputError: it cannot be written.
        """
        checkpoint = replace(self.whole(), where=str(folder))
        return save_checkpoint(folder, checkpoint, keep, stale) if self.processes.is_main else folder

    def snapshot(self) -> Checkpoint:
        """What it takes to answer tasks at this moment, without copies: weights, average, task embeddings, plan."""
        names = [name for name, _ in self.reasoner.named_parameters()]
        tensors = {f"model.{name}": t for name, t in self.reasoner.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": t for name, t in zip(names, self.average.averages, strict=True)}
        tensors |= {f"embedding.{name}": t for name, t in self.embedding.state_dict().items()}
        plan = self.examples.kept_plan
        tensors |= {"plan.table": torch.from_numpy(plan.table), "plan.starts": torch.from_numpy(plan.starts)}
        tensors["trained"] = torch.from_numpy(self.examples.trained)
        extra = {
            "family": self.examples.domain.name,
            "windows": [list(window) for window in self.examples.windows],
            "precision": str(self.device.dtype).removeprefix("torch."),
            "fused": self.options.fused,
            "half_embeddings": self.options.half_embeddings,
            "accumulation": self.options.accumulation,
            "length": self.steps,
            "rows_in_flight": [],
        }
        return Checkpoint(self.config, self.step, self.examples.entries, tensors, extra, "this run")

    def adopt(self, checkpoint: Checkpoint, from_zero: bool = False) -> None:
        """Begin with the averaged weights of another run, and every task embedding at the mean of that run's.

        Args:
            checkpoint: of the other run; its own tasks and rows in flight play no part.
            from_zero: let the task embeddings begin at zero instead.

        Raises:
            InputError: the weights are of another shape.
        """
        weights, into = checkpoint.reasoner().state_dict(), self.reasoner.state_dict()
        odd = [name for name, t in into.items() if name not in weights or weights[name].shape != t.shape]
        if odd or len(weights) != len(into):
            raise InputError(f"its weights do not fit these settings ({', '.join(odd[:3])}); keep its own", file=checkpoint.where)
        load_strictly(into, weights, checkpoint.where)
        if self.average is not None:
            self.average = MovingAverage(self.reasoner, self.average.decay)
        if not from_zero:
            self.embedding.table[:] = checkpoint.mean_embedding()
        self._remember(checkpoint)

    def _remember(self, checkpoint: Checkpoint) -> None:
        """Keep in mind which answers an earlier run was trained on, so that no evaluation scores them."""
        trained = np.union1d(self.examples.trained, checkpoint.tensors["trained"].numpy())
        self.examples = replace(self.examples, trained=trained)

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same settings and data.

        Raises:
            InputError: the checkpoint is of other settings, tasks or plan.
        """
        where = checkpoint.where
        if checkpoint.config != self.config:
            differences = _differences(checkpoint.config, self.config)
            raise InputError(f"has other settings ({differences}); resume with its own", file=where)
        plan, kept = checkpoint.plan(), self.examples.kept_plan
        if checkpoint.tasks != self.examples.entries or not np.array_equal(plan.starts, kept.starts):
            raise InputError("was trained on other tasks; resume with the same data, or start anew", file=where)
        if not np.array_equal(plan.table, kept.table):
            raise InputError("has another plan of transforms (another NumPy?); start anew", file=where)
        load_strictly(self.reasoner.state_dict(), checkpoint.part("model"), f"{where}: model")
        load_strictly(self.embedding.state_dict(), checkpoint.part("embedding"), f"{where}: embedding")
        if self.average is not None:
            names = [name for name, _ in self.reasoner.named_parameters()]
            averages = dict(zip(names, self.average.averages, strict=True))
            load_strictly(averages, checkpoint.part("average"), f"{where}: average")
        self.step = checkpoint.step
        self.steps = self.optimizers.steps = checkpoint.extra["length"] or self.steps  # a time limit may have chosen it
        self._remember(checkpoint)
        try:
            moved = checkpoint.step > 0 and not self.config.training.embeddings_first
            self.optimizers.load_tensors(checkpoint.part("optimizer"), moved)
            self._load_carries(checkpoint.part("carry"), checkpoint.extra["rows_in_flight"])
            scale, successes, skipped = checkpoint.tensors["counts"].tolist()
            self.scale.value, self.scale.successes, self.skipped = scale, int(successes), int(skipped)
        except (LookupError, ValueError, RuntimeError) as error:
            raise InputError(f"the checkpoint is damaged ({error}); use an older one", file=where) from None

    def _load_carries(self, tensors: dict[str, Tensor], lanes: list[int]) -> None:
        """Take this process's rows in flight; raise ValueError unless they have the shapes that this run gives them."""
        config, latents = self.config.training, self.config.model.latents
        for number in lanes:
            lane, prefix = self.examples.lanes[number], f"{number}."
            found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            fresh = torch.Generator(self.device.device)
            start = self.reasoner.start(config.batch_size, *lane.window, self.device.dtype, fresh)
            puzzles = torch.zeros(config.batch_size, *lane.window, dtype=torch.uint8, device=self.device.device)
            transforms = puzzles.new_zeros(config.batch_size, self.examples.domain.row_bytes)
            plain = Batch(puzzles, puzzles, puzzles[:, 0, 0].long(), transforms)
            expected = _carry_tensors(first_carry(start, plain))
            for name, tensor in expected.items():
                kinds = found[name].is_floating_point(), tensor.is_floating_point()
                if found[name].shape != tensor.shape or (found[name].dtype != tensor.dtype and not all(kinds)):
                    raise ValueError(f"carry.{prefix}{name}")
            whole = _carry_from({name: found[name].to(self.device.device, t.dtype) for name, t in expected.items()})
            self.carries[number] = whole.take(self.part, latents)


def _carry_tensors(carry: Carry) -> dict[str, Tensor]:
    return {
        "y": carry.state.y,
        **{f"z{number}": part for number, part in enumerate(carry.state.z)},
        **carry.batch._asdict(),
        "steps": carry.steps,
        "halted": carry.halted,
    }


def _carry_from(tensors: dict[str, Tensor]) -> Carry:
    z = tuple(tensors[f"z{number}"] for number in range(sum(name[0] == "z" for name in tensors)))
    batch = Batch(*(tensors[name] for name in Batch._fields))
    return Carry(State(tensors["y"], z), batch, tensors["steps"], tensors["halted"])


def _differences(first: Config, second: Config) -> str:
    a, b = first.to_dict(), second.to_dict()
    return ", ".join(
        f"{name} {a[part][name]!r} there, {b[part][name]!r} here"
        for part in a
        for name in a[part]
        if a[part][name] != b[part][name]
    )
