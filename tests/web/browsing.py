"""Debian's Chromium, driven by Playwright: where it is, how it is started, and a page that is signed in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, Playwright

from tests.web.product import Product

#: It starts as root, in a container, and asks nobody outside for anything.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Return where Chromium is, None where it is not."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def launched(playwright: Playwright) -> Iterator[Browser]:
    """Run a browser without a window."""
    browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=[*FLAGS])
    try:
        yield browser
    finally:
        browser.close()


@contextlib.contextmanager
def signed_in(
    browser: Browser, made: Product, *, width: int = 1280, scheme: str = "light", token: str | None = None
) -> Iterator[Page]:
    """Give a page in a browser of its own that signed in by the form."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    try:
        page.goto(made.url + "/sign-in")
        page.fill("#token", token or made.token)
        page.click("#by-token button")
        page.wait_for_selector("#rail", state="attached")
        yield page
    finally:
        context.close()
