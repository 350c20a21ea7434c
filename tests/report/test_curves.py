"""Training curves: what is read from broken logs, what is drawn, and that pictures fit any page and hold no foreign markup."""

import math
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.helpers import MARKUP, log_line, messages, write_log, write_run
from trm_arc.common.errors import InputError
from trm_arc.report import plots
from trm_arc.report.curves import POINTS, render_curves, thin
from trm_arc.report.logs import MetricsLog, format_operations, has_log, read_log, summarise, summary_table
from trm_arc.report.plots import write_pictures

says = messages(__name__)


def read_logs(folders: list[Path]) -> list[MetricsLog]:
    return [read_log(folder, folder.name) for folder in folders]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, written down from WCAG 2.2."""

    def luminance(colour: str) -> float:
        shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture
def drawing() -> None:
    pytest.importorskip("matplotlib", reason="the pictures are drawn by matplotlib")


def test_operations_add_up_and_scores_are_placed_on_them(tmp_path: Path) -> None:
    lines = [
        log_line(10, operations=5),
        log_line(20, operations=7),
        {"step": 25, "exact answers": 0.5},
        log_line(30, operations=None),
    ]
    log = read_log(
        write_log(tmp_path / "a", [*lines, log_line(40, operations=8), {"step": 50, "seconds": 99, "exact answers": 0.25}])
    )
    assert log.progress.steps.tolist() == [10, 20, 30, 40]
    assert log.progress.operations.tolist() == [5, 12, 12, 20]
    progress, values = log.scores["exact answers"]
    assert values.tolist() == [0.5, 0.25]
    assert progress.steps.tolist() == [25, 50]
    assert progress.time.tolist() == [50, 99]  # the first on the line through the training lines
    assert progress.operations.tolist() == [12, 20]
    early = read_log(write_log(tmp_path / "b", [{"step": 5, "exact answers": 0.5}, log_line(10, operations=6)]))
    assert early.scores["exact answers"].progress.operations.tolist() == [3]


def test_broken_lines_are_passed_over(tmp_path: Path) -> None:
    broken = [
        b"",
        b"{",
        b"[1]",
        b"3",
        b"null",
        b'"text"',
        b'{"step":',
        log_line("10"),
        log_line(None),
        log_line(-1),
        log_line(True),
        log_line(1e300),
    ]
    broken += [b'{"step": NaN, "loss": 1}', b'{"step": 1e999, "loss": 1}', {"loss": 1.0}, {"step": 3}, b"\xff\xfe"]
    with pytest.raises(InputError, match=says("holds-no-usable-line")) as caught:
        read_log(write_log(tmp_path / "a", broken))
    assert caught.value.file.name == "metrics.jsonl"
    odd = [log_line(10), log_line(20, loss=None, exact="x", learning_rate=-1, seconds=None, operations=1e99)]
    odd += [{"step": 20, "exact answers": None, "right cells": 7, "valid answers": True, "pass@2 of tasks": 0.5}]
    log = read_log(write_log(tmp_path / "a", [*odd, *broken, log_line(30, exact=2.0)]))
    assert log.progress.steps.tolist() == [10, 20, 30]
    assert np.isnan(log.measures["loss"]).tolist() == [False, True, False]
    assert np.isnan(log.measures["exact"]).tolist() == [False, True, True]
    assert list(log.scores) == ["pass@2 of tasks"]
    assert log.progress.operations.tolist() == [3e9, 3e9, 6e9]
    assert "  pass@2 of tasks" in summary_table([log])


def test_logs_without_numbers_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder" / "metrics.jsonl").mkdir(parents=True)
    for folder, reason in [("none", says("no-such-file")), ("empty", says("no-usable-line")), ("folder", says("cannot-be-read"))]:
        if folder == "empty":
            write_log(tmp_path / folder, [{"step": 1, "seconds": 2, "skipped_steps": 0}])
        assert has_log(tmp_path / folder) == (folder == "empty")
        with pytest.raises(InputError, match=reason):
            read_log(tmp_path / folder)


def test_steps_that_a_run_went_back_over_count_once(tmp_path: Path) -> None:
    before = [log_line(step, loss=9.0) for step in (10, 20, 30, 40)] + [{"step": 40, "exact answers": 0.9}]
    after = [log_line(20, loss=1.0), log_line(30, loss=1.0), log_line(30, loss=0.5), {"step": 30, "exact answers": 0.1}]
    log = read_log(write_log(tmp_path / "a", before + after))
    assert log.progress.steps.tolist() == [10, 20, 30]
    assert log.measures["loss"].tolist() == [9, 1, 0.5]
    assert log.progress.operations.tolist() == [3e9, 6e9, 9e9]
    assert log.scores["exact answers"].values.tolist() == [0.1]


@pytest.mark.parametrize("count", [1, 2, 5, 10, 11, 19, 20, 97, 1234])
def test_bins_are_equal_and_their_means_right(count: int) -> None:
    generator = np.random.default_rng(count)
    x, y = np.sort(generator.random(count)), generator.random(count)
    places, means = thin(x, y, 10)
    assert len(places) == len(means) == min(count, 10)
    bounds = [number * count // 10 for number in range(11)] if count > 10 else list(range(count + 1))
    sizes = {end - begin for begin, end in pairwise(bounds)}
    assert max(sizes) - min(sizes) <= 1
    for number, (begin, end) in enumerate(pairwise(bounds)):
        assert means[number] == pytest.approx(sum(y[begin:end]) / (end - begin))
        if 0 < number < len(places) - 1:
            assert places[number] == pytest.approx(sum(x[begin:end]) / (end - begin))
    assert (places[0], places[-1]) == (x[0], x[-1])
    assert (np.diff(places) >= 0).all()


def test_the_table(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "a"),
        write_log(tmp_path / ("long" * 30), [log_line(99_999_999, loss=1e29, seconds=9e8, operations=9e29)]),
    ]
    scores = {"pass@2 of outputs, pooled": 1, "x" * 99: 0.5}
    folders.append(write_log(tmp_path / "scores alone", [{"step": step, **scores} for step in (10**7, 10**12)]))
    logs = read_logs(folders)
    text = summary_table(logs)
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[1].split() == ["a", "120", "4", "min", "0", "s", "36", "GFLOP", "0.301", "25.0%"]
    assert text.splitlines()[2].split() == "exact answers best 50.0% at 120, last 50.0% at 120".split()
    assert text.splitlines()[3].split() == "right cells best 50.0% at 40, last 50.0% at 120".split()
    first = summarise(logs[0])
    assert first[:3] == ("a", 120, 240)
    assert first.operations == 12 * 3e9
    assert first.loss == pytest.approx(math.exp(-1.2))
    assert math.isnan(summarise(logs[2]).operations)
    assert [format_operations(n) for n in (0, 999, 1.5e15, 999.99e9, 1e33)] == [
        "0 FLOP",
        "999 FLOP",
        "1.5 PFLOP",
        "1000 GFLOP",
        "1000 QFLOP",
    ]


@pytest.mark.parametrize("colour", plots.COLOURS)
def test_colours_are_seen_on_light_and_dark_pages(colour: str) -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast(colour, "#ffffff") >= 3
    assert contrast(colour, "#14161a") >= 3


def test_equal_logs_give_equal_bytes(drawing: None, tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    logs = read_logs([write_run(tmp_path / "a"), write_run(tmp_path / "b", slope=0.3)])
    first, [again] = render_curves(logs), render_curves(logs, ["time"])
    assert dict(matplotlib.rcParams) == before
    assert [drawn.axis for drawn in first] == ["steps", "time", "operations"]
    assert (first[1].pictures, first[1].svg) == (again.pictures, again.svg)
    for one in first:
        names = [f"curves-{one.axis}.svg", f"curves-{one.axis}.png"]
        assert list(one.pictures) == names
        assert one.pictures[names[0]].startswith(b"<?xml")
        assert one.pictures[names[1]].startswith(b"\x89PNG")
    assert all(not one.pictures for one in render_curves(logs, ["time"], pictures=False))
    written = write_pictures(first[0].pictures, tmp_path / "out")
    assert [path.read_bytes() for path in written] == list(first[0].pictures.values())


def test_no_state_of_matplotlib_is_shared() -> None:
    for path in Path(plots.__file__).parent.glob("*.py"):
        assert "pyplot" not in path.read_text(encoding="utf-8"), path


def test_users_own_settings_do_not_show(drawing: None, tmp_path: Path) -> None:
    import matplotlib

    logs = read_logs([write_run(tmp_path / "a")])
    default = render_curves(logs, ["steps"])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "svg.fonttype": "path"}):
        other = render_curves(logs, ["steps"])
    assert [drawn.svg for drawn in default] == [drawn.svg for drawn in other]
    assert default[0].pictures == other[0].pictures


def test_svg_stands_in_a_page(drawing: None, tmp_path: Path) -> None:
    drawn = render_curves(read_logs([write_run(tmp_path / "a"), write_run(tmp_path / "b", 30)]), ["steps", "time"])
    seen: set[str] = set()
    for curve in drawn:
        assert curve.svg.startswith("<svg ")
        root = ElementTree.fromstring(curve.svg)
        elements = list(root.iter())
        ids = [element.attrib["id"] for element in elements if "id" in element.attrib]
        assert len(set(ids)) == len(ids)
        assert not seen & set(ids)
        seen |= set(ids)
        links = [element.attrib["href"][1:] for element in elements if "href" in element.attrib]
        clips = [element.attrib["clip-path"][5:-1] for element in elements if "clip-path" in element.attrib]
        assert clips
        assert links
        assert {*links, *clips} <= set(ids)
        assert root.attrib["role"] == "img"
        assert (root[0].tag, root[0].text, root[1].tag) == ("title", curve.title, "desc")
        assert [root.attrib["aria-labelledby"], root.attrib["aria-describedby"]] == [root[0].attrib["id"], root[1].attrib["id"]]
        assert (root.attrib["width"], "height" in root.attrib, "viewBox" in root.attrib) == ("100%", False, True)
        assert not {"style", "metadata", "script", "image"} & {element.tag for element in elements}
        assert not any("style" in element.attrib for element in elements)
        colours = {element.attrib.get(name) for element in elements for name in ("fill", "stroke")}
        assert colours == {None, "none", "currentColor", *plots.COLOURS[:2]}
        texts = [element.text for element in elements if element.tag == "text"]
        assert {"loss", "steps to halt", "evaluation scores, %", "a", "b", "exact answers"} <= set(texts)


class Tags(HTMLParser):
    """Notes what a browser would take for elements and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_text_and_nothing_else(drawing: None, tmp_path: Path) -> None:
    hostile = MARKUP.replace("/", "|")
    folders = [write_run(tmp_path / name) for name in (hostile, "_under", "$\\frac{", "字 🙂", "-->")]
    broken = [log_line(10), {"step": 10, "</svg><b>$": 0.5, "_": 0.1, "\x00": 0.2, "exact answers": 0.5}, log_line(20)]
    drawn = render_curves(read_logs([*folders, write_log(tmp_path / "broken", broken)]), ["steps"])
    for curve in drawn:
        page = Tags()
        page.feed(curve.svg)
        assert page.tags <= {"svg", "title", "desc", "g", "path", "defs", "use", "text", "clippath", "rect"}
        for text in ("$\\frac{", "_under", "字 🙂", "</svg><b>$", "-->", plots.printable(hostile, 40)):
            assert text in page.text
        file = ElementTree.fromstring(curve.pictures[f"curves-{curve.axis}.svg"])
        assert not [element for element in file.iter() if "script" in element.tag]


def test_an_axis_of_which_nothing_is_known_is_left_out(drawing: None, tmp_path: Path) -> None:
    bare = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    drawn = render_curves([read_log(write_log(tmp_path / "bare", bare))])
    assert [curve.axis for curve in drawn] == ["steps"]
    assert "evaluation scores" not in drawn[0].svg
    both = render_curves(read_logs([tmp_path / "bare", write_run(tmp_path / "full")]))
    assert [curve.axis for curve in both] == ["steps", "time", "operations"]
    assert ["bare" in curve.description for curve in both] == [True, False, False]
    assert [">bare<" in curve.svg for curve in both] == [True, False, False]
    assert [plots.COLOURS[0] in curve.svg for curve in both] == [True, False, False]
    assert all(plots.COLOURS[1] in curve.svg for curve in both)  # a run's colour is the same in all figures


EXTREMES = {
    "one line": [log_line(7)],
    "scores alone": [{"step": 5, "exact answers": 0.0}],
    "all zero": [log_line(step, loss=0.0, exact=0.0, halting_steps=0.0, learning_rate=0.0) for step in (1, 2)],
    "huge": [log_line(10**11 * n, loss=10.0 ** (3 * n), operations=1e30, seconds=1e8 * n) for n in range(1, 10)],
    "tiny": [log_line(n, loss=10.0**-n, learning_rate=1e-300, seconds=1e-9 * n, operations=1e-5) for n in range(1, 9)],
    "negative": [log_line(n, loss=-(10.0 ** (3 * n))) for n in range(1, 10)],
    "clock back": [log_line(n, seconds=100.0 - n) for n in range(1, 10)],
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extremes_are_drawn(drawing: None, tmp_path: Path, name: str) -> None:
    log = read_log(write_log(tmp_path / "run", EXTREMES[name]))
    assert render_curves([log], ["time" if name == "clock back" else "steps"])
    assert len(summary_table([log]).splitlines()[1]) <= 80


def test_a_loss_over_powers_of_ten_is_drawn_by_them(drawing: None, tmp_path: Path) -> None:
    texts = {}
    for name, slope in (("flat", 0.01), ("steep", 0.6)):
        [drawn] = render_curves([read_log(write_run(tmp_path / name, slope=slope))], ["steps"])
        texts[name] = [element.text for element in ElementTree.fromstring(drawn.svg).iter("text")]
    assert {"0.001", "0.01"} & set(texts["steep"])
    assert {"0.95", "0.9"} & set(texts["flat"])


def test_long_runs_stay_small(drawing: None, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((20_000, 3))
    lines = [log_line(step, loss=a, exact=b, halting_steps=c) for step, (a, b, c) in enumerate(noise.tolist())]
    log = read_log(write_log(tmp_path / "long", lines))
    [drawn] = render_curves([log], ["steps"])
    longest = max(element.attrib["d"].count("L") for element in ElementTree.fromstring(drawn.svg).iter("path"))
    assert 50 < longest < POINTS
    assert len(drawn.svg) < 150_000


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = read_log(write_run(tmp_path / "a"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert not plots.has_matplotlib()
    with pytest.raises(InputError, match=says("pip-install-trm-arc")):
        render_curves([log])
    assert not (tmp_path / "out").exists()
