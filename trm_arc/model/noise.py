"""Random numbers of the rows of a batch, each row its own: the same in whatever pieces the batch is computed.

On a CPU every row has a generator.  On an accelerator that would be as many kernels as rows in every call of the network, so
there each number is a hash of (the row's seed, the call, the place), and one draw makes those of all rows.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

PIECE = 1 << 24  # numbers at a time where the operators are not fused, as each takes eight bytes on the way
_PLACES, _CALLS = -7046029254386353131, -4417276706812531889  # odd, as a hash of 64 bits needs them
_FACTORS = (30, -4658895280553007687), (27, -7723592293110705685)
# Source of the constants: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64).

Source = Sequence[torch.Generator | None] | Tensor
Hashed = Callable[[Tensor, list[int], torch.dtype], Tensor]


def make_source(seeds: Sequence[int | None], device: torch.device) -> Source:
    """What draws the numbers of each row, by its seed (of 63 bits); a row without a seed gets zeros."""
    if device.type == "cpu":
        return [None if seed is None else torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.tensor([-1 if seed is None else seed for seed in seeds], dtype=torch.int64).to(device)


def take_rows(source: Source, on: Tensor) -> Source:
    """The source of some rows alone.

    Args:
        on: bool (B,).
    """
    if isinstance(source, Tensor):
        return source[on]
    return [each for each, keep in zip(source, on.tolist(), strict=True) if keep]


def next_pass(source: Source | None) -> Source | None:
    """The source of a second pass of the network over the same rows, whose numbers are others; generators go on by themselves."""
    return source ^ (1 << 62) if isinstance(source, Tensor) else source


def sample_normal(
    source: Source, call: int, shape: Sequence[int], dtype: torch.dtype, deviation: float = 1.0, hashed: Hashed | None = None
) -> Tensor:
    """Normal numbers (B, *shape).

    Args:
        call: number of the draw of these rows.
        shape: of a row.
        hashed: `hash_normal`, or the same function compiled.
    """
    if isinstance(source, Tensor):
        drawn = (hashed or hash_normal)(keys_of(source, call), list(shape), dtype)
        return drawn * (deviation * (source >= 0)).to(dtype).view(-1, *(1,) * len(shape))
    rows = [torch.zeros(shape, dtype=dtype) for _ in source]
    return torch.stack([r if g is None else r.normal_(0, deviation, generator=g) for r, g in zip(rows, source, strict=True)])


def keys_of(source: Tensor, call: int) -> Tensor:
    """What the numbers of a draw are hashes of, for each row."""
    return mix(source + _signed((call + 1) * _CALLS))


def hash_normal(keys: Tensor, shape: list[int], dtype: torch.dtype, piece: int = PIECE) -> Tensor:
    """Standard normal numbers (B, *shape) by keys (B,)."""
    return ((2 * hash_uniform(keys, shape, piece) - 1).erfinv() * 2**0.5).to(dtype)


def hash_uniform(keys: Tensor, shape: list[int], piece: int = PIECE) -> Tensor:
    """Numbers above 0 and below 1, float32 (B, *shape), by keys (B,); `piece` of them at a time, or a row."""
    count = 1
    for side in shape:
        count *= side
    places = torch.arange(1, count + 1, device=keys.device) * _PLACES
    rows = len(keys) if torch.compiler.is_compiling() else max(1, piece // max(1, count))
    parts = [_to_uniform(mix(keys[begin : begin + rows, None] + places)) for begin in range(0, len(keys), rows)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(len(keys), *shape)


def mix(numbers: Tensor) -> Tensor:
    """Mix the bits of int64 numbers, so that equal differences leave no pattern."""
    for shift, factor in _FACTORS:
        numbers = (numbers ^ _right(numbers, shift)) * factor
    return numbers ^ _right(numbers, 31)


def _right(numbers: Tensor, shift: int) -> Tensor:
    """A shift to the right that fills up with zeros, which int64's own does not below zero."""
    return (numbers >> shift) & ((1 << (64 - shift)) - 1)


def _signed(number: int) -> int:
    """The lowest 64 bits of a number, as int64 has them."""
    return (number + 2**63) % 2**64 - 2**63


def _to_uniform(numbers: Tensor) -> Tensor:
    """The middle of one of 2^23 equal parts between 0 and 1, which float32 holds exactly."""
    return (_right(numbers, 41).float() + 0.5) * 2.0**-23
