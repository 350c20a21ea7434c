"""The report as a person meets it: in a real browser, on a phone, with the keyboard, with a screen reader, with hostile names."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest

from tests.helpers import make_puzzles, make_tasks, messages
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_set import join_puzzles
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.outcomes import count_outcomes, score_tests
from trm_arc.evaluation.result_files import write_results
from trm_arc.evaluation.results import Results, ResultsMetadata, make_results
from trm_arc.evaluation.score import pass_at
from trm_arc.evaluation.traces import Frame, Trace
from trm_arc.inference.votes import Candidate
from trm_arc.model.export import load_newest
from trm_arc.report.contents import ROOM, Contents
from trm_arc.report.logs import read_log
from trm_arc.report.making import Subject, find_subject, list_logs, report_evaluation, write_report
from trm_arc.report.page import make_page

says = messages(__name__)

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    '" onmouseover="alert(3)',
    "{{ 7 * 7 }}",
    "<!--<script>",
    "'-alert(4)-'",
)


def answer(tasks: TaskSet, seed: int = 0) -> Results:
    """An evaluation of every kind of outcome, in turn."""
    generator = np.random.default_rng(seed)
    ranked = []
    for number, truth in enumerate(tasks.truths):
        kind = number % 6  # first, second, pool, never, wrong size, silent
        wrong = [np.where(generator.random(truth.shape) < 0.2, (truth + 1 + n) % 10, truth).astype(np.uint8) for n in range(3)]
        wrong = [grid if (grid != truth).any() else (truth + 1) % 10 for grid in wrong]
        grids = [*wrong[: min(kind, 2)], truth] if kind < 3 else wrong[:2] if kind == 3 else [np.pad(truth, ((0, 1), (0, 0)))]
        distinct = {grid.tobytes() + bytes(grid.shape): grid for grid in (grids if kind < 5 else [])}
        seats = np.split(np.arange(80) // 10, (40, 72))[: len(distinct)]  # of 80 views, ten under each symmetry
        ranked.append(
            [
                Candidate(grid, len(seat), 0.9, tuple(np.bincount(seat, minlength=8).tolist()))
                for grid, seat in zip(distinct.values(), seats, strict=True)
            ]
        )
    made = ResultsMetadata(checkpoint="runs/x", data=tasks.name, views=80)
    return make_results(made, tasks, ranked, np.full((len(ranked), 8), 10))


def form(results: Results, names: list[str]) -> list[Trace]:
    """Answers that form in two steps of two cycles."""
    grid = results.answers[0].candidates[0].grid
    frames = [Frame(1, 1, False, np.empty((0, 0), np.uint8), 0.1), Frame(1, 2, True, grid[:1], 0.3)]
    return [Trace(name, [*frames, Frame(2, 1, False, grid, 0.6), Frame(2, 2, True, grid, 0.9)]) for name in names]


def answer_tasks(count: int) -> Results:
    """Tasks of two sizes, some of ConceptARC's names, answered in every way if there are four at least."""
    made = make_tasks(count, 3)
    return answer(TaskSet([Task(f"Copy{n}" if n % 3 else task.id, task.train, task.test) for n, task in enumerate(made)], "made"))


@pytest.fixture(scope="module")
def results() -> Results:
    return answer_tasks(18)


@pytest.fixture(scope="module")
def page_text(results: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_whole_page(results, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def small_page_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All kinds of elements, few of each."""
    return make_whole_page(answer_tasks(4), tmp_path_factory.mktemp("small"))


def make_whole_page(results: Results, folder: Path) -> str:
    """A page with all that a page may have."""
    log = [{"step": s, "seconds": s, "loss": 2 / s, "exact": s / 40, "halting_steps": 3, "learning_rate": 1e-4, "operations": 1e9}
           for s in range(1, 30)]  # fmt: skip
    log += [{"step": step, "seconds": step, "pass@2 of outputs": step / 60} for step in (15, 29)]
    (folder / "metrics.jsonl").write_bytes(b"\n".join(map(orjson.dumps, log)))
    contents = Contents(results)
    subject = Subject("runs/x", folder, results, folder, read_log(folder), form(results, contents.names[:2]))
    other = Subject("runs/other", folder, answer(results.tasks, 1))
    pictures = write_report(folder / "report.html", subject, [other], folder / "pictures")
    assert {path.suffix for path in pictures} == {".svg", ".png", ".gif"}
    assert all(path.stat().st_size > 500 for path in pictures)
    return (folder / "report.html").read_text(encoding="utf-8")


def shown(page: "Page") -> list[str]:
    """Names of the tests in the table, as they stand there."""
    return page.eval_on_selector_all("#table tr[data-number]:not([hidden])", "rows => rows.map(row => row.dataset.name)")


def open_all(page: "Page") -> None:
    page.evaluate("document.querySelectorAll('.open').forEach(button => button.click())")


# --- numbers


def test_the_headline_is_what_evaluate_says(results: Results, page_text: str) -> None:
    first, second = (pass_at(results.places, k)[0] for k in (1, 2))
    for rate in (first, second):
        assert f"{rate.solved:.0f} of {rate.trials}; 95 % interval {100 * rate.low:.1f} to {100 * rate.high:.1f}" in page_text
    counts = count_outcomes(score_tests(results))
    assert counts["first"] == first.solved
    assert counts["first"] + counts["second"] == second.solved
    for outcome, count in counts.items():
        assert len(re.findall(rf'<tr id="test-\d+" [^>]*data-outcome="{outcome}"', page_text)) == count


def test_the_page_is_the_same_for_the_same_results(results: Results) -> None:
    assert make_page("x", results) == make_page("x", results)


def test_the_largest_evaluation_fits(tmp_path: Path) -> None:
    """400 tasks of the largest grids, ten candidates each: under 15 MB."""
    grid = np.random.default_rng(0).integers(0, 10, (30, 30)).astype(np.uint8)
    pair = Pair(grid, grid)
    tasks = TaskSet((Task(f"{n:08x}", (pair,) * 3, (pair,)) for n in range(400)), "large")
    ranked = [[Candidate(grid, 10, 0.5, (1,) * 8)] * 10] * 400
    text = make_page("large", make_results(ResultsMetadata(), tasks, ranked, np.ones((400, 8), np.int64)))
    assert len(text.encode()) < 15e6
    assert text.count("<tr id=") == 400
    assert ROOM < 15e6


def test_what_there_is_no_room_for_is_counted_all_the_same(results: Results) -> None:
    text = make_page("x", results, room=3000)
    listed = text.count("<tr id=")
    assert 0 < listed < len(results.answers)
    assert f"{len(results.answers) - listed} more count in the scores" in text
    assert f"of {len(results.answers)}; 95 %" in text


# --- in the browser


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark")])
def test_nothing_overflows(opened: Callable, page_text: str, width: int, scheme: str) -> None:
    page = opened(page_text, width, scheme)
    open_all(page)
    for drawing in ("colours", "digits", "text"):
        page.select_option("#drawing", drawing)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        beyond = page.evaluate(
            """width => Array.from(document.querySelectorAll('body *'))
            .filter(e => !e.closest('.scroll, pre.grid, .skip, svg') && e.getBoundingClientRect().right > width + 1)
            .map(e => e.outerHTML.slice(0, 100))""",
            width,
        )
        assert beyond == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark")])
def test_accessible(opened: Callable, small_page_text: str, width: int, scheme: str) -> None:
    """axe finds nothing: names, roles, contrast, headings, landmarks."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python (extra `test`) brings axe")
    page = opened(small_page_text, width, scheme)
    assert page.locator("#table tr[data-number]").count() == 6, "one of every outcome"
    open_all(page)
    page.click("summary")
    for drawing in ("colours", "text"):
        page.select_option("#drawing", drawing)
        found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        assert [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found] == []


def test_filters(opened: Callable, page_text: str, results: Results) -> None:
    page = opened(page_text)
    everything, outcomes = shown(page), score_tests(results)
    contents = Contents(results)
    assert everything == contents.names
    page.uncheck("input[value=first]")
    expected = [n for n, v in zip(contents.names, outcomes, strict=True) if v.outcome != "first"]
    assert shown(page) == expected
    assert page.inner_text("#count") == f"{len(expected)} of {len(everything)} tests shown"
    page.select_option("#filter-fault", "no_prediction")
    expected = [n for n, v in zip(contents.names, outcomes, strict=True) if v.fault == "no_prediction"]
    assert shown(page) == expected != []
    page.fill("#filter-name", "COPY")
    assert shown(page) == [name for name in expected if "Copy" in name]
    page.click("text=Show all")
    page.wait_for_selector("#table tr[data-number][hidden]", state="detached")
    assert shown(page) == everything
    [concept] = [number for number, grouping in enumerate(contents.groupings) if grouping.name == "concept"]
    page.click(f"button[data-filter=group-{concept}]")
    assert shown(page) == [name for name in everything if name.startswith("Copy")] != everything
    page.click("#misses button[data-value=cells]")  # a click on a kind or class shows just that
    assert shown(page) == [n for n, v in zip(contents.names, outcomes, strict=True) if v.fault == "cells"]


def test_sorting_with_the_keyboard(opened: Callable, page_text: str, results: Results) -> None:
    page = opened(page_text)
    page.focus("button[data-sort=votes]")
    page.keyboard.press("Enter")
    votes = page.eval_on_selector_all("#table tr[data-number]", "rows => rows.map(row => Number(row.dataset.votes))")
    assert votes == sorted(votes, reverse=True)
    assert page.get_attribute("th:has([data-sort=votes])", "aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert page.get_attribute("th:has([data-sort=votes])", "aria-sort") == "ascending"
    page.focus("button[data-sort=name]")
    page.keyboard.press("Space")
    names = shown(page)
    assert names.index("Copy2 test 1" if "Copy2 test 1" in names else "Copy2") < names.index("Copy10")
    assert page.get_attribute("th:has([data-sort=votes])", "aria-sort") == "none"


def test_a_test_opens_with_its_grids(opened: Callable, page_text: str, results: Results) -> None:
    page = opened(page_text)
    number = next(n for n, v in enumerate(score_tests(results)) if v.outcome == "outvoted")
    page.focus(f"#test-{number} .open")
    page.keyboard.press("Enter")
    assert page.get_attribute(f"#test-{number} .open", "aria-expanded") == "true"
    detail = page.locator(f"#detail-{number}")
    assert "right answer at rank 3" in detail.inner_text()
    labels = detail.locator("svg").evaluate_all("all => all.map(svg => svg.getAttribute('aria-label'))")
    task = results.tasks.tests[number][0]
    assert sum(label.startswith("demonstration") for label in labels) == len(task.train)
    assert any(re.fullmatch(r"attempt 1, \d+ . \d+, \d+ wrong cells?", label) for label in labels)
    assert sum(label.startswith("rank") for label in labels) == 3
    assert detail.locator(".candidates li.solved").count() == 1
    # each differing cell has its mark: a light and a dark frame
    wrong = int((results.attempts[number][0] != results.tasks.truths[number]).sum())
    marks = detail.locator("svg[aria-label^='attempt 1'] rect").count()
    assert marks == 2 * wrong
    page.select_option("#drawing", "text")
    first = results.tasks.tests[number][0].train[0].input
    assert "\n".join(" ".join(map(str, row)) for row in first.tolist()) in detail.locator("pre").all_inner_texts()
    page.keyboard.press("Escape")
    page.focus(f"#test-{number} .open")
    page.keyboard.press("Enter")
    assert not detail.is_visible()


def test_an_address_opens_a_test(opened: Callable, page_text: str) -> None:
    page = opened(page_text, fragment="#test-5")
    assert page.locator("#detail-5").is_visible()
    page.uncheck("input[value=first]")
    page.evaluate("location.hash = '#test-0'")  # as the links of a comparison do; what is filtered out comes back
    page.wait_for_selector("#detail-0")
    assert page.locator("#test-0").is_visible()


def test_an_answer_forms(opened: Callable, page_text: str) -> None:
    page = opened(page_text)
    player = page.locator(".player").first
    player.scroll_into_view_if_needed()
    player.locator(".strip li").first.wait_for()
    assert player.locator(".strip li").count() == 2  # steps
    player.locator("input[type=checkbox]").check()
    assert player.locator(".strip li").count() == 4  # every cycle
    slider = player.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext").startswith("step 1, cycle 1: no grid, halting 0.100")
    player.locator("button").click()
    assert player.locator("button").inner_text() == "Stop"
    player.locator("button:text('Play')").wait_for()
    assert slider.input_value() == "3"


def test_curves_along_three_axes_and_the_cost_of_scores(opened: Callable, page_text: str) -> None:
    page = opened(page_text)
    for value in ("operations", "time", "cost", "steps"):
        page.check(f"input[name=axis][value={value}]")
        assert page.locator("figure.curves:visible").count() == 1
        assert page.locator(f"figure.curves[data-axis={value}] svg[role=img]").is_visible()


def test_a_run_without_an_evaluation_has_its_curves(opened: Callable, tmp_path: Path, command: Callable) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(orjson.dumps({"step": 5, "seconds": 1.0, "loss": 1.0}))
    code, _, error = command("report", tmp_path)
    assert code == 0, error
    names = [f"curves-{axis}.{kind}" for axis in ("steps", "time") for kind in ("png", "svg")]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [*names, "pictures.json"]
    page = opened((tmp_path / "report.html").read_text(encoding="utf-8"), 360)
    assert page.locator("figure.curves:visible").count() == 1
    assert page.locator("nav a").all_inner_texts() == ["Training"]


def test_themes(opened: Callable, page_text: str) -> None:
    page = opened(page_text, scheme="dark")

    def paper() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = paper()
    page.select_option("#theme", "light")
    assert paper() == "rgb(255, 255, 255)" != dark
    page.select_option("#theme", "dark")
    assert paper() == dark


@pytest.mark.parametrize("name", ["sudoku-4x4", "maze-5x5"])
def test_puzzles(opened: Callable, name: str) -> None:
    puzzles = make_puzzles(name, 6, 1)
    wrong = puzzles.answers.copy()
    wrong[::2, 0, 0] = np.where(wrong[::2, 0, 0] == 1, 2, 1)
    right = [Candidate(grid, 1, 0.4) for grid in puzzles.answers]
    ranked = [[Candidate(grid, 3, 0.8), right[n]] if n % 2 == 0 else [right[n]] for n, grid in enumerate(wrong)]
    ranked[5] = []
    results = make_results(ResultsMetadata(data=name), puzzles, ranked, np.full((6, 1), 4))
    page = opened(make_page(name, results, traces=form(results, ["row 1"])))
    open_all(page)
    assert "33.3" in page.inner_text("#scores")
    assert page.locator("select[id^=filter-group] option").count() >= 2
    assert page.locator("#detail-0 .candidates li").count() == 2
    assert "no grid" in page.inner_text("#detail-5")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_without_solutions_there_are_no_scores(opened: Callable, results: Results) -> None:
    blind = results.tasks.without_solutions()
    ranked = [answered.candidates for answered in results.answers]
    page = opened(make_page("blind", make_results(ResultsMetadata(), blind, ranked, np.full((len(ranked), 8), 10))))
    assert "No solutions are known" in page.inner_text("main")
    open_all(page)
    assert page.locator(".card").count() == 0
    assert "right answer not known" in page.inner_text("#test-0")


# --- hostile names


def test_no_name_injects_markup(opened: Callable, tmp_path: Path) -> None:
    base = make_tasks(len(HOSTILE), 5)
    tasks = TaskSet((Task(name, task.train, task.test) for name, task in zip(HOSTILE, base, strict=True)), HOSTILE[1])
    made = ResultsMetadata(checkpoint=HOSTILE[0], data=HOSTILE[3])
    results = Results(made, tasks, answer(tasks).answers)
    names = Contents(results).names
    subject = Subject(HOSTILE[1], tmp_path, results, traces=form(results, names[:3]))
    write_report(tmp_path / "out.html", subject, [Subject(HOSTILE[0], tmp_path, answer(tasks, 1))], tmp_path / "pictures")
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "49" not in re.findall(r"answered</dt><dd>(.*?)</dd>", text)
    page = opened(text)
    open_all(page)
    page.hover("#test-2")
    page.fill("#filter-name", "script")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert page.title().startswith(HOSTILE[1])
    assert shown(page) == [name for name in names if "script" in name]
    handlers = "all => all.filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length"
    assert page.eval_on_selector_all("*", handlers) == 0
    assert all(re.fullmatch(r"trace-[\w-]+\.(svg|png|gif)", path.name) for path in (tmp_path / "pictures").glob("*.*g*"))


def test_a_foreign_script_would_not_run(opened: Callable, page_text: str) -> None:
    """The policy of content lets the page's own program run, and nothing else."""
    page = opened(page_text.replace("</main>", "<script>document.title = 'taken'</script></main>"))
    assert page.title() != "taken"
    assert "Content Security Policy" in opened.said.pop()


# --- the command


def test_tests_of_one_name_are_told_apart(opened: Callable) -> None:
    """Rows of joined sets have the same numbers: what forms, and what a link opens, is still the right one."""
    puzzles = make_puzzles("maze-5x5", 3, 1)
    both = join_puzzles([puzzles, make_puzzles("maze-5x5-easy", 3, 2)])
    ranked = [[Candidate(grid, 1, 0.5)] for grid in both.answers]
    results = make_results(ResultsMetadata(), both, ranked, np.ones((6, 1), np.int64))
    names = Contents(results).names
    assert len(set(names)) == 6
    formed = Trace("row 1 (2)", [Frame(1, 1, True, both.answers[3], 0.5)])
    page = opened(make_page("x", results, traces=[formed]))
    page.click(".player a")
    assert page.locator("#detail-3").is_visible()
    page.click("#test-3 .open")
    page.click(".player a")  # the same link again
    assert page.locator("#detail-3").is_visible()


def test_some_solutions_alone_are_counted(opened: Callable, results: Results) -> None:
    tasks = TaskSet([task if n % 2 else task.without_solutions() for n, task in enumerate(results.tasks)], "some")
    known = make_results(ResultsMetadata(), tasks, [answered.candidates for answered in results.answers], np.full((27, 8), 10))
    page = opened(make_page("some", known))
    assert "The right answers to 18 of 27 tests are known" in page.inner_text("#scores")
    assert page.locator(".legend li").count() == len(count_outcomes(score_tests(known)))
    assert "9 right answer not known" in page.inner_text(".legend")


def test_pictures_of_a_former_report_go_and_nothing_else(results: Results, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "trace-folder.svg").mkdir(parents=True)
    for name in ("trace-old.gif", "curves-steps.png", "trace-notes.txt", "mine.png", "trace-mine.png"):
        (folder / name).touch()
    listed = ["trace-old.gif", "curves-steps.png", "mine.png", "../report.html"]  # the last two have no name of a picture
    (folder / "pictures.json").write_text(json.dumps({"pictures": listed}))
    (tmp_path / "report.html").touch()
    write_report(tmp_path / "report.html", Subject("x", tmp_path, results, traces=form(results, [])), pictures=folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "mine.png",
        "trace-folder.svg",
        "trace-mine.png",
        "trace-notes.txt",
    ]


def test_pictures_of_others_are_not_replaced(results: Results, tmp_path: Path) -> None:
    subject, folder = Subject("x", tmp_path, results, traces=form(results, [results.tasks.names[0]])), tmp_path / "pictures"
    written = write_report(tmp_path / "report.html", subject, pictures=folder)
    assert write_report(tmp_path / "report.html", subject, pictures=folder) == written, "its own are"
    (tmp_path / "report.html").unlink()
    (folder / "pictures.json").unlink()
    with pytest.raises(InputError) as caught:
        write_report(tmp_path / "report.html", subject, pictures=folder)
    assert caught.value.file == folder


def test_curves_belong_to_the_run_that_answered(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where the evaluation says its checkpoint was may be another run by now."""
    log = orjson.dumps({"step": 5, "seconds": 1.0, "loss": 1.0})
    for run in ("runs/x", "apart/runs/x"):
        (tmp_path / run / "other-data").mkdir(parents=True)
        (tmp_path / run / "metrics.jsonl").write_bytes(log)
    made = Results(ResultsMetadata(checkpoint="runs/x/checkpoint-00000005", step=5), results.tasks, results.answers)
    for place in ("runs/x/other-data", "elsewhere"):
        write_results(tmp_path / place / "predictions.json", made)
    monkeypatch.chdir(tmp_path)
    assert find_subject(Path("runs/x/other-data")).log is not None
    assert find_subject(Path("elsewhere")).log is None
    (tmp_path / "runs/x/predictions.json").write_bytes((tmp_path / "elsewhere/predictions.json").read_bytes())
    both = [find_subject(Path("runs/x")), find_subject(Path("runs/x/other-data"))]
    assert len(list_logs(both)) == 1  # two evaluations of one run have one curve
    (tmp_path / "runs/x/metrics.jsonl").write_bytes(b"")
    subject = find_subject(Path("runs/x"))  # a run that has logged nothing is no reason to go without its evaluation
    assert subject.log is None
    assert says("no-curves-of-training") in subject.note


def test_evaluations_are_points_of_the_scores_of_their_run(results: Results, tmp_path: Path) -> None:
    lines = [{"step": step, "seconds": 2.0 * step, "loss": 1.0, "operations": 1e9} for step in (10, 20, 30)]
    (tmp_path / "x").mkdir()
    (tmp_path / "x/metrics.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    for name, step, views in (("late", 30, 80), ("early", 15, 80), ("one", 20, 1), ("unknown", None, 80), ("beyond", 31, 80)):
        made = Results(ResultsMetadata(checkpoint="x", data="a", step=step, views=views), results.tasks, results.answers)
        write_results(tmp_path / "x" / name / "predictions.json", made)
    subjects = [find_subject(tmp_path / "x" / name) for name in ("late", "early", "one", "unknown", "beyond")]
    [log] = list_logs(subjects)
    assert (log.name, list(log.scores)) == (str(tmp_path / "x"), ["pass@2 of outputs, 80 views", "pass@2 of outputs, 1 view"])
    progress, values = log.scores["pass@2 of outputs, 80 views"]
    assert [column.tolist() for column in progress] == [[15, 30], [30, 60], [1.5e9, 3e9]]
    assert values.tolist() == [results.scores.means()["pass@2 of outputs"]] * 2
    elsewhere = replace(subjects[1].results, metadata=ResultsMetadata(data="b", step=15, rollouts=4, views=2))
    [log] = list_logs([subjects[0], replace(subjects[1], results=elsewhere)])
    names = ["pass@2 of outputs, a, 80 views", "pass@2 of outputs, b, 2 views, 4 rollouts"]
    assert sorted(log.scores) == sorted(names)


def test_the_checkpoint_that_answered_is_watched_or_none(trained: Path, tmp_path: Path, command: Callable) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    checkpoint = run / "checkpoint-00000002"
    assert command("evaluate", "--checkpoint", checkpoint, "--device", "cpu", "--views", 2)[0] == 0
    before = (run / "traces.json").read_bytes()
    assert command("report", run, "--trace", "--device", "cpu", "--no-pictures")[0] == 0
    assert (run / "traces.json").read_bytes() == before
    shutil.rmtree(checkpoint)
    code, _, error = command("report", run, "--trace", "--device", "cpu")
    assert (code, says("the-checkpoint-that-answered") in error) == (2, True)


@pytest.fixture(scope="module")
def trained(base: Path) -> Path:
    """A run with three checkpoints."""
    return base


def test_the_command(results: Results, tmp_path: Path, command: Callable) -> None:
    write_results(tmp_path / "a" / "predictions.json", results)
    write_results(tmp_path / "b" / "predictions.json", answer(results.tasks, 1))
    code, text, error = command("report", tmp_path / "a", tmp_path / "b" / "predictions.json")
    assert code == 0, error
    assert "McNemar" in text or says("both-solve-the-same") in text
    assert text.rstrip().endswith(f"wrote {tmp_path / 'a' / 'report.html'}")
    assert all(len(line) <= 80 for line in text.splitlines() if str(tmp_path) not in line)
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])["tests"][0]["views"] == [10] * 8


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{tmp}/nowhere"], "no such"),
        (["{tmp}"], says("neither-an-evaluation-nor")),
        (["{tmp}/odd.json"], says("no-predictions-of-this")),
        ([], "required"),
        (["{tmp}/a", "--trace", "zzz"], says("zzz-is-not-in")),
        (["{tmp}/a", "--checkpoint", "{tmp}/x"], says("does-nothing-without-trace")),
        (["{tmp}/a", "--trace", "made00"], "--checkpoint"),
        (["{tmp}/a", "--out", "{tmp}"], says("is-a-folder")),
        (["{tmp}/a", "--device", "cpu"], says("device-does-nothing-without")),
        (["x" * 300], says("cannot-be-looked-up")),
    ],
)
def test_mistakes(arguments: list[str], reason: str, results: Results, tmp_path: Path, command: Callable) -> None:
    write_results(tmp_path / "a" / "predictions.json", results)
    (tmp_path / "odd.json").write_text("{}")
    code, _, error = command("report", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert code == 2
    assert reason in error
    assert error.count("\n") == 1


def test_a_report_that_cannot_be_made_costs_nothing(
    results: Results, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    report_evaluation(tmp_path, results, tmp_path, load_newest(trained), find_device("cpu", "auto"))
    assert capsys.readouterr().out.startswith("no report: ")
