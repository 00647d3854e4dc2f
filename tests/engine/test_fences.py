"""Fences: what a worker holds is its alone, once, and for as long as it lives."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.changes import Change, Timer, TimerKind
from orchestrator.domain.statuses import RunStatus
from orchestrator.engine import download, launch, poll, reading, sweep
from orchestrator.storage import downloads, lanes, look_turns, looks
from orchestrator.storage.changes import Applied
from orchestrator.storage.look_claims import LookBatch, LookRecord, LookResult
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio


async def claim_looks(office: Office, worker: UUID) -> LookBatch:
    """Let a worker take the one look that there is."""
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now()")

    async def claim(connection: AsyncConnection) -> list[LookBatch]:
        return await look_turns.claim(connection, worker=worker, lease_s=60, sources=office.deps.sources)

    (batch,) = await office.deps.db.run(claim)
    assert len(batch.claims) == 1
    return batch


async def record_look(office: Office, run_id: UUID | str, batch: LookBatch) -> tuple[Change, ...]:
    """Record that nothing has changed."""
    timer = Timer(kind=TimerKind.POLL, due_at=batch.now + timedelta(hours=1))
    seen = Change(run_id=UUID(str(run_id)), was=RunStatus.PROCESSING, to=RunStatus.PROCESSING, timer=timer)

    async def record(connection: AsyncConnection) -> Applied:
        results = [LookResult(claim=batch.claims[0], change=seen)]
        turn = LookRecord(lane_id=batch.lane_id, grant_id=batch.grant_id, results=results, answered_ago_s=[0.0])
        held = await lanes.lock_free(connection, [batch.lane_id])
        return await looks.record(connection, [turn], held, sources=office.deps.sources, sealer=office.deps.sealer)

    return tuple((await office.deps.db.run(record)).changes)


async def timer_of(office: Office, run_id: UUID | str) -> Any:
    (row,) = await query(
        office, "SELECT worker_id, fence, due_at <= now() AS is_due FROM timers WHERE subject_id = :id", id=run_id
    )
    return row


async def test_a_late_look_is_void_once_another_worker_holds_the_claim(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await hands.work(until=becomes(office, run_id, "processing"))
    other = office.deps.sources.new_id()
    late = await claim_looks(office, hands.id)
    held = await claim_looks(office, other)
    assert await record_look(office, run_id, late) == ()
    timer = await timer_of(office, run_id)
    assert (timer.worker_id, timer.fence) == (other, held.claims[0].fence), "the holder's claim was written over"


async def test_a_look_that_was_recorded_is_void_when_it_is_recorded_again(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await hands.work(until=becomes(office, run_id, "processing"))
    held = await claim_looks(office, hands.id)
    assert len(await record_look(office, run_id, held)) == 1
    assert await record_look(office, run_id, held) == (), "the commit's answer was lost, and the look written twice"
    assert (await timer_of(office, run_id)).worker_id is None


async def test_a_late_download_is_void_while_another_worker_is_at_it(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')

    async def claim(connection: AsyncConnection) -> list[downloads.DownloadClaim]:
        return await downloads.claim(connection, worker=hands.id, limit=9, lease_s=60, sealer=office.deps.sealer)

    async with asyncio.timeout(15):
        while not (late := await office.deps.db.run(claim)):
            await launch.launch_due(office.deps, worker=hands.id)
            await poll.poll_due(office.deps, worker=hands.id)
            await asyncio.sleep(0.02)
    await sweep.sweep(office.deps, dead=[hands.id])
    (held,) = await office.deps.db.run(claim)
    assert held.fence != late[0].fence
    await download.download(office.deps, [late[0]])
    assert await status(office, run_id) == "downloading", "another worker has it in hand"
    await download.download(office.deps, [held])
    assert await status(office, run_id) == "finished"
    events, _ = await reading.run_events(office.deps, office.who, UUID(str(run_id)))
    assert [e["type"] for e in events].count("finished") == 1


async def test_what_a_dead_worker_held_is_free_for_others_at_once(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await hands.work(until=becomes(office, run_id, "processing"))
    held = await claim_looks(office, hands.id)
    assert not (await timer_of(office, run_id)).is_due, "it is leased for a minute"
    await sweep.sweep(office.deps, dead=[hands.id])
    timer = await timer_of(office, run_id)
    assert (timer.worker_id, timer.is_due) == (None, True)
    assert await record_look(office, run_id, held) == (), "what it had in hand is void"
