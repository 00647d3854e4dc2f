"""The provider is down and comes back: no herd at its door, and the results that die first are rescued first."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import breaker
from orchestrator.engine import connections, download
from tests.guarantees.outages import Hands, all_ended, hands, proxy, through, through_settings
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio

__all__ = ["hands", "proxy", "through", "through_settings"]

DOWN_S = 4.0

#: How long the first launch after the outage takes.
ANSWERS_AFTER_S = 0.8

ORDER = text("SELECT run_id FROM artifacts WHERE stored_at IS NOT NULL ORDER BY stored_at")
BY_DEADLINE = text("SELECT subject_id FROM timers WHERE kind = 'download' ORDER BY deadline_at")
#: The last to come is now the first to die.
TURN_AROUND = text("""
    UPDATE timers t SET due_at = orch_now(), deadline_at = orch_now() + interval '1 hour' - o.n * interval '5 minutes'
    FROM (SELECT subject_id, row_number() OVER (ORDER BY due_at) AS n FROM timers WHERE kind = 'download') o
    WHERE t.subject_id = o.subject_id""")


async def test_a_provider_that_comes_back_meets_a_probe_then_one_launch_then_the_rest(
    site: Site, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE_S", 1.0)
    await connections.set_connection(site.deps, site.who, "main", requests_per_minute=100)
    watched = [await site.run("duration_s=2") for _ in range(2)]

    async def are_watched() -> bool:
        return [await site.status(run) for run in watched] == ["processing"] * 2

    await hands.work(until=are_watched)
    before = len(site.sandbox.log())
    site.sandbox.close_listener(DOWN_S)
    ends_at = time.monotonic() + DOWN_S
    await asyncio.sleep(0.1)
    site.sandbox.faults([{"fault": "hang_after", "kind": "launch", "nth": 1, "seconds": ANSWERS_AFTER_S}])
    for _ in range(6):
        await site.run("duration_s=0.2")

    async def is_back() -> bool:
        return time.monotonic() > ends_at

    await hands.work(until=is_back)
    assert [one for one in site.sandbox.log()[before:] if one["method"] == "POST"] == []
    await hands.work(until=all_ended(site), limit_s=25)
    found = await site.all_is_well()
    assert {run.status for run in found.runs.values()} == {"finished"}
    seen = [one for one in site.sandbox.log()[before:] if one["path"].startswith("/api/")]
    launches = [n for n, one in enumerate(seen) if one["method"] == "POST"]
    assert len(launches) == 6
    assert any(is_probe(one) for one in seen[: launches[0]]), "it was launched on before it was asked"
    waited_s = seen[launches[1]]["at_s"] - seen[launches[0]]["at_s"]
    assert waited_s >= ANSWERS_AFTER_S, "a second launch went before the first had come through"


def is_probe(request: dict[str, Any]) -> bool:
    return bool(request["method"] == "GET" and request["path"].split("?")[0].endswith("/workflows"))


async def test_of_results_that_piled_up_those_that_die_first_are_rescued_first(
    site: Site, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.batch(6, "size_bytes=300; duration_s=0.1")

    async def all_wait_for_files() -> bool:
        return (await site.statuses()).get("downloading", 0) == 6

    await hands.work(until=all_wait_for_files, kinds=("launch", "poll"))

    async def scramble(connection: AsyncConnection) -> list[UUID]:
        await connection.execute(TURN_AROUND)
        return list((await connection.execute(BY_DEADLINE)).scalars())

    async def stored(connection: AsyncConnection) -> list[UUID]:
        return list((await connection.execute(ORDER)).scalars())

    wanted = await site.deps.db.run(scramble)
    monkeypatch.setattr(download, "RUNS_AT_ONCE", 1)
    while await download.download_due(hands.deps, worker=hands.id):
        pass
    assert await site.deps.db.run(stored) == wanted
    assert (await site.statuses()) == {"finished": 6}
