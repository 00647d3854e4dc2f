"""Launches that nobody recorded: where no sending can tell any more what became of them, they are doubts."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import launch_decisions
from orchestrator.domain.launch_decisions import LaunchFacts
from orchestrator.engine import launch_records, poison, settle
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_records import Decided
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import intents, lanes, setbacks, turns, unanswered
from orchestrator.storage.unanswered import DueSending
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Launches that are decided at once; the next sweep goes on.
AT_ONCE = 100


def may_be_sent_again(deps: Deps, due: DueSending) -> bool:
    """Tell whether the provider of a launch still remembers its key."""
    keys = deps.provider(due.provider).capabilities.launch_key
    return keys is not None and not due.is_wave and due.now < due.committed_at + timedelta(seconds=keys.resent_for_s)


async def find(deps: Deps) -> list[DueSending]:
    """Return intents whose worker or answer did not come back: it is not known whether they were sent."""

    async def read(connection: AsyncConnection) -> list[DueSending]:
        return await unanswered.due_sending(connection, AT_ONCE)

    return await deps.db.run(read)


async def doubt_all(deps: Deps) -> int:
    """Decide about those that nobody may send again. Asks no provider. Returns how many they were."""
    due = [one for one in await find(deps) if not may_be_sent_again(deps, one)]
    for one in due:
        await decide(deps, one)
    return len(due)


async def decide(deps: Deps, due: DueSending, *, because: str | None = None) -> None:
    """Turn one launch into a doubt, if nobody recorded it meanwhile. Without a reason its worker died."""

    async def write(connection: AsyncConnection) -> frozenset[UUID]:
        return await _doubt(deps, connection, due, because)

    ended_in = await poison.caught(lambda: deps.db.run(write))
    if isinstance(ended_in, poison.Poisoned):
        await put_off(deps, due.intent_id, due.fence, ended_in)
        return
    await reach(Point.SWEEP_DOUBTED)
    await settle.settle_batches(deps, ended_in)


async def put_off(deps: Deps, intent_id: UUID, fence: int, why: poison.Poisoned) -> None:
    """Leave one intent for later, so that it keeps no other from becoming a doubt."""
    poison.tell("doubt", why, intent=str(intent_id))

    async def write(connection: AsyncConnection) -> None:
        await setbacks.put_off_sending(connection, intent_id, fence, wait_s=poison.LONGEST_S / 12)

    await deps.db.run(write)


async def _doubt(deps: Deps, connection: AsyncConnection, due: DueSending, because: str | None) -> frozenset[UUID]:
    lane = await lanes.lock(connection, due.lane_id)
    intent = await intents.read_intent(connection, due.intent_id, states=frozenset({"launching"}))
    if intent is None:
        return frozenset()
    if intent.batch_id is not None:
        await turns.lock_batch(connection, intent.batch_id)
    if not await intents.take_sending(connection, {due.intent_id: due.fence}):
        return frozenset()
    facts = LaunchFacts(
        runs=intent.runs,
        is_wave=intent.wave_id is not None,
        of_batch=intent.batch_id is not None,
        on_doubt=intent.on_doubt,
        looks_first_s=0.0,
        window=0,
    )
    decision = launch_decisions.unknown_outcome(facts, None, breaker=lane.breaker, now=lane.now, because=because)
    log.warning(
        "launch in doubt: nobody recorded it",
        code="in_doubt",
        intent=str(due.intent_id),
        runs=len(intent.runs),
        because=because or "its worker died",
    )
    decided = Decided(
        decision=decision,
        intent=due.intent_id,
        workflow=intent.workflow_id,
        wave=intent.wave_id,
        batch=intent.batch_id,
        facts=facts,
    )
    return await launch_records.write(deps, connection, launch_records.told(lane, decision), [decided])
