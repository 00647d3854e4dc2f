"""More requests under way than may be: told in a document, at a door in its provider's words, and never the probes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from orchestrator.api import request_ids, server
from orchestrator.api.hosts import Hosts
from orchestrator.api.request_ids import Edge
from orchestrator.settings import Settings
from tests.api.conftest import Served

RUNS = "/api/v1/runs"
PROBES = ("/healthz", "/readyz", "/metrics")


def test_one_request_too_many_is_told_to_come_again(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_ids, "MAX_UNDER_WAY", 0)
    answer = http.get(RUNS, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["code"] == "busy"
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_busy_server_is_not_taken_for_a_dead_one(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: http.get(path).status_code for path in PROBES}
    monkeypatch.setattr(request_ids, "MAX_UNDER_WAY", 0)
    assert {path: http.get(path).status_code for path in PROBES} == before
    assert before["/healthz"] == 200


def test_a_door_tells_it_in_its_providers_shape(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_ids, "MAX_UNDER_WAY", 0)
    script, scripe = http.get("/script/api/v1/workflows"), http.get("/scripe/v1/jobs")
    assert (script.status_code, set(script.json())) == (429, {"error"})
    assert scripe.status_code == 503
    assert "code" not in scripe.json(), "not a problem document"
    assert all("under way" in answer.text and int(answer.headers["retry-after"]) > 0 for answer in (script, scripe))


def test_a_door_tells_a_strange_host_in_its_providers_shape(http: httpx.Client) -> None:
    answer = http.get("/script/api/v1/workflows", headers={"Host": "evil.example"})
    assert (answer.status_code, set(answer.json())) == (400, {"error"})


def test_what_waits_for_news_counts_and_an_idle_connection_does_not(
    served: Served, http: httpx.Client, main: str, free: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = http.post(RUNS, json={"connection": main, "workflow_id": free, "input": {}}).json()["id"]
    assert http.get(RUNS).status_code == 200, "and its connection stays open"
    monkeypatch.setattr(request_ids, "MAX_UNDER_WAY", 1)
    tag = http.get(f"{RUNS}/{run}").headers["etag"]
    waited: list[int] = []

    def wait_for_news() -> None:
        headers = {"Authorization": f"Bearer {served.token}", "If-None-Match": tag}
        with httpx.Client(base_url=served.url, headers=headers, trust_env=False, timeout=60) as reader:
            while not waited or waited[-1] == 503:  # our own look below was under way
                waited.append(reader.get(f"{RUNS}/{run}?wait=60s").status_code)

    reader = threading.Thread(target=wait_for_news)
    reader.start()
    while http.get(RUNS).status_code == 200:
        assert reader.is_alive()
    assert http.post(RUNS, json={}).json()["code"] == "busy"
    monkeypatch.undo()
    assert http.post(f"{RUNS}/{run}:cancel", json={}).status_code == 200
    reader.join(60)
    assert waited[-1] == 200
    assert http.get(RUNS).status_code == 200


def test_the_servers_own_limit_in_plain_text_is_not_used() -> None:
    assert server.make_server(Settings.model_validate({})).config.limit_concurrency is None


def test_a_download_counts_until_its_last_byte_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_ids, "MAX_UNDER_WAY", 1)

    async def download(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b", "more_body": False})

    edge = Edge(download, hosts=Hosts.of(Settings.model_validate({})))

    async def ask(*, reads: asyncio.Event) -> int:
        """Ask as a reader who takes the body once it may."""
        status = 0

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if message.get("more_body"):
                await reads.wait()

        await edge(_scope(), _nothing, send)
        return status

    async def play() -> tuple[int, int, int]:
        slow, now = asyncio.Event(), asyncio.Event()
        now.set()
        first = asyncio.create_task(ask(reads=slow))
        await asyncio.sleep(0)
        meanwhile = await ask(reads=now)
        slow.set()
        return await first, meanwhile, await ask(reads=now)

    assert asyncio.run(play()) == (200, 503, 200)


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/files",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
