"""Cost to score: which runs have a curve of it, and the picture of ladders beside published systems."""

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.helpers import MARKUP, log_line, write_log, write_run
from trm_arc.report.cost_chart import Cost, CostRow, render_costs, write_costs
from trm_arc.report.logs import read_log

pytest.importorskip("matplotlib", reason="the pictures are drawn by matplotlib")


def texts(svg: str) -> set[str | None]:
    """What is written in a picture."""
    return {element.text for element in ElementTree.fromstring(svg).iter() if element.tag == "text"}


def test_scores_of_runs_are_drawn_against_both_costs(tmp_path: Path) -> None:
    logs = [read_log(write_run(tmp_path / name, count)) for name, count in (("a", 12), ("b", 40))]
    [drawn] = render_costs(logs)
    assert (drawn.axis, list(drawn.pictures)) == ("cost", ["curves-cost.svg", "curves-cost.png"])
    assert {"a", "b", "exact answers", "right cells", "1e11"} <= texts(drawn.svg)  # b's 40 lines take 1.2e11
    assert {"hours of training", "operations of training, FLOP", "0.1"} <= texts(drawn.svg)
    assert render_costs(logs) == [drawn]
    assert render_costs(logs, pictures=False)[0].pictures == {}


def test_what_is_no_curve_or_costs_nothing_is_left_out(tmp_path: Path) -> None:
    alone = read_log(write_log(tmp_path / "alone", [log_line(10), {"step": 10, "exact answers": 0.5}]))
    early = [{"step": 0, "seconds": 0.0, "exact answers": 0.1}, {"step": 10, "seconds": 20.0, "exact answers": 0.5}]
    assert render_costs([]) == render_costs([alone]) == render_costs([read_log(write_log(tmp_path / "early", early))]) == []
    assert (
        len(render_costs([alone, read_log(write_log(tmp_path / "b", [log_line(20), {"step": 20, "exact answers": 0.6}]))])) == 1
    )
    timed = [{"step": step, "seconds": 2.0 * step, "exact answers": 0.1} for step in (10, 20)]
    [drawn] = render_costs([read_log(write_log(tmp_path / "timed", timed))])
    assert not any("operations" in str(text) for text in texts(drawn.svg))
    assert "hours of training" in texts(drawn.svg)


def test_the_picture_of_ladders_is_equal_for_equal_costs(tmp_path: Path) -> None:
    costs = [Cost("base", (0.0,), 1e14, 0.3), Cost(MARKUP, (5.0, 7.0), 2e14, 0.3), Cost("zero", (0.0, 0.0), 1e14, 0.3)]
    marked = [
        Cost("known", (90.0,), 1e20, 36, ("hours", "operations"), "there"),
        Cost("no card", (80.0,), math.nan, 1, ("operations",)),
    ]
    rows = [CostRow("one", [("a", costs), ("b", costs[:1])], marked), CostRow("two", [("a", costs[:1])], [])]
    for name in ("a.png", "b.png"):
        write_costs(rows, "title", tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    write_costs(rows[:1], "title", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
