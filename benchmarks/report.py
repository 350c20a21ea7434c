"""The page of 400 real tasks with ten candidates each: its size, and how fast Chromium shows, filters and opens it."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from trm_arc.common.errors import require_least
from trm_arc.common.program import run
from trm_arc.data.sources import load_tasks
from trm_arc.data.task import TaskSet
from trm_arc.evaluation.results import Results, ResultsMetadata, make_results
from trm_arc.inference.votes import Candidate
from trm_arc.report.page import make_page

VIEWS, CANDIDATES = 1000, 10
# When the page is first visible, and when it is complete and its program has run, in milliseconds from the start of loading.
_SEEN = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_READY = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
_FILTER = """() => { const begin = performance.now(); const box = document.querySelector('input[name=outcome]'); box.click();
    document.body.offsetHeight; const time = performance.now() - begin; box.click(); return time; }"""
_OPEN = """() => { const begin = performance.now(); document.querySelectorAll('.open').forEach(button => button.click());
    document.body.offsetHeight; return performance.now() - begin; }"""
_ASKED = {"first sight": _SEEN, "whole page": _READY, "a filter": _FILTER, "all tests opened": _OPEN}


def make_evaluation(tasks: TaskSet, generator: np.random.Generator) -> Results:
    """An evaluation in which every second test input is solved, and all have ten candidates with a few wrong cells."""
    ranked = []
    for number, truth in enumerate(tasks.truths):
        grids = [truth.copy() for _ in range(CANDIDATES)]
        for grid in grids[number % 2 :]:
            at = generator.integers(0, grid.size, 3)
            grid.reshape(-1)[at] = generator.integers(0, 10, 3)
        votes = np.sort(generator.multinomial(VIEWS, np.full(CANDIDATES, 1 / CANDIDATES)))[::-1]
        ranked.append([Candidate(g, v, 0.5, (v, *[0] * 7)) for g, v in zip(grids, votes.tolist(), strict=True)])
    made = ResultsMetadata(checkpoint="made up", data=tasks.name, views=VIEWS)
    return make_results(made, tasks, ranked, np.full((tasks.outputs, 8), VIEWS // 8))


def look(path: Path, repeats: int) -> dict[str, Any]:
    """Medians of Chromium's measurements of the page."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_timeout(200)
            for name, asked in _ASKED.items():
                found.setdefault(f"{name}, ms", []).append(page.evaluate(asked))
            page.close()
        browser.close()
    return {name: float(statistics.median(times)) for name, times in found.items()}


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("report", __doc__ or "")
    parser.add_argument("--data-folder", type=Path, help="folder with the named task sets")
    parser.add_argument("--repeats", type=int, default=5, help="number of times that the page is loaded")
    values = parser.parse(arguments)
    require_least("repeats", values.repeats)
    results = make_evaluation(load_tasks("arc1-evaluation", values.data_folder), np.random.default_rng(0))
    began = time.perf_counter()
    text = make_page("benchmark", results).encode()
    found: dict[str, Any] = {"tests": len(results.answers), "seconds to make": time.perf_counter() - began, "MB": len(text) / 1e6}
    if shutil.which("chromium"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.html"
            path.write_bytes(text)
            found |= look(path, values.repeats)
    common.report(found, values.json)
    return 0


if __name__ == "__main__":
    run(main)
