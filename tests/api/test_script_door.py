"""The Script door: the page's own curl lines, replayed; and what is refused there, in the page's shape."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import httpx
import pytest
from structlog.testing import capture_logs

from orchestrator.api.app import create_app
from orchestrator.client import Client
from orchestrator.engine.deps import Deps
from orchestrator.settings import Settings
from sandbox.control import Sandbox
from tests.api.conftest import Served, finish
from tests.api.pages_replayed import assert_same_shape, curls, replay

BASE = "https://script.so/api/v1"
CURLS = curls("script.txt")


@pytest.fixture(scope="module")
def key(served: Served, main: str) -> str:
    """A key for the door: one of our tokens, bound to the connection."""
    with Client(served.url, served.token) as client:
        return client.tokens.create("door", scopes=["read", "submit"], connection=main)["secret"]


@pytest.fixture
def door(served: Served, key: str) -> Iterator[httpx.Client]:
    """What a client of the Script API holds, with another base URL."""
    headers = {"x-api-key": key}
    with httpx.Client(
        base_url=f"{served.url}/script/api/v1", headers=headers, trust_env=False, verify=False, timeout=30
    ) as made:
        yield made


def test_the_pages_curl_lines_get_the_pages_answers(
    served: Served, client: Client, strict: str, key: str, sandbox: Sandbox
) -> None:
    changes = {BASE: f"{served.url}/script/api/v1", "YOUR_API_KEY": key, "{workflowId}": strict}
    assert [curl.method for curl in CURLS] == ["GET", "GET", "GET", "POST", "GET", "POST", "GET", "GET"]
    for curl in CURLS:
        if "executionId" in curl.url:
            finish(served, client, changes["{executionId}"])
        answer = replay(curl, changes)
        if not curl.headers:  # the page's lines on pages of lists leave the key out
            assert answer.status_code == 401
            answer = httpx.get(curl.url.replace(BASE, changes[BASE]), headers={"x-api-key": key}, trust_env=False)
        assert answer.status_code == 200, answer.text
        ours = answer.json()
        assert answer.headers["content-type"] == "application/json"
        if curl.answer is not None and "input_schema" not in curl.answer:
            assert_same_shape(curl.answer, ours)
        elif curl.answer is not None:
            assert [*curl.answer] == [*ours]
            assert ours["input_schema"]["required"] == curl.answer["input_schema"]["required"]
        if curl.body and "input" in json.loads(curl.body):
            assert ours["status"] == "initial"
            changes["{executionId}"] = ours["execution_id"]
        if "executionId" in curl.url:
            assert ours["status"] == "finished"
            _is_what_the_sandbox_made(sandbox, client, ours)


def _is_what_the_sandbox_made(sandbox: Sandbox, client: Client, execution: dict[str, Any]) -> None:
    run = client.runs.get(execution["id"])
    (made,) = [e for e in sandbox.truth()["executions"] if e["id"] == run["execution_id"]]
    assert [file["filename"] for file in execution["results"]] == [file["filename"] for file in made["files"]]
    for file, result in zip(made["files"], execution["results"], strict=True):
        fetched = httpx.get(result["url"], trust_env=False)  # no key: the URL is enough
        assert fetched.headers["etag"] == f'"{file["sha256"]}"'
        assert len(fetched.content) == file["size_bytes"]


def test_a_batchs_executions_are_our_runs_in_the_order_of_its_items(
    door: httpx.Client, client: Client, free: str
) -> None:
    items = [{"n": n} for n in range(7)]
    answer = door.post(f"/workflows/{free}/executions/batch", json={"items": items, "concurrency": "low"}).json()
    assert answer["total"] == 7
    assert [one["index"] for one in answer["executions"]] == list(range(7))
    run = client.runs.get(answer["executions"][3]["execution_id"])
    assert run["index"] == 3
    assert client.batches.get(str(run["batch_id"]))["concurrency"] == "low"
    looked = door.get(f"/workflows/{free}/executions/{run['id']}").json()
    assert (looked["status"], looked["results"]) == ("initial", None)


def test_the_list_is_paged_by_the_providers_own_cursors(door: httpx.Client, sandbox: Sandbox) -> None:
    found, query = [], {"limit": "2"}
    while True:
        page = door.get("/workflows", params=query).json()
        assert len(page["data"]) <= 2
        found += [workflow["id"] for workflow in page["data"]]
        if page["cursor"] is None:
            break
        query["cursor"] = page["cursor"]
    assert sorted(found) == sorted(sandbox.workflows.values())
    assert len(door.get("/workflows", params={"limit": "5000"}).json()["data"]) == len(found)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/workflows?limit=0", None, 400, "limit must be a positive integer"),
        ("/workflows?limit=ten", None, 400, "limit must be a positive integer"),
        ("/workflows?cursor=nonsense", None, 400, "this cursor belongs to no page of the list"),
        ("/workflows?cursor=known:x", None, 400, "this cursor belongs to no page of the list"),
        ("/workflows/none", None, 404, "Workflow not found"),
        ("/workflows/none/executions", {"input": {}}, 404, "Workflow not found"),
        ("/workflows/{strict}/executions/none", None, 404, "Execution not found"),
        ("/workflows/{strict}/executions/7c9e6679-7425-40de-944b-e07fc1f90ae7", None, 404, "Execution not found"),
        ("/workflows/{strict}/executions", {}, 400, "input is required"),
        ("/workflows/{strict}/executions", {"input": "x"}, 400, "input must be an object"),
        ("/workflows/{strict}/executions", {"input": {"name": "John"}}, 400, "email: "),
        ("/workflows/{strict}/executions", b"[1]", 400, "the body is not a JSON object"),
        ("/workflows/{strict}/executions", b"{", 400, ""),
        ("/workflows/{strict}/executions", {"input": {"email": "x" * 4_100_000}}, 400, "bytes"),
        ("/workflows/{strict}/executions", b" " * (4 * 1024 * 1024 + 1), 400, "the body has more than 4,194,304 bytes"),
        ("/workflows/{strict}/executions/batch", {"items": []}, 400, "items must be a non-empty array"),
        ("/workflows/{strict}/executions/batch", {"items": {}}, 400, "items must be a non-empty array"),
        ("/workflows/{strict}/executions/batch", {"items": [{}] * 10_001}, 400, "not hold more than 10000"),
        ("/workflows/{strict}/executions/batch", {"items": [{}], "concurrency": "x"}, 400, "concurrency must be one"),
        ("/workflows/{strict}/executions/batch", {"items": [{"email": "a"}, {}]}, 400, "items[1]"),
        ("/nothing", None, 404, "Not found"),
        ("/workflows/{strict}", {}, 405, "Method not allowed"),
    ],
)
def test_what_is_refused_is_told_in_the_pages_shape(
    door: httpx.Client, strict: str, path: str, body: Any, status: int, message: str
) -> None:
    path = path.replace("{strict}", strict)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = door.get(path) if body is None else door.post(path, content=content)
    assert answer.status_code == status, answer.text
    assert [*answer.json()] == ["error"]
    assert message in answer.json()["error"]


def test_only_a_key_that_is_bound_and_has_the_scope_opens_the_door(
    served: Served, client: Client, main: str, strict: str
) -> None:
    url = f"{served.url}/script/api/v1/workflows"
    reads = client.tokens.create("reads", scopes=["read"], connection=main)
    assert reads["connection"] == main
    unbound = client.tokens.create("unbound")["secret"]
    for given, said in [
        ({}, "Unauthorized"),
        ({"x-api-key": "sk_live_1"}, "Unauthorized: the token is not one of ours"),
        ({"Authorization": f"Bearer {reads['secret']}"}, "Unauthorized"),
        ({"x-api-key": unbound}, "bound to no connection"),
        ({"x-api-key": unbound}, "orchestrator token create NAME --connection"),
    ]:
        answer = httpx.get(url, headers=given, trust_env=False)
        assert (answer.status_code, [*answer.json()]) == (401, ["error"])
        assert said in answer.json()["error"]
    readable = {"x-api-key": reads["secret"]}
    assert httpx.get(url, headers=readable, trust_env=False).status_code == 200
    launch = httpx.post(f"{url}/{strict}/executions", headers=readable, json={"input": {}}, trust_env=False)
    assert (launch.status_code, "this needs submit" in launch.json()["error"]) == (401, True)


def test_a_key_of_a_removed_connection_never_speaks_for_another_of_its_name(
    served: Served, client: Client, sandbox: Sandbox, unique: str
) -> None:
    def connect() -> None:
        client.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key)

    connect()
    headers = {"x-api-key": client.tokens.create(unique, connection=unique)["secret"]}
    url = f"{served.url}/script/api/v1/workflows"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200
    client.connections.remove(unique)
    connect()
    answer = httpx.get(url, headers=headers, trust_env=False)
    assert (answer.status_code, "removed" in answer.json()["error"]) == (401, True)


def test_an_execution_of_another_workspace_or_connection_is_not_found(
    served: Served, client: Client, stranger: Client, sandbox: Sandbox, key: str, free: str, unique: str
) -> None:
    for elsewhere in (stranger, client):
        elsewhere.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key)
    for run_id in [elsewhere.runs.submit(unique, free, {"n": 1})["id"] for elsewhere in (stranger, client)]:
        url = f"{served.url}/script/api/v1/workflows/{free}/executions/{run_id}"
        answer = httpx.get(url, headers={"x-api-key": key}, trust_env=False)
        assert (answer.status_code, answer.json()) == (404, {"error": "Execution not found"})


def test_a_launch_that_is_sent_again_under_its_idempotency_key_is_one_run(door: httpx.Client, free: str) -> None:
    for path, body in [("", {"input": {"n": 1}}), ("/batch", {"items": [{"n": 1}, {"n": 2}]})]:
        headers = {"Idempotency-Key": f"the-same{path}"}
        first, second = (door.post(f"/workflows/{free}/executions{path}", json=body, headers=headers) for _ in range(2))
        assert first.json() == second.json()
        assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/script/api/v1/workflows", None), ("/scripe/v1/jobs", ["code", "message", "request_id", "docs_url"])],
)
def test_a_bug_is_told_in_the_doors_shape_and_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, path: str, fields: list[str] | None
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret of the inside")

    @contextlib.asynccontextmanager
    async def nothing() -> AsyncIterator[Deps]:
        yield cast(Deps, None)

    monkeypatch.setattr("orchestrator.engine.tokens.authenticate", broken)

    async def ask() -> httpx.Response:
        app = create_app(Settings.model_validate({}), deps_factory=nothing)
        headers = {"x-api-key": "k", "Authorization": "Bearer k"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers=headers) as http,
        ):
            return await http.get(path)

    with capture_logs() as logged:
        answer = asyncio.run(ask())
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["bug"]
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert fields is None or [*error] == fields
    assert answer.headers["request-id"] in (error if fields is None else error["request_id"])
    assert "secret" not in answer.text


def test_while_the_provider_is_away_what_is_known_of_it_is_listed_and_launches_are_accepted(
    served: Served, client: Client, unique: str
) -> None:
    with Sandbox(options={"requests_per_minute": 0}) as provider:
        client.connections.add(unique, provider="script", base_url=provider.api_url, api_key=provider.key)
        headers = {"x-api-key": client.tokens.create(unique, connection=unique)["secret"]}
        base = f"{served.url}/script/api/v1"
        with httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=30) as door:
            live = door.get("/workflows").json()["data"]
            seen, unseen = provider.workflows["Free form"], provider.workflows["Send welcome email"]
            shown = door.get(f"/workflows/{seen}").json()
            provider.close_listener(60)
            _until_away(provider)
            first = door.get("/workflows", params={"limit": 3}).json()
            rest = door.get("/workflows", params={"limit": 100, "cursor": first["cursor"]}).json()
            known = [*first["data"], *rest["data"]]
            assert sorted(known, key=lambda w: w["id"]) == sorted(live, key=lambda w: w["id"])
            assert door.get(f"/workflows/{seen}").json() == shown
            assert door.post(f"/workflows/{seen}/executions", json={"input": {}}).status_code == 200
            never_seen = door.post(f"/workflows/{unseen}/executions", json={"input": {"email": "a@b.c"}})
            # Nothing was stored for certain, and the page's only word for "later" is 429.
            assert (never_seen.status_code, never_seen.headers["retry-after"]) == (429, "30")
            assert "never fetched" in never_seen.json()["error"]


def _until_away(provider: Sandbox) -> None:
    for _ in range(200):
        try:
            httpx.get(provider.api_url, trust_env=False)
        except httpx.HTTPError:
            return
    raise AssertionError("the provider's door did not shut")
