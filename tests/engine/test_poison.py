"""One bad row harms only itself: others are recorded, launched and fetched, and the bad one says so and waits."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from orchestrator.engine import connections, doubts, download, launch, poll, pump, reading, submit, sweep
from orchestrator.engine.submit import RunSpec
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, launches, single, status
from tests.engine.test_nothing_is_stranded import change, claim_launches, ended, query

pytestmark = pytest.mark.anyio

#: The next event of this run collides with one that stands: whatever is recorded of it fails, for good.
BREAK = "UPDATE runs SET event_seq = 0 WHERE id = :r"


async def launch_all(office: Office, hands: Hands, *runs: UUID) -> None:
    async with asyncio.timeout(15):
        while not all([await status(office, run) == "processing" for run in runs]):
            await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.05)


async def waits_s(office: Office, subject: UUID | None) -> float:
    """Return in how many seconds a subject is due."""
    (row,) = await query(
        office, "SELECT extract(epoch FROM due_at - now())::float AS s FROM timers WHERE subject_id = :s", s=subject
    )
    return float(row.s)


async def test_a_look_that_cannot_be_recorded_harms_no_other_of_its_claim(office: Office, hands: Hands) -> None:
    runs = [await single(office, b'{"n": %d, "sandbox": "duration_s=0.05"}' % n) for n in range(3)]
    bad, *good = runs
    await launch_all(office, hands, *runs)
    await asyncio.sleep(0.1)
    await change(office, BREAK, r=bad)
    await change(office, "UPDATE timers SET due_at = now()")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    assert await poll.poll_due(office.deps, worker=hands.id) == 3
    assert [await status(office, run) for run in good] == ["downloading"] * 2
    assert await status(office, bad) == "processing"
    assert await waits_s(office, bad) > 20, "it would be claimed and fail again at once"
    assert await query(office, "SELECT FROM grants") == [], "tokens of looks that were answered are kept"


async def test_a_provider_whose_answer_breaks_our_reader_is_looked_at_again_later(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await launch_all(office, hands, run_id)
    # No id of theirs: our own code makes a path of it, and fails.
    await change(office, "ALTER TABLE runs ALTER execution_id DROP NOT NULL")
    await change(office, "UPDATE runs SET execution_id = NULL")
    await change(office, "UPDATE timers SET due_at = now()")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    assert await poll.poll_due(office.deps, worker=hands.id) == 1
    assert await status(office, run_id) == "processing"
    assert await waits_s(office, run_id) > 0
    assert await query(office, "SELECT FROM grants") == []


async def test_a_result_that_cannot_be_recorded_harms_no_other(office: Office, hands: Hands) -> None:
    runs = [await single(office, b'{"n": %d, "sandbox": "duration_s=0.05"}' % n) for n in range(3)]
    bad, *good = runs
    async with asyncio.timeout(15):
        while not all([await status(office, run) == "downloading" for run in runs]):
            for kind in ("launch", "poll"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.05)
    await change(office, BREAK, r=bad)
    assert await download.download_due(office.deps, worker=hands.id) == 3
    assert [await status(office, run) for run in good] == ["finished"] * 2
    assert await status(office, bad) == "downloading"
    assert await waits_s(office, bad) > 20


async def test_a_run_that_cannot_be_launched_stops_no_other_and_ends_in_error(office: Office, hands: Hands) -> None:
    bad = await single(office, b'{"n": 0}')
    good = await single(office, b'{"n": 1}')
    await change(office, "DELETE FROM inputs WHERE run_id = :r", r=bad)
    await hands.work(until=becomes(office, good, "finished"))
    run = await reading.get_run(office.deps, office.who, bad)
    assert (run["status"], run["error"]["code"]) == ("error", "unlaunchable")
    assert launches(office) == 1


async def test_a_run_of_which_nothing_can_be_written_stops_no_other_launch(office: Office, hands: Hands) -> None:
    bad = await single(office, b'{"n": 0}')
    good = await single(office, b'{"n": 1}')
    await change(office, BREAK, r=bad)
    await hands.work(until=becomes(office, good, "finished"))
    assert await status(office, bad) == "queued"
    assert await waits_s(office, bad) > 20


async def test_a_bad_item_of_a_wave_is_found_by_halving_and_the_others_are_launched(
    office: Office, hands: Hands
) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(8)])
    await change(
        office,
        "DELETE FROM inputs WHERE run_id = (SELECT id FROM runs WHERE batch_id = :b AND index = 5)",
        b=submitted.id,
    )
    await hands.work(until=ended(office, submitted.id))
    counts = (await office.batch(submitted.id))["counts"]
    assert (counts["finished"], counts["error"]) == (7, 1)


async def test_an_answer_that_cannot_be_written_down_is_a_doubt_at_once_and_the_others_are_recorded(
    office: Office, hands: Hands
) -> None:
    bad = await single(office, b'{"n": 0}')
    good = await single(office, b'{"n": 1}')
    guard = "ALTER TABLE executions ADD CONSTRAINT never CHECK (remote_id IS NULL OR run_id <> '{}')"
    await change(office, guard.format(bad))
    claimed = await claim_launches(office, hands)
    assert len(claimed.orders) == 2
    await launch.launch(office.deps, claimed.orders)
    assert [await status(office, run) for run in (bad, good)] == ["in_doubt", "processing"]
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    assert doubt["id"] == str(bad)
    assert await query(office, "SELECT FROM grants") == []


async def test_an_intent_that_cannot_be_decided_keeps_no_other_from_becoming_a_doubt(
    office: Office, hands: Hands
) -> None:
    bad = await single(office, b'{"n": 0}')
    good = await single(office, b'{"n": 1}')
    await claim_launches(office, hands)
    await change(office, BREAK, r=bad)
    await sweep.sweep(office.deps, dead=[hands.id])
    assert await status(office, good) == "in_doubt"
    assert await status(office, bad) == "launching"
    (row,) = await query(office, "SELECT subject_id FROM timers WHERE kind = 'sending'")
    assert await waits_s(office, row.subject_id) > 20


async def test_a_lane_that_cannot_be_claimed_keeps_no_other_waiting(office: Office, hands: Hands) -> None:
    bad = await single(office)
    await connections.add_connection(
        office.deps, office.who, name="other", provider="script", base_url=office.sandbox.api_url,
        api_key=office.sandbox.key, limit_group="other",
    )  # fmt: skip
    spec = RunSpec(connection="other", workflow_id=office.sandbox.workflows["Free form"], input=b"{}")
    good = (await submit.submit_run(office.deps, office.who, spec)).id
    await change(
        office,
        "UPDATE lanes SET spent = '[[1, \"a word of a later version\", 1]]', poll_due_at = now() - interval '1 hour',"
        " launch_due_at = now() - interval '1 hour' WHERE id = (SELECT lane_id FROM connections WHERE name = 'main')",
    )
    async with asyncio.timeout(20):
        while await status(office, good) != "finished":
            for kind in ("launch", "poll", "download"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.02)
    (row,) = await query(office, "SELECT status FROM runs WHERE id = :r", r=bad)
    assert row.status == "queued"
