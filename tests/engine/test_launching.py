"""Launching against the sandbox: sent once, or flagged; refused, throttled, stopped, doubted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.engine import connections, doubts, launch, launch_claims, operate, reading, submit, sweep
from orchestrator.engine.submit import RunSpec
from orchestrator.errors import Conflict
from orchestrator.storage import workers
from tests.engine.conftest import Hands, Office

pytestmark = pytest.mark.anyio


async def single(office: Office, body: bytes = b'{"n": 1}', **spec: Any) -> UUID:
    workflow_id = office.sandbox.workflows["Free form"]
    submitted = await submit.submit_run(
        office.deps, office.who, RunSpec(connection="main", workflow_id=workflow_id, input=body, **spec)
    )
    return submitted.id


async def status(office: Office, run_id: UUID) -> str:
    return str((await reading.get_run(office.deps, office.who, run_id))["status"])


def becomes(office: Office, run_id: UUID, *wanted: str) -> Any:
    async def reached() -> bool:
        return await status(office, run_id) in wanted

    return reached


def launches(office: Office) -> int:
    return sum(e["method"] == "POST" for e in office.sandbox.log())


async def test_a_single_run_is_launched_watched_and_stored(office: Office, hands: Hands) -> None:
    run_id = await single(office, labels={"team": "risk"})
    await hands.work(until=becomes(office, run_id, "finished"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["labels"] == {"team": "risk"}
    assert run["attempts"] == 1
    assert [r["filename"] for r in run["results"]] == ["result.json"]
    assert run["waiting_because"] is None
    events, _ = await reading.run_events(office.deps, office.who, run_id)
    assert [e["type"] for e in events] == [
        "accepted", "launching", "launched", "finished_at_provider", "result_stored", "finished",
    ]  # fmt: skip


async def test_the_same_external_id_and_input_is_one_run(office: Office) -> None:
    first = await single(office, external_id="order-7")
    assert await single(office, external_id="order-7") == first
    with pytest.raises(Conflict):
        await single(office, b'{"n": 2}', external_id="order-7")


async def test_an_answer_that_was_lost_makes_a_doubt_and_no_second_launch(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "in_doubt"))
    for _ in range(5):
        await launch.launch_due(office.deps, worker=hands.id)
    assert launches(office) == 1
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    assert (doubt["id"], doubt["kind"], doubt["count"]) == (str(run_id), "run", 1)
    assert [i["kind"] for i in await reading.list_inbox(office.deps, office.who)] == ["doubt"]


async def test_an_adopted_doubt_is_watched_to_its_end(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "in_doubt"))
    (execution,) = office.sandbox.truth()["executions"]
    answer = await doubts.resolve_doubt(
        office.deps, office.who, run_id, how="adopt", execution_id=execution["id"], reason="seen in the console"
    )
    assert answer == {"resolved": 1, "left": 0}
    await hands.work(until=becomes(office, run_id, "finished"))
    assert launches(office) == 1
    assert await reading.list_inbox(office.deps, office.who) == []


async def test_a_doubt_that_was_not_started_is_launched_again_as_the_same_attempt(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "reset_before", "kind": "launch", "times": 1}])
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "in_doubt"))
    await doubts.resolve_doubt(office.deps, office.who, run_id, how="not_started", reason="the console is empty")
    await hands.work(until=becomes(office, run_id, "finished"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["attempts"] == 1
    assert office.sandbox.truth()["summary"]["inputs_executed_twice"] == []


async def test_a_doubted_wave_is_one_question_and_is_adopted_by_index(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(6)])
    assert submitted.id is not None

    async def doubted() -> bool:
        return bool((await office.batch(submitted.id))["counts"]["in_doubt"])

    await hands.work(until=doubted)
    assert (await office.batch(submitted.id))["status"] == "waiting"
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    assert (doubt["kind"], doubt["count"]) == ("wave", 6)
    assert len(await reading.list_inbox(office.deps, office.who)) == 1
    ids: dict[int, str] = {e["index"]: e["id"] for e in office.sandbox.truth()["executions"]}
    await doubts.resolve_doubt(
        office.deps, office.who, UUID(doubt["id"]), how="adopt", execution_ids=ids, reason="listed by the provider"
    )

    async def ended() -> bool:
        return bool((await office.batch(submitted.id))["status"] == "finished")

    await hands.work(until=ended)
    assert office.sandbox.truth()["summary"]["inputs_executed_twice"] == []
    assert await reading.list_inbox(office.deps, office.who) == []


async def test_a_partial_answer_doubts_only_what_is_missing(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "partial_batch", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(6)])

    async def parted() -> bool:
        counts = (await office.batch(submitted.id))["counts"]
        return bool(counts["in_doubt"] and counts["finished"] + counts["in_doubt"] == 6)

    await hands.work(until=parted)
    assert launches(office) == 1


async def test_a_refused_wave_is_halved_until_the_bad_item_stands_alone(office: Office, hands: Hands) -> None:
    rows = [{"n": n, "sandbox": "duration_s=0.1"} for n in range(8)]
    rows[5] = {"n": 5, "sandbox": "fault=400; fault_kind=batch; fault_times=100"}
    submitted = await office.submit(rows)

    async def ended() -> bool:
        return bool((await office.batch(submitted.id))["finished_at"] is not None)

    await hands.work(until=ended)
    batch = await office.batch(submitted.id)
    assert batch["status"] == "finished_with_errors"
    assert (batch["counts"]["finished"], batch["counts"]["error"]) == (7, 1)
    (bad,), _ = await reading.list_runs(office.deps, office.who, statuses=["error"])
    assert (bad["index"], bad["error"]["code"]) == (5, "launch_refused")


async def test_a_wave_never_outgrows_the_providers_largest_request(office: Office, hands: Hands) -> None:
    rows = [{"n": n, "text": "x" * 1_500_000, "sandbox": "duration_s=0.1"} for n in range(5)]
    submitted = await office.submit(rows)

    async def ended() -> bool:
        return (await office.batch(submitted.id))["finished_at"] is not None

    await hands.work(until=ended)
    assert (await office.batch(submitted.id))["status"] == "finished"
    sent = [entry for entry in office.sandbox.log() if entry["method"] == "POST"]
    assert [len(entry["execution_ids"]) for entry in sent] == [2, 2, 1]
    assert max(entry["bytes"] for entry in sent) <= 4_000_000


async def test_a_refused_key_stops_the_lane_after_one_try_until_it_is_tested(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "401", "kind": "launch", "times": 1}])
    run_id = await single(office)
    for _ in range(5):
        await launch.launch_due(office.deps, worker=hands.id)
    assert launches(office) == 1
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["status"], run["waiting_because"]["code"]) == ("queued", "stopped")
    tested = await connections.test_connection(office.deps, office.who, "main")
    assert tested["ok"]
    await hands.work(until=becomes(office, run_id, "finished"))


async def test_retry_after_is_obeyed_by_the_whole_lane(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "429", "kind": "launch", "retry_after_s": 30, "times": 1}])
    run_id = await single(office)
    for _ in range(5):
        await launch.launch_due(office.deps, worker=hands.id)
    assert launches(office) == 1
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["status"], run["waiting_because"]["code"]) == ("queued", "rate")


async def test_an_outage_costs_no_more_doubts_than_launches_on_the_wire(office: Office, hands: Hands) -> None:
    await connections.set_connection(office.deps, office.who, "main", requests_per_minute=100)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 50}])
    runs = [await single(office, b'{"n": %d}' % n) for n in range(12)]
    for _ in range(20):
        await launch.launch_due(office.deps, worker=hands.id)
    counted = [await status(office, run_id) for run_id in runs]
    assert 1 <= counted.count("in_doubt") <= 2
    assert counted.count("queued") == 12 - counted.count("in_doubt")
    assert launches(office) == counted.count("in_doubt")


async def test_a_worker_that_dies_with_a_launch_on_the_wire_leaves_a_doubt(office: Office, hands: Hands) -> None:
    run_id = await single(office)

    async def claim(connection: Any) -> Any:
        return await launch_claims.claim(office.deps, connection, worker=hands.id)

    claimed = await office.deps.db.run(claim)
    assert len(claimed.orders) == 1
    await sweep.sweep(office.deps, dead=[hands.id])
    assert await status(office, run_id) == "in_doubt"
    # Its answer comes late after all: fences guard acting, never evidence.
    await launch.launch(office.deps, [claimed.orders[0]])
    assert await status(office, run_id) == "processing"
    assert await reading.list_inbox(office.deps, office.who) == []
    assert launches(office) == 1


async def test_the_database_refuses_a_second_open_attempt(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "in_doubt"))
    second = text("""
        INSERT INTO executions (run_id, attempt, intent_id, connection_id, workflow_id, state)
        SELECT run_id, attempt + 1, intent_id, connection_id, workflow_id, 'launching' FROM executions""")
    with pytest.raises(Exception, match="executions_one_open"):
        async with office.deps.db.transaction() as connection:
            await connection.execute(second)


async def test_a_cancel_before_the_launch_keeps_the_request_from_ever_being_sent(office: Office, hands: Hands) -> None:
    run_id = await single(office)
    cancelled = await operate.cancel_run(office.deps, office.who, run_id, reason="not needed")
    assert cancelled["status"] == "cancelled"
    for _ in range(3):
        await launch.launch_due(office.deps, worker=hands.id)
    assert launches(office) == 0
    await operate.retry_run(office.deps, office.who, run_id)
    await hands.work(until=becomes(office, run_id, "finished"))
    with pytest.raises(Conflict, match="ended"):
        await operate.cancel_run(office.deps, office.who, run_id)


async def test_a_dead_workers_tokens_are_counted_as_spent(office: Office, hands: Hands) -> None:
    await single(office)

    async def claim(connection: Any) -> Any:
        return await launch_claims.claim(office.deps, connection, worker=hands.id)

    await office.deps.db.run(claim)

    async def in_flight(connection: Any) -> int:
        return int((await connection.execute(text("SELECT count(*) FROM grants"))).scalar_one())

    assert await office.deps.db.run(in_flight) == 1
    await sweep.bury_dead_workers(office.deps, [hands.id])
    assert await office.deps.db.run(in_flight) == 0
    shown = await connections.show_connection(office.deps, office.who, "main")
    assert shown["budget"]["free_now"] == shown["requests_per_minute"] - 2  # the launch, and the schema

    async def alive(connection: Any) -> list[Any]:
        return await workers.alive(connection, dead_after_s=20)

    assert await office.deps.db.run(alive) == []
