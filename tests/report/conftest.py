"""A browser for the pages."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """A real Chromium; skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright (extra `test`) drives the browser")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium here (Debian's package `chromium`)")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: "Browser", tmp_path: Path) -> Iterator[Callable[..., "Page"]]:
    """Opens pages from disk, and sees at the end that nothing was said on the console and nothing was fetched."""
    said: list[str] = []
    contexts = []

    def open_page(text: str, width: int = 1440, scheme: str = "light", fragment: str = "") -> "Page":
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce", offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: said.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri() + fragment)
        return page

    open_page.said = said
    yield open_page
    for context in contexts:
        context.close()
    assert said == []
