"""Networks from Python, and those that come with the kit: whole, small, described, and found by name."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trm_arc
from tests.helpers import ROOT, messages
from trm_arc.common.errors import InputError
from trm_arc.data.domains import domain_by_name
from trm_arc.model.checkpoint import load_checkpoint, save_checkpoint
from trm_arc.model.checkpoint_files import answers
from trm_arc.model.locate import NETWORKS, find_for, folder_for_results, list_networks, locate

says = messages(__name__)
EASY = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"  # en.wikipedia.org/wiki/Sudoku
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
LIMIT = 4e6  # bytes of a network's folder


@pytest.mark.parametrize("name", list_networks())
def test_a_network_of_the_kit_is_whole_small_and_described(name: str) -> None:
    folder = NETWORKS / name
    checkpoint = load_checkpoint(folder)  # checks its hashes
    assert sum(file.stat().st_size for file in folder.iterdir()) < LIMIT
    assert len(checkpoint.tensors["trained"]) > 0
    card = (folder / "README.md").read_text()
    assert f"# {name}" in card
    assert "| data | how | score | 95 % interval |" in card


@pytest.mark.parametrize("name", list_networks())
def test_a_damaged_network_is_refused(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(NETWORKS / name, tmp_path / name)
    file = copy / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError) as refused:
        trm_arc.load(str(copy))
    assert refused.value.file == file
    assert says("damaged") in str(refused.value)


def test_the_first_sudoku_is_solved_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable) -> None:
    monkeypatch.chdir(tmp_path)
    code, text, error = command("solve", EASY)
    assert (code, SOLVED in text, "sudoku-extreme" in error) == (0, True, True)
    network = trm_arc.load("sudoku-extreme", device="cpu")
    solution = network.solve(EASY)
    assert (str(solution), solution.is_right, solution.votes, solution.views) == (SOLVED, True, 1, 1)
    written = tmp_path / "easy.txt"
    written.write_text(EASY)
    assert str(network.solve(written)) == SOLVED
    by_values = network.solve(solution.question, views=4)
    assert (str(by_values), by_values.views) == (SOLVED, 4)
    early = network.solve(EASY, steps=1)
    assert early.is_right == (str(early) == SOLVED)


@pytest.mark.parametrize(
    ("puzzle", "reason"),
    [
        ("", says("no-puzzle")),
        ("1..4..3.2.1...4.", says("other-kind")),
        (np.zeros((4, 4), int), says("values")),
        (np.full((9, 9), 10), says("values")),
        (np.full((9, 9), -1), says("values")),
        (np.zeros((9, 9)), says("values")),
        ([[1, 2], [3]], says("values")),
        (np.ones((9, 9), int), says("twice")),
    ],
    ids=str,
)
def test_what_is_no_puzzle_for_it_is_refused(puzzle: object, reason: str) -> None:
    with pytest.raises(InputError) as refused:
        trm_arc.load("sudoku-extreme").solve(puzzle)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("trained", "mixer", "asked", "expected"),
    [
        ("maze-30x30", "convolution", "maze-30x30", True),
        ("maze-30x30", "convolution", "maze-9x9", True),
        ("maze-9x9", "convolution", "maze-30x30", True),
        ("maze-30x30", "attention", "maze-9x9", False),
        ("maze-30x30", None, "maze-9x9", False),
        ("maze-30x30", "convolution", "sudoku-4x4", False),
        ("maze-30x30", "convolution", "arc", False),
        ("sudoku-9x9", "convolution", "sudoku-4x4", False),  # their tokens differ
    ],
)
def test_without_positions_a_network_answers_boards_of_any_size(
    trained: str, mixer: str | None, asked: str, expected: bool
) -> None:
    assert answers(domain_by_name(trained), mixer, domain_by_name(asked)) == expected


def test_mazes_of_any_size_are_solved_by_the_network_of_the_kit(command: Callable) -> None:
    code, text, error = command("solve", ROOT / "docs" / "maze.txt")  # 15 x 15
    assert (code, "maze-hard" in error) == (0, True), text


def test_a_network_is_found_by_name_path_or_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = NETWORKS / "sudoku-extreme"
    assert locate("sudoku-extreme") == shipped
    for path in ("some/where", "./sudoku-extreme", str(tmp_path / "x")):
        assert locate(path) == Path(path)
    with pytest.raises(InputError) as refused:
        locate("sudoku-extrem")
    assert says("nearest") in str(refused.value)
    with pytest.raises(InputError) as refused:
        locate("x")
    assert says("listed") in str(refused.value)
    small, nine = domain_by_name("sudoku-4x4"), domain_by_name("sudoku-9x9")
    assert find_for(nine, Path("runs")) == shipped
    with pytest.raises(InputError) as refused:
        find_for(small, Path("runs"))
    assert find_for(None, Path("runs")) == NETWORKS / "arc1"
    assert refused.value.file == Path("runs")
    checkpoint = load_checkpoint(shipped)
    checkpoint = replace(checkpoint, metadata=replace(checkpoint.metadata, domain="sudoku-4x4"))
    run = save_checkpoint(tmp_path / "runs" / "mine", checkpoint, 1)
    assert find_for(small, tmp_path / "runs") == find_for(None, tmp_path / "runs") == run
    assert find_for(nine, tmp_path / "runs") == shipped
    assert folder_for_results(shipped, Path("runs")) == Path("runs/sudoku-extreme")
    (tmp_path / "sudoku-extreme").mkdir()
    assert locate("sudoku-extreme") == Path("sudoku-extreme")  # what is here goes first
