"""Grids as pictures for a notebook: what is drawn, what it is called, and that data never becomes markup."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.helpers import grid, make_puzzles, make_tasks
from trm_arc.data.domains import Drawing
from trm_arc.data.pictures import COLOURS, describe_grid, render_section, render_sections, render_titled
from trm_arc.data.task import Pair, Task, TaskSet

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
SHOWN = grid([1, 1, 2], [1, 0, 0])


def parse(text: str) -> ElementTree.Element:
    """The picture as XML; wrong markup fails."""
    return ElementTree.fromstring(f"<body>{text}</body>")


def test_cells_are_filled_by_colour_and_wrong_ones_framed() -> None:
    [svg] = parse(render_titled("title", SHOWN, truth=grid([1, 1, 2], [1, 9, 9]))).iter("svg")
    assert svg.attrib["aria-label"] == "2 x 3, 2 wrong cells"
    filled = {path.attrib["fill"]: path.attrib["d"] for path in svg if "fill" in path.attrib and "d" in path.attrib}
    assert filled[COLOURS[1]] == "M0 0h2v1h-2zM0 1h1v1h-1z", "equal neighbours together"
    frames = [(rect.attrib["x"], rect.attrib["y"]) for rect in svg.iter("rect")]
    assert frames == [("1.12", "1.12")] * 2 + [("2.12", "1.12")] * 2, "light and dark"


@pytest.mark.parametrize(
    ("shown", "truth", "words"),
    [
        (SHOWN, SHOWN, "2 x 3, right"),
        (SHOWN, SHOWN[:1], "2 x 3, wrong size"),
        (SHOWN, SHOWN ^ [[1, 0, 0], [0, 0, 0]], "2 x 3, 1 wrong cell"),
        (SHOWN, None, "2 x 3"),
        (SHOWN[:0], SHOWN, "no grid"),
    ],
    ids=str,
)
def test_a_grid_in_words(shown: np.ndarray, truth: np.ndarray | None, words: str) -> None:
    assert describe_grid(shown, truth) == words
    assert words in render_titled("title", shown, truth=truth)


def test_boards_are_drawn_by_their_kind() -> None:
    for name, mark in (("sudoku-4x4-easy", "text"), ("maze-5x5", "circle")):
        puzzles = make_puzzles(name, 1, 3)
        drawn = parse(render_titled("title", puzzles.answers[0], puzzles.domain.drawing, question=puzzles.questions[0]))
        marks = [*drawn.iter(mark)]
        assert len(marks) == (16 if mark == "text" else int((puzzles.answers[0] == 4).sum()))
        if mark == "text":
            assert sum(one.attrib["font-weight"] == "700" for one in marks) == int((puzzles.questions[0] > 0).sum()), "clues"
            assert "currentColor" in render_titled("", puzzles.questions[0], puzzles.domain.drawing), "for light and dark pages"
    unknown = np.full((2, 2), 255, np.uint8)
    for drawing in (Drawing("colours"), Drawing("symbols", ".12"), Drawing("maze")):
        assert len([*parse(render_titled("title", unknown, drawing)).iter("svg")]) == 1


def test_names_are_text() -> None:
    for text in (
        render_section(HOSTILE, [render_titled(HOSTILE, SHOWN)], HOSTILE),
        render_sections(HOSTILE, [(HOSTILE, [(HOSTILE, SHOWN, None)])]),
    ):
        assert HOSTILE in "".join(parse(text).itertext())
        assert "<img" not in text


def test_tasks_sets_and_puzzles_show_themselves() -> None:
    tasks = make_tasks(14, 1)
    whole = parse(tasks._repr_html_())
    assert len([*whole.iter("svg")]) == 2 * 12
    assert "and 2 more" in "".join(whole.itertext())
    task = Task(HOSTILE, tasks[1].train, (Pair(SHOWN), Pair(SHOWN, SHOWN)))
    assert len([*parse(task._repr_html_()).iter("svg")]) == 2 * 3 + 1 + 2
    assert "<img" not in TaskSet([task], HOSTILE)._repr_html_()
    assert not re.search("<svg", TaskSet([], "none")._repr_html_())
    puzzles = make_puzzles("sudoku-4x4-easy", 6, 1)
    assert len([*parse(puzzles._repr_html_()).iter("svg")]) == 2 * 4
