"""Prediction: every test input under many views, each with its own task embedding, refined for as many steps as in training."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from augment import Plan, SampledPlan, Window
from augment.kernels import FIRST_COLOUR, generator_seeds
from trm_arc.common.device import Device, free_memory, is_out_of_memory
from trm_arc.common.errors import OwnError
from trm_arc.common.modes import AUTO, NONE
from trm_arc.common.text import first_words
from trm_arc.data.puzzle_set import AnySet
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.refinement import Callback, Refined, refine
from trm_arc.inference.votes import Predictions
from trm_arc.model.attention import prefer_kernels
from trm_arc.model.compiling import CompileChoice, choose_compile_mode, compile_operators, explain_fallback
from trm_arc.model.reasoner import Reasoner

CPU_TOKENS = 2500  # at a time on one core: the tensors of a block stay in its cache, in batches large enough for the products


def views_in_cache(tokens: int) -> int:
    """Views of so many tokens each that a CPU answers fastest at a time."""
    return max(1, CPU_TOKENS * torch.get_num_threads() // tokens)


def choose_compiled(config: InferenceConfig, device: Device) -> CompileChoice:
    """What is compiled to answer: nothing with patience, which makes batches smaller on the way, each a graph of its own."""
    return choose_compile_mode(NONE if config.patience and config.compile == AUTO else config.compile, device.device)


class Predictor:
    """Answers the test inputs of some tasks.

    Args:
        vectors: (rows of the plan, D), the task embedding of each row.
        tasks: what to answer; only the test inputs are read.
        plan: transforms, one entry a task in the order of `tasks`.
        windows: the canvas of each test input, which must hold it.
        larger: windows, ascending; a view whose answer runs into the edge of its canvas is run again on the next larger of them.
        config: how views are answered; its steps are a number.
    """

    def __init__(
        self,
        reasoner: Reasoner,
        vectors: Tensor,
        tasks: AnySet,
        plan: Plan | SampledPlan,
        windows: Sequence[Window],
        larger: Sequence[Window],
        device: Device,
        config: InferenceConfig,
    ) -> None:
        self.reasoner, self.vectors, self.plan = reasoner.eval(), vectors, plan
        self.windows, self.larger = [Window(*window) for window in windows], larger
        self.callback: Callback | None = None  # called after every cycle
        self.device, self.config, self.batch_size = device, config, max(1, config.batch_size // config.rollouts)
        self.compiled = choose_compiled(config, device)
        if self.compiled.mode:
            self.reasoner.use_operators(compile_operators)
        self.sizes: dict[Window, int] = {}  # views of a batch on each canvas that blocks are compiled for
        self.at_once = 0  # views of all canvases together that are asked for at once, at most; 0: as many as the first time
        self.domain = tasks.domain
        owner = np.repeat(np.arange(len(tasks)), list(tasks.test_counts.values()))
        self.first_rows = plan.starts[owner]
        # (test inputs,); a task with fewer distinct images has fewer, one that is too large for the model's board has none
        self.view_counts = plan.starts[owner + 1] - self.first_rows
        self.inputs = tasks.test_grids()
        fits = self.inputs.shapes.max(axis=1) <= np.array([min(window) for window in self.windows], np.int64)
        self.view_counts = np.where(fits, self.view_counts, 0)

    def predict(
        self, test_index: np.ndarray, views: np.ndarray, progress: Callable[[int], object] = lambda done: None
    ) -> list[Predictions]:
        """Predict some views of some test inputs.

        Args:
            test_index: int64 (n,), the test input of each, in the order of the tasks.
            views: int64 (n,), which of its transforms, below `view_counts`; 0 is the identity.

        Returns:
            The predictions, in pieces of one canvas size each; a view whose answer is not finite is left out.

        Raises:
            OwnError: there is no memory for a single view.
        """
        waiting: dict[Window, list[np.ndarray]] = {}  # views by canvas: their test inputs and rows of the plan
        index = np.stack([test_index, self.first_rows[test_index] + views])
        canvases = np.array([self.windows[test] for test in test_index], np.int64).reshape(-1, 2)
        for canvas in np.unique(canvases, axis=0):
            waiting[Window(*canvas.tolist())] = [index[:, (canvases == canvas).all(axis=1)]]
        parts = []
        while waiting:
            canvas = min(waiting)
            index = np.concatenate(waiting.pop(canvas), axis=1)
            answers, halting, steps = self._refine(*index, canvas, progress)
            kept, again = np.isfinite(halting), np.zeros(len(halting), bool)
            beyond = next((window for window in self.larger if window > canvas), None)
            if beyond is not None:
                again = kept & runs_into_edge(answers)
                kept &= ~again
            if again.any():
                progress(-int(again.sum()))
                waiting.setdefault(beyond, []).append(index[:, again])
            tests, row = index[:, kept]
            parts.append(Predictions(answers[kept], self.plan.rows(row), tests, halting[kept], steps[kept]))
        return parts

    def _refine(
        self, test_index: np.ndarray, rows: np.ndarray, canvas: Window, progress: Callable[[int], object]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The answers (n, *canvas) of views on one canvas, their halting probabilities (n,) and the steps they took (n,)."""
        answers = np.empty((len(test_index), *canvas), np.uint8)
        halting, steps = np.empty(len(test_index), np.float32), np.empty(len(test_index), np.int32)
        begin = 0
        while begin < len(test_index):
            piece = slice(begin, begin + self._at_a_time(canvas))
            try:
                refined = self._batch(test_index[piece], rows[piece], canvas)
                answers[piece], halting[piece], steps[piece] = (part.cpu().numpy() for part in refined)
                begin = piece.stop
                progress(len(halting[piece]))
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    self._compile_nothing(error)
                    continue
                if self.batch_size == 1:
                    what = f"not enough memory for a single view ({first_words(error)})"
                    raise OwnError(f"{what}; use a smaller model, or another --device") from None
            # Only now: the error would hold what the batch has taken.
            computed = self._size(canvas, len(test_index[piece]))  # with what a compiled network's batches are filled up with
            self.batch_size = -(-min(self.batch_size, computed) // 2)
            free_memory()
            tqdm.write(f"out of memory: continuing with {self.batch_size} views at a time")
        return answers, halting, steps

    def _at_a_time(self, canvas: Window) -> int:
        """Views in a batch: as many as asked for, unless fewer are faster."""
        if self.device.device.type != "cpu":
            return self.batch_size
        model = self.reasoner.config
        tokens = (model.prefix + canvas.cells) * model.latents * self.config.rollouts
        return min(self.batch_size, views_in_cache(tokens))

    def _compile_nothing(self, error: RuntimeError | MemoryError) -> None:
        """Go on without the compiler after its error; raises where `explain_fallback` does."""
        sentence = explain_fallback(error, self.compiled.mode, falls_back=self.compiled.falls_back)
        self.compiled = CompileChoice()
        self.reasoner.use_operators()
        tqdm.write(sentence)

    def _size(self, canvas: Window, views: int) -> int:
        """How many views are computed for a batch of so many; with a compiled network one number for each canvas, so that one
        graph does for all its batches."""
        if not self.compiled.mode:
            return views
        size = self.sizes.get(canvas, 0)
        if views > size:  # a canvas that was met by few views at first gets more room, in few steps
            share = math.ceil(self.at_once * np.mean([window == canvas for window in self.windows]))
            size = self.sizes[canvas] = max(views, 2 * size, share)
        return max(views, min(size, self._at_a_time(canvas)))

    def _batch(self, test_index: np.ndarray, rows: np.ndarray, canvas: Window) -> Refined:
        views = len(rows)
        filled = np.minimum(np.arange(self._size(canvas, views)), views - 1)  # the last view again
        test_index, rows = test_index[filled], rows[filled]
        table = self.plan.rows(rows)
        painted = self.domain.paint(self.inputs, test_index, table, canvas)
        tokens, transforms = (torch.from_numpy(array).to(self.device.device) for array in (painted, table))
        vectors = self.vectors[torch.from_numpy(rows).to(self.vectors.device)].to(self.device.device)
        seeds = generator_seeds(np.stack([test_index, rows], axis=1))
        with prefer_kernels(self.device.device):
            refined = refine(self.reasoner, tokens, vectors, transforms, self.config, self.device.dtype, seeds, self.callback)
        return Refined(*(part[:views] for part in refined))


def runs_into_edge(canvases: np.ndarray) -> np.ndarray:
    """Whether each canvas (uint8 (n, rows, columns)) has a colour in its last row or column, where marks belong; bool (n,)."""
    coloured = canvases >= FIRST_COLOUR
    return coloured[:, -1].any(axis=1) | coloured[:, :, -1].any(axis=1)
