"""One training run: model, optimizers and active samples, a step at a time; `trm_arc.training.state` saves and resumes it."""

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from trm_arc.common.device import NARROW, Device, Later, free_memory, is_out_of_memory
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError, OwnError
from trm_arc.common.memory import available_memory
from trm_arc.common.text import first_words
from trm_arc.config import Config, TrainingConfig
from trm_arc.data.batch import Batch
from trm_arc.data.examples import Examples, step_seeds
from trm_arc.model.attention import prefer_kernels
from trm_arc.model.compiling import check_compile_mode, compiling_seconds, even_pieces, explain_fallback
from trm_arc.model.embedding import TaskEmbedding
from trm_arc.model.flops import count_training
from trm_arc.model.noise import make_source
from trm_arc.model.reasoner import Reasoner, State
from trm_arc.training.curriculum import halting_stages, stage_at
from trm_arc.training.halting import Carry, first_carry, sample_minimum, spread_steps, take_puzzles
from trm_arc.training.loader import Loader
from trm_arc.training.memory import fit_rows
from trm_arc.training.optim import MovingAverage, Optimizers
from trm_arc.training.options import Options
from trm_arc.training.rollback import Rollback, StepOutcome, StepTiming
from trm_arc.training.stability import Stability, copy_matrices, measure_stability
from trm_arc.training.supervision import Metrics, compiled_step, supervision_step


class StepRequest(NamedTuple):
    """What a process asks for with a step; all processes do what one of them asks.

    Attributes:
        stop: save after the step, and stop.
        save: save after the step.
        steps: length of the run; the main process decides.  0: as it is.
    """

    stop: bool = False
    save: bool = False
    steps: int = 0


NO_REQUEST = StepRequest()
SMALL = 1e-3  # steps of task embeddings that bfloat16 loses where a coordinate is above one half


class NotFiniteError(Exception):
    """Too many steps in a row were skipped."""

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

    def fail(self, used: float) -> None:
        """A step with the factor `used` whose gradients were not; only the first of several with one factor halves it."""
        self.successes = 0
        if self.enabled and used == self.value:
            self.value /= 2


class Trainer:
    """Everything that a run holds.

    Args:
        steps: length of the run.

    Raises:
        InputError: the model cannot be compiled, the device has no float64 for the loss, or the batch cannot be shared evenly.
    """

    def __init__(
        self,
        config: Config,
        examples: Examples,
        device: Device,
        steps: int,
        processes: ProcessGroup | None = None,
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        check_compile_mode(self.options.compile_mode, config.model, device.device)
        if config.training.loss == "stablemax-float64" and device.device.type in NARROW:
            raise InputError(f"{device.device} does not support float64; use stablemax, or --device cpu", flag="--loss")
        if self.options.half_embeddings and config.training.task_embedding_learning_rate < SMALL:
            raise InputError(
                f"bfloat16 loses steps of {config.training.task_embedding_learning_rate:g} "
                "(task_embedding_learning_rate); leave it out",
                flag="--half-embeddings",
            )
        self.config, self.examples, self.device, self.steps = config, examples, device, steps
        self.processes = processes or ProcessGroup()
        self.shard = self.processes.shard(config.training.batch_size)
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
        share = self.shard.stop - self.shard.start
        self.whole = -(-share // self.options.accumulation)  # rows at a time, where they fit
        free = available_memory(device.device, self.processes.on_this_machine)
        network = sum(p.nbytes for p in self.reasoner.parameters())
        self.fits = fit_rows(config, examples.windows, share, self.whole, free, network, device.dtype)
        self.pieces = self.processes.least([fit.rows for fit in self.fits], device.device)  # rows at a time, by bucket
        # Seeded for each step, so nothing of them is saved, and all processes draw the same for the whole batch.
        self.host_generator, self.generator = torch.Generator(), torch.Generator(device.device)
        self.loader = Loader(partial(examples.batch, config=config.training, shard=self.shard), device.device)
        self.supervision_step = compiled_step(self.reasoner, self.options.compile_mode)
        self.carries: list[Carry | None] = [None] * len(examples.buckets)
        self.scale = LossScale(enabled=device.dtype == torch.float16)
        self.stages, self.halt_stages = config.training.depths(), halting_stages(config.training)
        self.step, self.seconds = 0, 0.0
        self.decision = StepRequest()  # of all processes, with the last step
        self.gradient_norm = torch.tensor(0.0)  # of the last step, on the device
        self.stability: Stability | None = None  # of the last step that was measured
        self.skipped = 0  # steps so far whose loss or gradient was not finite
        self.skipped_in_a_row = 0
        self.bad: tuple[int, Batch] | None = None  # the last step that was skipped, with its puzzles
        self.late = device.device.type != "cpu"  # whether a step's outcome is read in the next one, so that nothing waits
        self.outcome: StepOutcome | None = None  # of the last step, not read yet
        self.timings: list[StepTiming] = []  # of steps that were read late
        self.ended = 0.0  # when the last of them had ended, by `time.monotonic`

    def train_step(self, request: StepRequest = NO_REQUEST, *, measure: bool = False) -> Metrics:
        """Do one supervision step of every active sample of one bucket, and one step of the optimizers.

        Args:
            request: what this process asks for; `decision` then is what all do.
            measure: take the numbers of `stability` of this step, in the main process.

        Returns:
            Metrics of the whole batch.

        Raises:
            NotFiniteError: too many steps in a row whose loss is not finite.
            InputError: it cannot be compiled, or there is no memory for a single row.
        """
        began = time.perf_counter()
        bucket = self.examples.schedule.at(self.step)[0]
        measure = measure and self.processes.is_main
        before = copy_matrices(self.reasoner) if measure else []
        metrics = self.learn(self.loader.take(self.step), bucket, request)
        if measure:
            self.stability = measure_stability(self.reasoner, self.embedding, self.carries[bucket], self.gradient_norm, before)
        self.seconds += time.perf_counter() - began
        return metrics

    def learn(self, batch: Batch, bucket: int = 0, request: StepRequest = NO_REQUEST) -> Metrics:
        """The step itself.

        Args:
            batch: this process's shard of the batch, which the halted rows take their puzzles from.

        Returns:
            As `train_step`.
        """
        config, latents, began = self.training_at(self.step), self.config.model.latents, time.monotonic()
        compiled = compiling_seconds()
        whole, shard = config.batch_size, self.shard
        for generator, seed in zip((self.host_generator, self.generator), step_seeds(config.seed, self.step), strict=True):
            generator.manual_seed(seed)
        self.reasoner.requires_grad_(self.step >= config.embeddings_first * self.steps)
        start = self.reasoner.start(whole, *batch.tokens.shape[1:], self.device.dtype, self.generator).take(shard, latents)
        at_least = sample_minimum(whole, config.halt_steps, config.halt_exploration, self.host_generator)[shard]
        at_least = at_least.to(self.device.device)
        noisy = whole if self.config.model.noise else 0
        seeds = torch.randint(2**63 - 1, (noisy,), generator=self.host_generator)[shard].tolist()  # of each row's noise
        known, done = self.carries[bucket], None
        if config.stagger and (known is None or self._has_new_limit(bucket)):
            done = spread_steps(range(shard.start, shard.stop), config.halt_steps, self.device.device)
        carry = take_puzzles(known or first_carry(start, batch), batch, done)
        after, metrics, vector_gradient = self._accumulate(bucket, carry, start, at_least, seeds)
        metrics, vector_gradient, self.decision = self._share(metrics, vector_gradient, request)
        self.steps = self.optimizers.steps = self.decision.steps or self.steps
        gradients = [p.grad for p in self.reasoner.parameters() if p.grad is not None]
        self.gradient_norm = norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.isfinite(metrics.loss + norm + vector_gradient.abs().sum())
        scale = self.scale.value
        self.finish_step()  # the step before has ended long ago; only now, as this step's gradients had its scale
        self._check_skips()
        self.step += 1
        if self.config.training.gradient_clip:
            torch.nn.utils.clip_grads_with_norm_(self.reasoner.parameters(), self.config.training.gradient_clip, norm)
        rows = self.processes.gather(carry.batch.rows)
        # States that are not finite would stay so: all samples begin again.
        restarted = after._replace(halted=after.halted | ~torch.isfinite(metrics.loss))
        if self.late:
            self.carries[bucket] = restarted
            rollback = Rollback(self._weights)
            self._move(rows, vector_gradient, gradients, finite)
            rollback.undo_unless(finite)
            self.outcome = StepOutcome(self.step, began, Later(finite), scale, carry.batch, rollback, compiled)
            if self.step >= self.steps:
                self.finish_step()
        elif bool(finite):
            self.carries[bucket] = after
            self._move(rows, vector_gradient, gradients)
            self._count(True, scale)
        else:
            self.carries[bucket] = restarted
            self.reasoner.zero_grad(set_to_none=True)
            self.bad = self.step, carry.batch
            self._count(False, scale)
        self._check_skips()
        return metrics

    def take_timings(self) -> list[StepTiming]:
        """The times of the steps whose outcome was read late since the last call."""
        taken, self.timings = self.timings, []
        return taken

    def finish_step(self) -> None:
        """Wait until it is known whether the last step was finite, and count it; weights and all else are right without this."""
        outcome, self.outcome = self.outcome, None
        if outcome is None:
            return
        finite, now = bool(outcome.finite.read()), time.monotonic()
        compiled = compiling_seconds() > outcome.compiled
        self.timings.append(StepTiming(outcome.step - 1, now - max(outcome.began, self.ended), compiled))
        self.ended = now
        if not finite:
            outcome.rollback.undo_counts()
            self.bad = outcome.step, outcome.batch
        self._count(finite, outcome.scale)

    def _count(self, finite: bool, scale: float) -> None:
        """Count a step whose loss had a scale."""
        if finite:
            self.scale.succeed()
            self.skipped_in_a_row = 0
        else:
            known = self.scale.enabled and scale != self.scale.value  # the step before has already halved the scale
            self.scale.fail(scale)
            self.skipped += 1
            self.skipped_in_a_row += not known

    def _check_skips(self) -> None:
        if self.skipped_in_a_row >= self.options.skips:
            raise NotFiniteError(*self.bad)

    def _weights(self) -> list[Tensor]:
        """All that a step moves, but for the task embeddings."""
        averages = self.average.averages if self.average is not None else []
        return [*self.reasoner.parameters(), *self.optimizers.memory(), *averages]

    def _accumulate(
        self, bucket: int, carry: Carry, start: State, at_least: Tensor, seeds: list[int]
    ) -> tuple[Carry, Metrics, Tensor]:
        """Forward and backward, in pieces that fit the memory; the parameters collect their gradients, the vectors' return."""
        while True:
            try:
                with prefer_kernels(self.device.device):
                    return self._accumulate_pieces(self.pieces[bucket], carry, start, at_least, seeds)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):  # asked first: a compiled kernel and its compiler run out of it, too
                    self._compile_nothing(error)
                    continue
                if self.pieces[bucket] == 1:
                    what = f"not enough memory for a single sample ({first_words(error)})"
                    raise OwnError(f"{what}; lower --width, or use --canvas buckets") from None
            # Only now: the error would hold what the step has kept for its backward pass.
            self.reasoner.zero_grad(set_to_none=True)
            self.pieces[bucket] = -(-self.pieces[bucket] // 2)
            free_memory()
            size = f"{self.pieces[bucket]} of {' x '.join(map(str, self.examples.buckets[bucket].window))}"
            tqdm.write(f"out of memory at step {self.step + 1}: samples at a time lowered to {size}; the batch size is unchanged")

    def _compile_nothing(self, error: RuntimeError | MemoryError) -> None:
        """Go on without the compiler after its error; raises where `explain_fallback` does."""
        sentence = explain_fallback(error, self.options.compile_mode, falls_back=self.options.falls_back)
        self.options = self.options._replace(compile_mode="", falls_back=False)
        self.reasoner.use_operators()
        self.supervision_step = supervision_step
        self.reasoner.zero_grad(set_to_none=True)
        tqdm.write(sentence)

    def _accumulate_pieces(
        self, size: int, carry: Carry, start: State, at_least: Tensor, seeds: list[int]
    ) -> tuple[Carry, Metrics, Tensor]:
        config, latents = self.training_at(self.step), self.config.model.latents
        rows = len(at_least)
        size = even_pieces(rows, size) if self.options.compile_mode else size
        done, metrics, gradients = [], [], []
        for begin in range(0, rows, size):
            here = slice(begin, begin + size)
            piece = carry.take(here, latents)
            noise = make_source(seeds[here], self.device.device) if seeds else None
            vectors = self.embedding(piece.batch.rows)
            loss, after, measured = self.supervision_step(
                self.reasoner, config, piece, vectors, start.take(here, latents), at_least[here], self.depth(), noise
            )
            (loss * self.scale.value).backward()
            done.append(after)
            metrics.append(measured)
            # an answer alone (gradient_calls 1) does not depend on the task
            gradients.append(torch.zeros_like(vectors) if vectors.grad is None else vectors.grad)
        if len(done) == 1:
            return done[0], metrics[0], gradients[0]
        sums = Metrics(*(torch.stack(parts).sum(dim=0) for parts in zip(*metrics, strict=True)))
        return Carry.join(done), sums, torch.cat(gradients)

    def _share(self, metrics: Metrics, vector_gradient: Tensor, request: StepRequest) -> tuple[Metrics, Tensor, StepRequest]:
        """Sum gradients and metrics over the processes, and decide on their requests; undo the scale of the loss."""
        parameters = [p for p in self.reasoner.parameters() if p.grad is not None]
        if self.processes.count > 1:
            wide = self.reasoner.halt_bias.dtype
            asked = metrics.loss.new_tensor([request.stop, request.save, request.steps * self.processes.is_main], dtype=wide)
            shared = torch.cat([torch.stack([m.to(wide) for m in metrics]), asked])
            flat = self.processes.sum(torch.cat([*(p.grad.flatten() for p in parameters), shared]))
            *gradients, shared = flat.split([*(p.numel() for p in parameters), len(shared)])
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient.view_as(p)
            metrics, (stop, save, steps) = Metrics(*shared[:-3]), shared[-3:].tolist()
            request = StepRequest(stop > 0, save > 0, round(steps))
            vector_gradient = self.processes.gather(vector_gradient)
        if self.scale.value != 1 and parameters:  # none where the task embeddings learn alone
            torch._foreach_div_([p.grad for p in parameters], self.scale.value)
        return metrics, vector_gradient, request

    def _move(self, rows: Tensor, vector_gradient: Tensor, gradients: list[Tensor], finite: Tensor | None = None) -> None:
        """Move weights, task embeddings and average by the gradients of the whole batch; the embeddings only if `finite`."""
        config = self.config.training
        if gradients:  # else the task embeddings learn alone
            self.optimizers.step(self.step)
        if self.config.model.gradient_calls != 1 or self.config.model.latent_steps == 0:
            rate = config.task_embedding_learning_rate * self.optimizers.schedule(self.step)
            self.embedding.update(
                rows, vector_gradient, rate, config.task_embedding_weight_decay, self.processes.broadcast, finite
            )
        if self.average is not None:
            self.average.update()

    def keep_rows(self, saved: Sequence[int]) -> None:
        """Compute as many rows at a time as fitted when a checkpoint was saved, unless so many cannot fit here.

        Args:
            saved: by size bucket; empty if nothing is known.
        """
        before = [min(rows, self.whole) for rows in saved]
        if before:
            rows = [then if then <= fit.most else fit.rows for then, fit in zip(before, self.fits, strict=True)]
            self.pieces = self.processes.least(rows, self.device.device)

    def depth(self, step: int | None = None) -> tuple[int, int] | None:
        """T and n of a step, or of the next one, by the depth curriculum; None for the model's own."""
        return stage_at(self.stages, self.step if step is None else step, self.steps) or None

    def training_at(self, step: int) -> TrainingConfig:
        """The settings of a step: with fewer supervision steps while the halt curriculum says so."""
        (config,) = stage_at(self.halt_stages, step, self.steps) or (self.config.training,)
        return config

    def _has_new_limit(self, bucket: int) -> bool:
        """Whether samples of a bucket may now do another number of supervision steps than when it was trained last."""
        schedule, step = self.examples.schedule, self.step
        before = next((at for at in range(step - 1, -1, -1) if schedule.at(at)[0] == bucket), step) if self.halt_stages else step
        return self.training_at(before).halt_steps != self.training_at(step).halt_steps

    def operations(self, bucket: int, depth: tuple[int, int] | None) -> float:
        """FLOPs of a step of a bucket, of all processes, at a depth of recursion."""
        config, cells = self.config, self.examples.buckets[bucket].window.cells
        return config.training.batch_size * count_training(config.model, config.training, cells, depth)
