"""From a checkpoint and tasks to ranked answers: rows of the plan, their embeddings, views, votes."""

import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from augment import Plan, Window, smallest_window
from trm_arc.checkpoint import Checkpoint, check_rows
from trm_arc.data import check_vocabulary, draw_plans, fingerprint
from trm_arc.device import Device
from trm_arc.errors import InputError, shorten
from trm_arc.lanes import expected_side
from trm_arc.predict import predict
from trm_arc.task import TaskSet
from trm_arc.vote import Candidate, tally

LANES = (11, 14, 17, 21, 25)  # sides below the board's for a model that was not trained in lanes


@dataclass(frozen=True)
class Rows:
    """What a checkpoint knows of some tasks.

    Attributes:
        plan: transforms, an entry a task.
        vectors: (rows of the plan, D), their task embeddings.
        unseen: ids of tasks that the checkpoint was not trained on; they get the mean embedding.
    """

    plan: Plan
    vectors: Tensor
    unseen: list[str]


def find_rows(checkpoint: Checkpoint, tasks: TaskSet) -> Rows:
    """Find the transforms and embeddings of tasks in a checkpoint.

    A task is known again by its id and its visible grids.  One that is not gets freshly drawn transforms, each with the mean
    of all trained embeddings.
    """
    plan, table = checkpoint.plan(), check_rows(checkpoint)
    known = {tuple(entry): number for number, entry in enumerate(checkpoint.tasks)}
    mean = table.mean(dim=0)
    tables, vectors, unseen = [], [], []
    for task in tasks:
        number = known.get((task.id, fingerprint(task)))
        if number is None:
            unseen.append(task.id)
            config = checkpoint.config.training
            tables.append(draw_plans(TaskSet([task], task.id), config.augmentations, config.seed).table)
            vectors.append(mean.expand(len(tables[-1]), -1))
        else:
            rows = slice(int(plan.starts[number]), int(plan.starts[number + 1]))
            tables.append(plan.table[rows])
            shared = checkpoint.config.model.transform_slots
            vectors.append(table[number].expand(len(tables[-1]), -1) if shared else table[rows])
    return Rows(Plan.concatenate(tables), torch.cat(vectors), unseen)


def choose_windows(checkpoint: Checkpoint, tasks: TaskSet, kind: str) -> tuple[list[Window], list[Window]]:
    """The canvas of every test input, and the larger ones to go on to.

    Args:
        checkpoint: which windows it was trained with.
        tasks: what to answer; their solutions are not read.
        kind: "trained" (as the checkpoint was), "full" (the whole board) or "lanes" (by what is visible).

    Raises:
        InputError: a task that the MLP mixer cannot hold, or lanes for it.
    """
    model = checkpoint.config.model
    board, trained = Window(model.board_rows, model.board_columns), [Window(*window) for window in checkpoint.extra["windows"]]
    if model.mixer == "mlp":
        large = [task.id for task in tasks if task.side > min(trained[-1])]
        if large:
            raise InputError(f"the MLP mixer's board of {tuple(board)} does not hold {shorten(large)}; use one with attention")
        if kind == "lanes":
            raise InputError("--window lanes: the MLP mixer has a weight for every position of its board; use full or trained")
    tests = list(tasks.tests)
    if kind == "lanes" or (kind == "trained" and checkpoint.config.training.window == "lanes"):
        sides = trained if len(trained) > 1 else [Window(side, side) for side in LANES if side < min(board)]
        larger = sorted({*sides, board})
        needed = [min(expected_side(task, number), min(board)) for task, number in tests]
        return [next(window for window in larger if min(window) >= side) for side in needed], larger
    usual = board if kind == "full" else trained[-1]
    fits = [task.side <= min(usual) for task, _ in tests]
    return [
        usual if fit else smallest_window([grid.shape for grid in task.visible_grids])
        for fit, (task, _) in zip(fits, tests, strict=True)
    ], []


def answer_tasks(
    checkpoint: Checkpoint,
    tasks: TaskSet,
    device: Device,
    *,
    views: int,
    steps: int | None,
    batch_size: int,
    keep: int,
    window: str = "trained",
) -> list[list[Candidate]]:
    """Answer every test input of `tasks`, with a progress bar, and a word on tasks that the checkpoint has never seen.

    Args:
        checkpoint: the model; its averaged weights are used.
        tasks: what to answer; their solutions, if any, are not read.
        device: where to compute.
        views: views of a test input at most.
        steps: supervision steps; as in training if None.
        batch_size: views at a time.
        keep: candidates kept of each test input.
        window: see `choose_windows`.

    Returns:
        For every test input, in order, its candidates, best first.

    Raises:
        InputError: a number below 1, or a task that the MLP mixer cannot hold.
    """
    tasks = tasks.without_solutions()
    steps = checkpoint.config.training.halt_steps if steps is None else steps
    for name, value in (("--views", views), ("--steps", steps), ("--batch-size", batch_size)):
        if value < 1:
            raise InputError(f"{name}: at least 1 is needed, got {value}")
    check_vocabulary(checkpoint.config.model)
    windows, larger = choose_windows(checkpoint, tasks, window)
    rows = find_rows(checkpoint, tasks)
    if rows.unseen:
        print(
            f"{len(rows.unseen)} of {len(tasks)} tasks are new to this checkpoint and get its mean embedding, which rarely "
            f"solves one: {shorten(rows.unseen)}"
        )
    views = min(views, len(rows.plan))
    lengths = np.minimum(np.diff(rows.plan.starts), views)
    with tqdm(
        total=sum(int(length) * len(task.test) for task, length in zip(tasks, lengths, strict=True)),
        unit="view",
        mininterval=0.5 if sys.stderr.isatty() else 20,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} views, {rate_fmt}, ETA {remaining}",
    ) as bar:
        parts = predict(
            checkpoint.reasoner().to(device.device, torch.promote_types(device.dtype, torch.float32)),
            rows.vectors,
            tasks,
            rows.plan,
            windows,
            device,
            views=views,
            steps=steps,
            batch_size=batch_size,
            progress=bar.update,
            larger=larger,
        )
    return tally(parts, tasks.outputs, keep)
