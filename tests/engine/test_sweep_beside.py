"""What a sweep leads to that asks providers is carried on beside it: a provider that hangs holds up no burial."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain.bulk import BulkVerb, Intention
from orchestrator.engine import operations
from orchestrator.engine.operations import OperationSpec
from orchestrator.storage import workers
from sandbox.control import Sandbox
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import query
from tests.engine.test_two_providers import launch_once, launched, make_due, run
from workers.beside import Beside
from workers.in_hand import InHand
from workers.process import WorkerProcess

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def slow_start(sandbox: Sandbox) -> Any:
    """Jobs wait at the provider, where they can be cancelled."""
    sandbox.options(scripe_queued_s=3_600)
    yield
    sandbox.options(scripe_queued_s=0.05)
    sandbox.clear_faults()


@pytest.fixture
async def process(office: Office) -> AsyncIterator[WorkerProcess]:
    """A worker's inside, without Celery."""
    made = WorkerProcess(office.deps.settings)
    made.start()
    await asyncio.to_thread(made.register)
    yield made
    await asyncio.to_thread(made.stop)


async def ends(office: Office, worker: UUID) -> None:
    """Let a worker end without being buried yet."""

    async def write(connection: Any) -> None:
        await workers.end(connection, worker)

    await office.deps.db.run(write)


async def is_buried(office: Office, worker: UUID) -> bool:
    return bool(await query(office, f"SELECT FROM workers WHERE id = '{worker}' AND buried_at IS NOT NULL"))


async def until(what: Any) -> None:
    async with asyncio.timeout(15):
        while not what():
            await asyncio.sleep(0.02)


async def test_a_sweep_buries_the_dead_while_a_provider_hangs_on_what_it_sends_and_cancels(
    office: Office, hands: Hands, process: WorkerProcess
) -> None:
    await office.connect_scripe()
    waits = await launched(office, 1)
    await launch_once(office, hands)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    lost = await launched(office, 2)
    await launch_once(office, hands)
    spec = OperationSpec(
        intention=Intention(verb=BulkVerb.CANCEL), filters={"statuses": ["processing"]}, kept={}, reason=None
    )
    await operations.create_operation(office.deps, office.who, spec)
    await make_due(office)
    office.sandbox.clear_faults()
    office.sandbox.faults([{"fault": "hang", "seconds": 60, "kind": ["launch", "cancel"]}])

    before = len(office.sandbox.log())
    await asyncio.to_thread(process.work, "sweep", in_task=True)
    await until(lambda: {e["kind"] for e in office.sandbox.log()[before:]} == {"launch", "cancel"})
    assert process.in_hand.has_left_over("resend") and process.in_hand.has_left_over("operations")
    await ends(office, hands.id)
    await asyncio.to_thread(process.work, "sweep", in_task=True)
    assert await is_buried(office, hands.id)
    assert process.in_hand.has_left_over("resend") and process.in_hand.has_left_over("operations")
    assert [e["kind"] for e in office.sandbox.log()[before:]].count("launch") == 1, "each once at a time"
    assert ((await run(office, waits))["status"], (await run(office, lost))["status"]) == ("processing", "launching")


async def test_each_kind_is_carried_on_once_at_a_time_and_a_stop_waits_for_it() -> None:
    in_hand = InHand(is_closed=lambda: False)
    beside, may_end, begun = Beside(in_hand), asyncio.Event(), []

    async def work() -> int:
        begun.append(1)
        await may_end.wait()
        return 1

    for _ in range(2):
        beside.start("resend", work)
        beside.start("operations", work)
        await asyncio.sleep(0)
    assert len(begun) == 2
    assert not in_hand.wait_until_empty(limit_s=0, is_hurried=lambda: False)
    may_end.set()
    await until(lambda: in_hand.wait_until_empty(limit_s=0, is_hurried=lambda: False))
    beside.start("resend", work)
    await until(lambda: len(begun) == 3)


async def test_what_fails_beside_a_sweep_is_logged_and_the_next_may_begin(capsys: pytest.CaptureFixture[str]) -> None:
    in_hand = InHand(is_closed=lambda: False)
    beside = Beside(in_hand)

    async def work() -> int:
        raise ZeroDivisionError

    beside.start("resend", work)
    await until(lambda: not in_hand.has_left_over("resend"))
    assert "work failed" in "".join(capsys.readouterr())
