"""Prefect's pages in a browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Page, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = (1280, 800)
PATIENCE = 60_000
"""Milliseconds: for what takes a few on a machine with nothing else to do."""


def chromium() -> str | None:
    """Where the browser is; None: nowhere."""
    return shutil.which("chromium")


@contextlib.contextmanager
def browser_page(url: str) -> Iterator[Page]:
    """A page of a fresh browser, whose addresses start at `url`."""
    executable = chromium()
    assert executable is not None
    with sync_playwright() as playwright:
        # Playwright's own profile folder is new each time, and removed.
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            context = browser.new_context(
                base_url=url, viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light"
            )
            context.set_default_timeout(PATIENCE)
            yield context.new_page()
        finally:
            browser.close()
