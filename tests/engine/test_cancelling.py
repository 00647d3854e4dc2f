"""Cancelling at a provider that can: what waits there is cancelled, what runs is watched on, and nothing is lost."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain.bulk import BulkVerb, Intention
from orchestrator.engine import operate, operations, pump, reading, submit, sweep
from orchestrator.engine.operations import OperationSpec
from orchestrator.engine.submit import BatchSpec
from orchestrator.errors import Conflict, Unavailable
from sandbox.control import Sandbox
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_two_providers import POSTS, ended, events, launch_once, launched, post, run

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def slow_start(sandbox: Sandbox) -> Any:
    """Jobs wait until the test lets them begin."""
    sandbox.options(scripe_queued_s=3_600)
    yield
    sandbox.options(scripe_queued_s=0.05)


async def waiting(office: Office, hands: Hands, n: int = 1) -> UUID:
    """Return a run that waits at the provider."""
    run_id = await launched(office, n)
    await launch_once(office, hands)
    assert (await run(office, run_id))["status"] == "processing"
    return run_id


def sent(office: Office, kind: str) -> int:
    return len([entry for entry in office.sandbox.log() if entry["kind"] == kind])


async def tokens_out(office: Office) -> list[Any]:
    return list(await query(office, "SELECT FROM grants"))


async def test_what_waits_at_the_provider_is_cancelled_there(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await waiting(office, hands)
    done = await operate.cancel_run(office.deps, office.who, run_id, reason="not needed")
    assert (done["status"], done["provider_status"]) == ("cancelled", "CANCELLED")
    assert (await events(office, run_id))[-2:] == ["cancel_requested", "cancelled_at_provider"]
    assert office.sandbox.truth()["jobs"][0]["status"] == "CANCELLED"
    assert await tokens_out(office) == [] and await query(office, "SELECT FROM timers WHERE kind = 'poll'") == []
    again = await operate.cancel_run(office.deps, office.who, run_id)
    assert again["status"] == "cancelled" and sent(office, "cancel") == 1


async def test_what_runs_is_looked_at_again_and_watched_to_its_end(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    office.sandbox.options(scripe_queued_s=0)
    run_id = await launched(office, hints="duration_s=2")
    await launch_once(office, hands)
    with pytest.raises(Conflict, match=r"too late, still running: .* this is RUNNING") as late:
        await operate.cancel_run(office.deps, office.who, run_id)
    assert late.value.code == "too_late" and (sent(office, "cancel"), sent(office, "look")) == (1, 1)
    assert "not_cancellable" in await events(office, run_id)
    assert (await ended(office, hands, run_id))["status"] == "finished"


async def test_what_has_ended_there_is_said_to_have_ended(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    office.sandbox.options(scripe_queued_s=0)
    run_id = await launched(office, hints="duration_s=0")
    await launch_once(office, hands)
    with pytest.raises(Conflict, match="too late: it had ended"):
        await operate.cancel_run(office.deps, office.who, run_id)
    assert (await ended(office, hands, run_id))["status"] == "finished"


async def test_a_cancel_whose_answer_is_lost_may_be_asked_again(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await waiting(office, hands)
    office.sandbox.faults([{"fault": "reset_after", "kind": "cancel", "nth": 1}])
    with pytest.raises(Unavailable) as lost:
        await operate.cancel_run(office.deps, office.who, run_id)
    assert lost.value.code == "cancel_unanswered" and "cancel_failed" in await events(office, run_id)
    assert (await run(office, run_id))["status"] == "processing" and await tokens_out(office) == []
    # It had been cancelled; asked again, the provider says that it does not wait, and shows why.
    assert (await operate.cancel_run(office.deps, office.who, run_id))["status"] == "cancelled"


async def test_a_look_sees_a_cancel_that_nobody_heard_of(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await waiting(office, hands)
    office.sandbox.faults([{"fault": "reset_after", "kind": "cancel", "nth": 1}])
    with pytest.raises(Unavailable):
        await operate.cancel_run(office.deps, office.who, run_id)
    assert (await ended(office, hands, run_id))["status"] == "cancelled"
    assert (await query(office, "SELECT durations_count FROM workflows WHERE remote_id = 'POST_GENERATION'"))[
        0
    ].durations_count == 0, "how long it lived teaches nothing"


async def test_a_run_that_moved_on_meanwhile_is_not_written_over(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.connect_scripe()
    run_id = await waiting(office, hands)
    provider = office.deps.provider("scripe")
    asked = provider.cancel

    async def cancel(*where: Any) -> Any:
        await operate.abandon_run(office.deps, office.who, run_id, reason="in between")
        return await asked(*where)

    monkeypatch.setattr(provider, "cancel", cancel)
    assert (await operate.cancel_run(office.deps, office.who, run_id))["status"] == "abandoned"
    assert "cancelled_at_provider" not in await events(office, run_id) and await tokens_out(office) == []


async def test_without_a_request_left_nothing_is_asked(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.engine.cancelling.PATIENCE_S", 0.0)
    await office.connect_scripe()
    run_id = await waiting(office, hands)
    await change(office, "UPDATE lanes SET blocked_until = now() + interval '1 hour'")
    with pytest.raises(Unavailable) as full:
        await operate.cancel_run(office.deps, office.who, run_id)
    assert full.value.code == "budget_used" and sent(office, "cancel") == 0
    assert "cancel_requested" not in await events(office, run_id)


async def test_a_batchs_cancel_leaves_what_the_provider_has(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    rows = b"\n".join(json.dumps(post(n)).encode() for n in range(2))
    spec = BatchSpec(connection="scripe", workflow_id=POSTS, format="jsonl")
    batch = await submit.submit_batch(office.deps, office.who, spec, rows)
    assert batch.id is not None
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
    await operate.cancel_batch(office.deps, office.who, batch.id)
    assert (await reading.get_batch(office.deps, office.who, batch.id))["counts"]["processing"] == 2
    assert sent(office, "cancel") == 0


async def test_a_bulk_cancel_asks_for_each(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    ids = [await waiting(office, hands, n) for n in range(2)]
    office.sandbox.faults([{"fault": "reset_after", "kind": "cancel", "nth": 2}])
    spec = OperationSpec(
        intention=Intention(verb=BulkVerb.CANCEL), filters={"statuses": ["processing"]}, kept={}, reason=None
    )
    made = await operations.create_operation(office.deps, office.who, spec)
    assert made["matched"] == 2
    await sweep.sweep(office.deps, self_id=hands.id)
    shown = await operations.get_operation(office.deps, office.who, UUID(str(made["id"])))
    assert (shown["counts"]["done"], shown["counts"]["failed"]) == (1, 1)
    assert sorted([(await run(office, one))["status"] for one in ids]) == ["cancelled", "processing"]


async def test_a_provider_without_cancel_answers_as_ever(office: Office, hands: Hands) -> None:
    batch = await office.submit([{"n": 1, "sandbox": "duration_s=600"}])
    await launch_once(office, hands)
    (found,) = await query(office, f"SELECT id FROM runs WHERE batch_id = '{batch.id}'")
    with pytest.raises(Conflict, match="the run is processing and the provider has no cancel"):
        await operate.cancel_run(office.deps, office.who, found.id)
    assert await events(office, found.id) == ["accepted", "launching", "launched"]
