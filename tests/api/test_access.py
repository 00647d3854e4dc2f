"""Who may do what: every route × two workspaces × every scope, out of the description; a new route is covered too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.api import app as application
from orchestrator.api.guesses import BURST, Guesses
from orchestrator.api.hosts import Hosts
from orchestrator.api.openapi import describe, scopes_of
from orchestrator.client import Client
from orchestrator.engine.who import SCOPES
from orchestrator.settings import Settings
from tests.api.conftest import Served

ABSENT = "0198f000-0000-7000-8000-000000000000"
#: What nobody has, where it is not called by an id.
NOBODYS = {"workflow_id": "nowhere", "sha256": "0" * 64}
SCOPE_OF = scopes_of(application.ROUTERS, application.API)
#: What a list of everything shows of others is tested by what it shows: nothing.
_OBJECT = re.compile(r"\{(\w+)(?::\w+)?\}")


def _description() -> dict[str, Any]:
    app = FastAPI(title="x", version="0")
    for router in application.ROUTERS:
        app.include_router(router, prefix=application.API)
    return describe(app, application.ROUTERS, application.API)


DESCRIPTION = _description()
ROUTES = sorted(SCOPE_OF)
OF_OBJECTS = [(path, method) for path, method in ROUTES if "{" in path]


@dataclass(frozen=True)
class Owned:
    """What the first workspace has, by the name of the path's parameter; and what the query must name with it."""

    by_parameter: dict[str, str]
    connection: str


@pytest.fixture(scope="module")
def owned(served: Served, main: str, free: str, tmp_path_factory: pytest.TempPathFactory) -> Owned:
    """One of everything that a path can name."""
    with Client(served.url, served.token) as client:
        run = client.runs.submit(main, free, {})
        batch = client.batches.submit(b"{}", "jsonl", connection=main, workflow_id=free)
        client.schedules.create("owned", workflow_id=free, connection=main, every="1h", input=b"{}")
        token = client.tokens.create("owned")
        client.webhooks.add("owned", "http://127.0.0.1:9/hook", events=["doubt.opened"])
        delivery = client.webhooks.test("owned")["delivery"]
        operation = client.operations.start("cancel", {"batch": str(batch["id"])})
        report = client.reports.run(run["id"], tmp_path_factory.mktemp("owned") / "run.html")
    return Owned(
        {
            "run_id": run["id"],
            "batch_id": str(batch["id"]),
            "token_id": token["id"],
            "doubt_id": ABSENT,
            "item_id": ABSENT,
            "workflow_id": free,
            "n": "0",
            "delivery": delivery,
            "operation_id": str(operation["id"]),
            "sha256": report["sha256"],
        },
        main,
    )


@pytest.fixture(scope="module")
def asking(served: Served) -> Iterator[httpx.Client]:
    """Plain HTTP without a token."""
    with httpx.Client(base_url=served.url, trust_env=False, timeout=30) as http:
        yield http


def _url(path: str, owned: Owned, *, absent: bool) -> str:
    names = {"/connections": owned.connection, "/schedules": "owned", "/webhooks": "owned"}

    def named(match: re.Match[str]) -> str:
        if match[1] == "name":
            kind = next(word for word in names if word in path)
            return "not-there" if absent else names[kind]
        assert match[1] in owned.by_parameter, f"what is {match[1]}? Name one in `owned`, so that this route is tested"
        mine = owned.by_parameter[match[1]]
        return mine if not absent or match[1] == "n" else NOBODYS.get(match[1], ABSENT)

    return _OBJECT.sub(named, path)


def _example(schema: dict[str, Any]) -> Any:
    """Return a smallest value of a schema."""
    if "$ref" in schema:
        return _example(DESCRIPTION["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        return _example(schema["anyOf"][0])
    if "enum" in schema:
        return schema["enum"][-1]
    match schema.get("type"):
        case "object":
            return {name: _example(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return "https://example.com" if schema.get("format") == "uri" else "x"


def _ask(asking: httpx.Client, path: str, method: str, url: str, token: str, **query: str) -> httpx.Response:
    operation = DESCRIPTION["paths"][path][method.lower()]
    for given in operation.get("parameters", ()):
        if given["in"] == "query" and given.get("required"):
            query.setdefault(given["name"], "x")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is None:
        return asking.request(method, url, params=query, headers=_bearer(token))
    return asking.request(method, url, params=query, json=_example(body), headers=_bearer(token))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _said(answer: httpx.Response) -> tuple[int, Any, Any]:
    document = answer.json()
    return answer.status_code, document.get("code"), re.sub(r"[0-9a-f-]{36}", "ID", str(document.get("detail")))


@pytest.mark.parametrize(("path", "method"), OF_OBJECTS)
def test_what_another_workspace_owns_is_answered_like_what_is_not_there(
    asking: httpx.Client, stranger: Client, owned: Owned, strangers_token: str, path: str, method: str
) -> None:
    query = {"connection": owned.connection} if "{workflow_id}" in path else {}
    foreign, absent = (
        _ask(asking, path, method, _url(path, owned, absent=absent), strangers_token, **query)
        for absent in (False, True)
    )
    names = {owned.connection, "owned", "not-there", *NOBODYS.values(), *owned.by_parameter.values()} - {"0"}
    shown = [_without(_said(answer), names) for answer in (foreign, absent)]
    assert shown[0] == shown[1]
    assert foreign.status_code == 404 or (foreign.status_code == 422 and method != "GET"), foreign.text


def _without(said: tuple[int, Any, Any], names: set[str]) -> tuple[int, Any, Any]:
    status, code, detail = said
    for name in names:
        detail = detail.replace(name, "NAME")
    return status, code, detail


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_a_token_without_the_scope_is_refused_and_one_with_it_alone_is_not(
    asking: httpx.Client, owned: Owned, tokens_by_scopes: dict[frozenset[str], str], path: str, method: str
) -> None:
    needed = SCOPE_OF[path, method]
    url = _url(path, owned, absent=True)
    for scopes, token in tokens_by_scopes.items():
        answer = _ask(asking, path, method, url, token)
        is_refused = answer.status_code == 403 and answer.json()["code"] == "scope.missing"
        assert is_refused == (needed not in scopes), (sorted(scopes), answer.text)
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_without_a_token_no_route_says_anything(asking: httpx.Client, owned: Owned, path: str, method: str) -> None:
    answer = asking.request(method, _url(path, owned, absent=False))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_lists_show_nothing_of_another_workspace(asking: httpx.Client, owned: Owned, strangers_token: str) -> None:
    mine = {*owned.by_parameter.values(), "owned"} - {"0"}
    for path, method in ROUTES:
        if method == "GET" and "{" not in path and ":" not in path:
            answer = _ask(asking, path, method, path, strangers_token)
            assert not [name for name in mine if f'"{name}"' in answer.text], path


@pytest.fixture(scope="module")
def strangers_token(served: Served) -> str:
    """A token of another workspace, with every scope."""
    import asyncio

    from tests.api.conftest import _first_token

    return asyncio.run(_first_token(served.settings, "strangers"))[1]


@pytest.fixture(scope="module")
def tokens_by_scopes(served: Served) -> dict[frozenset[str], str]:
    """A token with each scope alone, and one with all but it."""
    wanted = [frozenset({scope}) for scope in SCOPES] + [frozenset(SCOPES) - {scope} for scope in SCOPES]
    with Client(served.url, served.token) as client:
        return {scopes: client.tokens.create("some", scopes=sorted(scopes))["secret"] for scopes in wanted}


# -- guesses ------------------------------------------------------------------------------------------------------


def test_wrong_tokens_of_an_address_are_limited_and_come_back_with_time() -> None:
    guesses = Guesses()
    for _ in range(BURST):
        assert guesses.wrong("a", now_s=0) == 0
    assert 0 < guesses.wrong("a", now_s=0) <= 2
    assert guesses.wrong("b", now_s=0) == 0
    assert guesses.wrong("a", now_s=2) == 0
    assert guesses.wrong("a", now_s=2) > 0


def test_addresses_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.api.guesses.MAX_ADDRESSES", 10)
    guesses = Guesses()
    for address in map(str, range(100)):
        guesses.wrong(address, now_s=0)
    assert len(guesses._buckets) == 10


# -- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listening", "allowed", "host", "is_known"),
    [
        ("127.0.0.1", "", "127.0.0.1:8700", True),
        ("127.0.0.1", "", "localhost", True),
        ("127.0.0.1", "", "[::1]:8700", True),
        ("127.0.0.1", "", "evil.example", False),
        ("127.0.0.1", "", "10.0.0.7", False),
        ("127.0.0.1", "api.example, other", "API.example:443", True),
        ("0.0.0.0", "", "10.0.0.7:8700", True),
        ("0.0.0.0", "", "evil.example", False),
        ("::", "", "[fd00::7]:8700", True),
        ("127.0.0.1", "", "", False),
    ],
)
def test_a_server_answers_under_its_own_names_only(listening: str, allowed: str, host: str, is_known: bool) -> None:
    hosts = Hosts.of(Settings(host=listening, allowed_hosts=allowed))
    assert hosts.know([(b"host", host.encode())]) is is_known
    assert not hosts.know([(b"host", host.encode())] * 2)
    assert not hosts.know([])
