"""Everybody gets a turn: waves beside a stream of single launches, lanes beside one that hangs."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import connections, poll, pump, submit
from orchestrator.engine.submit import RunSpec
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, count_is, query

pytestmark = pytest.mark.anyio


async def pump_launches(office: Office, hands: Hands) -> None:
    for _ in range(4):
        await change(office, "UPDATE lanes SET launch_due_at = now()")
        await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)


async def test_a_wave_that_waits_for_slots_is_not_starved_by_single_launches(office: Office, hands: Hands) -> None:
    await connections.set_connection(office.deps, office.who, "main", max_concurrent=5)
    first = await single(office, b'{"n": 0, "sandbox": "duration_s=60"}')
    others = [await single(office, b'{"n": %d, "sandbox": "duration_s=800"}' % n) for n in range(1, 5)]
    await hands.work(until=becomes(office, others[-1], "processing"))
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=1"} for n in range(10, 16)])
    await pump_launches(office, hands)
    (waiting,) = await query(office, "SELECT entered_at FROM timers WHERE subject_id = :b", b=submitted.id)
    assert waiting.entered_at is not None, "the batch does not know since when it waits"
    await change(office, "UPDATE timers SET entered_at = now() - interval '11 s' WHERE subject_id = :b", b=submitted.id)
    stream = [await single(office, b'{"n": %d, "sandbox": "duration_s=1"}' % n) for n in range(20, 23)]
    office.sandbox.advance(100)
    await hands.work(until=becomes(office, first, "finished"))
    await pump_launches(office, hands)
    assert {await status(office, run) for run in stream} == {"queued"}, (
        "a single launch took a slot that the wave needs"
    )
    assert (await office.batch(submitted.id))["counts"]["queued"] == 6
    office.sandbox.advance(2000)
    await hands.work(until=becomes(office, others[-1], "finished"))
    await hands.work(until=count_is(office, submitted.id, "finished", 6))
    await hands.work(until=becomes(office, stream[-1], "finished"))


async def test_single_launches_go_on_beside_a_wave_that_has_waited_too_long_for_slots(
    office: Office, hands: Hands
) -> None:
    """What holds the other slots may hold them for days."""
    await connections.set_connection(office.deps, office.who, "main", max_concurrent=5)
    held = await single(office, b'{"n": 0, "sandbox": "outcome=human_in_the_loop; duration_s=0.05"}')
    await hands.work(until=becomes(office, held, "human_in_the_loop"))
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=1"} for n in range(10, 16)])
    await pump_launches(office, hands)
    await change(
        office, "UPDATE timers SET entered_at = now() - interval '20 min' WHERE subject_id = :b", b=submitted.id
    )
    late = await single(office, b'{"n": 1, "sandbox": "duration_s=0.05"}')
    await hands.work(until=becomes(office, late, "finished"))


@pytest.mark.parametrize("waited", ["1 s", "20 min", "50 min"])
async def test_a_batch_that_has_waited_for_slots_goes_as_soon_as_they_are_free(
    office: Office, hands: Hands, waited: str
) -> None:
    """Whether its wait gives it the right to reserve slots or not."""
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=1"} for n in range(6)])
    await change(
        office, f"UPDATE timers SET entered_at = now() - interval '{waited}' WHERE subject_id = :b", b=submitted.id
    )
    await pump_launches(office, hands)
    assert (await office.batch(submitted.id))["counts"]["queued"] == 0


async def other_lane(office: Office) -> UUID:
    await connections.add_connection(
        office.deps, office.who, name="other", provider="script", base_url=office.sandbox.api_url,
        api_key=office.sandbox.key, limit_group="other",
    )  # fmt: skip
    spec = RunSpec(
        connection="other", workflow_id=office.sandbox.workflows["Free form"], input=b'{"sandbox": "tag=well"}'
    )
    return (await submit.submit_run(office.deps, office.who, spec)).id


async def test_a_provider_that_hangs_leaves_most_turns_of_a_worker_to_other_lanes(office: Office, hands: Hands) -> None:
    runs = [await single(office, b'{"n": %d, "sandbox": "duration_s=60; tag=hangs"}' % n) for n in range(6)]
    well = await other_lane(office)
    for run in (*runs, well):
        await hands.work(until=becomes(office, run, "processing", "downloading", "finished"))
    office.sandbox.faults([{"fault": "hang", "kind": "look", "tag": "hangs", "seconds": 4}])
    await change(office, "UPDATE timers SET due_at = now() + interval '1 hour' WHERE kind = 'poll'")
    turns: list[asyncio.Task[Any]] = []
    for run in runs:
        await change(office, "UPDATE timers SET due_at = now() WHERE subject_id = :r", r=run)
        main = "(SELECT lane_id FROM connections WHERE name = 'main')"
        await change(office, f"UPDATE lanes SET poll_due_at = now() WHERE id = {main}")
        turns.append(asyncio.create_task(poll.poll_due(office.deps, worker=hands.id)))
        await asyncio.sleep(0.15)
    out = [turn for turn in turns if not turn.done()]
    assert 1 <= len(out) <= 3, f"{len(out)} of a worker's turns hang on one lane"
    await change(office, "UPDATE timers SET due_at = now() WHERE subject_id = :r AND kind = 'poll'", r=well)
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    async with asyncio.timeout(3):
        while await status(office, well) == "processing":
            await poll.poll_due(office.deps, worker=hands.id)
            await asyncio.sleep(0.02)
    await asyncio.gather(*turns)
