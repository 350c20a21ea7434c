"""Rows at a time: how many a device has memory for, predicted from what a step keeps of each for its backward pass."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from augment import Window
from trm_arc.config import Config, ModelConfig
from trm_arc.training.cost import count_kept

# A step takes more than the counted bytes: its gradients on their way (at most 11 percent in our presets, held by a test), and
# about as much again is left for what is not counted, the space that kernels ask for and the rounding of torch's allocator.
MARGIN = 1.25
NETWORKS = 7  # its sizes that steps take: gradients, two moments, two temporary ones, a sum of processes, a copy to compare


class RowFit(NamedTuple):
    """What there is memory for in a size bucket.

    Attributes:
        rows: at a time, with a margin; pieces of a batch are about equal.
        most: at a time, without.
    """

    rows: int
    most: int


def fit_rows(
    config: Config, windows: Sequence[Window], share: int, rows: int, free: float | None, network: int, dtype: torch.dtype
) -> list[RowFit]:
    """How many rows of each window to compute at a time.

    Args:
        share: rows of the batch that are this process's.
        rows: at a time, at most.
        free: bytes; None if nobody knows, then all rows fit.
        network: bytes of the network.
    """
    carried = [carried_bytes(config.model, window, share, dtype) for window in windows]
    reserved = NETWORKS * network + sum(carried) + 2 * max(carried)  # of one bucket also the initial states and the next ones
    fits = {}
    for window in sorted(windows, key=lambda window: window.cells, reverse=True):
        if free is None or any(fit.rows == rows for fit in fits.values()):  # a larger window fits
            fits[window] = RowFit(rows, rows)
            continue
        kept = count_kept(config, window, rows, dtype) / rows
        with_margin, most = (int(min(rows, max(1, (space - reserved) / kept))) for space in (free / MARGIN, free))
        fits[window] = RowFit(_even(rows, with_margin), most)
    return [fits[window] for window in windows]


def carried_bytes(model: ModelConfig, window: Window, rows: int, dtype: torch.dtype) -> int:
    """Bytes of the states of active samples."""
    states = rows * model.latents * (1 + model.states)
    return states * (model.prefix + window.cells) * model.width * dtype.itemsize


def describe_rows(windows: Sequence[Window], pieces: Sequence[int], rows: int) -> str:
    """How many rows are computed at a time, if those of some windows are fewer than `rows`; else nothing."""
    fewer = [
        f"{piece} of {window.rows} x {window.columns}" for window, piece in zip(windows, pieces, strict=True) if piece < rows
    ]
    return (
        f"samples at a time: {', '.join(fewer)}, as there is no memory for {rows}; the batch size is unchanged" if fewer else ""
    )


def _even(rows: int, most: int) -> int:
    """The size of as few pieces as there can be of at most `most` rows, about equal; compiled code, which needs them of one size,
    makes more of them (`even_pieces`)."""
    return -(-rows // -(-rows // most))
