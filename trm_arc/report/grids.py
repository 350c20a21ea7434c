"""Grids in HTML, for the report's page and for notebooks: texts that one program (`templates/grids.js`) draws in the browser."""

import html
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from trm_arc.data.task import Grid
from trm_arc.report.terminal import RGB

COLOURS = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in RGB]
_DIGITS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", np.uint8)


def encode(grid: Grid) -> str:
    """A grid as text: a character a cell, rows between bars; `?` for a cell of no value."""
    known = np.where(grid < len(_DIGITS), _DIGITS[np.minimum(grid, len(_DIGITS) - 1)], ord("?")).astype(np.uint8)
    return "|".join(row.tobytes().decode() for row in known)


def read_template(name: str) -> str:
    """The text of a file that a page is made of."""
    return (files("trm_arc.report") / "templates" / name).read_text(encoding="utf-8")


def frame_grids(heading: str, sections: Sequence[tuple[str, Sequence[tuple[str, Grid, Grid | None]]]] = ()) -> str:
    """HTML for a notebook that needs no other file: a heading, and a frame of ARC grids, which keeps to itself what it defines.

    Args:
        heading: plain text, which is read where no script may run, too.
        sections: of each its title, and the names and grids below it; cells that differ from a grid's truth are framed.
    """
    top = f"<p>{html.escape(heading)}</p>"
    if not sections:
        return top
    drawn = [
        (title, [(name, encode(grid), None if truth is None else encode(truth)) for name, grid, truth in grids])
        for title, grids in sections
    ]
    data = json.dumps({"style": "colours", "colours": COLOURS, "sections": drawn}).replace("<", "\\u003c")
    program = read_template("grids.js") + read_template("sections.js")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Grids</title><style>{read_template("page.css")}</style>'
        f'<script type="application/json" id="data">{data}</script><body><script>{program}</script>'
    )
    return f'{top}<iframe srcdoc="{html.escape(page)}" title="Grids" style="width:100%;height:600px;border:0"></iframe>'
