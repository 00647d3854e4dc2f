"""Doubts settled: by a person, for a run or a wave; by an answer that came late; and what neither may do."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import connections, doubts, launch, operate, reading, sweep
from orchestrator.engine.launch_orders import LaunchOrder
from orchestrator.errors import BadInput, Conflict, Unavailable
from orchestrator.storage import explain
from tests.engine.conftest import Hands, Office, shut_door
from tests.engine.test_doubts import set_policy, slots_held
from tests.engine.test_launching import becomes, launches, single, status
from tests.engine.test_nothing_is_stranded import change, claim_launches, count_is, ended, query

pytestmark = pytest.mark.anyio

WHY = "seen in the console"


async def resolve(office: Office, doubt_id: UUID | str, how: str, **said: Any) -> dict[str, Any]:
    return await doubts.resolve_doubt(office.deps, office.who, UUID(str(doubt_id)), how=how, reason=WHY, **said)


async def doubted(office: Office, hands: Hands, fault: str = "reset_after") -> UUID:
    office.sandbox.faults([{"fault": fault, "kind": "launch", "times": 1}])
    run_id = await single(office, b'{"n": 1, "sandbox": "duration_s=0.05"}')
    await hands.work(until=becomes(office, run_id, "in_doubt"))
    return run_id


async def doubted_wave(office: Office, hands: Hands, count: int = 6) -> tuple[UUID, str, dict[int, str]]:
    """Return a batch whose only wave is in doubt, the wave, and the executions that the provider made of it."""
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(count)])
    assert submitted.id is not None
    await hands.work(until=count_is(office, submitted.id, "in_doubt", count))
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    return submitted.id, doubt["id"], {e["index"]: e["id"] for e in office.sandbox.truth()["executions"]}


async def events_of(office: Office, run_id: UUID) -> list[dict[str, Any]]:
    events, _ = await reading.run_events(office.deps, office.who, run_id)
    return events


async def inbox(office: Office) -> list[str]:
    return [item["title"] for item in await reading.list_inbox(office.deps, office.who)]


@pytest.mark.parametrize(
    ("how", "becomes_", "slots"),
    [("adopt", "processing", 1), ("not_started", "queued", 0), ("relaunch", "queued", 1), ("abandon", "abandoned", 1)],
)
async def test_each_way_says_who_and_why_and_closes_the_question(
    office: Office, hands: Hands, how: str, becomes_: str, slots: int
) -> None:
    """What was given up or launched again may still run, and keeps its slot as long as the doubt would have."""
    run_id = await doubted(office, hands)
    assert len(await inbox(office)) == 1
    (execution,) = office.sandbox.truth()["executions"]
    (before,) = await query(office, "SELECT slot_until FROM executions")
    answer = await resolve(office, run_id, how, execution_id=execution["id"] if how == "adopt" else None)
    assert answer == {"resolved": 1, "left": 0}
    assert await status(office, run_id) == becomes_
    told = (await events_of(office, run_id))[-1]
    assert (told["actor"], told["data"]["reason"]) == ("token:test", WHY)
    assert (await inbox(office), await slots_held(office)) == ([], slots)
    if how in {"relaunch", "abandon"}:
        (after,) = await query(office, "SELECT slot_until FROM executions")
        assert after.slot_until == before.slot_until, "settling a doubt late must not hold its slot anew"
    with pytest.raises(Conflict):
        await resolve(office, run_id, how, execution_id=execution["id"] if how == "adopt" else None)


async def test_an_id_that_the_provider_does_not_know_is_not_adopted(office: Office, hands: Hands) -> None:
    run_id = await doubted(office, hands)
    (execution,) = office.sandbox.truth()["executions"]
    typed = execution["id"][:-1] + ("0" if execution["id"][-1] != "0" else "1")
    with pytest.raises(BadInput, match="knows no execution") as refused:
        await resolve(office, run_id, "adopt", execution_id=typed)
    assert [(p.field, p.code) for p in refused.value.problems] == [("execution_id", "execution_unknown")]
    assert await status(office, run_id) == "in_doubt"
    await resolve(office, run_id, "adopt", execution_id=execution["id"])
    await hands.work(until=becomes(office, run_id, "finished"))


async def test_an_execution_of_another_workflow_is_not_adopted(office: Office, hands: Hands) -> None:
    run_id = await doubted(office, hands)
    (execution,) = office.sandbox.truth()["executions"]
    other = office.sandbox.workflows["Score customer"]
    await change(office, "DELETE FROM workflows WHERE remote_id = :other", other=other)
    await change(office, "UPDATE workflows SET remote_id = :other", other=other)
    with pytest.raises(BadInput, match=f"of workflow {other}"):
        await resolve(office, run_id, "adopt", execution_id=execution["id"])


async def test_adopting_while_the_provider_is_away_says_so_and_can_be_insisted_on(office: Office, hands: Hands) -> None:
    run_id = await doubted(office, hands)
    (execution,) = office.sandbox.truth()["executions"]
    shut_door(office.sandbox, 1.0)
    with pytest.raises(Unavailable, match="could not be looked at") as refused:
        await resolve(office, run_id, "adopt", execution_id=execution["id"])
    assert "--no-verify" in (refused.value.hint or "")
    assert await status(office, run_id) == "in_doubt"
    await resolve(office, run_id, "adopt", execution_id=execution["id"], unverified=True)
    await hands.work(until=becomes(office, run_id, "finished"))


async def test_a_look_before_an_adoption_draws_on_the_budget(office: Office, hands: Hands) -> None:
    run_id = await doubted(office, hands)
    (execution,) = office.sandbox.truth()["executions"]
    before = (await connections.show_connection(office.deps, office.who, "main"))["budget"]["free_now"]
    await resolve(office, run_id, "adopt", execution_id=execution["id"])
    after = (await connections.show_connection(office.deps, office.who, "main"))["budget"]["free_now"]
    assert after == before - 1
    assert await query(office, "SELECT 1 FROM grants") == []


@pytest.mark.parametrize(
    ("ids", "field", "code"),
    [
        ({0: "?", 1: "ok-1"}, "execution_ids.0", "execution_malformed"),
        ({0: "", 1: "ok-1"}, "execution_ids.0", "execution_malformed"),
        ({0: "ok-1", 1: "x" * 201}, "execution_ids.1", "execution_malformed"),
        ({0: "same", 1: "same"}, "execution_ids.1", "execution_twice"),
        ({0: "ok-1", 17: "ok-2"}, "execution_ids.17", "index_unknown"),
        ({0: "REAL", 1: "ok-2"}, "execution_ids.1", "execution_unknown"),
    ],
    ids=["malformed", "empty", "too long", "twice", "unknown index", "unknown at the provider"],
)
async def test_one_wrong_line_of_an_adoption_settles_nothing(
    office: Office, hands: Hands, ids: dict[int, str], field: str, code: str
) -> None:
    batch_id, wave, real = await doubted_wave(office, hands, 3)
    given = {index: real[0] if id == "REAL" else id for index, id in ids.items()}
    with pytest.raises(BadInput) as refused:
        await resolve(office, wave, "adopt", execution_ids=given, unverified=code == "index_unknown")
    assert [(p.field, p.code) for p in refused.value.problems] == [(field, code)]
    assert (await office.batch(batch_id))["counts"]["in_doubt"] == 3


async def test_an_execution_that_another_attempt_has_is_not_adopted_twice(office: Office, hands: Hands) -> None:
    done = await single(office, b'{"n": 9, "sandbox": "duration_s=0.05"}')
    await hands.work(until=becomes(office, done, "finished"))
    taken = (await reading.get_run(office.deps, office.who, done))["execution_id"]
    batch_id, wave, real = await doubted_wave(office, hands, 3)
    own = {e["index"]: e["id"] for e in office.sandbox.truth()["executions"] if e["id"] != taken}
    with pytest.raises(Conflict, match=r"other attempts already.*index 1"):
        await resolve(office, wave, "adopt", execution_ids={0: own[0], 1: taken, 2: own[2]})
    assert (await office.batch(batch_id))["counts"]["in_doubt"] == 3
    assert real


async def test_part_of_a_wave_is_adopted_and_the_rest_launched(office: Office, hands: Hands) -> None:
    batch_id, wave, ids = await doubted_wave(office, hands)
    answer = await resolve(office, wave, "adopt", execution_ids={n: ids[n] for n in (0, 2, 4)})
    assert answer == {"resolved": 3, "left": 3}
    (title,) = await inbox(office)
    assert title.startswith("3 items of a wave are")
    with pytest.raises(BadInput, match="no run of this index"):
        await resolve(office, wave, "adopt", execution_ids={0: "again"}, unverified=True)
    assert await resolve(office, wave, "relaunch") == {"resolved": 3, "left": 0}
    assert await inbox(office) == []
    events = await query(office, "SELECT actor, data FROM events WHERE type = 'doubts_resolved' ORDER BY seq")
    told = [(e.actor, *(json.loads(e.data)[name] for name in ("how", "runs", "reason"))) for e in events]
    assert told == [("token:test", "adopt", 3, WHY), ("token:test", "relaunch", 3, WHY)]
    await change(office, "UPDATE lanes SET breaker = 'closed', breaker_probe_at = NULL, launch_due_at = now()")
    await hands.work(until=ended(office, batch_id))
    assert (await office.batch(batch_id))["counts"]["finished"] == 6


async def test_a_wave_that_is_settled_gives_its_slots_back(office: Office, hands: Hands) -> None:
    _, wave, _ = await doubted_wave(office, hands)
    await resolve(office, wave, "not_started")
    (row,) = await query(office, "SELECT state FROM waves")
    assert row.state == "over"


async def test_of_two_people_who_settle_one_doubt_at_once_one_wins(office: Office, hands: Hands) -> None:
    run_id = await doubted(office, hands)
    both = await asyncio.gather(
        resolve(office, run_id, "abandon"), resolve(office, run_id, "not_started"), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["Conflict", "dict"]
    settled = [e for e in await events_of(office, run_id) if e["data"].get("reason") == WHY]
    assert len(settled) == 1


async def doubt_on_the_wire(office: Office, hands: Hands) -> tuple[UUID, LaunchOrder]:
    """Return a run whose worker was taken for dead with the launch on the wire: its answer can still come."""
    run_id = await single(office, b'{"n": 1, "sandbox": "duration_s=0.05"}')
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    return run_id, claimed.orders[0]


async def test_a_late_answer_attaches_to_a_run_that_was_taken_for_not_started(office: Office, hands: Hands) -> None:
    run_id, order = await doubt_on_the_wire(office, hands)
    await resolve(office, run_id, "not_started")
    await launch.launch(office.deps, [order])
    assert await status(office, run_id) == "processing"
    await hands.work(until=becomes(office, run_id, "finished"))
    assert launches(office) == 1, "nothing was started a second time"
    assert await inbox(office) == []


async def test_a_late_answer_after_the_relaunch_is_flagged_as_a_second_execution(office: Office, hands: Hands) -> None:
    run_id, order = await doubt_on_the_wire(office, hands)
    await resolve(office, run_id, "not_started")
    await hands.work(until=becomes(office, run_id, "finished"))
    await launch.launch(office.deps, [order])
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["status"] == "finished"
    told = (await events_of(office, run_id))[-1]
    assert told["type"] == "second_execution"
    assert told["data"]["execution_id"] != run["execution_id"]
    (title,) = await inbox(office)
    assert told["data"]["execution_id"] in title
    with pytest.raises(Conflict, match="not in doubt"):
        await resolve(office, run_id, "relaunch")
    assert await resolve(office, run_id, "abandon") == {"resolved": 1, "left": 0}
    assert await inbox(office) == []
    assert (await reading.get_run(office.deps, office.who, run_id))["finished_at"] == run["finished_at"]


async def test_a_late_answer_after_a_chosen_relaunch_is_kept_and_can_be_adopted_by_no_other(
    office: Office, hands: Hands
) -> None:
    run_id, order = await doubt_on_the_wire(office, hands)
    await resolve(office, run_id, "relaunch")
    await launch.launch(office.deps, [order])
    assert await status(office, run_id) == "queued"
    told = (await events_of(office, run_id))[-1]
    assert (told["type"], told["data"]["attempt"]) == ("late_answer", 1)
    assert await inbox(office) == [], "a second execution was asked for"
    await hands.work(until=becomes(office, run_id, "finished"))
    other = await doubted(office, hands)
    with pytest.raises(Conflict, match="other attempts"):
        await resolve(office, other, "adopt", execution_id=told["data"]["execution_id"], unverified=True)


async def test_an_abandoned_run_whose_answer_came_late_can_be_watched_again(office: Office, hands: Hands) -> None:
    run_id, order = await doubt_on_the_wire(office, hands)
    await resolve(office, run_id, "abandon")
    await launch.launch(office.deps, [order])
    assert await status(office, run_id) == "abandoned"
    await operate.refetch_run(office.deps, office.who, run_id)
    await hands.work(until=becomes(office, run_id, "finished"))
    assert launches(office) == 1


async def test_a_run_that_failed_by_policy_and_runs_all_the_same_is_a_question(office: Office, hands: Hands) -> None:
    await set_policy(office, "fail")
    run_id, order = await doubt_on_the_wire(office, hands)
    before = await reading.get_run(office.deps, office.who, run_id)
    await launch.launch(office.deps, [order])
    after = await reading.get_run(office.deps, office.who, run_id)
    assert (after["status"], after["finished_at"]) == ("error", before["finished_at"])
    (title,) = await inbox(office)
    assert after["execution_id"] in title


async def test_a_late_answer_that_contradicts_an_adoption_is_flagged(office: Office, hands: Hands) -> None:
    run_id, order = await doubt_on_the_wire(office, hands)
    await resolve(office, run_id, "adopt", execution_id="not-the-one", unverified=True)
    await launch.launch(office.deps, [order])
    assert (await events_of(office, run_id))[-1]["type"] == "second_execution"
    assert (await reading.get_run(office.deps, office.who, run_id))["execution_id"] == "not-the-one"
    assert len(await inbox(office)) == 1


async def test_a_waves_late_answer_settles_each_run_as_it_stands(office: Office, hands: Hands) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(4)])
    assert submitted.id is not None
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    runs, _ = await reading.list_runs(office.deps, office.who, batch=submitted.id)
    by_index = {run["index"]: UUID(run["id"]) for run in runs}
    await resolve(office, by_index[0], "not_started")
    await resolve(office, by_index[1], "abandon")
    await launch.launch(office.deps, [claimed.orders[0]])
    assert [await status(office, by_index[n]) for n in range(4)] == ["processing", "abandoned", *["processing"] * 2]
    assert await inbox(office) == []
    await hands.work(until=ended(office, submitted.id))
    assert (await office.batch(submitted.id))["counts"]["finished"] == 3
    assert launches(office) == 1
    assert office.sandbox.truth()["summary"]["inputs_executed_twice"] == []


async def test_the_doubted_items_of_a_partly_answered_wave_hold_slots_until_they_are_settled(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{"fault": "partial_batch", "kind": "batch", "times": 1, "keep": 6}])
    rows = [{"n": n, "sandbox": "duration_s=0.05"} for n in range(9)]
    submitted = await office.submit(rows, concurrency="medium", wave_size=9)
    await hands.work(until=count_is(office, submitted.id, "finished", 6))
    (wave,) = await query(office, "SELECT id, state, workflow_id FROM waves")
    assert (await office.batch(submitted.id))["counts"]["in_doubt"] == 3
    lefts = await query(office, "SELECT slot_until - now() AS left FROM executions WHERE state = 'in_doubt'")
    assert all(timedelta(minutes=30) < row.left <= timedelta(minutes=32) for row in lefts), "two rounds of 5"

    async def used() -> int:
        async def read(connection: Any) -> Any:
            return await explain.slots(connection, [wave.workflow_id])

        return int((await office.deps.db.run(read))[wave.workflow_id].used)

    assert await used() == 3, "they may be running at the provider"
    assert wave.state == "in_doubt"
    await change(office, "UPDATE executions SET slot_until = now() WHERE slot_until IS NOT NULL")
    assert await used() == 0
    await doubts.resolve_doubt(office.deps, office.who, wave.id, how="not_started", reason="the console has none")
    await hands.work(until=ended(office, submitted.id))
    assert {row.state for row in await query(office, "SELECT state FROM waves")} == {"over"}
