"""Prediction: every test input under many views, each with its own task embedding, sixteen steps of thought."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from augment import Plan, Window, pack_grids, paint
from augment.kernels import FIRST_COLOUR, generator_seeds
from trm_arc.device import Device
from trm_arc.model import HALT, Reasoner, State
from trm_arc.task import TaskSet
from trm_arc.vote import Predictions


@torch.inference_mode()
def think(
    reasoner: Reasoner,
    tokens: Tensor,
    task_vectors: Tensor,
    transforms: Tensor,
    steps: int,
    dtype: torch.dtype,
    seeds: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Answer puzzles in a fixed number of supervision steps; of parallel latents, the one surest of its answer speaks.

    Args:
        reasoner: the model.
        tokens: (B, H, W).
        task_vectors: (B, D).
        transforms: (B, 11), which each puzzle is seen under.
        steps: supervision steps.
        dtype: of the computation.
        seeds: of each puzzle's random initial states, if the model starts from such.

    Returns:
        Predicted tokens uint8 (B, H, W), and halting probabilities float32 (B,) after the last step.
    """
    latents = reasoner.config.latents
    if reasoner.config.random_start:  # each view's own, whatever batch it is in
        generator = torch.Generator(tokens.device)
        state = State.join([reasoner.start(1, *tokens.shape[1:], dtype, generator.manual_seed(seed)) for seed in seeds])
    else:
        state = reasoner.start(*tokens.shape, dtype)
    puzzle = [part.repeat_interleave(latents, dim=0) for part in (tokens, task_vectors, transforms)]
    for _ in range(steps):
        output = reasoner(state, *puzzle)
        state = output.state
    halting = output.halting[:, HALT].view(-1, latents)
    surest = halting.argmax(dim=1) + latents * torch.arange(len(tokens), device=halting.device)
    return output.logits[surest].argmax(dim=-1).to(torch.uint8), halting.amax(dim=1).sigmoid()


def predict(
    reasoner: Reasoner,
    vectors: Tensor,
    tasks: TaskSet,
    plan: Plan,
    windows: Sequence[Window],
    device: Device,
    *,
    views: int,
    steps: int,
    batch_size: int,
    progress: Callable[[int], object],
    larger: Sequence[Window] = (),
    share: slice = slice(None),
) -> list[Predictions]:
    """Predict every test input of `tasks` under up to `views` transforms of its plan, the identity first.

    Args:
        reasoner: the model, on `device`.
        vectors: (rows of the plan, D), the task embedding of each row.
        tasks: what to answer; only the test inputs are read.
        plan: transforms, one entry a task in the order of `tasks`.
        windows: the canvas of each test input, which must hold it.
        device: where, and in which precision.
        views: views of a test input at most (a task with fewer distinct images has fewer).
        steps: supervision steps.
        batch_size: views at a time.
        progress: called with the number of views done.
        share: which of the views of each canvas to predict here, for one of several processes.
        larger: windows, ascending; a view whose answer runs into the edge of its canvas is run again on the next larger of them.

    Returns:
        The predictions, in pieces of one canvas size each; slots number the test inputs in the order of `tasks`.
    """
    reasoner.eval()
    owner = np.repeat(np.arange(len(tasks)), [len(task.test) for task in tasks])
    first_rows = plan.starts[owner]
    view_counts = np.minimum(plan.starts[owner + 1] - first_rows, views)
    waiting: dict[Window, list[np.ndarray]] = {}  # views by canvas: their slots and their rows of the plan
    for slot, canvas in enumerate(windows):
        rows = first_rows[slot] + np.arange(view_counts[slot])
        waiting.setdefault(Window(*canvas), []).append(np.stack([np.full_like(rows, slot), rows])[:, share])
    inputs = pack_grids([task.test[number].input for task, number in tasks.tests])
    parts = []
    while waiting:
        canvas = min(waiting)
        index, row = np.concatenate(waiting.pop(canvas), axis=1)
        answers = np.empty((len(index), *canvas), np.uint8)
        halting = np.empty(len(index), np.float32)
        beyond = next((window for window in larger if window > canvas), None)
        kept = np.ones(len(index), bool)
        for begin in range(0, len(index), batch_size):
            piece = slice(begin, begin + batch_size)
            table = plan.table[row[piece]]
            painted = paint(inputs, index[piece], table, canvas)
            tokens, transforms = (torch.from_numpy(array).to(device.device) for array in (painted, table))
            here = vectors[torch.from_numpy(row[piece]).to(vectors.device)].to(device.device)
            seeds = generator_seeds(np.stack([index[piece], row[piece]], axis=1))
            predicted, probability = think(reasoner, tokens, here, transforms, steps, device.dtype, seeds)
            answers[piece], halting[piece] = predicted.cpu().numpy(), probability.cpu().numpy()
            if beyond is not None:
                kept[piece] = ~runs_into_edge(answers[piece])
            progress(int(kept[piece].sum()))
        if not kept.all():
            waiting.setdefault(beyond, []).append(np.stack([index[~kept], row[~kept]]))
        parts.append(Predictions(answers[kept], plan.table[row[kept]], index[kept], halting[kept]))
    return parts


def runs_into_edge(canvases: np.ndarray) -> np.ndarray:
    """Which canvases (uint8 (n, rows, columns)) have a colour in their last row or column, which is the marks'; bool (n,)."""
    coloured = canvases >= FIRST_COLOUR
    return coloured[:, -1].any(axis=1) | coloured[:, :, -1].any(axis=1)
