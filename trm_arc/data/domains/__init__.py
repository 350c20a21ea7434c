"""Domains: all that differs between kinds of puzzles, in one protocol, and the table of the kinds that there are.

A new kind is one module with a class and a call of `register_domain`; docs/extending.md adds one step by step.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from augment import PackedGrids, Window
from augment.kernels import EMPTY
from trm_arc.common.errors import InputError
from trm_arc.config import Config, TrainingConfig
from trm_arc.data.dev_split import DevSplit

if TYPE_CHECKING:
    from trm_arc.data.examples import Examples
    from trm_arc.data.puzzle_set import AnySet

Part = Literal["train", "test"]
DOMAINS_VARIABLE = "TRM_ARC_DOMAINS"  # comma-separated modules with further domains, for the commands
NO_VALUE = 255  # a cell without a value: an unknown character, or a token of padding
_BUILT_IN = ("arc", "maze", "sudoku")  # in the order in which they are asked whether a board is theirs; Sudoku takes any
_SIZED_NAME = re.compile(r"([a-z_]+)-(\d+)x(\d+)")


@dataclass(frozen=True)
class LoadOptions:
    """How a set is loaded; a domain ignores options that do not apply to its files.

    Attributes:
        count: number of puzzles to keep or generate; 0: all of a file, or the default number of a generated set.
        seed: of the puzzles that are kept of a file.
        skip_bad: leave out rows that are not puzzles, and broken tasks, instead of refusing the set.
        solutions: a file of solutions; None: the one beside the tasks.
        split: the side of the dev split to keep, of a training set; None: all.
        arc_gen: also read the generated pairs of tasks that have some.
        generated_pairs: number of generated pairs to keep of each task, drawn by the seed; 0: all.
    """

    count: int = 0
    seed: int = 0
    skip_bad: bool = False
    solutions: Path | None = None
    split: DevSplit | None = None
    arc_gen: bool = False
    generated_pairs: int = 0


class Drawing(NamedTuple):
    """How grids are drawn.

    Attributes:
        style: "colours" (coloured cells), "symbols" (a character in each cell, value 0 blank) or "maze".
        characters: of each value; empty for digits.
        box: rows and columns of the boxes that thick lines separate; None: no boxes.
    """

    style: Literal["colours", "symbols", "maze"]
    characters: str = ""
    box: tuple[int, int] | None = None


class Grouping(NamedTuple):
    """A way to group test inputs.

    Attributes:
        name: of the property.
        labels: its classes, in order.
        members: int64 (outputs,), the class of each test input; -1: in none.
    """

    name: str
    labels: list[str]
    members: np.ndarray


class Domain(ABC):
    """A kind of puzzle.

    Attributes:
        name: as checkpoints and results store it, and as `domain_by_name` finds it.
        title: as people read it.
        plural: what a set holds, for messages.
        unit: what one of a set is called.
        vocabulary: how many tokens there are.
        row_bytes: of a transform in a table.
        shape: rows and columns of every board; None where grids differ in size.
        shared_embedding: whether all puzzles share one task embedding.
        translates: whether grids are placed anywhere on a larger canvas.
        scoring: "pass@k" (two attempts, tests that belong to tasks) or "exact" (one answer, which may be valid by the rules).
        measure: the score that says which checkpoint is the best.
        attempts: answers to a test input that count.
        submits: whether answers are written as a submission to the ARC Prize, too.
        default_views: of a test input, if no number is given.
        orientations: names of the orientations of a view, for which votes are counted separately; empty if that has no meaning.
        unused: settings and flags that do nothing here, and what an error says about each.
        drawing: how grids are drawn.
    """

    name: str
    title: str
    plural: str
    unit: str
    vocabulary: int
    row_bytes: int
    shape: tuple[int, int] | None = None
    shared_embedding = False
    translates = False
    scoring: Literal["pass@k", "exact"]
    measure: str
    attempts: int
    submits = False
    default_views: int
    orientations: tuple[str, ...] = ()
    unused: Mapping[str, str]
    drawing: Drawing

    def shares_rules(self, other: "Domain") -> bool:
        """Whether boards of both have the same rules and tokens, whatever their sizes."""
        return type(other) is type(self) and other.vocabulary == self.vocabulary

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # --- tokens and symmetries

    @abstractmethod
    def paint(
        self,
        grids: PackedGrids,
        index: np.ndarray,
        table: np.ndarray,
        window: Window,
        corners: np.ndarray | None = None,
        empty: int = EMPTY,
    ) -> np.ndarray:
        """Transformed grids as canvases of tokens: uint8 (n, rows, columns); see `augment.paint`."""

    @abstractmethod
    def hash_undone(self, canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo the transforms of predicted canvases: bool (n,), whether there is an answer, and uint64 (n,), its hash.

        Args:
            canvases: uint8 (n, rows, columns) of tokens.
            table: uint8 (n, row_bytes).
        """

    @abstractmethod
    def undo(self, canvas: np.ndarray, row: np.ndarray) -> np.ndarray:
        """The answer on one canvas (uint8 (rows, columns)) with its transform (uint8 (row_bytes,)) undone."""

    @abstractmethod
    def are_transforms(self, table: np.ndarray) -> bool:
        """Whether all rows (uint8 (n, row_bytes)) are transforms of this kind."""

    def orient(self, table: np.ndarray) -> np.ndarray:
        """The number of the orientation of each row (uint8 (n, row_bytes)), int64 (n,); all 0 if they are not distinguished."""
        return np.zeros(len(table), np.int64)

    # --- loading and training

    @abstractmethod
    def load(self, names: str, part: Part, folder: Path | None, options: LoadOptions) -> "AnySet":
        """Load sets by their names or paths, which commas separate, as one.

        Raises:
            InputError: one cannot be found, read or generated.
        """

    @abstractmethod
    def load_training(self, config: TrainingConfig, folder: Path | None, held_out: "AnySet") -> tuple["AnySet", list[str]]:
        """What a run trains on, before leaks are looked for, and sentences on what was left out."""

    def load_held_out(self, config: TrainingConfig, folder: Path | None, solutions: Path | None = None) -> "AnySet":
        """What a run is kept from: the dev side of a training set, or what is to be scored at the end."""
        some, split = (config.evaluation_puzzles, config.seed, config.skip_bad), DevSplit.of(config, dev=True)
        return self.load(config.evaluation_data, "test", folder, LoadOptions(*some, solutions, split))

    def narrow(self, held_out: "AnySet", config: TrainingConfig) -> "AnySet":
        """What a run answers of it: all, unless the settings choose by size."""
        return held_out

    def load_evaluation(self, config: TrainingConfig, folder: Path | None, solutions: Path | None = None) -> "AnySet":
        """What a run is to answer."""
        return self.narrow(self.load_held_out(config, folder, solutions), config)

    @abstractmethod
    def fit_settings(self, config: Config, given: Mapping[str, Any]) -> Config:
        """The settings of a run with what follows from the puzzles.

        Args:
            given: those that were asked for by name.

        Raises:
            InputError: one of those contradicts the puzzles.
        """

    @abstractmethod
    def drop_leaks(self, training: "AnySet", evaluation: "AnySet") -> tuple["AnySet", list[str], list[str]]:
        """The training puzzles without those that show the answer to a test; the names of the latter; and of those tests."""

    @abstractmethod
    def are_trained(self, tasks: "AnySet", trained: np.ndarray) -> np.ndarray:
        """Which test inputs' answers were trained on, bool (outputs,).

        Args:
            trained: int64, the hashes that a checkpoint keeps, from `Examples.trained`.
        """

    @abstractmethod
    def describe_dropped(self, names: list[str]) -> str:
        """A sentence on training puzzles that leaked and were left out."""

    @abstractmethod
    def prepare(self, training: "AnySet", evaluation: "AnySet", settings: Config) -> tuple["Examples", list[str]]:
        """What is trained on, and the names of training puzzles that do not fit.

        Raises:
            InputError: settings that do not go with the puzzles.
        """

    @abstractmethod
    def describe_training(self, training: "AnySet", evaluation: "AnySet", examples: "Examples") -> str:
        """What a run learns and answers, in one or two sentences."""

    # --- scores and files

    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers are right by the rules, expected or not; bool (n,).  None where only the expected one is known."""
        return np.zeros(len(questions), bool)

    @abstractmethod
    def group_tests(self, tasks: "AnySet") -> list[Grouping]:
        """The groupings of the test inputs of a set, for tables."""

    @abstractmethod
    def format_text(self, grid: np.ndarray) -> str:
        """A grid in characters."""

    @abstractmethod
    def format_grid(self, grid: np.ndarray) -> Any:
        """A grid as a value of JSON."""

    @abstractmethod
    def parse_grid(self, value: object) -> np.ndarray:
        """A grid from a value of JSON.

        Raises:
            ValueError: it is not a grid.
        """

    @abstractmethod
    def format_set(self, tasks: "AnySet") -> dict[str, Any]:
        """A set as a value of JSON, complete enough for `parse_set`."""

    @abstractmethod
    def parse_set(self, value: object, name: str, file: Path) -> "AnySet":
        """A set from what `format_set` made, after all checks of a file.

        Raises:
            InputError: it is damaged.
        """

    # --- checks that all share

    def require(self, other: "Domain", names: str) -> None:
        """Raise InputError unless what is to be answered is of this domain."""
        if other is not self:
            raise InputError(
                f"a run on {self.title} is scored on {self.title}, but {names} holds {other.plural}", flag="evaluation_data"
            )

    def refuse_unused(self, given: Mapping[str, Any]) -> None:
        """Raise InputError if a setting or flag was given that does nothing here."""
        for name in given:
            if name in self.unused:
                raise InputError(self.unused[name], flag=f"--{name.replace('_', '-')}")


class _Kind(NamedTuple):
    make: Callable[..., Domain]
    recognizes: Callable[[str], bool] | None
    sized: bool


_KINDS: dict[str, _Kind] = {}


def register_domain(
    kind: str, make: Callable[..., Domain], recognizes: Callable[[str], bool] | None = None, *, sized: bool = True
) -> None:
    """Add a kind of puzzle to the table.

    Args:
        kind: lower-case letters; its sets and domains are then called `KIND-NxN`.
        recognizes: whether a board in characters, row by row, is of this kind; added kinds are asked first, by their names.
        sized: if not, there is one domain, which is called `kind` and made without a side.
    """
    _KINDS[kind] = _Kind(make, recognizes, sized)
    domain_by_name.cache_clear()


@cache
def _load_kinds() -> None:
    """Import the modules of all kinds; each enters itself into the table."""
    for name in _BUILT_IN:
        import_module(f"{__name__}.{name}")
    for name in filter(None, os.environ.get(DOMAINS_VARIABLE, "").split(",")):
        try:
            import_module(name.strip())
        except ImportError as error:
            raise InputError(f"{DOMAINS_VARIABLE} names {name.strip()}, which cannot be imported ({error})") from None


def list_kinds() -> list[str]:
    """The names of all kinds with boards of several sizes."""
    _load_kinds()
    return [name for name, kind in _KINDS.items() if kind.sized]


@cache
def domain_by_name(name: str) -> Domain:
    """The domain of a name, as `arc`, `sudoku-9x9` or `maze-30x30`; always the same object.

    Raises:
        InputError: there is none.
    """
    _load_kinds()
    if name in _KINDS and not _KINDS[name].sized:
        return _KINDS[name].make()
    match = _SIZED_NAME.fullmatch(name)
    if match is None or match[2] != match[3] or match[1] not in list_kinds():
        known = [kind.sized * "-NxN" for kind in _KINDS.values()]
        names = ", ".join(sorted(map("".join, zip(_KINDS, known, strict=True))))
        more = f"; {DOMAINS_VARIABLE} names modules with more"
        raise InputError(f"{name}: no such kind of puzzle; there are {names}{more}")
    return _KINDS[match[1]].make(int(match[2]))


def domain_of_board(text: str, where: str) -> Domain:
    """The domain of a board in characters, row by row; `where` it stands, for the error.

    Raises:
        InputError: its length is not a square, or no such board exists.
    """
    side = round(len(text) ** 0.5)
    if side * side != len(text):
        raise InputError(f"{len(text)} characters are not a square board (9 x 9 has 81, 30 x 30 has 900)", file=where)
    _load_kinds()
    order = (*sorted(_KINDS.keys() - {*_BUILT_IN}), *_BUILT_IN)  # whatever the order in which they were imported
    kind = next(name for name in order if (recognizes := _KINDS[name].recognizes) and recognizes(text))
    try:
        return domain_by_name(f"{kind}-{side}x{side}")
    except InputError as error:
        raise InputError(f"{error}", file=where) from None


def place_of(cell: np.ndarray) -> str:
    """Where a cell (row, column) is, for messages."""
    return f"row {cell[0] + 1}, column {cell[1] + 1}"


def make_distinct(names: list[str]) -> list[str]:
    """Distinct names: repeated ones are numbered, as in sets that were joined."""
    seen: dict[str, int] = {}
    for at, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        names[at] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names
