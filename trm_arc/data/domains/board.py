"""Puzzles on boards of one size: one question and one answer each, as characters in files, judged by rules."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from augment import (
    BoardTransform,
    PackedGrids,
    Plan,
    SampledPlan,
    Window,
    hash_boards,
    hash_undone_boards,
    pack_boards,
    paint_boards,
    tokens_to_board,
)
from augment.board import FIRST_VALUE
from augment.kernels import EMPTY, mix_columns
from trm_arc.common.errors import InputError
from trm_arc.common.records import load_record
from trm_arc.common.text import format_value
from trm_arc.config import Config, TrainingConfig
from trm_arc.data.dev_split import DevSplit, require_training_data
from trm_arc.data.domains import NO_VALUE, Domain, Drawing, Grouping, LoadOptions, Part, place_of
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import load_puzzles, test_of
from trm_arc.data.sources import listed

if TYPE_CHECKING:
    from trm_arc.data.examples import Examples

Progress = Callable[[int], object]  # called with the number of puzzles made so far
Made = tuple[np.ndarray, np.ndarray, np.ndarray]  # questions, answers and ratings
Generate = Callable[[int, int, bool, np.ndarray | None, Progress], Made]  # as `BoardDomain.generate`
# Settings that do not apply to boards of one size.
_IDLE = ("smallest", "evaluation_sides", "bucket_sides", "translate", "leave_out", "arc_gen", "generated_pairs")
_MOST = 2**62  # of a number in a file


class BoardDomain(Domain):
    """Puzzles whose boards all have one size; a name is `KIND-NxN`.

    A new domain implements `question_fault`, `solve` and `generate`, and `are_solutions` where several answers are right.
    With symmetries it also implements `transforms`, `sample` and `canonical`.

    Attributes:
        values: how many values a cell may have.
        characters: the character of each value, in questions and answers.
        transforms: symmetries of a puzzle at most, the identity included.
        default_count: puzzles of a set that is generated to be scored on.
        difficulty: what a puzzle's rating counts.
        rating_ends: upper ends of the classes of difficulty; None: quarters of the ratings.
    """

    unit = "puzzle"
    shared_embedding = True
    scoring, measure, attempts, default_views = "exact", "exact answers", 1, 1
    transforms = 1
    default_count = 1000
    difficulty: str
    rating_ends: tuple[int, ...] | None = None

    def __init__(self, name: str, shape: tuple[int, int], characters: str, drawing: Drawing | None = None) -> None:
        self.name = self.title = name
        self.plural = f"{name} puzzles"
        self.shape, self.characters, self.values = shape, characters, len(characters)
        self.vocabulary, self.row_bytes = FIRST_VALUE + self.values, 1 + sum(shape) + self.values
        self.drawing = drawing or Drawing("symbols", characters)
        idle = f"does nothing for {self.plural}"
        self.unused = dict.fromkeys(_IDLE, idle) | {"solutions": f"{idle}, whose files hold their answers"}

    # --- what a kind of puzzle is

    def are_questions(self, boards: np.ndarray) -> np.ndarray:
        """Which boards are questions, as far as can be checked without solving them; bool (n,)."""
        return np.array([self.question_fault(board) is None for board in boards], bool)

    @abstractmethod
    def question_fault(self, board: np.ndarray) -> str | None:
        """Why a board is not a question; None if it is one.  The number of solutions is not checked."""

    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers are right by the rules, whether or not they are the expected ones; bool (n,)."""
        return (self.solve(questions)[0] == answers).all(axis=(1, 2))

    def answer_fault(self, question: np.ndarray, answer: np.ndarray) -> str:
        """Why an answer is wrong."""
        return self.character_fault(answer) or "the answer breaks the rules"

    @abstractmethod
    def solve(self, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers (uint8 (n, rows, columns)), how many solutions each has (int64 (n,); 2 may stand for more), and ratings (int64
        (n,)), of questions."""

    @abstractmethod
    def generate(
        self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """New questions, answers and ratings, all different up to symmetry, and different from those in `exclude`.

        Raises:
            InputError: there are not that many.
        """

    def check_generated(self) -> None:
        """Raise InputError if no puzzles of this size are generated here."""

    def choose_generator(self, *, unique: bool) -> Generate:
        """What makes the sets `KIND-NxN`, which is `generate`, or those called `KIND-unique-NxN`, and takes the same arguments.

        Raises:
            InputError: no such puzzles are generated here.
        """
        if unique:
            raise InputError(f"{self.name}: there are no two kinds of generated sets; leave -unique out")
        self.check_generated()
        return self.generate

    def sample(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Transforms uint8 (n, row_bytes) of keys (uint64 (n,)) and numbers (int64 (n,)); number 0 is the identity."""
        return np.repeat(self.identity()[None], len(numbers), axis=0)

    def canonical(self, boards: np.ndarray) -> np.ndarray:
        """Boards uint8 (n, rows, columns) that are equal when the given ones are equal up to symmetry."""
        return boards

    # --- symmetries

    def identity(self) -> np.ndarray:
        """The transform that changes nothing, uint8 (row_bytes,)."""
        rows, columns = self.shape
        return np.array([0, *range(rows), *range(columns), *range(self.values)], np.uint8)

    def make_plan(self, boards: np.ndarray, count: int, seed: int) -> SampledPlan:
        """The transforms of some puzzles, sampled when they are needed, from the puzzle and the seed alone.

        Args:
            boards: uint8 (n, rows, columns) of questions.
            count: of each puzzle, the identity included; at most `transforms`.
        """
        seeds = np.full(len(boards), seed, np.uint64)
        return SampledPlan(mix_columns(np.stack([seeds, hash_boards(boards)], axis=1)), min(count, self.transforms), self.sample)

    def paint(
        self,
        grids: PackedGrids,
        index: np.ndarray,
        table: np.ndarray,
        window: Window,
        corners: np.ndarray | None = None,
        empty: int = EMPTY,
    ) -> np.ndarray:
        """Transformed boards as tokens; they fill their canvas, so there are neither corners nor empty cells."""
        return paint_boards(grids, index, table, tuple(window))

    def hash_undone(self, canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Domain.hash_undone`; every canvas holds an answer."""
        return np.ones(len(canvases), bool), hash_undone_boards(canvases, table)

    def undo(self, canvas: np.ndarray, row: np.ndarray) -> np.ndarray:
        """See `Domain.undo`."""
        return BoardTransform.from_row(row, self.shape).undo(tokens_to_board(canvas))

    def are_transforms(self, table: np.ndarray) -> bool:
        """Whether all rows are a transposition or none, two orders and values."""
        orders = np.split(table[:, 1:], np.cumsum(self.shape), axis=1)
        return bool((table[:, 0] <= 1).all()) and all((np.sort(o, axis=1) == np.arange(o.shape[1])).all() for o in orders)

    # --- characters

    def parse(self, text: str) -> np.ndarray:
        """The boards (uint8 (n, rows, columns)) in the characters of n boards, row by row; NO_VALUE for an unknown character."""
        values = _decoder(self.characters)[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
        return values.reshape(-1, *self.shape)

    def format_text(self, board: np.ndarray) -> str:
        """A board in characters, row by row, as files have it; `?` for a cell of no value."""
        return "".join(self.characters[value] if value < self.values else "?" for value in board.reshape(-1).tolist())

    def character_fault(self, board: np.ndarray) -> str | None:
        """Which cell has no value, if one has none."""
        invalid = np.argwhere(board >= self.values)
        return f"{place_of(invalid[0])} holds none of {' '.join(map(repr, self.characters))}" if len(invalid) else None

    # --- loading and training

    def load(self, names: str, part: Part, folder: Path | None, options: LoadOptions) -> PuzzleSet:
        """See `load_puzzles`; with a split, of the training part."""
        split, some = options.split, {"count": options.count, "seed": options.seed, "skip_bad": options.skip_bad}
        if split is None:
            return load_puzzles(names, part, folder, **some)
        if not split.dev:
            return load_puzzles(names, "train", folder, split=split, **some)
        require_training_data(listed(names))
        puzzles = load_puzzles(names, "train", folder, split=split, **some)
        note = split.describe(f"{len(puzzles):,} of the training part of {puzzles.name}", "puzzle", "the test part")
        return replace(puzzles, name=split.rename(puzzles.name), note="; ".join(filter(None, (puzzles.note, note))))

    def load_training(self, config: TrainingConfig, folder: Path | None, held_out: PuzzleSet) -> tuple[PuzzleSet, list[str]]:
        """See `Domain.load_training`."""
        split = DevSplit.of(config, dev=False)
        options = LoadOptions(config.puzzles, config.seed, config.skip_bad, split=split)
        puzzles = self.load(config.data, "train", folder, options)
        return puzzles, [puzzles.note] if puzzles.note else []

    def fit_settings(self, config: Config, given: Mapping[str, Any]) -> Config:
        """The board, the tokens, and the data to answer."""
        if "data" in given and "evaluation_data" not in given:
            data = config.training.data
            config = config.override({"evaluation_data": data if config.training.dev_share else test_of(data)})
        rows, columns = self.shape
        needed = {"board_rows": rows, "board_columns": columns, "vocabulary": self.vocabulary, "canvas": "full"}
        for name, value in needed.items():
            if name in given and given[name] != value:
                problem = f"{self.name} needs {value}, got {given[name]}; leave the flag out"
                raise InputError(problem, flag=f"--{name.replace('_', '-')}")
        if config.training.augmentations >= self.transforms:
            if "augmentations" in given:
                problem = f"{self.name} has {self.transforms - 1} other images by symmetry, got {given['augmentations']}"
                raise InputError(problem, flag="--augmentations")
            needed["augmentations"] = 0  # a preset for ARC; a maze's label is not symmetric
        if config.model.transform_tokens:
            problem = "they encode ARC's symmetries and colours; use --no-transform-tokens for puzzles"
            raise InputError(problem, flag="transform_tokens")
        return config.override(needed)

    def drop_leaks(self, training: PuzzleSet, evaluation: PuzzleSet) -> tuple[PuzzleSet, list[str], list[str]]:
        """By questions that are equal up to symmetry."""
        kept, names = training.drop_tests(np.isin(training.input_hashes(), evaluation.input_hashes()))
        return kept, names, names

    def are_trained(self, tasks: PuzzleSet, trained: np.ndarray) -> np.ndarray:
        """By questions that are equal up to symmetry."""
        return np.isin(tasks.input_hashes(), trained)

    def describe_dropped(self, names: list[str]) -> str:
        """See `Domain.describe_dropped`."""
        return f"dropped {len(names)} training puzzles that are scored, or are symmetric images of scored ones"

    def prepare(self, training: PuzzleSet, evaluation: PuzzleSet, settings: Config) -> tuple["Examples", list[str]]:
        """All training puzzles, each under as many symmetries as there are augmentations; none is left out."""
        from trm_arc.data.buckets import make_schedule, sort_into_buckets
        from trm_arc.data.examples import Examples, check_vocabulary  # import torch, which files and rules do not need

        model, config, count = settings.model, settings.training, len(training)
        if not count:
            raise InputError(f"{training.name}: all puzzles are also in {evaluation.name}; train on other data")
        if evaluation.domain is not self:
            other = f"{evaluation.name} {evaluation.domain.name}"
            raise InputError(f"{training.name} holds {self.name}, {other}; use sets of one kind")
        check_vocabulary(model, self)
        if (model.board_rows, model.board_columns) != self.shape:
            problem = f"{self.name} needs {self.shape[0]}, and as many columns, got {model.board_rows}"
            raise InputError(problem, flag="board_rows")
        everything = np.arange(count + 1)
        [bucket] = sort_into_buckets(everything[:-1], np.full(count, max(self.shape)), [max(self.shape)])
        plan = self.make_plan(training.questions, config.augmentations + 1, config.seed)
        examples = Examples(
            self,
            [(self.name, fingerprint(training))],
            pack_boards(np.concatenate([training.questions, training.answers])),
            np.stack([everything[:-1], everything[:-1] + count], axis=1),
            everything,
            [bucket._replace(window=Window(*self.shape))],
            make_schedule([count]),
            plan.keys,
            plan,
            Plan.concatenate([self.identity()[None]]),
            np.unique(training.input_hashes()),
            "one",
        )
        return examples, []

    def describe_training(self, training: PuzzleSet, evaluation: PuzzleSet, examples: "Examples") -> str:
        """See `Domain.describe_training`."""
        images = f"each under {examples.plan.count} symmetries" if examples.plan.count > 1 else "as they are"
        return (
            f"learning {len(training):,} puzzles of {training.name} ({self.name}), {images}; "
            f"answering {len(evaluation):,} of {evaluation.name}"
        )

    # --- scores and files

    def group_tests(self, tasks: PuzzleSet) -> list[Grouping]:
        """By classes of difficulty; those without any puzzles are left out."""
        ratings = tasks.ratings
        ends = self.rating_ends
        if ends is None:
            ends = np.unique(np.quantile(ratings, (0.25, 0.5, 0.75)).astype(int)).tolist()
        lowest, highest = int(ratings.min()), int(ratings.max())
        labels, members = [], np.full(len(ratings), -1)
        for low, high in zip((lowest - 1, *ends), (*ends, highest), strict=True):
            here = (ratings > low) & (ratings <= high)
            if here.any():
                members[here] = len(labels)
                first, last = max(low + 1, lowest), min(high, highest)
                labels.append(f"{first} {self.difficulty}" if first == last else f"{first} to {last} {self.difficulty}")
        return [Grouping("difficulty", labels, members)]

    def format_grid(self, grid: np.ndarray) -> str:
        """A board in characters."""
        return self.format_text(grid)

    def parse_grid(self, value: object) -> np.ndarray:
        """See `Domain.parse_grid`."""
        size = self.shape[0] * self.shape[1]
        if not isinstance(value, str) or len(value) != size:
            raise ValueError(f"a board of {self.name} is a text of {size} characters, got {format_value(value)}")
        return self.parse(value)[0]

    def format_set(self, tasks: PuzzleSet) -> dict[str, Any]:
        """Questions, answers, ratings and rows, a list of each."""
        boards = {name: list(map(self.format_text, getattr(tasks, name))) for name in ("questions", "answers")}
        return boards | {"ratings": tasks.ratings, "rows": tasks.rows}

    def parse_set(self, value: object, name: str, file: Path) -> PuzzleSet:
        """See `Domain.parse_set`."""
        columns = load_record(_Columns, value, file, {np.ndarray: self.parse_grid})
        lengths = {len(column) for column in vars(columns).values()}
        if len(lengths) > 1 or 0 in lengths:
            raise InputError("the numbers of questions, answers, ratings and rows differ", file=file)
        if not all(0 <= number < _MOST for number in columns.ratings + columns.rows):
            raise InputError("ratings and rows are numbers from 0", file=file)
        questions, answers = np.stack(columns.questions), np.stack(columns.answers)
        wrong = np.flatnonzero(~(self.are_questions(questions) & self.are_solutions(questions, answers)))
        if len(wrong):
            raise InputError("the answer does not solve the question", file=file, place=f"puzzle {wrong[0] + 1}")
        return PuzzleSet(name, self, questions, answers, np.array(columns.ratings), np.array(columns.rows))


@dataclass(frozen=True)
class _Columns:
    """A set in a file of results."""

    questions: list[np.ndarray]
    answers: list[np.ndarray]
    ratings: list[int]
    rows: list[int]


def fingerprint(puzzles: PuzzleSet) -> str:
    """A short digest of a set, by which a resumed run recognises its data."""
    digest = hashlib.blake2b(digest_size=8)
    for boards in (puzzles.questions, puzzles.answers):
        digest.update(np.ascontiguousarray(boards).data)
    return digest.hexdigest()


@cache
def _decoder(characters: str) -> np.ndarray:
    """The value of every byte."""
    values = np.full(256, NO_VALUE, np.uint8)
    values[np.frombuffer(characters.encode(), np.uint8)] = np.arange(len(characters))
    return values
