"""Where puzzles come from: the public data sets by name, CSV files, and sets that are generated here."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from trm_arc.common.errors import InputError, NotFoundError
from trm_arc.common.launch import command_line
from trm_arc.common.paths import optional_path, path_variable, user_path
from trm_arc.common.streams import make_progress_bar
from trm_arc.common.text import is_terminal
from trm_arc.config import Config
from trm_arc.data.dev_split import DevSplit
from trm_arc.data.domains import Domain, Part, domain_by_name, list_kinds
from trm_arc.data.puzzle_set import PuzzleSet, join_puzzles
from trm_arc.data.sources import DATA_VARIABLE, data_roots, listed
from trm_arc.data.table import domain_of_file, read_puzzles, write_puzzles
from trm_arc.data.table_rows import SUFFIXES

if TYPE_CHECKING:
    from trm_arc.data.domains.board import BoardDomain, Made, Progress

    Generator = Callable[[int, int, np.ndarray | None, Progress], Made]

EDITION = 1  # of generated sets; a changed generator gets another number
CACHE_VARIABLE = "TRM_ARC_CACHE"
DEFAULT_COUNT = 1000  # puzzles of a generated set to train on

# What the folder of a public data set may be called.
PUBLIC = {
    "sudoku-extreme": ("sudoku-9x9", ("sudoku-extreme", "sudoku_extreme")),
    "maze-hard": ("maze-30x30", ("maze-hard", "maze_hard", "maze-30x30-hard-1k")),
}
_GENERATED = re.compile(r"([a-z_]+)(-unique)?-(\d+)x(\d+)(-easy)?")
_WITHOUT_SIZE = re.compile(r"maze-unique(?=(-easy)?$)")  # 30 x 30, as the published set of that name
# Seeds of generated sets: a set of a name is the same for everyone, whatever --seed a run has.
_SEEDS: dict[str, int] = {"train": 1, "test": 2}
GENERATED_NAMES = "sudoku-4x4, sudoku-6x6, sudoku-9x9 (up to 16x16), maze-NxN, maze-unique, maze-unique-NxN"


def domain_of_data(names: str) -> Domain:
    """The domain of some sets, found without reading them whole.

    Args:
        names: comma-separated names or paths; without any, ARC.

    Raises:
        InputError: they are of several domains, or one cannot be found.
    """
    domains = {name: _domain_of_source(name) for name in listed(names)}
    if len(set(domains.values())) > 1:
        held = ", ".join(f"{name} holds {domain.plural}" for name, domain in domains.items())
        raise InputError(f"{names}: use sets of one kind; {held}")
    return next(iter(domains.values()), domain_by_name("arc"))


def _domain_of_source(name: str) -> Domain:
    if name in PUBLIC:
        return domain_by_name(PUBLIC[name][0])
    if _match_generated(name):
        return generator_of_set(name)[0]
    if name.lower().endswith(SUFFIXES):
        return domain_of_file(user_path(name))
    if name.lower().startswith(tuple(list_kinds())) and not user_path(name).exists():
        raise InputError(f"{name}: no such puzzles; there are {', '.join(PUBLIC)}, {GENERATED_NAMES}, and files in .csv")
    return domain_by_name("arc")


def _match_generated(name: str) -> re.Match[str] | None:
    match = _GENERATED.fullmatch(_WITHOUT_SIZE.sub("maze-unique-30x30", name))
    return match if match and match[1] in list_kinds() else None


def generator_of_set(name: str) -> tuple["BoardDomain", "Generator"]:
    """The domain of a set that is generated here, and what makes its puzzles.

    Args:
        name: as `sudoku-6x6`, `maze-10x10-easy` or `maze-unique`.

    Returns:
        The domain; and a function of how many puzzles, a seed, questions to leave out, and what is called with the number made.

    Raises:
        InputError: there is no such set.
    """
    match = _match_generated(name)
    if match is None or match[3] != match[4]:
        raise InputError(f"{name}: no such kind; there are {GENERATED_NAMES}, each also with -easy after it")
    domain, easy = domain_by_name(f"{match[1]}-{match[3]}x{match[4]}"), bool(match[5])
    make = domain.choose_generator(unique=bool(match[2]))
    return domain, lambda count, seed, exclude, progress: make(count, seed, easy, exclude, progress)


def fit_to_data(config: Config, given: Mapping[str, Any]) -> Config:
    """The settings of a run with what follows from its data: of boards their size, the tokens and the data to answer.

    Raises:
        InputError: settings that do nothing for this data, or that contradict it.
    """
    domain = domain_of_data(config.training.data)
    domain.refuse_unused(given)
    config = domain.fit_settings(config, given)
    domain.require(domain_of_data(config.training.evaluation_data), config.training.evaluation_data)
    return config


def load_puzzles(
    names: str,
    part: Part,
    data_folder: str | Path | None = None,
    *,
    count: int = 0,
    seed: int = 0,
    skip_bad: bool = False,
    split: DevSplit | None = None,
) -> PuzzleSet:
    """Load sets of puzzles as one.

    Args:
        names: comma-separated names or paths of puzzles.
        part: which part of a named set; a path names one file.
        data_folder: where to look for named sets first.
        count: number to keep or generate of each; 0: all of a file, 1,000 of a generated set.
        seed: of the draw from a file.
        split: the side of the dev split to keep; of its dev side, `count` are the same for every seed.

    Raises:
        InputError: no such part, a set that cannot be found, read or generated, or a split that leaves nothing of one.
    """
    if part not in get_args(Part):
        raise InputError(f"a set has the parts {' and '.join(get_args(Part))}, got {part}")
    folder = optional_path(data_folder)
    return join_puzzles([_load(name, part, folder, count, seed, skip_bad, split) for name in listed(names)])


def _load(name: str, part: Part, folder: Path | None, count: int, seed: int, skip_bad: bool, split: DevSplit | None) -> PuzzleSet:
    if _match_generated(name) and split is not None:
        return split.take_puzzles(generate_set(name, part, split.made), count if split.dev else 0)
    if _match_generated(name):
        whole = generate_set(name, part, count if part == "train" else 0)
        if count > len(whole):
            generate = command_line("python -m trm_arc.generate")
            raise InputError(f"{name}: the set to be scored on has {len(whole)} puzzles, not {count}; see `{generate}`")
        return whole if not count else whole.take(np.arange(count))
    path = find_file(name, part, folder) if name in PUBLIC else user_path(name)
    return read_puzzles(path, name, count, seed, skip_bad=skip_bad, split=split)


def find_file(name: str, part: Part, folder: Path | None) -> Path:
    """The file of a public data set.

    Raises:
        InputError: it is not there.
    """
    for root in data_roots(folder):
        for place in PUBLIC[name][1]:
            for suffix in SUFFIXES:
                if (path := root / place / f"{part}{suffix}").exists():
                    return path
    raise NotFoundError(
        f"{name}: not found; put its {part}.csv (or {part}.csv.gz, with the columns question and answer) into a folder "
        f"{PUBLIC[name][1][0]} below the one that --data-folder or {DATA_VARIABLE} names, or train on puzzles that are "
        f"generated here, such as {PUBLIC[name][0]}"
    )


def test_of(names: str) -> str:
    """The default names that a run on `names` is scored on: the other part of the same sets, or a file test.csv beside one.

    Raises:
        InputError: a file has no test.csv beside it.
    """
    return ",".join(_test_of(name) for name in listed(names))


def _test_of(name: str) -> str:
    suffix = next((suffix for suffix in SUFFIXES[::-1] if name.lower().endswith(suffix)), None)
    if suffix is None:
        return name
    path = user_path(name)
    before, train, after = path.name[: -len(suffix)].rpartition("train")
    beside = [path.with_name(f"{before}test{after}{end}") for end in (name[-len(suffix) :], *SUFFIXES)] if train else []
    found = next((path for path in beside if path.exists()), None)
    if found is None:
        looked = f"no {beside[0].name} beside it" if beside else "no test set is known"
        raise InputError(f"{name}: {looked} to score a run on; name a file with --evaluation-data")
    return str(found)


def generate_set(name: str, part: Part, count: int = 0) -> PuzzleSet:
    """A set that is generated here: the same everywhere, train and test different up to symmetry; kept in a cache folder.

    Args:
        name: as `sudoku-6x6`, `maze-10x10-easy` or `maze-unique`.
        part: "test" is always the same; "train" differs from it.
        count: how many; 0: 1,000, and 300 to be scored on of 4 x 4, of which there are few.

    Raises:
        InputError: there are not that many.
    """
    domain, make = generator_of_set(name)
    count = count or (domain.default_count if part == "test" else DEFAULT_COUNT)
    folder, file = cache_folder(), f"{name}-{part}-{count}-{EDITION}.csv.gz"
    path = Path() if folder is None else folder / file
    if os.path.isfile(path):  # pathlib's own question may raise
        return read_puzzles(path, f"{name} {part}", domain=domain)
    exclude = generate_set(name, "test").questions if part == "train" else None
    kept, shown = f", kept as {path}" if folder else "", is_terminal(sys.stderr)
    if not shown:  # there is no progress bar, and it may take minutes
        print(f"generating {count:,} puzzles of {name} {part}{kept}", file=sys.stderr, flush=True)
    with make_progress_bar(count, "puzzle", label=f"generating {file}", shown=shown, leave=False) as bar:
        made = make(count, _SEEDS[part], exclude, lambda done: bar.update(done - bar.n))
    puzzles = PuzzleSet(f"{name} {part}", domain, *made, np.arange(1, len(made[0]) + 1))
    try:
        if folder is None:
            raise InputError("this user has no home folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_puzzles(path, puzzles)
    except (InputError, OSError) as error:
        print(f"{name}: generated again each time, because it cannot be kept ({error}); set {CACHE_VARIABLE} to another folder")
    return puzzles


def cache_folder() -> Path | None:
    """Where generated sets are kept: $TRM_ARC_CACHE, or trm_arc in the user's cache folder; None where there is neither."""
    with suppress(InputError):  # no home
        return path_variable(CACHE_VARIABLE) or (path_variable("XDG_CACHE_HOME") or user_path("~/.cache")) / "trm_arc"
    return None
