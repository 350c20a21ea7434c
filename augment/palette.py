"""Palettes: permutations of the ten colours that keep black (colour 0) where it is."""

import numpy as np

from augment.grids import COLOURS

IDENTITY_PALETTE = tuple(range(COLOURS))


def sample_palettes(count: int, generator: np.random.Generator) -> np.ndarray:
    """Sample palettes uniformly, with repetition.

    Returns:
        uint8 array (count, 10); row r maps colour c to r[c], and r[0] is 0.
    """
    palettes = np.tile(np.arange(COLOURS, dtype=np.uint8), (count, 1))
    palettes[:, 1:] = generator.permuted(palettes[:, 1:], axis=1)
    return palettes


def check_palette(palette: tuple[int, ...]) -> None:
    """Raise ValueError unless `palette` is a permutation of 0 to 9 with black in its place."""
    if sorted(palette) != list(range(COLOURS)):
        raise ValueError(f"a palette holds each colour from 0 to {COLOURS - 1} once, got {tuple(palette)}")
    if palette[0] != 0:
        raise ValueError(f"a palette keeps black (colour 0) where it is, got {tuple(palette)}")
