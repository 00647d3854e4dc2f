"""A turn of looks takes several lanes: for what one costs, and what troubles one of them is no other's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from uuid import UUID

import pytest

from orchestrator.domain.answers import Observation, RemoteStatus
from orchestrator.engine import look_records, poll, pump, submit
from orchestrator.engine.look_results import Looked, Looks, Sight
from orchestrator.engine.submit import RunSpec
from orchestrator.storage import lanes, look_turns
from orchestrator.storage.look_claims import LookBatch
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import status
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_poison import BREAK
from tests.engine.test_statements import asked

pytestmark = pytest.mark.anyio

ALIVE = Observation(status=RemoteStatus.RUNNING, word="processing")


async def runs_on_lanes(office: Office, hands: Hands, count: int) -> list[UUID]:
    """Return runs that are under way, each on a lane of its own."""
    runs = []
    for n in range(count):
        name = "main" if n == 0 else f"lane-{n}"
        if n:
            await office.connect(name, limit_group=name)
        spec = RunSpec(
            connection=name, workflow_id=office.sandbox.workflows["Free form"], input=b'{"sandbox": "duration_s=60"}'
        )
        runs.append((await submit.submit_run(office.deps, office.who, spec)).id)
    async with asyncio.timeout(20):
        while not all([await status(office, run) == "processing" for run in runs]):
            await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.05)
    return runs


async def all_due(office: Office) -> None:
    """Let every run and every lane be due."""
    await change(office, "UPDATE timers SET due_at = now() - interval '1 minute' WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now() - interval '1 minute'")


async def claimed(office: Office, worker: UUID) -> list[LookBatch]:
    """Claim a turn, as a worker does."""
    return await office.deps.db.run(
        lambda connection: look_turns.claim(connection, worker=worker, lease_s=60, sources=office.deps.sources)
    )


def seen(office: Office, batch: LookBatch, answer: Observation = ALIVE) -> Looks:
    """Return what a turn saw of a lane."""
    at = office.deps.sources.monotonic()
    sights = tuple(Sight(claim=claim, seen=answer, at=at) for claim in batch.claims)
    looked = Looked(sights=sights, answered_at=(at,) * len(sights), answers=tuple(s.seen for s in sights))
    return Looks(batch=batch, looked=looked, claimed_at=at, rate=None)


async def out(office: Office) -> int:
    """Return how many tokens are out."""
    (row,) = await query(office, "SELECT COALESCE(sum(count), 0)::int AS n FROM grants")
    return int(row.n)


async def test_a_turn_of_many_lanes_takes_no_more_statements_than_a_turn_of_one(office: Office, hands: Hands) -> None:
    async def statements(only: str) -> int:
        await all_due(office)
        await change(office, f"UPDATE lanes SET poll_due_at = NULL WHERE NOT ({only})")
        with asked() as found:
            batches = await claimed(office, hands.id)
            await look_records.record(office.deps, [seen(office, batch) for batch in batches])
        assert all(batch.claims for batch in batches)
        return len(found)

    await runs_on_lanes(office, hands, 6)
    of_one = await statements("id = (SELECT min(id::text)::uuid FROM lanes)")
    assert await statements("true") <= of_one
    assert await out(office) == 0


async def test_one_turn_looks_at_all_lanes_that_are_due(office: Office, hands: Hands) -> None:
    await runs_on_lanes(office, hands, 4)
    await all_due(office)
    assert await poll.poll_due(office.deps, worker=hands.id) == 4
    rows = await query(office, "SELECT FROM lanes WHERE jsonb_array_length(spent) > 1 AND poll_due_at > now()")
    assert len(rows) == 4, "each lane pays for its own look, and is due for its own next one"
    assert await out(office) == 0


async def test_a_lane_that_somebody_holds_does_not_hold_up_what_was_seen_on_others(
    office: Office, hands: Hands
) -> None:
    runs = await runs_on_lanes(office, hands, 2)
    await all_due(office)
    batches = await claimed(office, hands.id)
    busy = next(batch for batch in batches if batch.claims[0].run_id == runs[0])
    gone = Observation(status=RemoteStatus.FINISHED, word="finished", files=())
    group = [seen(office, batch, gone) for batch in batches]
    async with office.deps.db.transaction() as connection:
        await lanes.lock(connection, busy.lane_id)
        # Not in the midst of our own transaction.
        recording = asyncio.create_task(look_records.record(office.deps, group), context=Context())
        async with asyncio.timeout(10):
            while await beside(lambda: status(office, runs[1])) != "finished":
                await asyncio.sleep(0.02)
        assert await beside(lambda: status(office, runs[0])) == "processing"
        assert not recording.done()
    await recording
    assert [await status(office, run) for run in runs] == ["finished"] * 2
    assert await out(office) == 0


async def beside(work: Callable[[], Awaitable[str]]) -> str:
    """Do something outside the transaction that is open here."""
    return await asyncio.create_task(_awaited(work), context=Context())


async def _awaited(work: Callable[[], Awaitable[str]]) -> str:
    return await work()


async def test_a_row_that_cannot_be_recorded_harms_no_other_lane_of_its_group(office: Office, hands: Hands) -> None:
    bad, *good = await runs_on_lanes(office, hands, 3)
    await all_due(office)
    batches = await claimed(office, hands.id)
    await change(office, BREAK, r=bad)
    gone = Observation(status=RemoteStatus.FINISHED, word="finished", files=())
    await look_records.record(office.deps, [seen(office, batch, gone) for batch in batches])
    assert [await status(office, run) for run in good] == ["finished"] * 2
    assert await status(office, bad) == "processing"
    assert await out(office) == 0


async def test_of_two_claims_of_one_run_in_a_group_the_later_holds(office: Office, hands: Hands) -> None:
    (run,) = await runs_on_lanes(office, hands, 1)
    turns = []
    for _ in range(2):
        await all_due(office)  # the first lease has ended, its answer has not come yet
        turns += await claimed(office, hands.id)
    early, late = turns
    gone = Observation(status=RemoteStatus.FINISHED, word="finished", files=())
    await look_records.record(office.deps, [seen(office, late, gone), seen(office, early)])
    assert await status(office, run) == "finished", "the early claim took the place of the late one"
    assert await out(office) == 0, "both turns gave their tokens back"
    (row,) = await query(office, "SELECT spent FROM lanes WHERE jsonb_array_length(spent) > 0")
    assert sum(tokens for _, kind, tokens in row.spent if kind == "look") == 2


async def test_a_key_that_was_rotated_meanwhile_wakes_the_lane_that_has_the_run_now(
    office: Office, hands: Hands
) -> None:
    first, _ = await runs_on_lanes(office, hands, 2)
    await all_due(office)
    batches = await claimed(office, hands.id)
    # Its connection and workflow go to the other lane of the same group, as when its key turns out to be the same.
    (where,) = await query(office, "SELECT w.lane_id FROM runs r JOIN workflows w ON w.id = r.workflow_id"
                           " WHERE r.id <> :r", r=first)  # fmt: skip
    await change(
        office, "UPDATE workflows SET lane_id = :lane WHERE id = (SELECT workflow_id FROM runs WHERE id = :r)",
        lane=where.lane_id, r=first,
    )  # fmt: skip
    await look_records.record(office.deps, [seen(office, batch) for batch in batches])
    (lane,) = await query(office, "SELECT poll_due_at <= now() AS is_due FROM lanes WHERE id = :l", l=where.lane_id)
    assert lane.is_due, "the lane that got the run was woken, and the record of its own look put it off again"


async def test_a_turn_takes_no_more_looks_than_one_record_may_hold(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runs_on_lanes(office, hands, 4)
    await all_due(office)
    monkeypatch.setattr(look_turns, "LOOKS_AT_ONCE", 3)  # fewer than one lane has tokens for
    said: list[bool] = []
    assert await poll.poll_due(office.deps, worker=hands.id, claimed=said.append) == 1
    rows = await query(office, "SELECT FROM lanes WHERE poll_due_at <= now()")
    assert len(rows) == 3, "what the turn had no room for stays due"
    assert said == [True], "the pump would rest, though three lanes are due"
    monkeypatch.undo()
    assert await poll.poll_due(office.deps, worker=hands.id, claimed=said.append) == 3
    assert said == [True, False], "this turn took all there was"
