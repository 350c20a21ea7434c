"""Kaggle's files in a notebook's inputs: found under every layout, and distinguished where several have one name.

Kaggle lays inputs out in several ways (`competitions/SLUG/`, `SLUG/`, `datasets/USER/SLUG/`, ...), and anybody's data set may
hold copies, so files are searched for by name, and the competition's own are recognised by their place and what is beside them.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

DEEPEST = 6  # folders below Kaggle's inputs; our files are less deep, and other data sets may be large
PRIZE = "arc-prize-"  # how the folder of every year's competition begins
SAMPLE = "sample_submission.json"
OTHERS = {"datasets", "models", "notebooks"}  # beside `competitions`, the folders of what users attach

# What shows that a file is the competition's own, the strongest sign first.
_SIGNS = (
    "it is in competitions/",
    f"it is in a folder called {PRIZE}*",
    "it is not in datasets/, models/ or notebooks/",
    f"{SAMPLE} is beside it",
    "it is of the latest year",
    "it is nearer to the root",
)


def find_files(root: Path, name: str, deepest: int = DEEPEST) -> list[Path]:
    """Every regular file of a name below a folder; one that can be reached in two ways, by links, is listed once.

    Args:
        deepest: how many folders down to look; in `root` alone if 0.
    """
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders.sort()
        real = os.path.realpath(folder)
        if real in seen or len(Path(folder).relative_to(root).parts) >= deepest:
            folders.clear()
        if name in files and real not in seen and os.path.isfile(os.path.join(folder, name)):
            found.append(Path(folder) / name)
        seen.add(real)
    return found


def rank_file(path: Path, root: Path) -> tuple[bool | int, ...]:
    """How much speaks for a file being the competition's own, rather than somebody's copy; more is greater."""
    folders = [folder.lower() for folder in path.relative_to(root).parts[:-1]]
    prizes = [folder for folder in folders if folder.startswith(PRIZE)]
    years = [int(year) for folder in prizes for year in re.findall(r"(?<!\d)20\d\d(?!\d)", folder)]
    is_users = not OTHERS.isdisjoint(folders)
    return (
        "competitions" in folders and not is_users,
        bool(prizes),
        not is_users,
        os.path.isfile(path.with_name(SAMPLE)),
        max(years, default=0),
        -len(folders),
    )


def explain_choice(chosen: Path, others: Sequence[Path], root: Path) -> str:
    """The strongest sign by which `rank_file` prefers a file to all others; empty if none does."""
    if not others:
        return "no other is attached"
    first, second = rank_file(chosen, root), max(rank_file(path, root) for path in others)
    return next((sign for sign, ours, theirs in zip(_SIGNS, first, second, strict=True) if ours > theirs), "")
