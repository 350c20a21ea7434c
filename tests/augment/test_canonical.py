"""Pairs are equal up to a symmetry and a palette, and in no other way."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import augment
from augment import Transform, hash_pairs, pack_grids
from tests import naive
from tests.helpers import SEEDS, grid, random_grid

Sides = tuple[np.ndarray, np.ndarray]


def hashes_of(pairs: list[Sides], **options: int) -> list[int]:
    return hash_pairs(*(pack_grids(side) for side in zip(*pairs, strict=True)), **options).tolist()


def assert_same_classes(pairs: list[Sides]) -> None:
    """Pairs have the same hash when, and only when, their naive canonical forms are equal."""
    forms = [str(naive.pair_form(*pair)) for pair in pairs]
    hashes = hashes_of(pairs)
    assert len(set(zip(forms, hashes, strict=True))) == len(set(forms)) == len(set(hashes))


def test_all_tiny_pairs_fall_into_the_classes_of_the_naive_twin() -> None:
    """Two cells and two cells of four colours, lying or standing: 1,024 pairs."""
    shapes = [((1, 2), (1, 2)), ((1, 2), (2, 1)), ((2, 1), (1, 2)), ((2, 1), (2, 1))]
    colours = [np.array(cells, np.uint8) for cells in product(range(4), repeat=4)]
    assert_same_classes([(c[:2].reshape(a), c[2:].reshape(b)) for c in colours for a, b in shapes])


@given(SEEDS)
def test_images_and_strangers_are_told_apart_as_by_the_naive_twin(seed: int) -> None:
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(4):
        first, second = random_grid(generator), random_grid(generator)
        changed = second.copy()
        changed.flat[generator.integers(changed.size)] = generator.integers(10)
        pairs += [(first, second), (first, changed), (second, first)]
        for row in augment.sample_transforms(3, generator):
            transform = Transform.from_row(row)
            pairs += [(transform.apply(first), transform.apply(second)), (transform.apply(first), second)]
    assert_same_classes(pairs)


@given(SEEDS, st.integers(0, 7), st.permutations(range(1, 10)))
def test_one_transform_of_both_grids_changes_nothing(seed: int, symmetry: int, palette: list[int]) -> None:
    generator = np.random.default_rng(seed)
    pair = random_grid(generator, 30), random_grid(generator, 30)
    transform = Transform(symmetry, (0, *palette))
    first, second = hashes_of([pair, tuple(map(transform.apply, pair))])
    assert first == second


@pytest.mark.parametrize(
    "other",
    [
        (grid([1, 0]), grid([2, 2])),  # black stays black
        (grid([2, 1]), grid([2, 1])),  # both grids have the same palette
        (grid([0, 1]), grid([1, 1])),  # two colours do not become one
        (grid([1, 0]), grid([2, 1])),  # and the same symmetry
        (grid([2, 1], [1, 2]), grid([1, 1])),
        (grid([1, 1]), grid([0, 1])),  # input and output are not exchanged
        (grid([0, 1]), grid([1], [1])),
    ],
)
def test_what_training_does_not_do_makes_another_pair(other: Sides) -> None:
    here = (grid([0, 1]), grid([2, 1]))
    assert len({*hashes_of([here, other])}) == 2, "as their naive forms"
    assert naive.pair_form(*here) != naive.pair_form(*other)


def test_many_pairs_are_hashed_in_blocks() -> None:
    generator = np.random.default_rng(0)
    pairs = [(random_grid(generator, 30), random_grid(generator, 30)) for _ in range(11)]
    whole = hashes_of(pairs)
    assert hashes_of(pairs, block=4) == whole
    assert [hashes_of([pair])[0] for pair in pairs] == whole
    nothing = pack_grids([])
    assert hash_pairs(nothing, nothing).shape == (0,)
