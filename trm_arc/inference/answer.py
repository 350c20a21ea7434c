"""From a checkpoint and tasks to predictions: the transforms of each task, their embeddings, canvases, views."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from augment import Plan, SampledPlan, Window, smallest_window
from augment.kernels import generator_seeds
from trm_arc.common.device import Device
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError, require_least, shorten
from trm_arc.common.launch import command_line
from trm_arc.common.streams import make_progress_bar
from trm_arc.data.buckets import expected_side
from trm_arc.data.examples import check_vocabulary, fingerprint, sample_plans
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.task import Task, TaskSet
from trm_arc.inference.config import DEFAULT, InferenceConfig
from trm_arc.inference.predictor import Predictor
from trm_arc.inference.votes import Candidate, Predictions, list_views, tally
from trm_arc.model.checkpoint import Checkpoint, check_rows

MOST_VIEWS = 2**20  # of a puzzle; its symmetries are sampled when they are needed
BUCKET_SIDES = (11, 14, 17, 21, 25)  # sides below the board's for a model that was not trained in buckets


@dataclass(frozen=True)
class ViewEmbeddings:
    """The views of some tasks, with their task embeddings in a checkpoint.

    Attributes:
        plan: transforms, an entry a task.
        vectors: (rows of the plan, D).
        unseen: ids of tasks that the checkpoint was not trained on; they get the mean embedding.
    """

    plan: Plan | SampledPlan
    vectors: Tensor
    unseen: list[str]


def find_view_embeddings(checkpoint: Checkpoint, tasks: AnySet) -> ViewEmbeddings:
    """Find the transforms and embeddings of tasks in a checkpoint.

    A task is recognised by its id and its visible grids.  An unknown one gets newly sampled transforms, each with the mean of
    all trained embeddings.  Puzzles of one kind share one embedding, so that none of them is unseen.
    """
    if tasks.domain.shared_embedding:
        drawn = tasks.domain.make_plan(tasks.questions, MOST_VIEWS, checkpoint.config.training.seed)
        return ViewEmbeddings(drawn, check_rows(checkpoint)[0].expand(len(drawn), -1), [])
    plan, table = checkpoint.plan(), check_rows(checkpoint)
    known = {tuple(entry): number for number, entry in enumerate(checkpoint.tasks)}
    mean = checkpoint.mean_embedding()
    tables, vectors, unseen = [], [], []
    for task in tasks:
        number = known.get((task.id, fingerprint(task)))
        if number is None:
            unseen.append(task.id)
            config = checkpoint.config.training
            tables.append(sample_plans(TaskSet([task], task.id), config.augmentations, config.seed).table)
            vectors.append(mean.expand(len(tables[-1]), -1))
        else:
            rows = slice(int(plan.starts[number]), int(plan.starts[number + 1]))
            tables.append(plan.table[rows])
            shared = checkpoint.config.model.transform_tokens
            vectors.append(table[number].expand(len(tables[-1]), -1) if shared else table[rows])
    return ViewEmbeddings(Plan.concatenate(tables), torch.cat(vectors), unseen)


def choose_canvases(checkpoint: Checkpoint, tasks: AnySet, canvas: str) -> tuple[list[Window], list[Window]]:
    """The canvas of every test input, and the larger ones to run a view again on.

    Args:
        canvas: see `InferenceConfig`; solutions of tasks are not read for it.

    Raises:
        InputError: another canvas than the board for the MLP mixer.
    """
    model = checkpoint.config.model
    if tasks.domain.shape is not None:
        return [Window(*tasks.domain.shape)] * len(tasks), []
    board, trained = Window(model.board_rows, model.board_columns), checkpoint.metadata.windows
    if model.mixer == "mlp":
        if canvas in ("fit", "buckets"):
            problem = f"{canvas}: the MLP mixer has a weight for every position of its board; use full or trained"
            raise InputError(problem, flag="--canvas")
        return [trained[-1]] * tasks.outputs, []  # a test input that it does not hold has no views
    tests = list(tasks.tests)
    trained_in_buckets = checkpoint.config.training.canvas == "buckets"  # of one window, too
    if canvas == "buckets" or (canvas == "trained" and trained_in_buckets):
        sides = trained if trained_in_buckets else [Window(side, side) for side in BUCKET_SIDES if side < min(board)]
        larger = sorted({*sides, board})
        needed = [min(expected_side(task, number), min(board)) for task, number in tests]
        return [next(window for window in larger if min(window) >= side) for side in needed], larger
    side = min(max(task.side for task, _ in tests), min(board))
    default = {"full": board, "fit": Window(side, side)}.get(canvas, trained[-1])

    def smallest(task: Task) -> Window:
        return min(board, smallest_window([grid.shape for grid in task.visible_grids]))

    return [default if task.side <= min(default) else smallest(task) for task, _ in tests], []


def check_sizes(checkpoint: Checkpoint, tasks: AnySet) -> None:
    """Raise InputError for tasks that the MLP mixer's board cannot hold, which would count as answered wrongly."""
    if tasks.domain.shape is not None or checkpoint.config.model.mixer != "mlp":
        return
    board = checkpoint.metadata.windows[-1]
    large = [task.id for task in tasks.without_solutions() if task.side > min(board)]
    if large:
        raise InputError(f"the MLP mixer's board of {tuple(board)} does not hold {shorten(large)}; use one with attention")


def make_predictor(
    checkpoint: Checkpoint,
    tasks: AnySet,
    device: Device,
    config: InferenceConfig = DEFAULT,
) -> tuple[Predictor, list[str]]:
    """A predictor of tasks, whose solutions are not read, by a checkpoint's averaged weights.

    Returns:
        The predictor, and the ids of tasks that the checkpoint was not trained on.

    Raises:
        InputError: a checkpoint of another kind of puzzle, or a canvas that its model cannot have.
    """
    tasks = tasks.without_solutions()
    config = replace(config, steps=config.steps or checkpoint.config.training.steps_of_answer)
    checkpoint.require_domain(tasks.domain, tasks.name)
    check_vocabulary(checkpoint.config.model, tasks.domain)
    windows, larger = choose_canvases(checkpoint, tasks, config.canvas)
    embeddings = find_view_embeddings(checkpoint, tasks)
    reasoner = checkpoint.reasoner().to(device.device, torch.promote_types(device.dtype, torch.float32))
    return Predictor(reasoner, embeddings.vectors, tasks, embeddings.plan, windows, larger, device, config), embeddings.unseen


def load_kernels(tasks: TaskSet) -> None:
    """Load what numba has compiled for the views of tasks; a new machine compiles it, which takes seconds, on a busy one many."""
    first = TaskSet(list(tasks)[:1], tasks.name)
    if not len(first):
        return
    index, plan = np.zeros(1, np.int64), sample_plans(first, 1, 0)
    first.domain.paint(first.test_grids(), index, plan.rows(index), Window())
    generator_seeds(index[None])


def rank_first(predictor: Predictor, views: int) -> tuple[list[Candidate], int]:
    """The answers to the first test input, best first, and the number of views.

    Args:
        views: at most.
    """
    asked = np.arange(min(views, int(predictor.view_counts[0])))
    return tally(predictor.predict(np.zeros_like(asked), asked), 1, len(asked), predictor.domain)[0], len(asked)


def predict_tasks(
    checkpoint: Checkpoint,
    tasks: AnySet,
    device: Device,
    config: InferenceConfig = DEFAULT,
    *,
    views: int,
    processes: ProcessGroup | None = None,
    quiet: bool = False,
    on_batch: Callable[[], object] = lambda: None,
) -> list[Predictions]:
    """Predict every test input of `tasks`, with a progress bar, and a note on tasks that the checkpoint was not trained on.

    Args:
        views: of a test input at most.
        processes: of the process group, each of which predicts a share of the views; all get all predictions.
        on_batch: called after each batch; may raise to stop.

    Raises:
        InputError: as `make_predictor`, or a task that the MLP mixer cannot hold.
    """
    processes = processes or ProcessGroup()
    quiet = quiet or not processes.is_main
    require_least("views", views)
    predictor, unseen = make_predictor(checkpoint, tasks, device, config)
    check_sizes(checkpoint, tasks)
    counts = np.minimum(predictor.view_counts, views)
    if unseen and not quiet:
        print(
            f"{len(unseen)} of {len(tasks)} tasks are new to this checkpoint and get its mean embedding, which rarely "
            f"solves one; train it on their demonstrations with `{command_line('python -m trm_arc.adapt')}`: {shorten(unseen)}"
        )
    if not counts.all() and not quiet:
        print(f"{np.sum(counts == 0)} test inputs do not fit the model's board and get guesses")
    test_index, numbers = list_views(np.arange(len(counts)), np.zeros(len(counts), np.int64), counts)
    here = numbers % processes.count == processes.rank
    shape = "{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} views, {rate_fmt}, ETA {remaining}"
    with make_progress_bar(int(here.sum()), "view", shape=shape, shown=not quiet) as bar:

        def progress(done: int) -> None:
            bar.update(done)
            on_batch()

        parts = predictor.predict(test_index[here], numbers[here], progress)
    if processes.count == 1:
        return parts
    canvases, row_bytes = sorted({*predictor.windows, *predictor.larger}), tasks.domain.row_bytes
    return [gather_predictions(parts, canvas, row_bytes, processes, device) for canvas in canvases]


def gather_predictions(
    parts: list[Predictions], canvas: Window, row_bytes: int, processes: ProcessGroup, device: Device
) -> Predictions:
    """The predictions of all processes on canvases of one size, as tensors of one length; nothing is pickled.

    Args:
        parts: of this process; there may be none on such a canvas.
    """
    nothing = Predictions(
        np.zeros((0, *canvas), np.uint8),
        np.zeros((0, row_bytes), np.uint8),
        np.zeros(0, np.int64),
        np.zeros(0, np.float32),
        np.zeros(0, np.int32),
    )
    here = [nothing, *(part for part in parts if part.canvases.shape[1:] == tuple(canvas))]
    columns = [np.concatenate([getattr(part, each.name) for part in here]) for each in fields(Predictions)]
    counts = processes.gather(torch.tensor([len(columns[0])], device=device.device)).tolist()
    longest, gathered = max(counts), []
    for column in columns:
        padded = np.zeros((longest, *column.shape[1:]), column.dtype)
        padded[: len(column)] = column
        every = processes.gather(torch.from_numpy(padded).to(device.device)).cpu().numpy()
        gathered.append(np.concatenate([every[rank * longest :][:count] for rank, count in enumerate(counts)]))
    return Predictions(*gathered)
