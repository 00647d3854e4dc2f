"""Walks that meet: of one watch, and of two connections to one place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import Context
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.engine import connections, poll, watches
from orchestrator.faultpoints import Point, watched_by
from orchestrator.storage import lanes
from orchestrator.storage import watches as stored
from tests.engine import test_observed as ground
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_observed import EARLIER, POSTS, runs, started

pytestmark = pytest.mark.anyio

desk = ground.desk

SECOND_KEY = "scripe_sk_test_second"
BLOCKED = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def second_key(office: Office) -> Iterator[None]:
    office.sandbox.options(scripe_keys={SECOND_KEY: "main"})
    yield
    office.sandbox.options(scripe_keys={SECOND_KEY: None})


async def second(office: Office) -> None:
    """Watch the same workspace of the provider by another key, which has a lane of its own."""
    await connections.add_connection(
        office.deps, office.who, name="second", provider="scripe", base_url=office.sandbox.scripe_url,
        api_key=SECOND_KEY,
    )  # fmt: skip
    await watches.watch_connection(office.deps, office.who, "second", since=datetime.now(UTC) - EARLIER)


async def waits_or_is_done(office: Office, task: asyncio.Task[Any]) -> None:
    """Return when somebody waits for a lock, or the task is over."""
    while not task.done() and not await query(office, BLOCKED):
        await asyncio.sleep(0.01)


async def test_two_keys_of_one_place_that_are_walked_at_once_track_each_job_once(
    desk: Office, hands: Hands, second_key: None
) -> None:
    await second(desk)
    ids = [started(desk, POSTS, "duration_s=60") for _ in range(3)]
    first_is_in, go = asyncio.Event(), asyncio.Event()

    async def strike(point: Point) -> None:
        if point is Point.WALK_RECORDING and not first_is_in.is_set():
            first_is_in.set()
            await go.wait()

    await change(desk, "UPDATE watches SET due_at = now()")
    with watched_by(strike):
        one = asyncio.create_task(poll.poll_due(desk.deps, worker=hands.id))
        await first_is_in.wait()
        two = asyncio.create_task(poll.poll_due(desk.deps, worker=hands.id))
        await waits_or_is_done(desk, two)
        go.set()
        await asyncio.gather(one, two)
    assert sorted(run["execution_id"] for run in await runs(desk)) == sorted(ids)
    assert len({run["connection"] for run in await runs(desk)}) == 1, "all of a page are one connection's"


async def test_what_one_connection_held_back_and_another_tracks_is_held_back_no_more(
    desk: Office, hands: Hands, second_key: None
) -> None:
    await second(desk)
    theirs = started(desk, POSTS, "duration_s=60")
    await change(
        desk,
        "INSERT INTO observed (connection_id, execution_id, workflow_id, made_at)"
        " SELECT id, :execution, :type, now() FROM connections WHERE name = 'second'",
        execution=theirs,
        type=POSTS,
    )
    await change(
        desk,
        "UPDATE watches SET due_at = now() - interval '1 s' * (c.name = 'scripe')::int"
        " FROM connections c WHERE c.id = connection_id",
    )
    for _ in range(2):
        await poll.poll_due(desk.deps, worker=hands.id)
    assert [run["execution_id"] for run in await runs(desk)] == [theirs]
    assert (await connections.show_connection(desk.deps, desk.who, "second"))["watch"]["held_back"] == 0


async def test_who_finds_a_walk_taken_meanwhile_does_not_take_it_from_its_holder(desk: Office, hands: Hands) -> None:
    await change(desk, "UPDATE watches SET due_at = now()")

    async def turn() -> int | None:
        return await poll.poll_due(desk.deps, worker=hands.id)

    async with desk.deps.db.transaction() as connection:
        due = await stored.due(connection)
        assert due is not None
        watched, lane_id = due
        await lanes.lock(connection, lane_id)
        # It has seen that the walk is due, and waits for the lane; not in the midst of our own transaction.
        late = asyncio.create_task(turn(), context=Context())
        await asyncio.create_task(waits_or_is_done(desk, late), context=Context())
        assert not late.done()
        assert await stored.claim(connection, watched, lane=lane_id, lease_s=600) is not None
        blocked = text("UPDATE lanes SET blocked_until = now() + interval '30 s' WHERE id = :lane")
        await connection.execute(blocked, {"lane": lane_id})
    await late
    (row,) = await query(desk, "SELECT due_at > now() + interval '300 s' AS is_leased FROM watches")
    assert row.is_leased
