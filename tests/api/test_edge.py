"""The edge: ids, headers, bounds, probes, the description; and what becomes of a bug."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from orchestrator.api import app as application
from orchestrator.api import limits
from orchestrator.api.app import create_app
from orchestrator.api.openapi import scopes_of
from orchestrator.api.schemas import ANSWERS, BODIES
from orchestrator.api.server import bind
from orchestrator.client import Client
from orchestrator.engine.deps import Deps
from orchestrator.settings import Settings
from tests.api.conftest import Served


def test_every_answer_has_an_id_of_our_own_and_is_no_page(http: httpx.Client) -> None:
    headers = {"Request-Id": "mine", "X-Request-Id": "mine"}
    answers = [http.get(path, headers=headers) for path in ("/healthz", "/api/v1/runs", "/nowhere", "/api/v1/runs/7")]
    ids = {answer.headers["request-id"] for answer in answers}
    assert len(ids) == 4
    assert "mine" not in ids
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/runs/", 404, "not_found"),
        ("GET", "//api/v1/runs", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("PUT", "/api/v1/runs", 405, "method_not_allowed"),
        ("TRACE", "/api/v1/runs", 405, "method_not_allowed"),
        ("GET", "/api/v1/runs/a%00b", 404, "not_found"),
    ],
)
def test_a_wrong_path_or_method_is_a_problem_too(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    answer = http.send(http.build_request(method, http.base_url.copy_with(raw_path=path.encode())))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert status != 405 or "allow" in answer.headers


def test_the_probes_need_no_token(served: Served) -> None:
    with httpx.Client(base_url=served.url, trust_env=False) as http, Client(served.url, None) as client:
        assert http.get("/healthz").json() == {"ok": True}
        assert client.system.health()
        assert client.system.ready()["database"] == "ok"
        assert http.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_not_ready_is_said_by_the_status(http: httpx.Client) -> None:
    answer = http.get("/readyz")
    assert answer.status_code == (200 if answer.json()["ready"] else 503)


def test_every_route_of_the_api_needs_a_scope() -> None:
    scopes = scopes_of(application.ROUTERS, application.API)
    routes = [(router, route) for router in application.ROUTERS for route in cast(APIRouter, router).routes]
    known = {
        (application.API + r.path_format, m) for _, r in routes if isinstance(r, APIRoute) for m in r.methods or ()
    }
    assert known == set(scopes)
    assert {method for (_, method), scope in scopes.items() if scope == "read"} == {"GET"}
    assert {scope for (_, method), scope in scopes.items() if method != "GET"} == {
        "submit",
        "operate",
        "approve",
        "admin",
    }


def test_the_description_is_whole(served: Served) -> None:
    answer = httpx.get(f"{served.url}/api/v1/openapi.json", trust_env=False)
    whole = answer.json()
    assert answer.status_code == 200
    assert whole["openapi"].startswith("3.1")
    for schema in (BODIES | ANSWERS).values():
        Draft202012Validator.check_schema(schema)
    references = {word.split('"')[0] for word in json.dumps(whole).split("#/components/schemas/")[1:]}
    assert references <= set(whole["components"]["schemas"])
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            assert operation["x-scope"], path
            assert operation["responses"]["401"]["content"]["application/problem+json"]
            assert method != "post" or operation["requestBody"], path
    assert "/healthz" not in whole["paths"]


def test_what_is_shown_is_what_is_described(client: Client, main: str, free: str) -> None:
    run = client.runs.submit(main, free, {})
    batch = client.batches.submit(b"{}", "jsonl", connection=main, workflow_id=free)
    shown: list[tuple[str, Any]] = [
        ("Run", run),
        ("SubmittedBatch", batch),
        ("Batch", client.batches.get(str(batch["id"]))),
    ]
    shown += [("Connection", client.connections.get(main)), ("ConnectionTest", client.connections.test(main))]
    shown += [("Workflow", client.workflows.get(main, free)), ("CreatedToken", client.tokens.create("shape"))]
    shown += [("Token", token) for token in client.tokens.list()]
    shown += [("Event", event) for event in client.runs.events(run["id"])]
    for name, view in shown:
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": BODIES | ANSWERS}}
        Draft202012Validator(schema).validate(view)


def test_a_body_over_the_cap_is_refused_before_it_is_sent(served: Served) -> None:
    head = _head(served, "POST", "/api/v1/runs", f"Content-Length: {limits.RUN_BYTES + 1}")
    with _connected(served) as wire:
        wire.sendall(head)
        assert b" 413 " in wire.recv(4096).split(b"\r\n")[0]


def test_a_body_of_unknown_length_is_refused_past_the_cap(http: httpx.Client) -> None:
    chunks = iter([b" " * 65536] * 32)
    answer = http.post("/api/v1/tokens", content=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_that_stops_coming_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STALL_S", 0.1)
    with _connected(served) as wire:
        wire.sendall(_head(served, "POST", "/api/v1/runs", "Content-Length: 10") + b'{"a"')
        assert b" 408 " in wire.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "X-Large: " + "x" * 40_000, "Content-Length: nine"])
def test_an_odd_framing_is_refused(served: Served, header: str) -> None:
    with _connected(served) as wire:
        wire.sendall(_head(served, "POST", "/api/v1/runs", header, "Transfer-Encoding: chunked") + b"0\r\n\r\n")
        assert wire.recv(4096).split(b"\r\n")[0].split()[1] in (b"400", b"415", b"431")


def test_a_bug_shows_an_id_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Deps) -> dict[str, Any]:
        raise RuntimeError("secret of the inside")

    @contextlib.asynccontextmanager
    async def nothing() -> AsyncIterator[Deps]:
        yield cast(Deps, None)

    monkeypatch.setattr("orchestrator.engine.health.readiness", broken)

    async def ask() -> httpx.Response:
        app = create_app(Settings.model_validate({}), deps_factory=nothing)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http,
        ):
            return await http.get("/readyz")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert "secret" not in answer.text


def test_a_server_stops_well_when_asked(served: Served) -> None:
    script = "from orchestrator.settings import Settings; from orchestrator.api.server import serve; import sys;"
    script += "serve(Settings.model_validate_json(sys.argv[1]))"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    given = {"data_dir": str(served.settings.data_dir), "port": port, "log_format": "json"}
    given["database_url"] = served.settings.require_database_url()
    process = subprocess.Popen([sys.executable, "-c", script, json.dumps(given)], stdout=-1, stderr=-1, text=True)
    try:
        with Client(f"http://127.0.0.1:{port}", served.token) as client:
            _until_up(client)
            assert list(client.batches.list(limit=1)) is not None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode in (0, -signal.SIGTERM), err
    assert out == ""
    assert served.token not in err
    assert all(json.loads(line) for line in err.splitlines())


def test_a_taken_port_is_said_to_be_taken(served: Served) -> None:
    from orchestrator.api.server import bind
    from orchestrator.errors import Misconfigured

    port = int(served.url.rsplit(":", 1)[1])
    with pytest.raises(Misconfigured, match=f"port {port}"):
        bind(served.settings.model_copy(update={"port": port}))


def _until_up(client: Client) -> None:
    for _ in range(200):
        with contextlib.suppress(Exception):
            client.system.health()
            return
        time.sleep(0.05)
    pytest.fail("the server did not come up")


def _connected(served: Served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _head(served: Served, method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {served.token}"]
    lines += ["Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def test_small_answers_do_not_wait_for_a_delayed_acknowledgement() -> None:
    listener = bind(Settings(port=0))
    try:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        client.close()
        accepted.close()
    finally:
        listener.close()
