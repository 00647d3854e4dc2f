"""Nothing is stranded: work that could sleep for ever, slots and tokens that could leak. Each test says what holds."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from orchestrator.domain import download_decisions
from orchestrator.domain.download_decisions import DownloadFacts, FileOutcome
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.windows import WindowMove
from orchestrator.engine import (
    acts,
    connections,
    doubts,
    download,
    launch,
    launch_claims,
    operate,
    pump,
    reading,
    settle,
    submit,
    sweep,
    workflows,
)
from orchestrator.engine.submit import RunSpec
from orchestrator.errors import Conflict, Gone, OrchestratorError
from orchestrator.storage import lanes, look_turns, turns, waves
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, launches, single, status

pytestmark = pytest.mark.anyio


async def query(office: Office, statement: str, **values: Any) -> list[Any]:
    async def read(connection: Any) -> list[Any]:
        return list((await connection.execute(text(statement), values)).all())

    return await office.deps.db.run(read)


async def change(office: Office, statement: str, **values: Any) -> None:
    async def write(connection: Any) -> None:
        await connection.execute(text(statement), values)

    await office.deps.db.run(write)


def count_is(office: Office, batch_id: UUID | None, status_: str, count: int) -> Any:
    async def reached() -> bool:
        return bool((await office.batch(batch_id))["counts"][status_] >= count)

    return reached


def ended(office: Office, batch_id: UUID | None) -> Any:
    async def reached() -> bool:
        return bool((await office.batch(batch_id))["finished_at"] is not None)

    return reached


async def claim_launches(office: Office, hands: Hands) -> Any:
    async def claim(connection: Any) -> Any:
        return await launch_claims.claim(office.deps, connection, worker=hands.id)

    async with asyncio.timeout(10):
        while not ((claimed := await office.deps.db.run(claim)) and claimed.orders):
            await asyncio.sleep(0.05)
    return claimed


async def test_a_retry_after_the_key_was_rotated_is_launched_and_watched(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "outcome=error; duration_s=0.05"}')
    await hands.work(until=becomes(office, run_id, "error"))
    await connections.rotate_key(office.deps, office.who, "main", "sk-second-key-0001")
    await operate.retry_run(office.deps, office.who, run_id)
    for _ in range(5):
        await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
        await asyncio.sleep(0.15)
    lanes_now = await query(
        office,
        "SELECT (SELECT lane_id FROM connections LIMIT 1) AS conn, (SELECT lane_id FROM timers LIMIT 1) AS timer",
    )
    assert lanes_now[0].timer in (None, lanes_now[0].conn), "the run waits on the lane of a key that is gone"
    assert launches(office) == 2


async def test_a_launch_on_the_wire_while_the_key_is_rotated_is_watched(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')
    claimed = await claim_launches(office, hands)
    await connections.rotate_key(office.deps, office.who, "main", "sk-second-key-0001")
    for kind in ("launch", "poll"):  # what the wake-ups of the rotation led to
        await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
    await launch.launch(office.deps, [claimed.orders[0]])
    assert await status(office, run_id) == "processing"
    (row,) = await query(
        office,
        "SELECT l.poll_due_at FROM timers t JOIN lanes l ON l.id = t.lane_id WHERE t.kind = 'poll'",
    )
    assert row.poll_due_at is not None, "a look is due on a lane that never comes due"


async def test_the_rest_of_a_partly_answered_wave_is_watched_after_its_doubts_are_settled(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{"fault": "partial_batch", "kind": "batch", "times": 1, "keep": 16}])
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.3"} for n in range(20)])
    for _ in range(20):
        await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
        if (await office.batch(submitted.id))["counts"]["in_doubt"]:
            break
        await asyncio.sleep(0.1)
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    await doubts.resolve_doubt(office.deps, office.who, UUID(doubt["id"]), how="abandon", reason="enough")
    try:
        await hands.work(until=ended(office, submitted.id), limit_s=15)
    except TimeoutError:
        asleep = await query(office, "SELECT count(*) AS n FROM timers WHERE kind = 'poll' AND due_at IS NULL")
        rows = await query(office, "SELECT state, size, ended, frontier FROM waves")
        pytest.fail(f"never looked at again: {asleep} {rows} {(await office.batch(submitted.id))['counts']}")


async def test_abandoning_all_that_is_watched_of_a_wave_does_not_blind_us_to_the_rest(
    office: Office, hands: Hands
) -> None:
    submitted = await office.submit(
        [{"n": 0, "sandbox": "duration_s=60"}] + [{"n": n, "sandbox": "duration_s=0.05"} for n in range(1, 5)],
        concurrency="low",
    )
    await hands.work(until=count_is(office, submitted.id, "processing", 5))
    runs, _ = await reading.list_runs(office.deps, office.who, batch=submitted.id)
    await operate.abandon_run(office.deps, office.who, UUID(runs[0]["id"]), reason="it hangs")
    due = await query(office, "SELECT count(*) AS n FROM timers WHERE kind = 'poll' AND due_at IS NOT NULL")
    assert due[0].n > 0, "four launched runs, and not one of them will ever be looked at"


async def test_a_late_answer_does_not_reopen_a_wave_that_the_policy_relaunched(office: Office, hands: Hands) -> None:
    workflow_id = office.sandbox.workflows["Free form"]
    await workflows.set_workflow(office.deps, office.who, "main", workflow_id, on_doubt="relaunch")
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(30)], wave_size=10)
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    await launch.launch(office.deps, [claimed.orders[0]])
    (wave,) = await query(office, "SELECT state, size, ended FROM waves ORDER BY id LIMIT 1")
    assert wave.state != "open", "none of its runs is its own any more, and it holds its slots for ever"
    await hands.work(until=ended(office, submitted.id), limit_s=10)


async def test_cancelling_a_batch_with_launches_on_the_wire_cancels_all_that_was_not_sent(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acts, "BULK", 20)
    submitted = await office.submit([{"n": n} for n in range(60)], wave_size=10)
    assert submitted.id is not None
    await claim_launches(office, hands)
    cancelled = await operate.cancel_batch(office.deps, office.who, submitted.id)
    assert cancelled["counts"]["queued"] == 0


async def test_a_doubt_of_a_cancelled_batch_that_was_not_started_ends_as_cancelled(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{"fault": "reset_before", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(5)])
    assert submitted.id is not None
    await hands.work(until=count_is(office, submitted.id, "in_doubt", 5))
    await operate.cancel_batch(office.deps, office.who, submitted.id)
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    await doubts.resolve_doubt(office.deps, office.who, UUID(doubt["id"]), how="not_started", reason="not there")
    try:
        await hands.work(until=ended(office, submitted.id), limit_s=8)
    except TimeoutError:
        batch = await office.batch(submitted.id)
        pytest.fail(f"{batch['status']} for ever: {batch['counts']}")


async def test_a_run_of_a_cancelled_batch_that_is_retried_is_launched(office: Office, hands: Hands) -> None:
    submitted = await office.submit([{"n": n} for n in range(3)])
    assert submitted.id is not None
    await operate.cancel_batch(office.deps, office.who, submitted.id)
    runs, _ = await reading.list_runs(office.deps, office.who, batch=submitted.id)
    run_id = UUID(runs[0]["id"])
    with pytest.raises(Conflict, match="cancelled"):
        await operate.retry_run(office.deps, office.who, run_id)
    await operate.retry_failed(office.deps, office.who, submitted.id)
    await hands.work(until=becomes(office, run_id, "finished"))


async def test_retry_failed_that_was_cut_half_way_launches_all_the_same(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "outcome=error; duration_s=0.05"} for n in range(3)])
    assert submitted.id is not None
    await hands.work(until=ended(office, submitted.id))

    async def dies(*_: object) -> None:
        raise SystemExit("the process dies after the first of its transactions")

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(acts, "on_batch", dies)
        await operate.retry_failed(office.deps, office.who, submitted.id)
    assert (await office.batch(submitted.id))["finished_at"] is None
    await hands.work(until=ended(office, submitted.id))
    runs, _ = await reading.list_runs(office.deps, office.who, batch=submitted.id)
    assert [run["attempts"] for run in runs] == [2, 2, 2]


async def test_the_runs_of_an_intent_are_found_by_index(office: Office) -> None:
    # Every launch reads them, once or twice, with its lane locked; the table holds every attempt there ever was.
    found = await query(
        office, "SELECT indexdef FROM pg_indexes WHERE tablename = 'executions' AND indexdef LIKE '%(intent_id%'"
    )
    assert found


async def test_a_resumed_batch_is_not_paused_again_by_the_failures_that_were_forgiven(
    office: Office, hands: Hands
) -> None:
    rows = [{"n": n, "sandbox": f"outcome={'error' if n < 25 else 'finished'}; duration_s=0.05"} for n in range(60)]
    submitted = await office.submit(rows, max_failures="5", wave_size=25)
    assert submitted.id is not None

    async def paused() -> bool:
        return bool((await office.batch(submitted.id))["status"] == "paused")

    await hands.work(until=paused)
    await operate.resume_batch(office.deps, office.who, submitted.id)

    async def goes_on_or_pauses() -> bool:
        return bool((await office.batch(submitted.id))["counts"]["finished"] > 0)

    await hands.work(until=goes_on_or_pauses)
    batch = await office.batch(submitted.id)
    assert batch["status"] not in ("paused", "pausing"), "one good ending, and the old failures pause it again"


async def test_looks_that_were_never_recorded_do_not_take_their_tokens_for_long(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await hands.work(until=becomes(office, run_id, "processing"))

    async def claim(connection: Any) -> Any:
        return await look_turns.claim(
            connection, worker=hands.id, lease_s=office.deps.settings.lease_s, sources=office.deps.sources
        )

    async with asyncio.timeout(10):
        while not any(batch.claims for batch in await office.deps.db.run(claim)):
            await asyncio.sleep(0.02)
    # The record failed for good (the database was away), the worker lives on. Its lease has ended.
    await change(office, "UPDATE grants SET granted_at = granted_at - interval '5 minutes'")
    await sweep.sweep(office.deps)
    (row,) = await query(office, "SELECT count(*) AS n FROM grants")
    assert row.n == 0


def test_a_full_store_never_makes_a_result_lost() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    facts = DownloadFacts(
        run_id=uuid4(), attempt=1, tries=0, refreshes=5, offered_at=now - timedelta(hours=6),
        url_expires_at=now - timedelta(seconds=1),
    )  # fmt: skip
    # Six hours on a full disk: every hour the URL died, and a fresh one was had without trouble.
    outcome = FileOutcome(number=0, filename="a", failure=Gone("expired"))
    decided = download_decisions.after_download(facts, [outcome], now=now, unit=0.5)
    assert decided.to is RunStatus.DOWNLOADING, "its URL has just died of age, a fresh one was not even asked for"


async def test_a_batch_that_settles_while_it_is_claimed_does_not_deadlock(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = await office.submit([{"n": n} for n in range(30)], max_failures="5")
    assert submitted.id is not None
    batch_id = submitted.id
    monkeypatch.setattr(settle, "too_many_failures", lambda *_, **__: True)
    claimed_timer = asyncio.Event()

    async def as_claim() -> None:
        async with office.deps.db.transaction() as connection:
            lane = await lanes.lock_due(connection)
            assert lane is not None
            (workflow,) = await turns.due_workflows(connection, lane.id)
            await turns.due_subjects(connection, workflow.id, 2)
            claimed_timer.set()
            await asyncio.sleep(0.3)
            await turns.lock_batch(connection, batch_id)

    async def as_settle() -> None:
        await claimed_timer.wait()
        await settle.settle_batches(office.deps, [batch_id])

    await asyncio.gather(as_claim(), as_settle())
    assert (await office.batch(batch_id))["status"] == "paused"


async def test_a_question_about_a_wave_closes_when_its_runs_are_abandoned_one_by_one(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(3)])
    await hands.work(until=count_is(office, submitted.id, "in_doubt", 3))
    runs, _ = await reading.list_runs(office.deps, office.who, batch=submitted.id)
    for run in runs:
        await operate.abandon_run(office.deps, office.who, UUID(run["id"]), reason="enough")
    assert await reading.list_inbox(office.deps, office.who) == []


async def test_a_wave_whose_doubts_the_policy_settled_does_not_hold_slots_for_hours(
    office: Office, hands: Hands
) -> None:
    workflow_id = office.sandbox.workflows["Free form"]
    await workflows.set_workflow(office.deps, office.who, "main", workflow_id, on_doubt="fail")
    office.sandbox.faults([{"fault": "reset_before", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(20)])
    await hands.work(until=count_is(office, submitted.id, "error", 20))
    (wave,) = await query(office, "SELECT state, extract(epoch FROM slots_until - orch_now())::int AS s FROM waves")
    assert wave.state == "over" or wave.s <= 20 * 60, f"slots held for {wave.s} s, and no doubt is left to release them"


async def test_a_sample_that_the_window_reaches_is_no_less_urgent_than_its_neighbours(
    office: Office, hands: Hands
) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=60"} for n in range(20)])
    await hands.work(until=count_is(office, submitted.id, "processing", 20))
    (wave,) = await query(office, "SELECT id FROM waves")

    async def sampled(connection: Any) -> None:
        await waves.move_windows(connection, {wave.id: (15, WindowMove(first=15, sample=15))})
        await waves.open_window(connection, wave.id, 20)

    await office.deps.db.run(sampled)
    (row,) = await query(office, "SELECT urgency, entered_at FROM timers WHERE position = 15")
    assert (row.urgency, row.entered_at is not None) == (2, True), "behind everything else on its lane, for ever"


async def test_poison_of_one_download_does_not_stop_all(office: Office, hands: Hands) -> None:
    good = await single(office, b'{"n": 1}')
    bad = await single(office, b'{"n": 2}')

    async def both() -> bool:
        return {await status(office, good), await status(office, bad)} == {"downloading"}

    async with asyncio.timeout(15):
        while not await both():
            for kind in ("launch", "poll"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.05)
    await change(office, "UPDATE artifacts SET url = '\\x00'::bytea WHERE run_id = :r", r=bad)
    last: BaseException | None = None
    for _ in range(5):
        try:
            await download.download_due(office.deps, worker=hands.id)
        except OrchestratorError as error:
            last = error
    assert await status(office, good) == "finished", f"one row that cannot be opened stops all downloads: {last!r}"


async def test_a_connection_whose_key_cannot_be_opened_stops_no_other_lane(office: Office, hands: Hands) -> None:
    bad = await single(office)
    await connections.add_connection(
        office.deps, office.who, name="other", provider="script", base_url=office.sandbox.api_url,
        api_key=office.sandbox.key, limit_group="other",
    )  # fmt: skip
    good = (
        await submit.submit_run(
            office.deps,
            office.who,
            RunSpec(connection="other", workflow_id=office.sandbox.workflows["Free form"], input=b"{}"),
        )
    ).id
    await change(office, "UPDATE connections SET api_key = '\\x00'::bytea WHERE name = 'main'")
    for _ in range(5):
        with contextlib.suppress(OrchestratorError):
            await launch.launch_due(office.deps, worker=hands.id)
    assert await status(office, good) == "processing", "the broken lane is due for ever, and always the first"
    assert await status(office, bad) == "queued"
