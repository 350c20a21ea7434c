"""Grids as pictures in HTML for a notebook: SVG that needs no program, and takes the colours of text from the page around it."""

import html
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from trm_arc.data.domains import Drawing

# The colours of the ARC website.
RGB = (
    (0, 0, 0),
    (0, 116, 217),
    (255, 65, 54),
    (46, 204, 64),
    (255, 220, 0),
    (170, 170, 170),
    (240, 18, 190),
    (255, 133, 27),
    (127, 219, 255),
    (135, 12, 37),
)
COLOURS = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in RGB]
ARC_DRAWING = Drawing("colours")
ROOM = 170  # pixels of a picture's longer side, about
_LINE, _ANSWER, _UNKNOWN = "#6b7280", "#2f7fd6", "#ff00ff"  # of middling lightness: seen on white and on near-black


def describe_grid(grid: np.ndarray, truth: np.ndarray | None = None) -> str:
    """The size of a grid, and how it differs from the truth where that is known."""
    if not grid.size:
        return "no grid"
    size = " x ".join(map(str, grid.shape))
    if truth is None:
        return size
    if truth.shape != grid.shape:
        return f"{size}, wrong size"
    wrong = int((grid != truth).sum())
    return f"{size}, {wrong} wrong cell{'s' * (wrong != 1)}" if wrong else f"{size}, right"


def render_titled(
    title: str,
    grid: np.ndarray,
    drawing: Drawing = ARC_DRAWING,
    *,
    question: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    room: int = ROOM,
) -> str:
    """A grid as an SVG element, nothing for an empty one, below its title and its size.

    Args:
        title: plain text.
        grid: uint8 (rows, columns).
        question: uint8 (rows, columns), whose values are drawn as given.
        truth: cells that differ from it are framed, if it has the same size.
        room: pixels of the longer side, about.
    """
    words, picture = describe_grid(grid, truth), ""
    if grid.size:
        rows, columns = grid.shape
        size = max(3, min(26, room // max(rows, columns, 6)))
        draw = {"colours": _render_colours, "symbols": _render_symbols, "maze": _render_maze}[drawing.style]
        inner = "#000" if drawing.style == "colours" else "#d1242f"
        shapes = "".join([*draw(grid, drawing, question), *_frame(grid, truth, inner)])
        place = f'viewBox="-0.05 -0.05 {columns + 0.1} {rows + 0.1}" width="{columns * size + 2}" height="{rows * size + 2}"'
        picture = f'<svg {place} role="img" aria-label="{words}" style="display:block;max-width:100%">{shapes}</svg>'
    caption = f'<figcaption style="font-size:.85em;margin-bottom:2px"><strong>{html.escape(title)}</strong> {words}</figcaption>'
    return f'<figure style="margin:0;max-width:100%">{caption}{picture}</figure>'


def render_pair(first: str, second: str) -> str:
    """Two figures with an arrow between them."""
    box = f"display:flex;gap:4px 8px;align-items:center;border:1px solid {_LINE};border-radius:6px;padding:4px 8px;max-width:100%"
    return f'<div style="{box}">{first}<span>&#8594;</span>{second}</div>'


def render_section(title: str, figures: Iterable[str], note: str = "") -> str:
    """Figures side by side below a title, as many in a row as there is room for."""
    flow = f'<div style="display:flex;flex-wrap:wrap;gap:10px 20px;align-items:flex-start">{"".join(figures)}</div>'
    below = f'<div style="font-size:.85em;margin-top:4px">{html.escape(note)}</div>' if note else ""
    head = f'<div style="font-weight:600;margin-bottom:4px">{html.escape(title)}</div>'
    return f'<div style="margin:6px 0 14px">{head}{flow}{below}</div>'


def _runs(grid: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Equal neighbours in a row: row, first column, column after the last, value."""
    for row, cells in enumerate(grid.tolist()):
        edges = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), len(cells)]
        for begin, end in pairwise(edges):
            yield row, begin, end, cells[begin]


def _fill(grid: np.ndarray, fills: dict[int, str]) -> list[str]:
    """Cells filled by their values; those of other values stay as they are."""
    paths: dict[int, str] = {}
    for row, begin, end, value in _runs(grid):
        paths[value] = paths.get(value, "") + f"M{begin} {row}h{end - begin}v1h{begin - end}z"
    return [f'<path d="{path}" fill="{fills[value]}"/>' for value, path in paths.items() if value in fills]


def _lines(rows: int, columns: int, step: tuple[int, int], colour: str, width: float) -> str:
    across = "".join(f"M0 {row}h{columns}" for row in range(0, rows + 1, step[0]))
    down = "".join(f"M{column} 0v{rows}" for column in range(0, columns + 1, step[1]))
    return f'<path d="{across}{down}" stroke="{colour}" stroke-width="{width}" fill="none"/>'


def _write(row: int, column: int, text: str, colour: str, size: float = 0.6, weight: int = 400) -> str:
    place = f'x="{column + 0.5}" y="{row + 0.5 + 0.34 * size:.2f}" font-size="{size}" font-weight="{weight}"'
    return f'<text {place} text-anchor="middle" fill="{colour}">{html.escape(text)}</text>'


def _render_colours(grid: np.ndarray, _drawing: Drawing, _question: np.ndarray | None) -> list[str]:
    fills = dict.fromkeys(range(256), _UNKNOWN) | dict(enumerate(COLOURS))
    return [*_fill(grid, fills), _lines(*grid.shape, (1, 1), _LINE, 0.05)]


def _render_symbols(grid: np.ndarray, drawing: Drawing, question: np.ndarray | None) -> list[str]:
    rows, columns = grid.shape
    shapes = [_lines(rows, columns, (1, 1), _LINE, 0.03), _lines(rows, columns, drawing.box or grid.shape, "currentColor", 0.07)]
    for (row, column), value in np.ndenumerate(grid):
        given = question is None or question[row, column] > 0
        look = {"colour": "currentColor" if given else _ANSWER, "weight": 700 if given else 400}
        text = drawing.characters[value] if value < len(drawing.characters) else "?"
        shapes += [_write(row, column, text, **look)] if value else []
    return shapes


def _render_maze(grid: np.ndarray, _drawing: Drawing, _question: np.ndarray | None) -> list[str]:
    rows, columns = grid.shape
    unknown = dict.fromkeys(range(5, 256), _UNKNOWN)
    shapes = [*_fill(grid, {0: _LINE} | unknown), _lines(rows, columns, (rows, columns), _LINE, 0.05)]
    shapes += [f'<circle cx="{c + 0.5}" cy="{r + 0.5}" r="0.28" fill="{_ANSWER}"/>' for r, c in np.argwhere(grid == 4).tolist()]
    for value, letter in ((2, "S"), (3, "G")):
        shapes += [_write(row, column, letter, "currentColor", 0.9, 700) for row, column in np.argwhere(grid == value).tolist()]
    return shapes


def _frame(grid: np.ndarray, truth: np.ndarray | None, inner: str) -> list[str]:
    """Frames around cells that differ from the truth: light and dark, to be seen on any colour; the cell's own stays in sight."""
    if truth is None or truth.shape != grid.shape:
        return []
    box = 'width="0.76" height="0.76" fill="none"'
    looks = ('stroke="#fff" stroke-width="0.24"', f'stroke="{inner}" stroke-width="0.1"')
    wrong = np.argwhere(grid != truth).tolist()
    return [f'<rect x="{column + 0.12}" y="{row + 0.12}" {box} {look}/>' for row, column in wrong for look in looks]


def render_sections(
    heading: str, sections: Sequence[tuple[str, Sequence[tuple[str, np.ndarray, np.ndarray | None]]]] = ()
) -> str:
    """Titled sections of ARC grids below a heading.

    Args:
        heading: plain text.
        sections: of each its title, and the names and grids below it; cells that differ from a grid's truth are framed.
    """
    drawn = [
        render_section(title, [render_titled(name, grid, truth=truth) for name, grid, truth in grids])
        for title, grids in sections
    ]
    return f"<p>{html.escape(heading)}</p>{''.join(drawn)}"
