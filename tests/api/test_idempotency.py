"""What a key promises when things go wrong in the middle: never a second effect, never a wrong answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request

from orchestrator.api.answers import Answer
from orchestrator.api.auth import Call
from orchestrator.api.cursors import issue, redeem
from orchestrator.api.idempotency import stored_once
from orchestrator.api.problems import RequestRefused
from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.engine.deps import Deps
from orchestrator.engine.spool import Spool
from orchestrator.engine.who import Who
from orchestrator.settings import Settings
from orchestrator.storage import idempotency
from orchestrator.storage.idempotency import Found, Standing
from orchestrator.storage.sealing import Sealer
from sandbox.control import Sandbox
from tests.api.conftest import Served, running

CUT_OFF = text("""
    UPDATE idempotency_keys SET status = NULL, body = NULL, created_at = created_at - CAST(:age AS interval)
    WHERE key = :key""")
AGE = text("UPDATE idempotency_keys SET created_at = created_at - :age")


async def _hold(deps: Deps, who: Who, mark: bytes = b"a") -> Found:
    return await deps.db.run(lambda connection: idempotency.hold(connection, who.workspace_id, "k", mark))


async def _age(deps: Deps, age: timedelta) -> None:
    async def age_all(connection: AsyncConnection) -> None:
        await connection.execute(AGE, {"age": age})

    await deps.db.run(age_all)


@pytest.mark.anyio
async def test_a_key_is_held_by_one_request_and_answers_the_others_when_it_is_done(deps: Deps, who: Who) -> None:
    assert (await _hold(deps, who)).standing is Standing.OURS
    assert (await _hold(deps, who)).standing is Standing.BUSY
    assert (await _hold(deps, who, b"b")).standing is Standing.MISMATCH

    async def keep(connection: AsyncConnection) -> None:
        await idempotency.keep(connection, who.workspace_id, "k", b"a", status=201, body="{}")

    await deps.db.run(keep)
    assert await _hold(deps, who) == Found(standing=Standing.DONE, status=201, body="{}")


@pytest.mark.anyio
async def test_a_request_that_was_cut_off_is_never_done_again_by_its_key(deps: Deps, who: Who) -> None:
    await _hold(deps, who)
    await _age(deps, timedelta(hours=1))
    assert (await _hold(deps, who)).standing is Standing.INTERRUPTED
    await _age(deps, timedelta(days=6))
    assert (await _hold(deps, who)).standing is Standing.INTERRUPTED


@pytest.mark.anyio
async def test_a_key_past_its_seven_days_is_new_and_swept_away(deps: Deps, who: Who) -> None:
    await _hold(deps, who)
    await _age(deps, timedelta(days=8))
    assert (await _hold(deps, who, b"b")).standing is Standing.OURS
    assert await deps.db.run(idempotency.forget) == 0
    await _age(deps, timedelta(days=8))
    assert await deps.db.run(idempotency.forget) == 1


@pytest.mark.anyio
async def test_a_freed_key_can_be_held_again(deps: Deps, who: Who) -> None:
    await _hold(deps, who)

    async def free(connection: AsyncConnection) -> None:
        await idempotency.free(connection, who.workspace_id, "k", b"a")

    await deps.db.run(free)
    assert (await _hold(deps, who, b"b")).standing is Standing.OURS


def cut_off(served: Served, key: str, *, age: str = "0 s") -> None:
    """Make a key look as if the process had died before it could write down the answer."""

    async def undo() -> None:
        async with build(served.settings, program="test") as deps, deps.db.transaction() as connection:
            await connection.execute(CUT_OFF, {"age": age, "key": key})

    asyncio.run(undo())


def test_a_cut_off_act_is_told_to_look_first(served: Served, http: httpx.Client, main: str, free: str) -> None:
    body: dict[str, Any] = {"connection": main, "workflow_id": free, "input": {}}
    path = f"/api/v1/runs/{http.post('/api/v1/runs', json=body).json()['id']}:cancel"
    key = {"Idempotency-Key": "cut-off-act"}
    assert http.post(path, json={}, headers=key).status_code == 200
    cut_off(served, "cut-off-act", age="1 hour")
    answer = http.post(path, json={}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency.interrupted")


def test_a_cut_off_submission_is_found_by_its_repeat(
    served: Served, http: httpx.Client, main: str, free: str, unique: str
) -> None:
    place = {"connection": main, "workflow_id": free}
    run = {**place, "input": {"of": unique}}
    for path, body in (("runs", run), ("batches", {**place, "items": [{}, {}]})):
        headers = {"Idempotency-Key": f"{unique}-{path}"}
        first = http.post(f"/api/v1/{path}", json=body, headers=headers)
        cut_off(served, headers["Idempotency-Key"])
        again = http.post(f"/api/v1/{path}", json=body, headers=headers)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["id"] == again.json()["id"]
        listed = http.get(f"/api/v1/{path}?limit=5").json()["data"]
        assert [one["id"] for one in listed].count(first.json()["id"]) == 1
    # Bound to the body all the same.
    answer = http.post("/api/v1/runs", json={**run, "input": {}}, headers={"Idempotency-Key": f"{unique}-runs"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency.mismatch")


@pytest.mark.anyio
async def test_one_that_was_taken_over_cannot_free_the_key_of_the_other(deps: Deps, who: Who) -> None:
    async def hold(holder: str) -> Found:
        return await deps.db.run(
            lambda c: idempotency.hold(c, who.workspace_id, "k", b"a", holder=holder, takes_over=True)
        )

    first, second = await hold("first"), await hold("second")
    assert first.standing is second.standing is Standing.OURS
    assert first.held_at == second.held_at
    await deps.db.run(lambda c: idempotency.free(c, who.workspace_id, "k", b"a", holder="first"))
    assert (await hold("third")).held_at == first.held_at
    await deps.db.run(lambda c: idempotency.free(c, who.workspace_id, "k", b"a", holder="third"))
    assert (await hold("fourth")).held_at != first.held_at


def test_without_a_database_the_api_says_so_and_when_to_come_again(served: Served) -> None:
    gone = {**served.settings.model_dump(), "database_url": "postgresql+psycopg://x:y@127.0.0.1:9/none"}
    with running(Settings.model_validate(gone)) as url, httpx.Client(base_url=url, trust_env=False) as http:
        answer = http.get("/api/v1/runs", headers={"Authorization": f"Bearer {served.token}"})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert http.get("/readyz").status_code == 503
        assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("after", [0, 41, UUID("0198f000-0000-7000-8000-000000000001")])
def test_a_cursor_gives_back_what_it_was_issued_for_and_nothing_else(after: int | UUID) -> None:
    sealer = Sealer(b"k" * 32)
    cursor = issue(sealer, ("/runs", "w"), after)
    assert redeem(sealer, ("/runs", "w"), cursor) == after
    for position in range(len(cursor)):
        changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
        with pytest.raises(RequestRefused):
            redeem(sealer, ("/runs", "w"), changed)
    for other in (("/runs", "v"), ("/runs",), ("/runs", "w", "status=error")):
        with pytest.raises(RequestRefused):
            redeem(sealer, other, cursor)
    with pytest.raises(RequestRefused):
        redeem(Sealer(b"l" * 32), ("/runs", "w"), cursor)


def test_the_same_key_and_body_have_one_effect(http: httpx.Client, main: str, free: str, unique: str) -> None:
    body = {"connection": main, "workflow_id": free, "input": {}, "labels": {"of": unique}}
    key = {"Idempotency-Key": unique}
    first, second = (http.post("/api/v1/runs", json=body, headers=key) for _ in range(2))
    quoted = http.post("/api/v1/runs", json=body, headers={"Idempotency-Key": f'"{unique}"'})
    assert first.status_code == second.status_code == quoted.status_code == 201
    assert first.json() == second.json() == quoted.json()
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == quoted.headers["idempotent-replayed"] == "true"
    assert len(http.get(f"/api/v1/runs?label=of={unique}").json()["data"]) == 1


def test_the_same_key_with_another_request_is_refused(http: httpx.Client, main: str, free: str, unique: str) -> None:
    body: dict[str, Any] = {"connection": main, "workflow_id": free, "input": {}}
    key = {"Idempotency-Key": unique}
    run = http.post("/api/v1/runs", json=body, headers=key).json()
    for answer in (
        http.post("/api/v1/runs", json={**body, "input": {"n": 1}}, headers=key),
        http.post(f"/api/v1/runs/{run['id']}:cancel", json={}, headers=key),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency.mismatch")
    assert http.get(f"/api/v1/runs/{run['id']}").json()["status"] == "queued"


def test_a_refused_request_leaves_its_key_free(http: httpx.Client, main: str, strict: str, unique: str) -> None:
    key = {"Idempotency-Key": unique}
    bad = {"connection": main, "workflow_id": strict, "input": {}}
    assert http.post("/api/v1/runs", json=bad, headers=key).status_code == 422
    good = {**bad, "input": {"email": "a@example.com"}}
    assert http.post("/api/v1/runs", json=good, headers=key).status_code == 201


def test_another_workspaces_key_is_another_key(
    http: httpx.Client, stranger: Client, main: str, free: str, unique: str
) -> None:
    key = {"Idempotency-Key": unique}
    body = {"connection": main, "workflow_id": free, "input": {}}
    assert http.post("/api/v1/runs", json=body, headers=key).status_code == 201
    answer = stranger._wire._http.post("/api/v1/runs", json=body, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (404, "connection_not_found")


def test_a_repeat_by_a_key_of_another_connection_is_no_repeat(
    served: Served, client: Client, sandbox: Sandbox, main: str, free: str, unique: str
) -> None:
    client.connections.add(unique, provider="script", base_url=sandbox.api_url, api_key=sandbox.key)
    url = f"{served.url}/script/api/v1/workflows/{free}/executions"
    answers = []
    for number, connection in enumerate([main, main, unique]):
        secret = client.tokens.create(f"{unique}-{number}", connection=connection)["secret"]
        headers = {"x-api-key": secret, "Idempotency-Key": unique}
        answers.append(httpx.post(url, json={"input": {}}, headers=headers, trust_env=False, timeout=30))
    first, same, other = answers
    assert first.status_code == 200 and same.json() == first.json()
    assert other.status_code == 400 and "came with another request before" in other.json()["error"]


@pytest.mark.anyio
async def test_a_body_is_read_for_its_key_off_the_event_loop(deps: Deps, who: Who, monkeypatch: Any) -> None:
    on_the_loop: list[bool] = []

    def chunks(self: Spool) -> Iterator[bytes]:
        on_the_loop.append(threading.current_thread() is threading.main_thread())
        yield self.whole()

    async def store(_: UUID | None) -> Answer:
        return Answer(view={})

    monkeypatch.setattr(Spool, "chunks", chunks)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/x",
        "query_string": b"",
        "headers": [(b"idempotency-key", b"k")],
    }
    with Spool() as body:
        body.write(b"{}")
        await stored_once(Call(request=Request({**scope, "server": ("h", 1)}), deps=deps, who=who), body, store)
    assert on_the_loop == [False]


def test_many_at_once_with_one_key_make_one_run(
    served: Served, http: httpx.Client, main: str, free: str, unique: str
) -> None:
    body = {"connection": main, "workflow_id": free, "input": {}, "labels": {"of": unique}}
    headers = {"Idempotency-Key": unique, "Authorization": f"Bearer {served.token}"}
    seen: list[tuple[int, str]] = []

    def submit() -> None:
        answer = httpx.post(f"{served.url}/api/v1/runs", json=body, headers=headers, trust_env=False, timeout=30)
        seen.append((answer.status_code, answer.json().get("code", "made")))

    threads = [threading.Thread(target=submit) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(seen) <= {(201, "made"), (409, "idempotency.in_progress")}, seen
    assert (201, "made") in seen
    assert len(http.get(f"/api/v1/runs?label=of={unique}").json()["data"]) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel".encode()])
def test_a_malformed_key_is_refused(http: httpx.Client, main: str, key: str | bytes) -> None:
    headers = httpx.Headers([(b"Idempotency-Key", key if isinstance(key, bytes) else key.encode())])
    answer = http.post(f"/api/v1/connections/{main}:resume", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency.key")


def test_two_keys_are_refused(http: httpx.Client, main: str) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), ("Authorization", http.headers["authorization"])]
    answer = http.post(f"/api/v1/connections/{main}:resume", json={}, headers=httpx.Headers(headers))
    assert (answer.status_code, answer.json()["code"]) == (400, "header.repeated")
