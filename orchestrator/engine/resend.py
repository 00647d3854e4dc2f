"""Send again: launches whose answer was lost, where the provider knows their key. Same run, attempt, key and bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import resending
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.governor import CallKind
from orchestrator.domain.launch_decisions import LaunchFacts
from orchestrator.domain.resending import Resend, launch_key
from orchestrator.engine import highwater, launch, poison, unrecorded
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_orders import LONGEST_CALL_S, SEND_WITHIN_S, LaunchOrder
from orchestrator.storage import grants, lanes, setbacks, turns, unanswered
from orchestrator.storage.lanes import Lane
from orchestrator.storage.unanswered import DueSending, Unanswered

#: What was sent again may have ended long ago: its first look comes soon.
FIRST_LOOK_S = 2.0

#: A lane that is stopped, or a database that may have been restored, is asked again so often.
HELD_S = 30.0


class Not(StrEnum):
    """Why a launch was not claimed: it is put off, somebody else has it, or nothing but a doubt is left of it."""

    NOW = "now"
    OURS = "ours"
    ANY_MORE = "any_more"
    #: A doubt, too: its connection leads elsewhere since.
    ELSEWHERE = "elsewhere"


async def send_lost(deps: Deps, *, worker: UUID) -> int:
    """Send again what is due to be; where no sending can tell any more what became of it, it is a doubt.

    Args:
        worker: who sends.
    """
    due = [one for one in await unrecorded.find(deps) if unrecorded.may_be_sent_again(deps, one)]
    orders: list[LaunchOrder] = []
    for one in due:
        claimed = await _claim_once(deps, one, worker)
        if isinstance(claimed, LaunchOrder):
            orders.append(claimed)
        elif claimed is Not.ANY_MORE:
            await unrecorded.decide(deps, one)
        elif claimed is Not.ELSEWHERE:
            await unrecorded.decide(deps, one, because=resending.LEADS_ELSEWHERE)
    await send(deps, orders)
    return len(due)


async def _claim_once(deps: Deps, due: DueSending, worker: UUID) -> LaunchOrder | Not:
    async def take(connection: AsyncConnection) -> LaunchOrder | Not:
        return await claim(deps, connection, due, worker=worker)

    # One try: a commit whose answer was lost must not be followed by sending. The timer stands for it meanwhile.
    claimed = await poison.caught(lambda: deps.db.run(take, tries=1))
    if isinstance(claimed, poison.Poisoned):
        await unrecorded.put_off(deps, due.intent_id, due.fence, claimed)
        return Not.NOW
    return claimed


async def claim(deps: Deps, connection: AsyncConnection, due: DueSending, *, worker: UUID) -> LaunchOrder | Not:
    """Take the right to send one launch again, with a token for it."""
    claimed_at = deps.sources.monotonic()
    lane = await lanes.lock(connection, due.lane_id)
    wait_s = await highwater.wait_s(deps, connection)
    found = await unanswered.read_unanswered(connection, due.intent_id)
    if found is None:
        return Not.ANY_MORE  # its run moved on, and left the intent open
    if not found.leads_there_still:
        return Not.ELSEWHERE
    body = deps.provider(found.provider).launch_body(found.item)
    if hashlib.sha256(body).digest() != found.sha256:
        # Other bytes under the same key would be refused, and prove nothing.
        return Not.ANY_MORE
    if found.batch_id is not None:
        await turns.lock_batch(connection, found.batch_id)
    until = _held_until(lane) if wait_s is None else lane.now + timedelta(seconds=wait_s)
    if until is None and not lane.budget.grant(CallKind.LAUNCH, 1, now=lane.now):
        until = lane.budget.next_free_at(lane.now)
    if until is not None:
        put_off_s = max(0.2, (until - lane.now).total_seconds())
        await setbacks.put_off_sending(connection, due.intent_id, due.fence, wait_s=put_off_s)
        return Not.NOW
    send_deadline = lane.now + timedelta(seconds=SEND_WITHIN_S)
    again_if_lost_at = send_deadline + timedelta(seconds=LONGEST_CALL_S)
    fence = await unanswered.retake_sending(connection, due, worker=worker, due_at=again_if_lost_at)
    if fence is None:
        return Not.OURS
    grant_id = deps.sources.new_id()
    await grants.grant_each(connection, lane, ids=[grant_id], worker=worker, kind=CallKind.LAUNCH)
    return _order(deps, due, found, fence=fence, grant_id=grant_id, body=body,
                  send_deadline=send_deadline, send_by=claimed_at + SEND_WITHIN_S)  # fmt: skip


def _held_until(lane: Lane) -> datetime | None:
    """Return until when nothing may be launched on a lane; None: something may."""
    if lane.launches_stopped is not None:
        return lane.now + timedelta(seconds=HELD_S)
    if lane.is_blocked:
        return lane.blocked_until
    # The lane's own turn probes; what was sent before waits for it like what is queued.
    return lane.now + timedelta(seconds=1.0) if lane.breaker.state is BreakerState.OPEN else None


def _order(
    deps: Deps,
    due: DueSending,
    found: Unanswered,
    *,
    fence: int,
    grant_id: UUID,
    body: bytes,
    send_deadline: datetime,
    send_by: float,
) -> LaunchOrder:
    keys = deps.provider(found.provider).capabilities.launch_key
    assert keys is not None, "only such are sent again"
    return LaunchOrder(
        intent_id=due.intent_id,
        fence=fence,
        grant_id=grant_id,
        lane_id=due.lane_id,
        workflow_id=found.workflow_id,
        remote_workflow_id=found.remote_workflow_id,
        connection_id=found.connection_id,
        provider=found.provider,
        # The version is part of the request: another one might not be the same launch to the provider.
        access=deps.access(
            connection_id=found.connection_id,
            base_url=found.base_url,
            api_key=found.api_key,
            api_version=found.api_version,
        ),
        is_of_old_version=found.api_version != found.version_now,
        body=body,
        facts=LaunchFacts(
            runs=(found.run,),
            is_wave=False,
            of_batch=found.batch_id is not None,
            on_doubt=found.on_doubt,
            looks_first_s=FIRST_LOOK_S,
            window=1,
        ),
        wave_id=None,
        batch_id=found.batch_id,
        send_deadline=send_deadline,
        send_by=send_by,
        key=launch_key(found.run.run_id, found.run.attempt),
        resend=Resend(until=due.committed_at + timedelta(seconds=keys.resent_for_s), sends=due.sends + 1),
    )


async def send(deps: Deps, orders: Sequence[LaunchOrder]) -> None:
    """Send what was claimed, and record the answers, lane by lane and side by side."""
    by_lane: dict[UUID, list[LaunchOrder]] = defaultdict(list)
    for order in orders:
        by_lane[order.lane_id].append(order)
    await asyncio.gather(*(launch.launch(deps, of_lane) for of_lane in by_lane.values()))
