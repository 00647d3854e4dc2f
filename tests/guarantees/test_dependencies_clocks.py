"""Clocks that jump: a worker's wall clock means nothing, and the database's may go back without stopping the work."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.storage import workers
from tests.guarantees.outages import Hands, all_ended, hands, proxy, through, through_settings
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio

__all__ = ["hands", "proxy", "through", "through_settings"]

HOUR_S = 3600
TEN_YEARS_S = 10 * 365 * 24 * HOUR_S

COUNT = 8


def jumping(deps: Deps, *jumps_s: int) -> Deps:
    """Return the dependencies of a process whose wall clock is wrong each time in another way."""
    jumps = itertools.cycle(jumps_s)
    return replace(
        deps,
        sources=replace(deps.sources, unix_ms=lambda: max(0, time.time_ns() // 1_000_000 + 1000 * next(jumps))),
    )


async def set_database_clock(site: Site, ahead_s: int) -> None:
    """Turn the database's clock, for every session from its next statement on."""
    function = f"""
        CREATE OR REPLACE FUNCTION orch_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS
        $$ SELECT now() + interval '{ahead_s} seconds' $$"""

    async def write(connection: AsyncConnection) -> Any:
        return await connection.execute(text(function))

    await site.deps.db.run(write)


@pytest.mark.parametrize("jumps_s", [(-HOUR_S, HOUR_S), (TEN_YEARS_S, 0)])
async def test_a_worker_whose_wall_clock_jumps_does_its_work_as_any_other(
    site: Site, hands: Hands, jumps_s: tuple[int, int]
) -> None:
    crazy = Hands(deps=jumping(hands.deps, *jumps_s), id=hands.id)
    await replace(site, deps=jumping(site.deps, *jumps_s)).batch(COUNT, wave_size=4)
    await crazy.work(until=all_ended(site), limit_s=15)
    found = await site.all_is_well()
    assert [run.status for run in found.runs.values()] == ["finished"] * COUNT


@pytest.mark.parametrize("back_s", [2 * HOUR_S, HOUR_S // 2])
async def test_the_databases_clock_may_go_back_and_the_work_goes_on(site: Site, hands: Hands, back_s: int) -> None:
    await set_database_clock(site, back_s)
    await site.batch(COUNT, wave_size=4, concurrency="low")

    async def some_have_ended() -> bool:
        return (await site.statuses()).get("finished", 0) >= 2

    await hands.work(until=some_have_ended)
    await set_database_clock(site, 0)
    await hands.work(until=all_ended(site), limit_s=15)
    found = await site.all_is_well()
    assert [run.status for run in found.runs.values()] == ["finished"] * COUNT
    for stream, told in found.streams.items():
        times = [event.at for event in told]
        assert times == sorted(times), f"the history of {stream} goes back in time"


async def test_a_worker_is_not_taken_for_dead_because_the_databases_clock_went_back(site: Site, hands: Hands) -> None:
    await set_database_clock(site, 2 * HOUR_S)
    await hands.deps.db.run(hands.beat)
    await set_database_clock(site, 0)

    async def declare(connection: AsyncConnection) -> list[UUID]:
        return await workers.declare_dead(connection, [], silent_s=20, by=None)

    assert await site.deps.db.run(declare) == []
