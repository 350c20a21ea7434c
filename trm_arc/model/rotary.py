"""Rotary position encodings: the cosine and sine of the rotation of every token of a window."""

from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from trm_arc.common.device import NARROW
from trm_arc.config import ModelConfig

ROTARY_BASE = 10000.0
Tables = tuple[Tensor, Tensor]


def find_tables(config: ModelConfig, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tables | None:
    """Cosine and sine, each (L, 1, 1, D / heads), of the rotation of every token of the window; computed once for each.

    A rotation takes (a, b) to (a cos - b sin, b cos + a sin), a and b being the halves of a head.  The sign is put into the
    sine here, so that a roll by half a head is all that is left to do.
    """
    if config.positions == "none":
        return None
    # What the compiler traces must not depend on what was cached before.
    find = _make_tables if torch.compiler.is_compiling() else _cached_tables
    head_width = config.width // config.heads
    return find(config.positions, config.prefix, rows, columns, config.board_columns, head_width, dtype, device)


@lru_cache(maxsize=64)
def _cached_tables(*arguments: Any) -> Tables:
    with torch.inference_mode(False):  # else training could not use what an evaluation has made
        return _make_tables(*arguments)


def _make_tables(
    positions: Literal["rotary-1d", "rotary-2d"],
    prefix: int,
    rows: int,
    columns: int,
    board_columns: int,
    head_width: int,
    dtype: torch.dtype,
    target: torch.device,
) -> Tables:
    # float64, as long tables of float32 angles would differ from the exact ones in the last digits
    device = torch.device("cpu") if target.type in NARROW else target
    row, column = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64, device=device),
        torch.arange(columns, dtype=torch.float64, device=device),
        indexing="ij",
    )
    if positions == "rotary-1d":  # prefix and board in one line, cells where the full board has them
        before = torch.arange(prefix, dtype=torch.float64, device=device)
        position = torch.cat((before, prefix + (row * board_columns + column).flatten()))[:, None]
        angles = position * _frequencies(head_width, device)
    elif positions == "rotary-2d":  # half of the frequencies turn with the row, half with the column
        frequencies = _frequencies(head_width // 2, device)
        board = torch.cat((row.reshape(-1, 1) * frequencies, column.reshape(-1, 1) * frequencies), dim=1)
        angles = torch.cat((board.new_zeros(prefix, head_width // 2), board))
    else:
        raise ValueError(f"no such positions: {positions}")
    cos, sin = angles.cos(), angles.sin()
    tables = torch.cat((cos, cos), dim=1), torch.cat((-sin, sin), dim=1)
    return tuple(table[:, None, None].to(target, dtype) for table in tables)


def _frequencies(width: int, device: torch.device) -> Tensor:
    return ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
