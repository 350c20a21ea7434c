"""Symmetries, palettes, transforms, painting, cropping, hashing: against the naive twins, then the round trips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import augment
from augment import PackedGrids, Transform, Window, kernels, pack_grids
from augment.symmetry import SOURCES
from tests import naive
from tests.helpers import examples, messages

says = messages(__name__)

IDENTITY_ROW = Transform().to_row()


@st.composite
def grids(draw: st.DrawFn, largest: int = 30) -> np.ndarray:
    rows, columns = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(0, 10, (rows, columns)).astype(np.uint8)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    palette = (0, *draw(st.permutations(range(1, 10))))
    return Transform(draw(st.integers(0, 7)), palette)


def random_rows(count: int, seed: int) -> np.ndarray:
    return augment.sample_transforms(count, np.random.default_rng(seed))


def random_grids(count: int, seed: int, largest: int = 30) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 10, generator.integers(1, largest + 1, 2)).astype(np.uint8) for _ in range(count)]


# --- symmetries and transforms


@pytest.mark.parametrize("number", range(augment.SYMMETRIES))
def test_symmetry_is_its_naive_twin(number: int) -> None:
    for grid in random_grids(20, number):
        np.testing.assert_array_equal(augment.apply_symmetry(grid, number), naive.symmetry(grid, number))


def test_symmetries_are_a_group_of_eight() -> None:
    grid = np.arange(12, dtype=np.uint8).reshape(3, 4)
    images = {naive.symmetry(grid, s).tobytes() + bytes(naive.symmetry(grid, s).shape) for s in range(8)}
    assert len(images) == 8
    for first in range(8):
        assert sorted(augment.COMPOSE[first]) == list(range(8))
        assert augment.COMPOSE[first, augment.INVERSE[first]] == 0 == augment.COMPOSE[augment.INVERSE[first], first]
        for second in range(8):
            both = naive.symmetry(naive.symmetry(grid, first), second)
            np.testing.assert_array_equal(naive.symmetry(grid, augment.COMPOSE[first, second]), both)
    assert SOURCES[:, 0].sum() == 4


@given(grids(), transforms())
def test_undo_inverts_apply(grid: np.ndarray, transform: Transform) -> None:
    np.testing.assert_array_equal(transform.undo(transform.apply(grid)), grid)
    np.testing.assert_array_equal(transform.apply(transform.undo(grid)), grid)


@given(grids(8), transforms(), transforms())
def test_then_composes(grid: np.ndarray, first: Transform, second: Transform) -> None:
    np.testing.assert_array_equal(first.then(second).apply(grid), second.apply(first.apply(grid)))
    assert first.then(first.inverse()) == Transform() == first.inverse().then(first)


@given(grids(), transforms())
def test_apply_is_its_naive_twin(grid: np.ndarray, transform: Transform) -> None:
    np.testing.assert_array_equal(transform.apply(grid), naive.transform(grid, transform.to_row()))
    assert Transform.from_row(transform.to_row()) == transform


@pytest.mark.parametrize(
    ("symmetry", "palette", "message"),
    [
        (8, range(10), "0 to 7"),
        (-1, range(10), "0 to 7"),
        (0, (1, 0, *range(2, 10)), "black"),
        (0, (0, 1, 1, *range(3, 10)), "each colour"),
        (0, range(9), "each colour"),
    ],
)
def test_transform_refuses_what_is_none(symmetry: int, palette: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transform(symmetry, tuple(palette))


def test_palettes_keep_black_and_are_uniform() -> None:
    palettes = augment.sample_palettes(20_000, np.random.default_rng(0))
    assert (palettes[:, 0] == 0).all()
    assert (np.sort(palettes, axis=1) == np.arange(10)).all()
    counts = np.bincount(palettes[:, 3], minlength=10)[1:]
    assert abs(counts - 20_000 / 9).max() < 5 * np.sqrt(20_000 / 9)


# --- painting and cropping


@given(grids(), transforms(), st.integers(0, 2**32 - 1), st.sampled_from([0, 255]))
def test_paint_is_its_naive_twin(grid: np.ndarray, transform: Transform, seed: int, empty: int) -> None:
    generator = np.random.default_rng(seed)
    image = transform.apply(grid)
    window = Window(*(int(generator.integers(side, 31)) for side in image.shape))
    corner = [int(generator.integers(0, room + 1)) for room in np.array(window) - image.shape]
    painted = augment.paint(pack_grids([grid]), np.array([0]), transform.to_row()[None], window, np.array([corner]), empty=empty)
    np.testing.assert_array_equal(painted[0], naive.paint(grid, transform.to_row(), window, tuple(corner), empty))


@given(grids(12), st.integers(0, 2**32 - 1))
def test_crop_returns_what_was_painted_wherever_it_lies(grid: np.ndarray, seed: int) -> None:
    generator = np.random.default_rng(seed)
    corner = generator.integers(0, np.array([16, 16]) - grid.shape)[None]
    canvas = augment.paint(pack_grids([grid]), np.array([0]), IDENTITY_ROW[None], Window(15, 15), corner)
    np.testing.assert_array_equal(augment.crop(canvas)[0], grid)  # finds the corner
    np.testing.assert_array_equal(augment.crop(canvas, corner)[0], grid)  # is told


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_crop_of_any_canvas_is_its_naive_twin(seed: int, rows: int, columns: int) -> None:
    generator = np.random.default_rng(seed)
    canvas = generator.choice(12, (rows, columns), p=[0.05, 0.05] + [0.09] * 10).astype(np.uint8)
    corner = naive.find_corner(canvas)
    for start in {(0, 0), corner, None}:
        top, left = start or corner  # which it finds itself
        height, width = naive.largest_rectangle(canvas, (top, left))
        expected = canvas[top : top + height, left : left + width] - 2
        cropped = augment.crop(canvas[None], None if start is None else np.array([start]))[0]
        np.testing.assert_array_equal(cropped, expected.reshape(height, width))


def test_window_smaller_than_the_board_shows_the_same_cells() -> None:
    for grid in random_grids(20, 1, 10):
        packed = pack_grids([grid])
        full = augment.paint(packed, np.array([0]), IDENTITY_ROW[None], Window())
        part = augment.paint(packed, np.array([0]), IDENTITY_ROW[None], Window(11, 12))
        np.testing.assert_array_equal(full[:, :11, :12], part)


def test_corners_are_the_naive_ones_and_fill_the_room() -> None:
    keys = np.arange(2000, dtype=np.uint64)
    shapes = np.tile([[4, 6]], (2000, 1))
    fixed = keys % 5 == 0
    corners = augment.corner_offsets(keys, shapes, Window(7, 6), fixed)
    expected = [naive.corner(int(key), (3, 0), bool(f)) for key, f in zip(keys, fixed, strict=True)]
    np.testing.assert_array_equal(corners, expected)
    assert set(corners[~fixed][:, 0]) == {0, 1, 2, 3}
    assert (corners[fixed] == 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": np.array([1])}, says("numbered-0-to-0")),
        ({"table": np.full((1, 11), 9, np.uint8)}, "transform row"),
        ({"corners": np.array([[3, 0]])}, says("leaves-a-window")),
        ({"corners": np.array([[-1, 0]])}, says("leaves-a-window")),
        ({"window": Window(2, 2)}, says("leaves-a-window")),
        ({"table": np.zeros((2, 11), np.uint8)}, "need tables"),
    ],
)
def test_paint_refuses(changes: dict, message: str) -> None:
    arguments = {"index": np.array([0]), "table": IDENTITY_ROW[None], "window": Window(5, 5), "corners": None} | changes
    with pytest.raises(ValueError, match=message):
        augment.paint(pack_grids([np.zeros((3, 3), np.uint8)]), **arguments)


@pytest.mark.parametrize(
    "grid", [np.zeros((0, 3), int), np.zeros((31, 3), int), np.full((2, 2), 10), np.full((2, 2), -1), np.zeros(4, int)]
)
def test_pack_refuses(grid: np.ndarray) -> None:
    with pytest.raises(ValueError, match="grid 0"):
        pack_grids([grid])


def test_packed_grids_come_back() -> None:
    given_grids = random_grids(50, 2)
    packed = pack_grids(given_grids)
    assert isinstance(packed, PackedGrids)
    assert len(packed) == 50
    for number, grid in enumerate(given_grids):
        np.testing.assert_array_equal(packed[number], grid)


# --- hashing


def test_hash_is_its_naive_twin() -> None:
    sample = random_grids(30, 3)
    assert [int(h) for h in augment.hash_grids(pack_grids(sample))] == [naive.grid_hash(grid) for grid in sample]


def test_hash_tells_shapes_and_places_apart() -> None:
    flat = np.zeros((1, 6), np.uint8)
    eye = np.eye(3, dtype=np.uint8)
    alike = [flat, flat.reshape(2, 3), flat.reshape(3, 2), flat.reshape(6, 1), eye, 1 - eye]
    assert len(set(augment.hash_grids(pack_grids(alike)))) == len(alike)
    every = [np.array([[a, b], [c, d]], np.uint8) for a in range(10) for b in range(10) for c in range(10) for d in range(10)]
    assert len(set(augment.hash_grids(pack_grids(every)))) == 10_000


@examples(40)
@given(st.integers(0, 2**32 - 1))
def test_task_hash_under_transforms_is_its_naive_twin(seed: int) -> None:
    sample = random_grids(4, seed, 6)
    pairs, rows = np.array([[0, 1], [2, 3], [1, -1]]), random_rows(5, seed)
    packed = pack_grids(sample)
    sums = kernels.colour_sums(packed.cells, packed.offsets, packed.shapes)
    hashes = kernels.hash_transforms(sums, packed.shapes, pairs, rows)
    named = [(sample[0], sample[1]), (sample[2], sample[3]), (sample[1], None)]
    assert [int(h) for h in hashes] == [naive.task_hash(named, row) for row in rows]


def test_undone_hash_is_that_of_the_undone_grid() -> None:
    sample, rows = random_grids(100, 4), random_rows(100, 5)
    packed = pack_grids(sample)
    canvases = augment.paint(packed, np.arange(100), rows, Window())
    sizes, hashes = augment.hash_undone(canvases, rows)
    np.testing.assert_array_equal(hashes, augment.hash_grids(packed))
    np.testing.assert_array_equal(sizes, [naive.transform(g, r).shape for g, r in zip(sample, rows, strict=True)])
    empty = np.zeros((1, 30, 30), np.uint8)
    assert augment.hash_undone(empty, rows[:1])[0].tolist() == [[0, 0]]


def test_mixed_columns_are_their_naive_twin() -> None:
    columns = np.random.default_rng(0).integers(0, 2**63, (20, 4)).astype(np.uint64)
    assert [int(w) for w in kernels.mix_columns(columns)] == [naive.mixed_columns([int(c) for c in row]) for row in columns]


# --- plans


def plan_of(sample: list[np.ndarray], pairs: list[tuple[int, int]], count: int, seed: int = 0) -> np.ndarray:
    return augment.sample_plan(pack_grids(sample), np.array(pairs), count, np.random.default_rng(seed))


def test_plan_has_distinct_images_the_identity_first_and_repeats() -> None:
    sample = random_grids(4, 6, 8)
    table = plan_of(sample, [(0, 1), (2, 3)], 200)
    assert table.shape == (200, 11)
    assert table.dtype == np.uint8
    np.testing.assert_array_equal(table[0], IDENTITY_ROW)
    images = {naive.task_hash([(sample[0], sample[1]), (sample[2], sample[3])], row) for row in table}
    assert len(images) == 200
    np.testing.assert_array_equal(table, plan_of(sample, [(0, 1), (2, 3)], 200))
    assert (table != plan_of(sample, [(0, 1), (2, 3)], 200, seed=1)).any()


def test_plan_drops_duplicates_of_the_augmented_task() -> None:
    # One colour beside black on a grid that all symmetries keep: nine palettes are all there is to see.
    ring = np.ones((3, 3), np.uint8)
    ring[1, 1] = 0
    assert len(plan_of([ring, ring], [(0, 1)], 1000)) == 9
    # Two pairs that the left-right mirror exchanges: as a set of pairs the mirrored task is the same task.
    left = np.array([[1, 0], [0, 0]], np.uint8)
    right = np.fliplr(left)
    tall = np.array([[2, 0]], np.uint8).T
    table = plan_of([left, tall, right, tall], [(0, 1), (2, 3)], 1000)
    assert len(table) == 8 // 2 * 9 * 8


def test_plan_refuses() -> None:
    with pytest.raises(ValueError, match=says("at-least-one-row")):
        plan_of([np.ones((1, 1), np.uint8)], [(0, -1)], 0)
    with pytest.raises(ValueError, match=says("pairs-name-grids")):
        plan_of([np.ones((1, 1), np.uint8)], [(0, 1)], 5)
