"""From task sets to batches: what is trained on, under which transforms, and where on the canvas, as a function of the step.

Nothing is stored but the grids, the plan (11 bytes a row) and a few tables of integers.  A batch is computed from (seed, step)
alone, so a run repeats bit for bit, resumes anywhere, and any process can paint any slice.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from augment import PackedGrids, Plan, SampledPlan, Window, corner_offsets, pack_grids, sample_plan
from augment.canvas import transformed_shapes
from augment.kernels import generator_seeds, mix_columns
from trm_arc.common.errors import InputError
from trm_arc.config import Config, ModelConfig, TrainingConfig
from trm_arc.data.batch import IGNORE_INDEX, Batch
from trm_arc.data.buckets import EOS_MARGIN, BucketSchedule, SizeBucket, make_schedule, parse_sides, sort_into_buckets
from trm_arc.data.domains import Domain
from trm_arc.data.leakage import trained_hashes
from trm_arc.data.task import Pair, Task, TaskSet, grid_key
from trm_arc.data.task_files import join_tasks

# What a key is used for: different purposes never share their random bits.
_VISIT, _CORNER_KEEPER, _PLACE, _STEP, _START = range(5)


@dataclass(frozen=True)
class Examples:
    """The pairs that are trained on.

    Attributes:
        domain: the kind of puzzle.
        entries: what owns rows of the task embedding: ids and fingerprints, as a checkpoint keeps them.
        grids: all grids of all tasks; the number of a task indexes `pair_starts`, `keys` and `plan.starts`.
        pairs: int64 (pairs, 2), input and output grid of every pair.
        pair_starts: int64 (tasks + 1,), the pairs of each task.
        buckets: the pairs by the window that they are shown in.
        schedule: which bucket a step trains.
        keys: uint64 (tasks,), a number for every task id.
        plan: the transforms.
        kept_plan: those that a checkpoint keeps, one entry for each of `entries`.
        trained: int64, sorted; hashes of the pairs, so that no later evaluation scores their answers.
        owners: the row of the task embedding: of each transform ("transforms"), of each task ("tasks"), or one for all ("one").
    """

    domain: Domain
    entries: list[tuple[str, str]]
    grids: PackedGrids
    pairs: np.ndarray
    pair_starts: np.ndarray
    buckets: list[SizeBucket]
    schedule: BucketSchedule
    keys: np.ndarray
    plan: Plan | SampledPlan
    kept_plan: Plan
    trained: np.ndarray
    owners: Literal["transforms", "tasks", "one"]

    @property
    def embedding_rows(self) -> int:
        """Rows of the task embedding."""
        return {"transforms": len(self.plan), "tasks": len(self.keys), "one": 1}[self.owners]

    @property
    def distinct(self) -> int:
        """How many examples there are: pairs, each under the transforms of its task."""
        return int(np.dot(np.diff(self.pair_starts), np.diff(self.plan.starts)))

    @property
    def windows(self) -> list[Window]:
        """The window of each bucket."""
        return [bucket.window for bucket in self.buckets]

    def batch(self, step: int, config: TrainingConfig, shard: slice = slice(None)) -> Batch:
        """The batch of step `step` (from 0), all of one bucket, as tensors in host memory.

        A bucket's stream visits its tasks in a new order each epoch; a visit draws one transform of the task and shows all its
        pairs under it.  One pair a visit keeps the corner, the others are translated, input and output alike; in buckets with
        their marks, on full boards as the original does.

        Args:
            shard: rows of the batch to make, for one of several processes.
        """
        number, turn = self.schedule.at(step)
        bucket = self.buckets[number]
        position = turn * config.batch_size + np.arange(config.batch_size)[shard]
        epoch, place = np.divmod(position, len(bucket.pairs))
        pair = np.empty_like(place)
        for one in np.unique(epoch):
            pair[epoch == one] = _locate(bucket, int(one), place[epoch == one], config.seed)
        task = np.searchsorted(self.pair_starts, pair, side="right") - 1
        example = pair - self.pair_starts[task]
        count = self.pair_starts[task + 1] - self.pair_starts[task]

        def key(purpose: int, *more: np.ndarray) -> np.ndarray:
            constants = (np.full(len(task), value) for value in (config.seed, purpose))
            columns = (*constants, epoch, self.keys[task], *more)
            return mix_columns(np.stack([column.astype(np.uint64) for column in columns], axis=1))

        transforms = self.plan.starts[task + 1] - self.plan.starts[task]
        row = self.plan.starts[task] + (key(_VISIT) % transforms.astype(np.uint64)).astype(np.int64)
        fixed = (key(_CORNER_KEEPER) % count.astype(np.uint64)).astype(np.int64) == example
        table = self.plan.rows(row)
        owner = {"transforms": row, "tasks": task, "one": np.zeros_like(task)}[self.owners]
        index = self.pairs[pair]
        corners = None
        if self.domain.translates:
            space = np.maximum(*(transformed_shapes(self.grids.shapes[grid], table) for grid in index.T))
            if config.canvas == "buckets":  # the marks stay inside: at test time an answer without them has run into the edge
                space = np.minimum(space + EOS_MARGIN, bucket.window)
            corners = corner_offsets(key(_PLACE, example), space, bucket.window, fixed | (not config.translate))
        tokens = self.domain.paint(self.grids, index[:, 0], table, bucket.window, corners)
        labels = self.domain.paint(self.grids, index[:, 1], table, bucket.window, corners, empty=IGNORE_INDEX)
        return Batch(torch.from_numpy(tokens), torch.from_numpy(labels), torch.from_numpy(owner), torch.from_numpy(table))


def _locate(bucket: SizeBucket, epoch: int, place: np.ndarray, seed: int) -> np.ndarray:
    """The pair at each place of one epoch of a bucket's stream."""
    order = _order(len(bucket.tasks), seed, epoch)
    counts = np.diff(bucket.starts)[order]
    ends = np.cumsum(counts)
    visit = np.searchsorted(ends, place, side="right")
    return bucket.pairs[bucket.starts[order[visit]] + place - (ends - counts)[visit]]


@lru_cache(maxsize=4)  # each is large if there are millions of puzzles
def _order(tasks: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits tasks; many batches share an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(tasks)


def prepare_examples(training: TaskSet, evaluation: TaskSet, settings: Config) -> tuple[Examples, list[str]]:
    """Collect what is trained on: all pairs of the training tasks, the demonstrations of the evaluation tasks.

    Args:
        training: tasks whose known outputs are all trained on; without leaks.
        evaluation: tasks to answer; their test outputs are not read.

    Returns:
        The examples, and the ids of training tasks left out because they do not fit the window.

    Raises:
        InputError: no tasks, or settings that do not go with them.
    """
    config, evaluation = settings.training, evaluation.without_solutions()
    window = _choose_window(evaluation, settings)
    fitting = [_fit(task, min(window)) for task in training]
    left_out = [task.id for task, fits in zip(training, fitting, strict=True) if fits is None]
    kept = TaskSet(filter(None, fitting), training.name)
    tasks = join_tasks([evaluation, kept])
    grids, pairs = [], []
    for task in tasks:
        for pair in task.known_pairs:
            pairs.append((len(grids), len(grids) + 1))
            grids += pair.input, pair.output
    counts = [len(task.known_pairs) for task in tasks]
    packed, pairs = pack_grids(grids), np.array(pairs, np.int64)
    buckets = _choose_buckets(packed.shapes[pairs].max(axis=(1, 2)), np.repeat(np.arange(len(tasks)), counts), window, settings)
    plan = sample_plans(tasks, config.augmentations, config.seed)
    return (
        Examples(
            evaluation.domain,
            [(task.id, fingerprint(task)) for task in tasks],
            packed,
            pairs,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            buckets,
            make_schedule([len(bucket.pairs) / bucket.window.cells**config.bucket_exponent for bucket in buckets]),
            np.array([task_key(task.id) for task in tasks], np.uint64),
            plan,
            plan,
            trained_hashes(kept, evaluation),
            "tasks" if settings.model.transform_tokens else "transforms",
        ),
        left_out,
    )


def _choose_window(evaluation: TaskSet, settings: Config) -> Window:
    """The window of a run: the board, or the smallest square that holds the evaluation tasks."""
    model = settings.model
    board = Window(model.board_rows, model.board_columns)
    side = max((task.side for task in evaluation), default=0)
    if side == 0:
        raise InputError("no tasks to answer: name some with --evaluation-data")
    if side > min(board):
        raise InputError(f"{evaluation.name}: grids of up to {side} rows or columns do not fit the board of {tuple(board)}")
    check_vocabulary(model, evaluation.domain)
    if model.mixer == "mlp" and settings.training.canvas == "buckets":
        raise InputError("the MLP mixer has a weight for every position of its board, so it cannot use buckets", flag="canvas")
    window = Window(side, side) if settings.training.canvas == "fit" else board
    if model.mixer == "mlp" and window != board:
        raise InputError(
            f"the MLP mixer has a weight for every position of its board of {tuple(board)}, so the canvas must be that "
            f"board, not {tuple(window)}: use --canvas full, or set --board-rows and --board-columns to {side}",
            flag="canvas",
        )
    return window


def _choose_buckets(sides: np.ndarray, owners: np.ndarray, window: Window, settings: Config) -> list[SizeBucket]:
    """The buckets of a run: one of the whole window, or several, by the sides of the pairs."""
    if settings.training.canvas != "buckets":
        return [bucket._replace(window=window) for bucket in sort_into_buckets(owners, sides, [max(window)])]
    needs = np.minimum(sides + EOS_MARGIN, min(window))
    return sort_into_buckets(owners, needs, parse_sides(settings.training.bucket_sides, needs, min(window)))


def check_vocabulary(model: ModelConfig, domain: Domain) -> None:
    """Raise InputError unless the model's tokens are the domain's."""
    if model.vocabulary != domain.vocabulary:
        raise InputError(f"{domain.title} needs {domain.vocabulary} tokens, got {model.vocabulary}", flag="vocabulary")


def _fit(task: Task, side: int) -> Task | None:
    """A task without the generated pairs that are larger than a square; None if another pair of it is, or none is left."""

    def fits(pair: Pair) -> bool:
        return pair.output is None or max(*pair.input.shape, *pair.output.shape) <= side

    if not task.test:
        small = tuple(filter(fits, task.train))
        return replace(task, train=small) if small else None
    if not all(map(fits, task.train + task.test)):
        return None
    return replace(task, generated=tuple(filter(fits, task.generated))) if task.generated else task


def sample_plans(tasks: TaskSet, augmentations: int, seed: int) -> Plan:
    """The plan of a set of tasks: the identity and up to `augmentations` distinct transforms of each.

    A task's transforms depend only on its id, its grids and the seed, not on other tasks.
    """
    tables = []
    for task in tasks:
        grids, pairs = [], []
        for pair in task.train + task.test:
            pairs.append((len(grids), -1 if pair.output is None else len(grids) + 1))
            grids += [pair.input] if pair.output is None else [pair.input, pair.output]
        generator = np.random.default_rng([seed, task_key(task.id)])
        tables.append(sample_plan(pack_grids(grids), np.array(pairs, np.int64), augmentations + 1, generator))
    return Plan.concatenate(tables)


def step_seeds(seed: int, step: int) -> tuple[int, int]:
    """The seeds of what a step samples besides its batch: of the halting and noise of its rows, and of their initial states."""
    return tuple(generator_seeds(np.array([[seed, purpose, step] for purpose in (_STEP, _START)])))


def task_key(task_id: str) -> int:
    """A 64-bit number for a task id, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(task_id.encode(), digest_size=8).digest(), "little")


def fingerprint(task: Task) -> str:
    """A short digest of what is visible of a task, by which a checkpoint recognises it."""
    digest = hashlib.blake2b(digest_size=8)
    for grid in task.visible_grids:
        digest.update(grid_key(grid))
    return digest.hexdigest()
