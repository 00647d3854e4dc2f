"""What makes a doubt and what never does: the outcome tables through the engine; the policies; slots; the index."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.engine import connections, doubts, launch, reading, workflows
from orchestrator.engine.deps import Deps
from orchestrator.errors import NotSent, OutcomeUnknown
from orchestrator.providers.http import Timeouts
from orchestrator.providers.script import ScriptProvider
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, launches, single, status
from tests.engine.test_nothing_is_stranded import change, count_is, ended, query
from tests.providers.raw_server import answer, json_answer, says
from tests.providers.wire_lines import LINES, PATIENT, Site, WireLine, at

pytestmark = pytest.mark.anyio

OWN = {"error": "no, because of a reason"}
PAGE = b"<html>no</html>"


async def launch_at(office: Office, hands: Hands, site: Site, timeouts: Timeouts = PATIENT) -> None:
    """Take turns to launch at a place until one request came to something."""
    await change(office, "UPDATE connections SET base_url = :url", url=site.url)
    provider = ScriptProvider(timeouts=timeouts, allow_private_networks=True, ssl_context=site.ssl_context)
    deps: Deps = dataclasses.replace(office.deps, provider=lambda _: provider)
    try:
        for _ in range(5):
            await launch.launch_due(deps, worker=hands.id)
            if await query(office, "SELECT 1 FROM intents WHERE outcome IS NOT NULL LIMIT 1"):
                return
    finally:
        await provider.aclose()
    raise AssertionError("nothing was launched")


async def outcomes(office: Office) -> set[str]:
    return {row.outcome for row in await query(office, "SELECT outcome FROM intents")}


async def slots_held(office: Office) -> int:
    """Count the executions that hold a slot."""
    held = "state IN ('launching', 'open') OR slot_until > orch_now()"
    (row,) = await query(office, f"SELECT count(*) AS n FROM executions WHERE wave_id IS NULL AND ({held})")
    return int(row.n)


#: Of what may have left, the engine sees one class of error: a few lines of it will do.
SAMPLES = {"reset before a byte was read", "reset after the request was read", "TLS breaks after the request",
           "closed without an answer", "no answer in time", "the answer's body is cut"}  # fmt: skip


def wire_cases() -> Iterator[Any]:
    assert {line.name for line in LINES} >= SAMPLES
    for line in LINES:
        if line.launch is NotSent or line.name in SAMPLES:
            yield pytest.param(line, id=line.name)


@pytest.mark.parametrize("line", [*wire_cases()])
async def test_only_what_may_have_left_makes_a_doubt(office: Office, hands: Hands, line: WireLine) -> None:
    run_id = await single(office)
    async with line.place() as site:
        await launch_at(office, hands, site, line.timeouts)
    found = await doubts.list_doubts(office.deps, office.who)
    if line.launch is NotSent:
        assert (await status(office, run_id), await outcomes(office), found) == ("queued", {"not_sent"}, [])
        assert await slots_held(office) == 0
    else:
        assert line.launch is OutcomeUnknown
        assert (await status(office, run_id), await outcomes(office)) == ("in_doubt", {"in_doubt"})
        assert [doubt["id"] for doubt in found] == [str(run_id)]
        assert await slots_held(office) == 1


#: status, in the provider's own shape?, as a wave?, what the runs become
NOES = [
    (400, True, False, "error"),
    (401, True, False, "queued"),
    (403, True, False, "queued"),
    (404, True, False, "queued"),
    (413, True, False, "error"),
    (422, True, False, "error"),
    (429, True, False, "queued"),
    (400, False, False, "queued"),
    (403, False, False, "queued"),
    (409, True, False, "queued"),
    (400, True, True, "queued"),
    (401, True, True, "queued"),
    (404, True, True, "queued"),
    (429, False, True, "queued"),
    (422, False, True, "queued"),
]


@pytest.mark.parametrize("line", NOES, ids=lambda line: "-".join(map(str, line)))
async def test_a_no_never_makes_a_doubt(office: Office, hands: Hands, line: tuple[int, bool, bool, str]) -> None:
    code, is_own, is_wave, after = line
    if is_wave:
        await office.submit([{"n": 0}, {"n": 1}])
    else:
        await single(office)
    said = json_answer(code, OWN) if is_own else answer(code, PAGE)
    async with at(says(said))() as site:
        await launch_at(office, hands, site)
    runs, _ = await reading.list_runs(office.deps, office.who)
    assert {run["status"] for run in runs} == {after}
    assert not await doubts.list_doubts(office.deps, office.who)
    assert not await reading.list_inbox(office.deps, office.who)
    assert await slots_held(office) == 0


@pytest.mark.parametrize("code", [200, 302, 408, 503])
async def test_what_is_neither_a_yes_nor_a_no_doubts_the_whole_wave_as_one_question(
    office: Office, hands: Hands, code: int
) -> None:
    await office.submit([{"n": n} for n in range(3)])
    async with at(says(json_answer(code, OWN)))() as site:
        await launch_at(office, hands, site)
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    assert (doubt["kind"], doubt["count"]) == ("wave", 3)
    assert [item["kind"] for item in await reading.list_inbox(office.deps, office.who)] == ["doubt"]


@pytest.mark.parametrize(
    ("entries", "doubted"),
    [
        ([{"index": 0, "execution_id": "a"}, {"index": 0, "execution_id": "b"}, {"index": 1, "execution_id": "c"}], 2),
        ([{"index": 0, "execution_id": "a"}, {"index": 1, "execution_id": "a"}, {"index": 2, "execution_id": "c"}], 2),
        ([{"index": 0, "execution_id": "a"}, {"index": 7, "execution_id": "b"}, {"index": 1, "execution_id": ""}], 2),
        ([{"index": 0, "execution_id": "a"}, {"index": 1, "execution_id": "b"}, {"index": 2, "execution_id": "c"}], 0),
        ([], 3),
    ],
    ids=["index twice", "id twice", "odd index and id", "whole", "nothing"],
)
async def test_only_the_items_that_a_waves_answer_leaves_open_are_doubted(
    office: Office, hands: Hands, entries: list[dict[str, Any]], doubted: int
) -> None:
    submitted = await office.submit([{"n": n} for n in range(3)])
    async with at(says(json_answer(200, {"executions": entries})))() as site:
        await launch_at(office, hands, site)
    counts = (await office.batch(submitted.id))["counts"]
    assert (counts["in_doubt"], counts["processing"]) == (doubted, 3 - doubted)


async def until_doubted(office: Office, hands: Hands) -> None:
    """Work until a launch is in doubt; then the outage is over, as far as the breaker can tell."""

    async def is_doubted() -> bool:
        return "in_doubt" in await outcomes(office)

    await hands.work(until=is_doubted)
    await change(office, "UPDATE lanes SET breaker = 'closed', breaker_probe_at = NULL, launch_due_at = now()")


async def set_policy(office: Office, on_doubt: str) -> None:
    workflow_id = office.sandbox.workflows["Free form"]
    await workflows.set_workflow(office.deps, office.who, "main", workflow_id, on_doubt=on_doubt)


async def test_the_policy_relaunch_sends_a_single_launch_again_and_says_so(office: Office, hands: Hands) -> None:
    await set_policy(office, "relaunch")
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    run_id = await single(office, b'{"n": 1, "sandbox": "duration_s=0.05"}')
    await until_doubted(office, hands)
    await hands.work(until=becomes(office, run_id, "finished"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["attempts"], launches(office)) == (2, 2)
    events, _ = await reading.run_events(office.deps, office.who, run_id)
    told = [(e["type"], e["actor"]) for e in events]
    assert ("relaunched", "policy:on_doubt=relaunch") in told
    assert told.index(("relaunched", "policy:on_doubt=relaunch")) > [t for t, _ in told].index("in_doubt")
    assert await reading.list_inbox(office.deps, office.who) == []


async def test_the_policy_fail_ends_a_single_launch_and_sends_nothing_more(office: Office, hands: Hands) -> None:
    await set_policy(office, "fail")
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "error"))
    run = await reading.get_run(office.deps, office.who, run_id)
    assert run["error"]["code"] == "launch_unknown"
    for _ in range(3):
        await launch.launch_due(office.deps, worker=hands.id)
    assert launches(office) == 1
    assert await doubts.list_doubts(office.deps, office.who) == []


@pytest.mark.parametrize(("policy", "ends_as", "sent"), [("relaunch", "finished", 3), ("fail", "error", 1)])
async def test_a_policy_settles_all_doubts_of_a_wave(
    office: Office, hands: Hands, policy: str, ends_as: str, sent: int
) -> None:
    await set_policy(office, policy)
    # Launched again, they go in two waves: one that was lost halves the next, and the other half waits for no answer.
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(4)])
    await until_doubted(office, hands)
    await hands.work(until=ended(office, submitted.id))
    assert (await office.batch(submitted.id))["counts"][ends_as] == 4
    assert launches(office) == sent
    assert await reading.list_inbox(office.deps, office.who) == []
    runs, _ = await reading.list_runs(office.deps, office.who)
    for run in runs:
        events, _ = await reading.run_events(office.deps, office.who, UUID(run["id"]))
        assert "in_doubt" in {e["type"] for e in events}, "a second execution is flagged in the history"


async def test_the_policy_hold_waits_for_a_person_for_ever(office: Office, hands: Hands) -> None:
    await set_policy(office, "hold")
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(4)])
    await hands.work(until=count_is(office, submitted.id, "in_doubt", 4))
    await change(office, "UPDATE waves SET slots_until = now() - interval '1 day'")
    for _ in range(5):
        await launch.launch_due(office.deps, worker=hands.id)
    assert launches(office) == 1
    assert (await office.batch(submitted.id))["status"] == "waiting"


async def test_a_doubted_launch_holds_its_slot_as_long_as_it_could_run(office: Office, hands: Hands) -> None:
    await connections.set_connection(office.deps, office.who, "main", max_concurrent=1)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    await single(office)
    await until_doubted(office, hands)
    (row,) = await query(office, "SELECT slot_until - now() AS left FROM executions")
    assert timedelta(minutes=15) < row.left <= timedelta(minutes=16)
    # Only the slot is missing.
    second = await single(office, b'{"n": 2}')
    for _ in range(3):
        await launch.launch_due(office.deps, worker=hands.id)
    assert (await status(office, second), launches(office)) == ("queued", 1)
    await change(office, "UPDATE executions SET slot_until = now() - interval '1 second'")
    await change(office, "UPDATE lanes SET launch_due_at = now()")
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'launch'")
    await hands.work(until=becomes(office, second, "finished"))


async def test_a_doubted_wave_holds_its_slots_for_each_time_its_width_goes_into_it(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{"fault": "disconnect_after", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(11)], concurrency="medium", wave_size=11)
    await hands.work(until=count_is(office, submitted.id, "in_doubt", 11))
    (wave,) = await query(office, "SELECT slots_until - now() AS left, size, width FROM waves")
    assert (wave.size, wave.width) == (11, 5)
    assert timedelta(minutes=45) < wave.left <= timedelta(minutes=48)


async def test_the_database_refuses_a_second_open_attempt_in_whatever_state(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    run_id = await single(office)
    await hands.work(until=becomes(office, run_id, "in_doubt"))
    insert = text("""
        INSERT INTO executions (run_id, attempt, intent_id, connection_id, workflow_id, state)
        SELECT run_id, attempt + 1, intent_id, connection_id, workflow_id, :state FROM executions""")
    states = ("launching", "open", "in_doubt")
    for first, second in itertools.product(states, states):
        await change(office, "UPDATE executions SET state = :state", state=first)
        with pytest.raises(Exception, match="executions_one_open"):
            async with office.deps.db.transaction() as connection:
                await connection.execute(insert, {"state": second})
