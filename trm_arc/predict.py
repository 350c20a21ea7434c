"""Prediction: every test input under many views, each with its own task embedding, sixteen steps of thought."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from augment import Plan, Window, pack_grids, paint, smallest_window
from trm_arc.device import Device
from trm_arc.model import Reasoner
from trm_arc.task import TaskSet
from trm_arc.vote import Predictions


@torch.inference_mode()
def think(
    reasoner: Reasoner, tokens: Tensor, task_vectors: Tensor, transforms: Tensor, steps: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Answer puzzles in a fixed number of supervision steps.

    Args:
        reasoner: the model.
        tokens: (B, H, W).
        task_vectors: (B, D).
        transforms: (B, 11), which each puzzle is seen under.
        steps: supervision steps.
        dtype: of the computation.

    Returns:
        Predicted tokens uint8 (B, H, W), and halting probabilities float32 (B,) after the last step.
    """
    state = reasoner.start(len(tokens), *tokens.shape[1:], dtype)
    for _ in range(steps):
        output = reasoner(state, tokens, task_vectors, transforms)
        state = output.state
    return output.logits.argmax(dim=-1).to(torch.uint8), output.halting[:, 0].sigmoid()


def predict(
    reasoner: Reasoner,
    vectors: Tensor,
    tasks: TaskSet,
    plan: Plan,
    window: Window,
    device: Device,
    *,
    views: int,
    steps: int,
    batch_size: int,
    progress: Callable[[int], object],
) -> list[Predictions]:
    """Predict every test input of `tasks` under up to `views` transforms of its plan, the identity first.

    Args:
        reasoner: the model, on `device`.
        vectors: (rows of the plan, D), the task embedding of each row.
        tasks: what to answer; only the test inputs are read.
        plan: transforms, one entry a task in the order of `tasks`.
        window: the canvas; a task that does not fit it gets the smallest square that holds it.
        device: where, and in which precision.
        views: views of a test input at most (a task with fewer distinct images has fewer).
        steps: supervision steps.
        batch_size: views at a time.
        progress: called with the number of views done.

    Returns:
        The predictions, in pieces of one canvas size each; slots number the test inputs in the order of `tasks`.
    """
    reasoner.eval()
    parts = []
    for canvas, grids, row, slot in _views_by_window(tasks, plan, window, views):
        packed = pack_grids(grids)
        index = np.arange(len(grids))
        answers = np.empty((len(grids), *canvas), np.uint8)
        halting = np.empty(len(grids), np.float32)
        for begin in range(0, len(grids), batch_size):
            piece = slice(begin, begin + batch_size)
            table = plan.table[row[piece]]
            painted = paint(packed, index[piece], table, canvas)
            tokens, transforms = (torch.from_numpy(array).to(device.device) for array in (painted, table))
            here = vectors[torch.from_numpy(row[piece]).to(vectors.device)].to(device.device)
            predicted, probability = think(reasoner, tokens, here, transforms, steps, device.dtype)
            answers[piece], halting[piece] = predicted.cpu().numpy(), probability.cpu().numpy()
            progress(len(index[piece]))
        parts.append(Predictions(answers, plan.table[row], slot, halting))
    return parts


def _views_by_window(
    tasks: TaskSet, plan: Plan, window: Window, views: int
) -> Iterator[tuple[Window, list[np.ndarray], np.ndarray, np.ndarray]]:
    """Grids, plan rows and slots of all views, gathered by the canvas that they need."""
    gathered: dict[Window, tuple[list[np.ndarray], list[int], list[int]]] = {}
    slot = 0
    for number, task in enumerate(tasks):
        canvas = window
        if task.side > min(window):
            canvas = smallest_window([grid.shape for grid in task.visible_grids])
        begin, end = plan.starts[number], min(plan.starts[number + 1], plan.starts[number] + views)
        grids, rows, slots = gathered.setdefault(canvas, ([], [], []))
        for pair in task.test:
            grids += [pair.input] * int(end - begin)
            rows += range(begin, end)
            slots += [slot] * int(end - begin)
            slot += 1
    for canvas, (grids, rows, slots) in gathered.items():
        yield canvas, grids, np.array(rows, np.int64), np.array(slots, np.int64)
