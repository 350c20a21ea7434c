"""Grids for a notebook: drawn in a frame by the program of the report's page, and what they are called."""

from collections.abc import Callable

import numpy as np

from trm_arc.report.grids import encode, frame_grids

HOSTILE = '</script><script>alert(1)</script>"><b>'


def test_a_notebook_shows_grids_with_their_wrong_cells_framed(opened: Callable) -> None:
    grid, truth = np.array([[1, 1, 2], [1, 0, 0]], np.uint8), np.array([[1, 1, 2], [3, 0, 4]], np.uint8)
    grids = [
        (HOSTILE, grid, truth),
        ("same", grid, grid),
        ("size", grid, grid[:1]),
        ("alone", grid, None),
        ("none", grid[:0], grid),
    ]
    sections = [(HOSTILE, grids), ("second", [("tall", np.zeros((30, 2), np.uint8), None)])]
    page = opened(frame_grids(HOSTILE, sections))
    assert page.inner_text("p") == HOSTILE
    frame = page.frame_locator("iframe")
    assert frame.locator("h3").all_inner_texts() == [HOSTILE, "second"]
    found = ["2 x 3, 2 wrong cells", "2 x 3, right", "2 x 3, wrong size", "2 x 3", "no grid", "30 x 2"]
    names = [name for _, grids in sections for name, *_ in grids]
    words = [text.replace("\u00d7", "x") for text in frame.locator("figcaption").all_inner_texts()]
    assert words == [f"{name} {text}" for name, text in zip(names, found, strict=True)]
    first, marks = frame.locator("svg").first, "all => all.map(svg => svg.querySelectorAll('rect').length)"
    assert first.get_attribute("aria-label") == f"{HOSTILE}, 2 \u00d7 3, 2 wrong cells"
    assert frame.locator("svg").evaluate_all(marks) == [4, 0, 0, 0, 0], "light and dark"
    blue = [first.locator("path").first.get_attribute(name) for name in ("d", "fill")]
    assert blue == ["M0 0h2v1h-2zM0 1h1v1h-1z", "#0074d9"], "equal neighbours together"
    whole, seen = frame.locator("html").evaluate("root => [root.scrollHeight, innerHeight]")
    assert whole == seen, "the frame is as high as what it holds"


def test_a_page_without_grids_is_its_heading() -> None:
    assert frame_grids("<b>") == "<p>&lt;b&gt;</p>"


def test_a_grid_as_text() -> None:
    assert encode(np.array([[0, 10], [35, 255]], np.uint8)) == "0a|z?"
