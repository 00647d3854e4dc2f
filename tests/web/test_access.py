"""Who may see and do what: every route × scopes × strangers × where it came from; and what every answer carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from orchestrator.api import request_ids
from orchestrator.engine.who import SCOPES
from orchestrator.settings import Settings
from orchestrator.web.installed import ROUTERS
from orchestrator.web.visits import Visits
from tests.web.conftest import visitor
from tests.web.product import Product, serving

ABSENT = "0198f000-0000-7000-8000-000000000000"

#: Answered to anybody, by their nature.
OPEN = {
    ("GET", "/assets/{named}"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/sign-out"),
    ("POST", "/preferences"),
}


def _scope(route: APIRoute) -> str | None:
    found = [str(d.call.scope) for d in route.dependant.dependencies if isinstance(d.call, Visits)]
    return found[0] if found else None


ROUTES: list[tuple[str, str, str | None]] = sorted(
    (method, route.path, _scope(route))
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)
PLAIN = ["/", "/runs", "/operations", "/sign-in", "/nowhere", "/runs?status=nonsense", "/connections/main", "/audit"]
PLAIN += ["/batches", "/batches/new", "/reports", "/system", "/system/settings", "/tokens", "/webhooks/ops", "/codes"]
GUARDED = [(method, path, scope) for method, path, scope in ROUTES if scope is not None]


def _path(made: Product, path: str) -> str:
    known = {"run_id": made.ids["finished"], "operation_id": ABSENT, "n": "0"}
    known |= {"batch_id": made.ids["batch"], "draft_id": ABSENT, "item_id": made.ids["question doubt"]}
    name = "nightly" if path.startswith("/schedules") else "main"
    known |= {"name": name, "code": "in_doubt", "workflow_id": made.sandbox.workflows["Free form"]}
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: known[match[1]], path)


@pytest.fixture(scope="module")
def by_scope(made: Product) -> dict[str, httpx.Client]:
    """A visitor for each scope, with that one alone."""
    return {scope: visitor(made, made.new_token(scope)) for scope in SCOPES}


def test_every_route_needs_a_scope_or_is_open_on_purpose() -> None:
    assert {(method, path) for method, path, scope in ROUTES if scope is None} == OPEN


def test_what_changes_something_is_a_post_and_needs_more_than_reading() -> None:
    assert {method for method, _, _ in ROUTES} <= {"GET", "POST"}
    assert not [path for method, path, scope in GUARDED if method == "POST" and scope == "read"]


@pytest.mark.parametrize(("method", "path", "scope"), GUARDED, ids=lambda part: str(part))
def test_a_route_asks_for_a_session_and_its_scope(
    made: Product, by_scope: dict[str, httpx.Client], method: str, path: str, scope: str
) -> None:
    there = _path(made, path)
    with visitor(made) as nobody:
        answer = nobody.request(method, there)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
    for held, client in by_scope.items():
        answer = client.request(method, there)
        assert (answer.status_code == 403) == (held != scope), (held, answer.status_code)
        if held != scope:
            assert "scope.missing" in answer.text


@pytest.mark.parametrize("path", [path for method, path, _ in GUARDED if "{run_id" in path and method == "GET"])
def test_a_strangers_run_is_not_there(made: Product, path: str) -> None:
    with visitor(made, made.stranger) as stranger:
        answer = stranger.get(_path(made, path))
        assert (answer.status_code, "run_not_found" in answer.text) == (404, True)
        assert made.ids["finished"] not in stranger.get("/runs").text
        assert "Statements for November" not in stranger.get("/").text


@pytest.mark.parametrize("path", [path for method, path, _ in GUARDED if "{batch_id" in path and method == "GET"])
def test_a_strangers_batch_is_not_there(made: Product, path: str) -> None:
    with visitor(made, made.stranger) as stranger:
        answer = stranger.get(_path(made, path))
        assert (answer.status_code, "batch_not_found" in answer.text) == (404, True)
        assert made.ids["batch"] not in stranger.get("/batches").text


def test_a_file_that_waits_is_seen_by_whoever_uploaded_it_alone(made: Product) -> None:
    with visitor(made, made.stranger) as stranger, visitor(made, made.new_token("submit")) as colleague:
        for other in (stranger, colleague):
            answer = other.get(f"/batches/new/{made.ids['draft']}")
            assert (answer.status_code, "draft_not_found" in answer.text) == (404, True)


FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Origin": "http://[x"},
    {},
]


@pytest.fixture(scope="module")
def lured(made: Product) -> Iterator[httpx.Client]:
    """A visitor with every scope, whose browser does not say by itself where a request came from."""
    with visitor(made, made.token) as client:
        del client.headers["origin"]
        yield client


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p, _ in ROUTES if m == "POST"])
def test_an_act_that_another_site_sends_does_nothing(
    made: Product, lured: httpx.Client, method: str, path: str, headers: dict[str, str]
) -> None:
    cookies = dict(lured.cookies)
    answer = lured.request(method, _path(made, path), headers=headers, data={"reason": "x", "act": "retry"})
    assert (answer.status_code, "origin.foreign" in answer.text) == (403, True)
    assert dict(lured.cookies) == cookies, "nothing was set or taken away in the browser"
    # The cheapest page behind the door: some hundred times it is asked.
    assert lured.get("/runs/count").status_code == 200, "still signed in"


def test_our_own_page_is_known_by_either_header(made: Product, web: httpx.Client) -> None:
    del web.headers["origin"]
    for headers in ({"Origin": made.url}, {"Sec-Fetch-Site": "same-origin"}):
        assert web.post("/preferences", data={"theme": "dark"}, headers=headers).status_code == 303


@pytest.mark.parametrize("path", PLAIN)
def test_every_page_says_strictly_what_a_browser_may_load(web: httpx.Client, path: str) -> None:
    answer = web.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    wanted = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin"}
    assert wanted.items() <= dict(answer.headers).items()
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(
        r"<script(?![^>]*\ssrc=\"/assets/)|\sstyle=|\son\w+=\"(?!\s)(?=[^\"]*\()", _markup(answer.text)
    )


def _markup(text: str) -> str:
    """Return the tags alone, without the attributes' values: what stands in those is text."""
    return re.sub(r'(?<!src)="[^"]*"', "", text)


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/nowhere", 404, "not_found"), (f"/runs/{ABSENT}", 404, "run_not_found"),
    ("/runs?colour=red", 422, "query.unknown"), ("/runs?cursor=x", 400, "cursor.invalid"),
    ("/assets/app.css", 404, "not_found"),
])  # fmt: skip
def test_an_error_is_a_page_that_says_what_to_do(web: httpx.Client, path: str, status: int, code: str) -> None:
    answer = web.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert code in answer.text
    assert answer.headers["request-id"] in answer.text


def test_while_the_database_is_away_a_page_says_so(tmp_path: Path) -> None:
    away = {"database_url": "postgresql://nobody@127.0.0.1:9/nothing", "data_dir": tmp_path, "port": 0}
    with serving(Settings.model_validate(away)) as url:
        answer = httpx.get(url + "/runs", cookies={"orch_session": "x" * 43}, trust_env=False, timeout=30)
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("text/html")
    assert "Not available just now" in answer.text


@pytest.mark.parametrize("path", ["/api/v1/nowhere", "/api/v1/runs", "/metrics/nowhere", "/scripe/v1/nowhere"])
def test_the_apis_own_errors_stay_what_programs_read(made: Product, path: str) -> None:
    answer: Any = httpx.get(made.url + path, trust_env=False)
    assert answer.status_code in (401, 404)
    assert "json" in answer.headers["content-type"]


def test_who_is_not_let_in_gets_a_page_if_it_asks_for_one(web: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    strange = web.get("/runs", headers={**browser, "Host": "evil.example"})
    assert (strange.status_code, strange.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "ORCH_ALLOWED_HOSTS" in strange.text
    monkeypatch.setattr(request_ids, "MAX_UNDER_WAY", 0)
    busy = web.get("/runs", headers=browser)
    assert (busy.status_code, busy.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "<code>busy</code>" in busy.text
    assert busy.headers["request-id"] in busy.text
    assert int(busy.headers["retry-after"]) > 0
    assert "default-src 'self'" in busy.headers["content-security-policy"]
    for program in (web.get("/runs"), web.get("/api/v1/runs", headers=browser)):
        assert (program.status_code, program.json()["code"]) == (503, "busy")
    assert web.get("/healthz").status_code == 200


def test_an_asset_is_kept_for_ever_under_a_name_that_carries_its_hash(web: httpx.Client) -> None:
    named = re.findall(r'"(/assets/[^"#]+)', web.get("/").text)
    assert len(set(named)) >= 7
    for url in set(named):
        answer = web.get(url)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
