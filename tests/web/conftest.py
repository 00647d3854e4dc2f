"""One product for all tests of the pages, and a browser where there is one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from playwright.sync_api import Browser, Page, sync_playwright

from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.web.browsing import chromium, launched, signed_in
from tests.web.product import Product, product


@pytest.fixture(scope="package", autouse=True)
def quiet() -> Iterator[None]:
    """The server's lines for each request would come between pytest's dots: it logs from another thread."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="package")
def made(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product with a world to look at. Tests that change a run take one of their own."""
    postgres.create_database("web", template="orchestrator")
    with product(postgres.dsn("web"), tmp_path_factory.mktemp("data")) as running:
        yield running
    postgres.drop_database("web")


def visitor(made: Product, token: str | None = None) -> httpx.Client:
    """Return a browser-like client that signed in; without a token, one that did not."""
    headers = {"Origin": made.url}
    # No certificates to load, which takes longer than to ask for a page: it is plain HTTP on this machine.
    plain: dict[str, Any] = {"trust_env": False, "verify": False, "timeout": 30}
    cookies: dict[str, str] = {}
    if token is not None:
        answer = httpx.post(made.url + "/sign-in", data={"token": token}, headers=headers, **plain)
        assert answer.status_code == 303, answer.text
        cookies = dict(answer.cookies)
    return httpx.Client(base_url=made.url, headers=headers, cookies=cookies, **plain)


@pytest.fixture
def web(made: Product) -> Iterator[httpx.Client]:
    """A visitor with every scope."""
    with visitor(made, made.token) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; without it these tests are skipped, which the summary of the run says loudly."""
    if chromium() is None:
        pytest.skip("NO CHROMIUM HERE: the pages were not driven by a browser. As root: apt-get install -y chromium")
    with sync_playwright() as playwright, launched(playwright) as running:
        yield running


@pytest.fixture
def view(browser: Browser, made: Product) -> Iterator[Page]:
    """A signed-in page in a browser of its own."""
    with signed_in(browser, made) as page:
        yield page
