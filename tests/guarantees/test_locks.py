"""Two at once: who locks a lane or a batch, decides alone, and the other sees what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.storage import lanes, look_turns
from orchestrator.storage.lanes import Lane

pytestmark = pytest.mark.anyio

#: Long enough for a statement that nothing holds up.
A_WHILE_S = 0.5


@pytest.fixture
async def lane(deps: Deps) -> UUID:
    """A lane that is due for everything."""
    lane_id = deps.sources.new_id()

    async def insert(connection: AsyncConnection) -> None:
        await connection.execute(
            text(
                "INSERT INTO lanes (id, limit_key, requests_per_minute, launch_due_at, poll_due_at)"
                " VALUES (:id, 'two at once', 100, orch_now(), orch_now())"
            ),
            {"id": lane_id},
        )

    await deps.db.run(insert)
    return lane_id


async def beside(deps: Deps, work: Callable[[AsyncConnection], Awaitable[object]]) -> asyncio.Task[object]:
    """Begin some work in a transaction of its own, and give it time to get as far as it can."""
    task = asyncio.create_task(deps.db.run(work), context=Context())  # not in the midst of our own transaction
    await asyncio.wait([task], timeout=A_WHILE_S)
    return task


async def test_who_records_on_a_lane_waits_for_the_other_and_sees_what_it_wrote(deps: Deps, lane: UUID) -> None:
    async def read(connection: AsyncConnection) -> object:
        return (await lanes.lock(connection, lane)).blocked_until

    async with deps.db.transaction() as connection:
        held = await lanes.lock(connection, lane)
        until = held.now + timedelta(minutes=1)
        other = await beside(deps, read)
        assert not other.done(), "two held one lane at once"
        await lanes.save(connection, replace(held, blocked_until=until))
    assert await other == until


async def lock_due_look(connection: AsyncConnection) -> Lane | None:
    due = await look_turns.lock_due(connection, worker=UUID(int=1))
    return due[0].lane if due else None


@pytest.mark.parametrize("lock_due", [lanes.lock_due, lock_due_look], ids=["launch", "poll"])
async def test_a_lane_that_is_being_claimed_is_passed_by(
    deps: Deps, lane: UUID, lock_due: Callable[[AsyncConnection], Awaitable[Lane | None]]
) -> None:
    async with deps.db.transaction() as connection:
        held = await lock_due(connection)
        assert held is not None
        assert held.id == lane
        other = await beside(deps, lock_due)
        assert other.done(), "a claim waits for no other"
        assert other.result() is None, "two claimed one lane at once"
