"""A token comes back a minute after its answer, and not early by the time for which its record waited for the lane."""

from __future__ import annotations

import asyncio
from contextvars import Context
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import budgeted, launch, look_records
from orchestrator.engine.deps import Deps
from orchestrator.engine.heard import ears
from orchestrator.storage import lanes
from tests.engine.conftest import Hands, Office
from tests.engine.test_lanes_together import all_due, claimed, runs_on_lanes, seen
from tests.engine.test_launching import single
from tests.engine.test_nothing_is_stranded import claim_launches, query

pytestmark = pytest.mark.anyio

#: More than a token's slot, to which its return is rounded up.
HELD_S = 0.8


class Holder:
    """Somebody who holds a lane for a while."""

    def __init__(self, deps: Deps, lane: UUID) -> None:
        self._deps, self._lane = deps, lane
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Hold it from now on; returns once it is held."""
        holds = asyncio.Event()

        async def hold(connection: AsyncConnection) -> None:
            await lanes.lock(connection, self._lane)
            holds.set()
            await asyncio.sleep(HELD_S)

        self._task = asyncio.create_task(self._deps.db.run(hold), context=Context())
        await holds.wait()

    async def end(self) -> None:
        """Wait until it is let go."""
        assert self._task is not None, "it began"
        await self._task


async def clock_ms(deps: Deps) -> float:
    """Return the database's time."""

    async def ask(connection: AsyncConnection) -> float:
        return float(
            (await connection.execute(text("SELECT extract(epoch FROM clock_timestamp()) * 1000"))).scalar_one()
        )

    return await deps.db.run(ask)


async def first_back_ms(office: Office, kind: str) -> int:
    """Return when the first token of a kind comes back."""
    found = [
        back_ms
        for row in await query(office, "SELECT spent FROM lanes")
        for back_ms, spent_on, _ in row.spent
        if spent_on == kind
    ]
    assert found, "nothing was spent"
    return int(min(found))


async def the_lane(office: Office) -> UUID:
    (row,) = await query(office, "SELECT lane_id FROM connections WHERE name = 'main'")
    return UUID(str(row.lane_id))


async def test_of_a_look(office: Office, hands: Hands) -> None:
    await runs_on_lanes(office, hands, 1)
    await all_due(office)
    batches = await claimed(office, hands.id)
    holder = Holder(office.deps, await the_lane(office))
    await holder.begin()
    answered_after_ms = await clock_ms(office.deps)
    await look_records.record(office.deps, [seen(office, batch) for batch in batches])
    await holder.end()
    assert await first_back_ms(office, "look") >= answered_after_ms + 60_000


async def test_of_a_launch(office: Office, hands: Hands) -> None:
    await single(office)
    orders = (await claim_launches(office, hands)).orders
    holder = Holder(office.deps, await the_lane(office))
    await holder.begin()
    answered_after_ms = await clock_ms(office.deps)
    await launch.launch(office.deps, orders)
    await holder.end()
    assert await first_back_ms(office, "launch") >= answered_after_ms + 60_000


async def test_of_a_call_for_a_person(office: Office) -> None:
    holder = Holder(office.deps, await the_lane(office))
    answered_after_ms = 0.0

    async def send() -> None:
        nonlocal answered_after_ms
        await holder.begin()
        answered_after_ms = await clock_ms(office.deps)

    (row,) = await query(office, "SELECT id FROM connections WHERE name = 'main'")
    await budgeted.call(office.deps, await the_lane(office), send, ears=ears("script", row.id))
    await holder.end()
    assert await first_back_ms(office, "other") >= answered_after_ms + 60_000
