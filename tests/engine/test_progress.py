"""Progress: what a provider says of how far an execution is, kept beside its attempt, and shown while it goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import operate, pump
from sandbox.control import Sandbox
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_two_providers import ended, events, launch_once, launched, run

pytestmark = pytest.mark.anyio

LONG = "duration_s=2000"


@pytest.fixture(autouse=True)
def queue(sandbox: Sandbox) -> Any:
    """Jobs wait for ten seconds of the provider's clock, which the tests turn."""
    sandbox.options(scripe_queued_s=10)
    yield
    sandbox.options(scripe_queued_s=0.05)


async def look(office: Office, hands: Hands) -> None:
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    await pump.pump(office.deps, "poll", worker=hands.id, should_stop=lambda: False)


async def begun(office: Office, hands: Hands, hints: str = LONG) -> UUID:
    await office.connect_scripe()
    run_id = await launched(office, hints=hints)
    await launch_once(office, hands)
    return run_id


async def version_of(office: Office) -> Any:
    return (await query(office, "SELECT xmin::text AS version FROM executions"))[0].version


async def test_it_is_nothing_before_it_is_told_and_gone_with_the_end(office: Office, hands: Hands) -> None:
    run_id = await begun(office, hands)
    assert (await run(office, run_id))["progress"] is None
    await look(office, hands)
    waiting = (await run(office, run_id))["progress"]
    assert waiting["fraction"] is None and waiting["message"] is None, "null is no progress, not zero"
    assert waiting["estimated_completion_at"] > (await run(office, run_id))["launched_at"]

    office.sandbox.advance(1_010)
    await look(office, hands)
    shown = await run(office, run_id)
    assert 0.5 <= shown["progress"]["fraction"] <= 0.51 and shown["progress"]["message"] == "writing"
    left_s = (
        datetime.fromisoformat(shown["progress"]["estimated_completion_at"])
        - datetime.fromisoformat(shown["last_look_at"])
    ).total_seconds()
    assert 900 < left_s <= 1_001
    assert await events(office, run_id) == ["accepted", "launching", "launched"], "it is no news"

    office.sandbox.advance(1_001)
    assert (await ended(office, hands, run_id))["progress"] is None
    assert await query(office, "SELECT FROM executions WHERE progress_message IS NOT NULL") == []


async def test_a_look_that_is_told_the_same_writes_nothing(office: Office, hands: Hands) -> None:
    run_id = await begun(office, hands)
    office.sandbox.advance(1_015)
    await look(office, hands)
    before, shown = await version_of(office), (await run(office, run_id))["progress"]
    await look(office, hands)
    assert (await version_of(office), (await run(office, run_id))["progress"]) == (before, shown)
    office.sandbox.advance(100)
    await look(office, hands)
    assert await version_of(office) != before


async def test_a_look_that_fails_leaves_it_and_what_is_abandoned_has_none(office: Office, hands: Hands) -> None:
    run_id = await begun(office, hands)
    office.sandbox.advance(1_015)
    await look(office, hands)
    shown = (await run(office, run_id))["progress"]
    office.sandbox.faults([{"fault": "500", "kind": "look", "nth": 1}])
    await look(office, hands)
    assert (await run(office, run_id))["progress"] == shown
    await operate.abandon_run(office.deps, office.who, run_id, reason="not needed")
    assert (await run(office, run_id))["progress"] is None
