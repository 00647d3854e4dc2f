"""A second provider beside the first: what its keys, its inline results and its words come to, in the same engine."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.engine import connections, doubts, pump, reading, submit, sweep
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.errors import BadInput, NotFound
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio

POSTS = "POST_GENERATION"

OTHER_KEY = "scripe_sk_test_elsewhere"

#: Whether somebody waits for a lock that whoever asks holds.
WAITING = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"""


def post(n: int, hints: str = "duration_s=0.1") -> dict[str, Any]:
    return {"projectId": "p1", "source": {"text": f"text {n}"}, "options": {"sandbox": hints}}


async def launched(office: Office, n: int = 1, hints: str = "duration_s=0.1", workflow: str = POSTS) -> UUID:
    given = json.dumps(post(n, hints)).encode()
    spec = RunSpec(connection="scripe", workflow_id=workflow, input=given)
    return (await submit.submit_run(office.deps, office.who, spec)).id


async def run(office: Office, run_id: UUID) -> dict[str, Any]:
    return await reading.get_run(office.deps, office.who, run_id)


async def ended(office: Office, hands: Hands, run_id: UUID) -> dict[str, Any]:
    async def is_over() -> bool:
        return (await run(office, run_id))["finished_at"] is not None

    await hands.work(until=is_over)
    return await run(office, run_id)


async def launch_once(office: Office, hands: Hands) -> None:
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)


async def events(office: Office, run_id: UUID) -> list[str]:
    return [row.type for row in await query(office, f"SELECT type FROM events WHERE stream = '{run_id}' ORDER BY seq")]


async def make_due(office: Office) -> None:
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'sending'")


async def test_an_inline_result_is_stored_and_verified_like_any_file(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    done = await ended(office, hands, await launched(office))
    assert (done["status"], done["provider_status"]) == ("finished", "DONE")
    (file,) = done["results"]
    (job,) = office.sandbox.truth()["jobs"]
    expected = json.dumps(job["result"], ensure_ascii=False, separators=(",", ":")).encode()
    assert file["filename"] == "result.json"
    assert (file["sha256"], file["size_bytes"]) == (hashlib.sha256(expected).hexdigest(), len(expected))
    assert done["execution_id"] == job["id"]
    assert await query(office, "SELECT FROM artifacts WHERE url IS NOT NULL") == []


async def test_a_failed_job_ends_as_error_with_its_code_and_message(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    done = await ended(office, hands, await launched(office, hints="duration_s=0.1; outcome=error"))
    assert done["status"] == "error"
    assert done["error"] == {"code": "provider_error", "message": "generation_failed: the model gave no post"}


async def test_a_type_that_no_call_starts_is_refused_when_it_is_submitted(office: Office) -> None:
    await office.connect_scripe()
    with pytest.raises(BadInput, match="no call that starts a job of type KB_INGEST_TEXT") as refused:
        await launched(office, workflow="KB_INGEST_TEXT")
    assert "POST_GENERATION" in (refused.value.hint or "")
    with pytest.raises(NotFound):
        await launched(office, workflow="SOMETHING")


async def test_a_lost_answer_is_asked_for_again_under_the_same_key(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    run_id = await launched(office)
    await launch_once(office, hands)
    waiting = await run(office, run_id)
    assert waiting["status"] == "launching"
    done = await ended(office, hands, run_id)
    assert (done["status"], done["attempts"]) == ("finished", 1)
    assert "answer_lost" in await events(office, run_id) and "in_doubt" not in await events(office, run_id)
    sent = [entry for entry in office.sandbox.log() if entry["kind"] == "launch"]
    assert len(sent) == 2 and len({entry["body_sha256"] for entry in sent}) == 1
    assert office.sandbox.truth()["summary"]["jobs"] == 1


async def test_a_launch_whose_worker_died_is_sent_again_and_found(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    await launch_once(office, hands)
    # As if the worker had died before it could say so: what stands is its intent, due, and nothing else.
    await change(office, "UPDATE timers SET tries = 0, due_at = now() WHERE kind = 'sending'")
    await sweep.sweep(office.deps)
    assert (await run(office, run_id))["status"] == "launching", "a sweep that is no worker's sends nothing"
    done = await ended(office, hands, run_id)
    assert (done["status"], office.sandbox.truth()["summary"]["jobs"]) == ("finished", 1)


async def test_two_sweeps_send_a_lost_launch_again_once(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    await launched(office)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    await launch_once(office, hands)
    await make_due(office)
    for _ in range(2):
        await sweep.sweep(office.deps, self_id=hands.id)
    assert len([entry for entry in office.sandbox.log() if entry["kind"] == "launch"]) == 2


async def test_an_outage_after_a_lost_answer_doubts_nothing(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    office.sandbox.faults(
        [{"fault": fault, "kind": "launch", "nth": 1} for fault in ("reset_after", "500", "429", "502_html")]
    )
    await launch_once(office, hands)
    for _ in range(3):
        await change(office, "UPDATE lanes SET breaker = 'closed', blocked_until = NULL")
        await make_due(office)
        await sweep.sweep(office.deps, self_id=hands.id)
        assert (await run(office, run_id))["status"] == "launching"
    await change(office, "UPDATE lanes SET breaker = 'closed', blocked_until = NULL")
    await make_due(office)
    done = await ended(office, hands, run_id)
    assert done["status"] == "finished"
    assert (await events(office, run_id)).count("answer_lost") == 1, "told once, however often it is asked"


async def test_a_key_that_stands_for_something_else_is_a_doubt(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    body = {"error": {"code": "idempotency_key_conflict", "message": "other body", "request_id": "r", "docs_url": "d"}}
    office.sandbox.faults([{"fault": "400", "kind": "launch", "nth": 1, "body": body}])
    await launch_once(office, hands)
    assert (await run(office, run_id))["status"] == "in_doubt"
    assert len(await doubts.list_doubts(office.deps, office.who)) == 1


async def test_a_launch_is_a_doubt_once_its_key_may_be_forgotten(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch"}])
    await launch_once(office, hands)
    await change(office, "UPDATE intents SET committed_at = committed_at - interval '23 hours'")
    await make_due(office)
    await sweep.sweep(office.deps, self_id=hands.id)
    assert (await run(office, run_id))["status"] == "in_doubt"
    assert len([entry for entry in office.sandbox.log() if entry["kind"] == "launch"]) == 1


async def lead_elsewhere(office: Office, how: str) -> None:
    """Change the connection; `other_key` is one of another workspace, which knows no key of ours."""
    act = partial(connections.set_connection, office.deps, office.who, "scripe")
    match how:
        case "other_key":
            await connections.rotate_key(office.deps, office.who, "scripe", OTHER_KEY)
        case "other_address":
            await act(base_url=office.sandbox.scripe_url.replace("127.0.0.1", "localhost"))
        case "limits_alone":
            await act(base_url=office.sandbox.scripe_url, requests_per_minute=600, max_concurrent=7)
        case _:
            raise AssertionError(how)


@pytest.fixture
def other_workspace(office: Office) -> Iterator[None]:
    office.sandbox.options(scripe_keys={OTHER_KEY: "elsewhere"})
    yield
    office.sandbox.options(scripe_keys={OTHER_KEY: None})


@pytest.mark.parametrize("how", ["other_key", "other_address", "limits_alone"])
@pytest.mark.parametrize("is_before", [False, True], ids=["after_the_launch", "before_it"])
async def test_a_lost_launch_is_sent_again_only_to_where_it_was_sent(
    office: Office, hands: Hands, other_workspace: None, how: str, is_before: bool
) -> None:
    await office.connect_scripe()
    if is_before:
        await lead_elsewhere(office, how)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    run_id = await launched(office)
    await launch_once(office, hands)
    if not is_before:
        await lead_elsewhere(office, how)
    await make_due(office)
    await sweep.sweep(office.deps, self_id=hands.id)
    sent = len([entry for entry in office.sandbox.log() if entry["kind"] == "launch"])
    assert office.sandbox.truth()["summary"]["jobs"] == 1
    if is_before or how == "limits_alone":
        assert sent == 2 and (await run(office, run_id))["status"] == "processing"
        return
    assert sent == 1 and (await run(office, run_id))["status"] == "in_doubt"
    assert len(await doubts.list_doubts(office.deps, office.who)) == 1
    told = await query(office, f"SELECT data FROM events WHERE stream = '{run_id}' AND type = 'in_doubt'")
    assert "key or address was changed since" in told[0].data


async def test_an_address_is_changed_after_the_claims_that_are_on_their_way(office: Office) -> None:
    await office.connect_scripe()
    async with office.deps.db.transaction() as claim:
        await claim.execute(text("SELECT FROM lanes FOR UPDATE"))
        changing = asyncio.create_task(lead_elsewhere(office, "other_address"), context=contextvars.Context())
        async with asyncio.timeout(10):
            while not (await claim.execute(text(WAITING))).scalar_one():
                await asyncio.sleep(0.01)
        claimed_at = (await claim.execute(text("SELECT clock_timestamp()"))).scalar_one()
    await changing
    (found,) = await query(office, "SELECT access_changed_at FROM connections WHERE name = 'scripe'")
    assert found.access_changed_at > claimed_at, "what such a claim launches would be sent again elsewhere"


async def test_an_address_that_is_changed_by_a_clock_that_went_back_is_still_changed(
    office: Office, hands: Hands
) -> None:
    await office.connect_scripe()
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    run_id = await launched(office)
    await launch_once(office, hands)
    await change(office, "UPDATE intents SET committed_at = now() + interval '1 hour'")
    await lead_elsewhere(office, "other_address")
    await make_due(office)
    await sweep.sweep(office.deps, self_id=hands.id)
    assert (await run(office, run_id))["status"] == "in_doubt"


async def test_an_ended_version_stops_the_lane_and_ends_no_run(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    office.sandbox.options(scripe_versions="2030-01-01")
    try:
        await launch_once(office, hands)
    finally:
        office.sandbox.options(scripe_versions="2026-08-01")
    stopped = await run(office, run_id)
    assert stopped["status"] == "queued" and "version" in stopped["waiting_because"]["message"]


async def test_a_mixed_load_under_resets_comes_to_its_end_without_a_duplicate(office: Office, hands: Hands) -> None:
    await office.connect_scripe(requests_per_minute=6000)
    await connections.set_connection(office.deps, office.who, "main", requests_per_minute=6000)
    office.sandbox.faults(
        [
            {"fault": "reset_after", "kind": "launch", "workflow_id": POSTS, "every": 3},
            {"fault": "hang_after", "seconds": 0.3, "kind": "launch", "every": 9},
            {"fault": "500", "kind": "look", "every": 11},
        ]
    )
    scripts = await office.submit([{"n": n, "sandbox": "duration_s=0.1"} for n in range(12)], wave_size=6)
    rows = b"\n".join(json.dumps(post(n)).encode() for n in range(12))
    spec = BatchSpec(connection="scripe", workflow_id=POSTS, format="jsonl")
    posts = await submit.submit_batch(office.deps, office.who, spec, rows)

    async def both_ended() -> bool:
        # Nobody waits here for pauses that only an outage needs.
        await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'sending' AND worker_id IS NULL")
        await change(office, "UPDATE lanes SET breaker_probe_at = now(), launch_due_at = now() WHERE breaker = 'open'")
        found = [await office.batch(one.id) for one in (scripts, posts)]
        return all(batch["finished_at"] is not None for batch in found)

    await hands.work(until=both_ended, limit_s=90)
    for one in (scripts, posts):
        assert (await office.batch(one.id))["counts"]["finished"] == 12
    summary = office.sandbox.truth()["summary"]
    assert (summary["jobs"], summary["jobs_launched_twice"], summary["inputs_executed_twice"]) == (12, [], [])
    assert await query(office, "SELECT FROM events WHERE type = 'in_doubt'") == []
    assert await query(office, "SELECT FROM events WHERE type = 'answer_lost'") != []
