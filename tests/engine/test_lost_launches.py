"""A provider that answers reads and loses launches: a few doubts, ever more rarely, told, and no end of the work."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.engine import connections, doubts, pump, reading
from orchestrator.engine.watch import Watch
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, count_is, query

pytestmark = pytest.mark.anyio

LOSES = [{"fault": "reset_after", "kind": ["launch", "batch"]}]


_LANE = """SELECT *, breaker_probe_at - now() AS pause FROM lanes
    WHERE id = (SELECT lane_id FROM connections LIMIT 1)"""


async def lane(office: Office) -> Any:
    (row,) = await query(office, _LANE)
    return row


async def turns(office: Office, hands: Hands, *, probes: int) -> None:
    """Take turns to launch, and turn the clock to the next probe that many times."""
    for _ in range(probes):
        await change(office, "UPDATE lanes SET breaker_probe_at = now(), launch_due_at = now() WHERE breaker = 'open'")
        for _ in range(3):
            await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'launch'")
            await change(office, "UPDATE lanes SET launch_due_at = now() WHERE breaker <> 'open'")
            await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)


async def doubted(office: Office, batch: Any) -> int:
    return int((await office.batch(batch))["counts"]["in_doubt"])


async def test_a_wave_that_is_lost_is_followed_by_one_item_at_a_time_after_ever_longer_pauses(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults(LOSES)
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(40)], wave_size=10)
    # Nothing holds a slot: what is counted here is what the breaker lets through.
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
    assert await doubted(office, submitted.id) == 10
    for lost, pause_s in enumerate((240, 480, 960), start=1):
        await change(office, "UPDATE waves SET slots_until = now()")
        await turns(office, hands, probes=1)
        assert await doubted(office, submitted.id) == 10 + lost, "of the next wave one item goes"
        assert pause_s - 30 < (await lane(office)).pause.total_seconds() <= pause_s
    runs, _ = await reading.list_runs(office.deps, office.who, statuses=["queued"])
    assert "launches are lost" in runs[0]["waiting_because"]["message"]
    (told,) = [line for line in await Watch(office.deps, worker=hands.id, place="test").look()
               if line.alarm.code.startswith("launches")]  # fmt: skip
    assert (told.alarm.code, told.alarm.is_grave) == ("launches_lost", True)

    office.sandbox.clear_faults()
    await change(office, "UPDATE waves SET slots_until = now()")
    await connections.test_connection(office.deps, office.who, "main")
    assert (await lane(office)).breaker == "half_open"
    await hands.work(until=count_is(office, submitted.id, "finished", 27))
    assert await query(office, "SELECT FROM lanes WHERE breaker <> 'closed'") == []
    sizes = [row.size for row in await query(office, "SELECT size FROM waves ORDER BY created_at")]
    assert sizes[:5] == [10, 1, 1, 1, 1]
    assert sizes[5:7] == [5, 10], "a lost wave halves those after it, until they are taken"


async def test_a_single_launch_that_is_lost_after_a_good_probe_rests_the_lane(office: Office, hands: Hands) -> None:
    office.sandbox.faults(LOSES)
    runs = [await single(office) for _ in range(6)]
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
    first = len(await doubts.list_doubts(office.deps, office.who))
    assert first <= 2
    await turns(office, hands, probes=1)
    await turns(office, hands, probes=1)
    assert len(await doubts.list_doubts(office.deps, office.who)) == first + 2
    office.sandbox.clear_faults()
    await turns(office, hands, probes=1)
    left = [run for run in runs if await status(office, run) != "in_doubt"]
    assert left
    for run in left:
        await hands.work(until=becomes(office, run, "finished"))
