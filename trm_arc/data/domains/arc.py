"""ARC: tasks with demonstrations, grids of up to 30 x 30 colours, two attempts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augment import BOARD, COLOURS, SYMMETRIES, Transform, hash_undone, paint, tokens_to_grid
from augment.kernels import FIRST_COLOUR
from augment.symmetry import NAMES as SYMMETRY_NAMES
from augment.transform import ROW_BYTES
from trm_arc.common.errors import InputError, shorten
from trm_arc.config import Config, TrainingConfig
from trm_arc.data.dev_split import DevSplit, require_training_data
from trm_arc.data.domains import Domain, Drawing, Grouping, LoadOptions, Part, register_domain
from trm_arc.data.leakage import are_trained, find_leaks
from trm_arc.data.sources import listed, load_listed, load_tasks
from trm_arc.data.task import Task, TaskSet, parse_grid, parse_task

if TYPE_CHECKING:
    from trm_arc.data.examples import Examples

# The concepts of ConceptARC, whose task ids are a concept and a number.
CONCEPTS = (
    "AboveBelow Center CleanUp CompleteShape Copy Count ExtendToBoundary ExtractObjects FilledNotFilled HorizontalVertical "
    "InsideOutside MoveToBoundary Order SameDifferent TopBottom2D TopBottom3D"
).split()
_SIDES = (5, 10, 15, 20, 25, BOARD)  # upper ends of the classes of size


class ArcDomain(Domain):
    """ARC: grids anywhere on a window, their right and lower edges marked."""

    name, title, plural, unit = "arc", "ARC", "ARC tasks", "task"
    vocabulary, row_bytes = FIRST_COLOUR + COLOURS, ROW_BYTES
    translates = submits = True
    scoring, measure, attempts = "pass@k", "pass@2 of outputs", 2
    default_views, orientations = 1000, SYMMETRY_NAMES
    unused = dict.fromkeys(("puzzles", "evaluation_puzzles"), "does nothing for ARC tasks")
    drawing = Drawing("colours")

    paint = staticmethod(paint)

    def hash_undone(self, canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Domain.hash_undone`; a canvas without a marked grid holds no answer."""
        sizes, hashes = hash_undone(canvases, table)
        return sizes[:, 0] > 0, hashes

    def undo(self, canvas: np.ndarray, row: np.ndarray) -> np.ndarray:
        """See `Domain.undo`."""
        return Transform.from_row(row).undo(tokens_to_grid(canvas))

    def are_transforms(self, table: np.ndarray) -> bool:
        """Whether all rows are a symmetry and a palette."""
        return bool((table[:, 0] < SYMMETRIES).all() and (np.sort(table[:, 1:], axis=1) == np.arange(COLOURS)).all())

    def orient(self, table: np.ndarray) -> np.ndarray:
        """The symmetry of each row (uint8 (n, 11)), int64 (n,)."""
        return table[:, 0].astype(np.int64)

    def load(self, names: str, part: Part, folder: Path | None, options: LoadOptions) -> TaskSet:
        """Several sets to train on, or one to answer."""
        if part == "train":
            return load_listed(names, folder, options)
        if options.split:
            require_training_data([names])
        tasks = load_tasks(names, folder, options.solutions, options)
        return _take_dev(tasks, options.split) if options.split else tasks

    def narrow(self, held_out: TaskSet, config: TrainingConfig) -> TaskSet:
        """The tasks of some sizes, or the smallest."""
        tasks = held_out.within(*sides) if (sides := config.sides()) else held_out
        return tasks.smallest(config.smallest) if config.smallest else tasks

    def load_training(self, config: TrainingConfig, folder: Path | None, held_out: TaskSet) -> tuple[TaskSet, list[str]]:
        """All tasks of the sets but for those that the settings leave out, and those of the dev split."""
        options = LoadOptions(
            seed=config.seed, skip_bad=config.skip_bad, arc_gen=config.arc_gen, generated_pairs=config.generated_pairs
        )
        training, leave_out = load_listed(config.data, folder, options), listed(config.leave_out)
        if config.arc_gen and not any(task.generated for task in training):
            raise InputError(f"no task of {training.name or 'the training data'} has pairs under the key arc-gen", flag="arc_gen")
        unknown = [task_id for task_id in leave_out if task_id not in training]
        if unknown:
            where = training.name or "the training data, which is empty"
            raise InputError(f"{shorten(unknown)} is not in {where}", flag="leave_out")
        notes = [training.note] if training.note else []
        training, notes = training.without(leave_out), notes + [f"left out {task_id}, as set" for task_id in leave_out]
        same = [task.id for task in training if config.dev_share and task.id in held_out]
        return training.without(same), notes + [f"left out of training, as dev tasks: {len(same)}"] * bool(same)

    def fit_settings(self, config: Config, given: Mapping[str, Any]) -> Config:
        """The settings as they are: nothing follows from ARC tasks."""
        return config

    def drop_leaks(self, training: TaskSet, evaluation: TaskSet) -> tuple[TaskSet, list[str], list[str]]:
        """By equal test inputs, and by pairs that are equal up to symmetry and palette; see `find_leaks`."""
        found = find_leaks(training, evaluation)
        holders = sorted({holder for holders in found.values() for holder in holders})
        return training.without(holders), holders, sorted(found)

    def are_trained(self, tasks: TaskSet, trained: np.ndarray) -> np.ndarray:
        """See `trm_arc.data.leakage.are_trained`."""
        return are_trained(tasks, trained)

    def describe_dropped(self, names: list[str]) -> str:
        """See `Domain.describe_dropped`."""
        return f"dropped {len(names)} training tasks that hold a scored answer: {shorten(names)}"

    def prepare(self, training: TaskSet, evaluation: TaskSet, settings: Config) -> tuple["Examples", list[str]]:
        """See `prepare_examples`."""
        from trm_arc.data.examples import prepare_examples  # imports torch, which files and rules do not need

        return prepare_examples(training, evaluation, settings)

    def describe_training(self, training: TaskSet, evaluation: TaskSet, examples: "Examples") -> str:
        """See `Domain.describe_training`."""
        others = len(examples.entries) - len(evaluation)
        what = f"those and {others} tasks of {training.name}" if others else "those alone"
        sizes = ", ".join(f"{window.rows} x {window.columns}" for window in examples.windows)
        joined = [task.id for task in training if task.id in evaluation and (task.generated or not task.test)]
        also = f"\ngenerated pairs added to tasks to answer: {shorten(joined)}" if joined else ""
        canvases = f"{'canvases' if len(examples.buckets) > 1 else 'canvas'} {sizes}"
        return (
            f"answering {len(evaluation)} tasks ({evaluation.outputs} test outputs) of {evaluation.name} by their "
            f"demonstrations\ntraining on {what}: {len(examples.pairs)} pairs, {len(examples.plan)} transforms, {canvases}{also}"
        )

    def group_tests(self, tasks: TaskSet) -> list[Grouping]:
        """By size, and by concept where the ids contain it."""
        pairs = [task.test[number] for task, number in tasks.tests]
        sides = [max(*pair.input.shape, *(pair.output.shape if pair.output is not None else ())) for pair in pairs]
        lows = (1, *(side + 1 for side in _SIDES))
        sizes = [f"{low} to {high} cells a side" for low, high in zip(lows, _SIDES, strict=False)]
        groupings = [_compact("size", sizes, np.searchsorted(_SIDES, sides))]
        concepts = [find_concept(task.id) for task, _ in tasks.tests]
        if any(concepts):
            of_concept = np.array([CONCEPTS.index(concept) if concept else -1 for concept in concepts])
            groupings.append(_compact("concept", CONCEPTS, of_concept))
        return groupings

    def format_text(self, grid: np.ndarray) -> str:
        """Digits row by row, with `|` between rows."""
        return "|".join("".join(map(str, row)) for row in grid.tolist())

    def format_grid(self, grid: np.ndarray) -> np.ndarray:
        """A list of rows, which NumPy's arrays become in JSON."""
        return grid

    def parse_grid(self, value: object) -> np.ndarray:
        """See `trm_arc.data.task.parse_grid`."""
        return parse_grid(value)

    def format_set(self, tasks: TaskSet) -> dict[str, Any]:
        """The tasks as in Kaggle's files, known test outputs included."""
        return {task.id: _format_task(task) for task in tasks}

    def parse_set(self, value: object, name: str, file: Path) -> TaskSet:
        """See `Domain.parse_set`."""
        if not isinstance(value, dict) or not value:
            raise InputError("an object of tasks by their ids is needed", file=file)
        return TaskSet((parse_task(task_id, task, file) for task_id, task in value.items()), name)


def _take_dev(tasks: TaskSet, split: DevSplit) -> TaskSet:
    """The dev tasks of a set; all need known answers, as nothing else is done with them than to score them."""
    kept = split.take_tasks(tasks)
    if unknown := [task.id for task in kept if any(pair.output is None for pair in task.test)]:
        problem = f"{tasks.name} has no solutions for {shorten(unknown)}, so these dev tasks cannot be scored"
        raise InputError(problem, flag="--dev-share")
    note = split.describe(f"{len(kept)} of the {len(tasks)} tasks of {tasks.name}", "task", "an evaluation set")
    return TaskSet(kept, split.rename(tasks.name), "; ".join(filter(None, (tasks.note, note))))


def _format_task(task: Task) -> dict[str, list[dict[str, np.ndarray]]]:
    train = [{"input": pair.input, "output": pair.output} for pair in task.train]
    test = [{"input": pair.input} | ({} if pair.output is None else {"output": pair.output}) for pair in task.test]
    return {"train": train, "test": test}


def find_concept(task_id: str) -> str | None:
    """The concept of a task of ConceptARC, by its id; None for other tasks."""
    name = task_id.rpartition(":")[2].rstrip("'").rstrip("0123456789")
    return name if name in CONCEPTS else None


def _compact(name: str, labels: list[str], members: np.ndarray) -> Grouping:
    """A grouping without the classes that have no members."""
    used, compact = np.unique(members[members >= 0], return_inverse=True)
    kept = np.full(len(members), -1)
    kept[members >= 0] = compact
    return Grouping(name, [labels[number] for number in used.tolist()], kept)


ARC = ArcDomain()
register_domain(ARC.name, lambda: ARC, sized=False)
