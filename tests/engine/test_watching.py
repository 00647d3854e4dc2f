"""Looks, downloads and people: what happens between the launch and the end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import look_results, operate, reading
from orchestrator.errors import Conflict
from orchestrator.storage import lanes, look_claims, look_turns, looks
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status

pytestmark = pytest.mark.anyio


async def test_a_human_step_opens_a_question_and_closes_it_when_the_provider_goes_on(
    office: Office, hands: Hands
) -> None:
    run_id = await single(office, b'{"sandbox": "outcome=human_in_the_loop"}')
    await hands.work(until=becomes(office, run_id, "human_in_the_loop"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["waiting_because"]["code"] == "human"
    (item,) = await reading.list_inbox(office.deps, office.who)
    assert (item["kind"], item["run_id"]) == ("human", str(run_id))
    assert run["execution_id"] in item["link"]
    office.sandbox.approve(run["execution_id"])
    await operate.check_now(office.deps, office.who, run_id)
    await hands.work(until=becomes(office, run_id, "finished"))
    assert await reading.list_inbox(office.deps, office.who) == []


async def test_an_execution_that_fails_ends_in_error_and_can_be_retried(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "outcome=error"}')
    await hands.work(until=becomes(office, run_id, "error"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["error"]["code"] == "provider_error"
    retried = await operate.retry_run(office.deps, office.who, run_id, reason="once more")
    assert (retried["status"], retried["error"]) == ("queued", None)
    await hands.work(until=becomes(office, run_id, "error"))
    assert (await reading.get_run(office.deps, office.who, run_id))["attempts"] == 2


async def test_finished_without_files_is_finished_and_says_so(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "empty_results=true"}')
    await hands.work(until=becomes(office, run_id, "finished"))
    events, _ = await reading.run_events(office.deps, office.who, run_id)
    assert "no_results" in [e["type"] for e in events]


async def test_a_late_worker_cannot_write_over_the_new_holder(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await hands.work(until=becomes(office, run_id, "processing"))
    deps = office.deps

    async def claim(connection: Any) -> Any:
        return await look_turns.claim(connection, worker=hands.id, lease_s=60, sources=deps.sources)

    late: Any = None

    async def claimed() -> bool:
        nonlocal late
        late = next((batch for batch in await deps.db.run(claim) if batch.claims), None)
        return late is not None

    await hands_wait(claimed)
    await operate.abandon_run(deps, office.who, run_id, reason="enough")
    await poll_record(office, late)
    assert await status(office, run_id) == "abandoned"


async def hands_wait(condition: Any) -> None:
    import asyncio

    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


async def poll_record(office: Office, batch: Any) -> None:
    """Record a finished look for a claim that was lost meanwhile."""
    from orchestrator.domain.answers import Observation, RemoteStatus

    seen = Observation(status=RemoteStatus.FINISHED, word="finished", files=())
    deps = office.deps

    async def record(connection: Any) -> Any:
        results = [look_results.result_of(deps, c, seen, now=batch.now) for c in batch.claims]
        record = look_claims.LookRecord(
            lane_id=batch.lane_id, grant_id=batch.grant_id, results=results, answered_ago_s=[0.1]
        )
        held = await lanes.lock_free(connection, [batch.lane_id])
        return await looks.record(connection, [record], held, sources=deps.sources, sealer=deps.sealer)

    applied = await deps.db.run(record)
    assert applied.changes == ()


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "expired_url", "kind": "file"},
        {"fault": "wrong_length", "kind": "file"},
        {"fault": "wrong_length", "kind": "file", "delta_bytes": -10},
        {"fault": "cut_body", "kind": "file"},
        {"fault": "cut_body", "kind": "file", "ending": "rst"},
        {"fault": "empty_file", "kind": "file"},
        {"fault": "reset_after", "kind": "file"},
        {"fault": "500", "kind": "file"},
        {"fault": "redirect", "kind": "file"},
        {"fault": "502_html", "kind": "look"},
        {"fault": "bad_json", "kind": "look"},
        {"fault": "unknown_status", "kind": "look"},
        {"fault": "429", "kind": "look", "retry_after_s": 1},
    ],
    ids=lambda f: f"{f['fault']}-{f['kind']}",
)
async def test_a_passing_fault_costs_time_and_no_result(fault: dict[str, Any], office: Office, hands: Hands) -> None:
    office.sandbox.faults([{**fault, "times": 2}])
    run_id = await single(office, b'{"sandbox": "size_bytes=20000"}')
    await hands.work(until=becomes(office, run_id, "finished", "result_lost", "error"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["status"] == "finished"
    (execution,) = office.sandbox.truth()["executions"]
    assert [r["sha256"] for r in run["results"]] == [f["sha256"] for f in execution["files"]]


async def test_pausing_stops_launches_and_cancel_collects_what_was_launched(office: Office, hands: Hands) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.3"} for n in range(60)])
    batch_id = submitted.id
    assert batch_id is not None

    async def first_wave_is_out() -> bool:
        return bool((await office.batch(batch_id))["counts"]["queued"] == 40)

    await hands.work(until=first_wave_is_out)
    await operate.pause_batch(office.deps, office.who, batch_id, reason="lunch")

    async def paused() -> bool:
        return bool((await office.batch(batch_id))["status"] == "paused")

    await hands.work(until=paused)
    batch = await office.batch(batch_id)
    assert (batch["counts"]["queued"], batch["counts"]["finished"]) == (40, 20)
    assert batch["waiting_because"]["code"] == "pause"
    await operate.resume_batch(office.deps, office.who, batch_id)

    async def second_wave_is_out() -> bool:
        return bool((await office.batch(batch_id))["counts"]["queued"] < 40)

    await hands.work(until=second_wave_is_out)
    await operate.cancel_batch(office.deps, office.who, batch_id, reason="wrong file")

    async def ended() -> bool:
        return bool((await office.batch(batch_id))["finished_at"] is not None)

    await hands.work(until=ended)
    batch = await office.batch(batch_id)
    executions = office.sandbox.truth()["summary"]["executions"]
    assert batch["counts"]["finished"] == executions
    assert batch["counts"]["cancelled"] == 60 - executions
    assert batch["status"] == ("cancelled" if executions < 60 else "finished")


async def test_too_many_failures_pause_the_batch_and_retry_failed_takes_it_up_again(
    office: Office, hands: Hands
) -> None:
    rows = [{"n": n, "sandbox": "outcome=error; duration_s=0.05"} for n in range(60)]
    submitted = await office.submit(rows, max_failures="10%", wave_size=25)
    batch_id = submitted.id
    assert batch_id is not None

    async def paused() -> bool:
        return bool((await office.batch(batch_id))["status"] == "paused")

    await hands.work(until=paused)
    batch = await office.batch(batch_id)
    assert batch["counts"]["queued"] > 0
    assert "max-failures" in batch["paused_because"]
    with pytest.raises(Conflict):
        await operate.retry_run(office.deps, office.who, UUID(await first_queued(office, batch_id)))


async def first_queued(office: Office, batch_id: UUID) -> str:
    found, _ = await reading.list_runs(office.deps, office.who, batch=batch_id, statuses=["queued"], limit=1)
    return str(found[0]["id"])
