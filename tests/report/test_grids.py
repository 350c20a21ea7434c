"""A grid as HTML for notebooks: its colours, its marks, and what it is called."""

import re

import numpy as np

from trm_arc.report.grids import render_html


def test_a_grid_is_drawn_with_its_wrong_cells_framed() -> None:
    grid = np.array([[1, 1, 2], [1, 0, 0]], np.uint8)
    shown = render_html("<b>", grid, np.array([[1, 1, 2], [3, 0, 4]], np.uint8))
    assert '<path d="M0 0h2v1h-2zM0 1h1v1h-1z" fill="rgb(0, 116, 217)"/>' in shown, "equal neighbours together"
    assert 'aria-label="&lt;b&gt;, 2 x 3, 2 wrong cells"' in shown
    assert "<b>" not in shown
    frames = re.findall(r'd="(\S+ \S+?)h\.76v\.76h-\.76z(M\S+ \S+?)h', shown)
    assert frames == [("M0.12 1.12", "M2.12 1.12")] * 2, "light and dark"
    assert "right" in render_html("a", grid, grid)
    assert "wrong size" in render_html("a", grid, grid[:1])
    assert ".76" not in render_html("a", grid, grid[:1]) + render_html("a", grid)
    assert "<svg" not in render_html("a", grid[:0])
    assert "no grid" in render_html("a", grid[:0])
