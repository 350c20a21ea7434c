"""Boards of one size: reversible transforms, painted, undone, hashed, drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import augment
from augment import BoardTransform, SampledPlan, kernels
from tests import naive
from tests.helpers import messages

says = messages(__name__)


def random_transform(generator: np.random.Generator, rows: int, columns: int, values: int) -> BoardTransform:
    orders = (tuple(generator.permutation(count).tolist()) for count in (rows, columns, values))
    return BoardTransform(rows == columns and bool(generator.integers(2)), *orders)


shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
seeds = st.integers(0, 2**32 - 1)


@given(shapes, seeds)
def test_undo_then_and_inverse(shape: tuple[int, int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    board = generator.integers(0, 5, shape).astype(np.uint8)
    first, second = (random_transform(generator, *shape, 5) for _ in range(2))
    np.testing.assert_array_equal(first.apply(board), naive.transform_board(board, first.to_row()))
    np.testing.assert_array_equal(first.undo(first.apply(board)), board)
    np.testing.assert_array_equal(first.inverse().inverse().apply(board), first.apply(board))
    np.testing.assert_array_equal(first.then(second).apply(board), second.apply(first.apply(board)))
    assert BoardTransform.from_row(first.to_row(), shape) == first


@given(shapes, seeds)
def test_painted_and_undone_boards_are_their_twins(shape: tuple[int, int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    boards = generator.integers(0, 5, (4, *shape)).astype(np.uint8)
    table = np.stack([random_transform(generator, *shape, 5).to_row() for _ in range(6)])
    index = generator.integers(0, 4, 6)
    grids = augment.pack_boards(boards)
    painted = augment.paint_boards(grids, index, table, shape)
    for canvas, which, row in zip(painted, index, table, strict=True):
        np.testing.assert_array_equal(canvas, naive.transform_board(boards[which], row) + 1)
        transform = BoardTransform.from_row(row, shape)
        np.testing.assert_array_equal(transform.undo(augment.tokens_to_board(canvas)), boards[which])
    hashes = augment.hash_boards(boards)
    np.testing.assert_array_equal(hashes, [naive.board_hash(board) for board in boards])
    np.testing.assert_array_equal(augment.hash_undone_boards(painted, table), hashes[index])
    np.testing.assert_array_equal(grids[3], boards[3])


def test_padding_is_never_right() -> None:
    """A model may say the token of padding; undone, it is no value, and its hash is no board's."""
    row = BoardTransform(False, (1, 0), (0, 1), (0, 2, 1)).to_row()
    canvas = np.array([[[0, 1], [2, 3]]], np.uint8)
    board = BoardTransform.from_row(row, (2, 2)).undo(augment.tokens_to_board(canvas[0]))
    np.testing.assert_array_equal(board, [[2, 1], [255, 0]])
    assert augment.hash_undone_boards(canvas, row[None])[0] == naive.board_hash(board)


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 3), (3, 4)])
def test_drawn_symmetries_of_sudoku(box: tuple[int, int]) -> None:
    """They keep bands and stacks together, blank is blank, every order comes up, and a key always means the same."""
    side = box[0] * box[1]
    keys = np.arange(20_000, dtype=np.uint64)
    table = augment.sample_sudoku_transforms(keys, box)
    np.testing.assert_array_equal(table[:50], [naive.sample_sudoku(int(key), *box) for key in keys[:50]])
    np.testing.assert_array_equal(table[::7], augment.sample_sudoku_transforms(keys[::7], box))
    _, rows, columns, values = np.split(table, [1, 1 + side, 1 + 2 * side], axis=1)
    for orders, height in ((rows, box[0]), (columns, box[1])):
        groups = (orders // height).reshape(len(keys), -1, height)
        assert (groups == groups[:, :, :1]).all(), "a band or stack was torn apart"
        counts = np.bincount(orders[:, 0], minlength=side)
        assert counts.min() > 0.8 * len(keys) / side
        assert counts.max() < 1.2 * len(keys) / side
    assert (values[:, 0] == 0).all()
    assert (np.sort(values, axis=1) == np.arange(side + 1)).all()
    assert set(table[:, 0]) == ({0, 1} if box[0] == box[1] else {0})


@pytest.mark.parametrize("shape", [(3, 3), (2, 4)])
def test_dihedral_table_is_that_of_grids(shape: tuple[int, int]) -> None:
    board = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    table = augment.dihedral_table(shape, board.size)
    images = [BoardTransform.from_row(row, shape).apply(board).tolist() for row in table]
    expected = [augment.apply_symmetry(board, symmetry) for symmetry in range(augment.SYMMETRIES)]
    assert images == [image.tolist() for image in expected if image.shape == shape]


def test_a_drawn_plan_stores_nothing_but_keys() -> None:
    def draw(keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return np.stack([keys, numbers], axis=1)

    plan = SampledPlan(np.array([7, 9], np.uint64), 3, draw)
    assert len(plan) == 6
    np.testing.assert_array_equal(plan.starts, [0, 3, 6])
    np.testing.assert_array_equal(plan.rows(np.array([0, 2, 4])), [[7, 0], [7, 2], [9, 1]])


def test_what_is_no_board_is_refused() -> None:
    with pytest.raises(ValueError, match=says("each-number-from-0")):
        BoardTransform(False, (0, 0), (0, 1), (0,))
    with pytest.raises(ValueError, match=says("cannot-be-transposed")):
        BoardTransform(True, (0, 1), (0,), (0,))
    grids = augment.pack_boards(np.zeros((2, 2, 2), np.uint8))
    row = BoardTransform(False, (0, 1), (0, 1), (0, 1)).to_row()[None]
    with pytest.raises(ValueError, match=says("numbered-0-to-1")):
        augment.paint_boards(grids, np.array([2]), row, (2, 2))
    with pytest.raises(ValueError, match=says("as-many-rows-of")):
        augment.paint_boards(grids, np.array([0]), row[:, :4], (2, 2))


def test_kernels_compute_in_uint64() -> None:
    assert kernels.hash_boards(np.zeros((1, 2, 2), np.uint8)).dtype == np.uint64
