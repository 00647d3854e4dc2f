"""Postgres hangs, is full, or has no place for us: clear words in bounded time, nothing launched, and it goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text

from orchestrator.engine import launch, tokens
from orchestrator.engine.deps import Deps
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, watched_by
from orchestrator.settings import Settings
from orchestrator.storage import patience
from tests.api.conftest import running
from tests.guarantees.outages import Hands, all_ended, hands, launches_seen, proxy, through, through_settings
from tests.guarantees.site import Site
from tests.guarantees.wire_proxy import WireProxy

pytestmark = pytest.mark.anyio

__all__ = ["hands", "proxy", "through", "through_settings"]

#: What writes.
WRITES = ("INSERT", "COPY", "UPDATE", "WITH", "DELETE")

FULL = 'could not extend file "base/1/2": No space left on device'

#: The longest that a client waits for a word while the database hangs, seconds: a ping and a connection.
BOUND_S = 12.0


@pytest.fixture
async def http(site: Site, through_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An API whose database is behind the proxy, and a client of it."""
    secret, _ = await tokens.create_token(site.deps, site.who.workspace_id, "test", actor="test")
    headers = {"Authorization": f"Bearer {secret}"}
    with running(through_settings.model_copy(update={"port": 0})) as url:
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=60) as made:
            yield made


def a_run(site: Site) -> dict[str, object]:
    return {"connection": "main", "workflow_id": site.sandbox.workflows["Free form"], "input": {"item": "one"}}


async def test_while_postgres_hangs_the_api_says_so_in_bounded_time_and_recovers_by_itself(
    site: Site, http: httpx.AsyncClient, proxy: WireProxy
) -> None:
    assert (await http.get("/runs")).status_code == 200
    proxy.pause()
    began_at = time.monotonic()
    answers = await asyncio.gather(http.get("/runs"), http.post("/runs", json=a_run(site)))
    assert time.monotonic() - began_at < BOUND_S
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    proxy.resume()
    assert (await http.post("/runs", json=a_run(site))).status_code == 201
    assert len((await site.books()).runs) == 1, "what was answered with 503 was stored after all"


async def test_while_an_intents_commit_hangs_nothing_is_sent_and_nothing_is_doubted_afterwards(
    site: Site, proxy: WireProxy, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "ANSWER_WITHIN_S", 0.5)
    run = await site.run()

    async def hang(point: Point) -> None:
        if point is Point.LAUNCH_WRITTEN:
            proxy.pause()

    with watched_by(hang):
        launching = asyncio.create_task(launch.launch_due(hands.deps, worker=hands.id))
        await asyncio.sleep(1.5)
        assert launches_seen(site.sandbox) == 0
    monkeypatch.undo()
    proxy.resume()
    with pytest.raises(Unavailable):
        await launching
    await hands.work(until=all_ended(site))
    found = await site.all_is_well()
    assert (found.runs[run].status, launches_seen(site.sandbox)) == ("finished", 1)


async def test_on_a_full_disk_the_api_says_what_to_do_and_nothing_is_launched(
    site: Site, http: httpx.AsyncClient, proxy: WireProxy, hands: Hands
) -> None:
    await site.run()
    proxy.refuse("53100", FULL, words=WRITES)
    answer = await http.post("/runs", json=a_run(site))
    assert (answer.status_code, answer.json()["code"]) == (503, "database_full")
    assert "Free space" in answer.json()["hint"] and int(answer.headers["Retry-After"]) > 0
    rows = b'{"item": "two"}\n{"item": "three"}'
    query = {"connection": "main", "workflow_id": site.sandbox.workflows["Free form"]}
    batch = await http.post("/batches", params=query, content=rows, headers={"Content-Type": "application/jsonl"})
    assert (batch.status_code, batch.json()["code"]) == (503, "database_full"), batch.text
    assert (await http.get("/runs")).status_code == 200, "what only reads goes on"
    with pytest.raises(Unavailable, match="disk is full"):
        await launch.launch_due(hands.deps, worker=hands.id)
    assert (launches_seen(site.sandbox), len((await site.books()).runs)) == (0, 1)
    proxy.accept()
    await hands.work(until=all_ended(site))
    await site.all_is_well()


async def test_a_launch_on_the_wire_when_the_disk_fills_is_recorded_when_there_is_room(
    site: Site, proxy: WireProxy, hands: Hands
) -> None:
    run = await site.run()

    async def fill(point: Point) -> None:
        if point is Point.LAUNCH_ANSWERED:
            proxy.refuse("53100", FULL, words=WRITES)

    with watched_by(fill):
        launching = asyncio.create_task(launch.launch_due(hands.deps, worker=hands.id))
        await asyncio.sleep(0.6)
    assert (await site.status(run), proxy.refused > 1) == ("launching", True)
    proxy.accept()
    await launching
    assert await site.types(run) == ["accepted", "launching", "launched"]


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [
        ("53200", "database_out_of_memory"),
        ("53300", "database_connections"),
        ("57014", "database_slow"),
        ("25006", "database_read_only"),
        ("57P03", "database_starting"),
        ("40P01", "database_busy"),
        ("58030", "database_io"),
    ],
)
async def test_each_trouble_of_the_database_has_its_own_words(
    through: Deps, site: Site, proxy: WireProxy, sqlstate: str, code: str
) -> None:
    proxy.refuse(sqlstate, "trouble", words=("SELECT",))
    with pytest.raises(Unavailable) as told:
        await through.db.run(lambda connection: connection.execute(text("SELECT 1")), tries=1)
    assert told.value.code == code


async def test_a_database_that_refuses_connections_for_lack_of_room_says_so(through: Deps, proxy: WireProxy) -> None:
    proxy.refuse_at_the_door("53300", "sorry, too many clients already")
    with pytest.raises(Unavailable) as told:
        await through.db.run(lambda connection: connection.execute(text("SELECT 1")), tries=1)
    assert told.value.code == "database_connections"
