"""Grids in the report's page: texts that one program (`templates/grids.js`) draws in the browser."""

from importlib.resources import files

import numpy as np

from trm_arc.data.task import Grid

_DIGITS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", np.uint8)


def encode(grid: Grid) -> str:
    """A grid as text: a character a cell, rows between bars; `?` for a cell of no value."""
    known = np.where(grid < len(_DIGITS), _DIGITS[np.minimum(grid, len(_DIGITS) - 1)], ord("?")).astype(np.uint8)
    return "|".join(row.tobytes().decode() for row in known)


def read_template(name: str) -> str:
    """The text of a file that a page is made of."""
    return (files("trm_arc.report") / "templates" / name).read_text(encoding="utf-8")
