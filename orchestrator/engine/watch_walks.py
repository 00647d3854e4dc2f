"""Walk a provider's list for what other programs started: claim the watch, ask page by page, record what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import watching
from orchestrator.domain.answers import ListAsk, Listed
from orchestrator.domain.governor import CallKind
from orchestrator.engine import heard, highwater, lists, poison
from orchestrator.engine.deps import Deps
from orchestrator.engine.look_results import news_of
from orchestrator.engine.ports import Claimed, unheard
from orchestrator.errors import NotSent, ProviderError
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import grants, lanes, observed, watches
from orchestrator.storage.database import FOR_EVER
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.storage.watches import WatchClaim

#: A walk whose findings break our code is tried again after so long.
POISONED_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkTurn:
    """What one claim gave: a walk, and the grant of so many pages."""

    claim: WatchClaim
    grant_id: UUID
    pages: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the pages of a turn showed.

    Args:
        cursor: where the walk goes on; None: it is over, or begins anew.
        answered_at: when each page was answered (monotonic).
    """

    listed: tuple[Listed, ...]
    cursor: str | None
    answered_at: tuple[float, ...]
    failure: ProviderError | None


async def walk_due(deps: Deps, *, worker: UUID, claimed: Claimed = unheard) -> int | None:
    """Go on with a walk that is due. Returns how many pages it asked for, None when none is due.

    Asked only where a claim of looks has heard that one is: who has no watch pays nothing for it.
    """

    async def claim(connection: AsyncConnection) -> WalkTurn | int | None:
        return await _claim(deps, connection, worker)

    # A database that may have been restored does not know all launches of ours: it may take them for others'.
    await highwater.ensure_compared(deps)
    turn = await deps.db.run(claim)
    if turn is None:
        return None
    claimed(True)
    if isinstance(turn, int):
        return turn
    found = await _walk(deps, turn)  # no transaction is open here
    await reach(Point.WALK_ANSWERED)
    recorded = await poison.caught(lambda: _record(deps, turn, found))
    if isinstance(recorded, poison.Poisoned):
        poison.tell("walk", recorded, connection=str(turn.claim.connection_id))
        await _put_off(deps, turn, found)
    return len(found.answered_at)


async def _claim(deps: Deps, connection: AsyncConnection, worker: UUID) -> WalkTurn | int | None:
    """Take a walk and the tokens of its pages; 0 where one is due and has to wait."""
    due = await watches.due(connection)
    if due is None:
        return None
    watched, lane_id = due
    lane = await lanes.lock(connection, lane_id)
    wait_s = await highwater.wait_s(deps, connection)
    if wait_s is not None:
        await watches.put_off(connection, watched, lane.now + timedelta(seconds=max(wait_s, 1.0)))
        return 0
    pages = lane.budget.grant(CallKind.LOOK, watching.MOST_PAGES, now=lane.now, waiting=lane.waiting_beside_looks)
    if lane.is_blocked or not pages:
        again_at = lane.blocked_until if lane.is_blocked else lane.budget.next_free_at(lane.now)
        soonest = lane.now + timedelta(seconds=1)
        await watches.put_off(connection, watched, max(again_at or soonest, soonest))
        return 0
    taken = await watches.claim(connection, watched, lane=lane_id, lease_s=deps.settings.lease_s)
    if taken is None:
        return 0
    grant_id = deps.sources.new_id()
    await grants.grant(connection, lane, id=grant_id, worker=worker, kind=CallKind.LOOK, count=pages)
    return WalkTurn(claim=taken, grant_id=grant_id, pages=pages, now=lane.now)


async def _walk(deps: Deps, turn: WalkTurn) -> Found:
    """Ask for page after page, the newest first, as long as there are more and requests for them."""
    claim = turn.claim
    since = max(claim.since, claim.walked_to - watching.OVERLAP)
    ask = ListAsk(since=since, workflow_ids=claim.workflow_ids, cursor=claim.cursor)
    listed: list[Listed] = []
    answered_at: list[float] = []
    give_up_at = deps.sources.monotonic() + deps.settings.lease_s * lists.WALK_SHARE
    for _ in range(turn.pages):
        page = await lists.page(deps, claim, ask)
        if not isinstance(page, NotSent):
            answered_at.append(deps.sources.monotonic())
        if isinstance(page, ProviderError):
            # A cursor may have died: the next walk begins with the newest again.
            return Found(listed=tuple(listed), cursor=None, answered_at=tuple(answered_at), failure=page)
        listed += page.executions
        if page.cursor == ask.cursor:
            break  # it leads back to where it came from: there is no more to be had
        ask = replace(ask, cursor=page.cursor)
        if page.cursor is None or deps.sources.monotonic() > give_up_at:
            break
    return Found(listed=tuple(listed), cursor=ask.cursor, answered_at=tuple(answered_at), failure=None)


async def _record(deps: Deps, turn: WalkTurn, found: Found) -> None:
    """Make runs of what is new and not ours, and write how far the walk has come."""
    claim = turn.claim
    said = heard.take(deps, heard.ears(claim.provider, claim.connection_id))

    async def record(connection: AsyncConnection) -> None:
        lane = await _released(deps, connection, turn, found)
        news = news_of([found.failure] if found.failure is not None else [], now=lane.now, rate=said.rate)
        lane = lane.heard(news.rate)
        if news.blocked_until is not None:
            lane = replace(lane, blocked_until=max(news.blocked_until, lane.blocked_until or news.blocked_until))
        if news.launches_stopped is not None:
            lane = replace(lane, launches_stopped=news.launches_stopped)
        await lanes.save(connection, lane.pull(Turn.POLL, lane.now))
        if not await watches.is_held_by(connection, claim):
            return
        await _take_up(deps, connection, claim, found.listed, now=lane.now)
        times = [one.created_at for one in found.listed if one.created_at is not None]
        newest_at = max([*times, *([claim.newest_at] if claim.newest_at is not None else [])], default=None)
        is_over = found.cursor is None and found.failure is None
        next_s = watching.next_turn_s(
            len(found.answered_at), limit=lane.limit, is_over=is_over or found.failure is not None
        )
        await watches.record(
            connection,
            claim,
            cursor=found.cursor,
            newest_at=None if is_over or found.failure is not None else newest_at,
            # Only a walk to the end has seen all; and never further than our own clock, whatever a list says.
            walked_to=min(newest_at, lane.now) if is_over and newest_at is not None else None,
            due_at=max(lane.now + timedelta(seconds=next_s), news.blocked_until or lane.now),
            failure=found.failure.code if found.failure is not None else None,
        )
        await reach(Point.WALK_RECORDING)

    await deps.db.run(record, tries=FOR_EVER)


async def _take_up(
    deps: Deps, connection: AsyncConnection, claim: WatchClaim, listed: Sequence[Listed], *, now: datetime
) -> None:
    """Track what others started, once each; hold back what may be ours, and let go what is.

    Of several connections to one place that which records first has it. None waits for an older one: two keys at one
    address may be two workspaces of the provider, and then the older one never sees it.
    """
    held = await observed.held(connection, claim.connection_id)
    seen = watching.made(listed, since=claim.since, workflow_ids=claim.workflow_ids)
    judged = {one.execution_id: one for one in (*held, *seen)}
    # In this order: a launch that is answered in between is then known by its id.
    unanswered = await observed.unanswered(connection, claim.connection_id)
    ours, tracked = await observed.known(connection, claim.connection_id, judged.keys())
    others = [one for id, one in judged.items() if id not in ours and id not in tracked]
    doubtful = [one for one in others if watching.may_be_ours(one, unanswered)]
    is_doubtful = {one.execution_id for one in doubtful}
    await observed.hold(connection, claim.connection_id, doubtful)
    await observed.forget(connection, claim.connection_id, {one.execution_id for one in held} & (ours | tracked))
    theirs = [one for one in others if one.execution_id not in is_doubtful]
    await observed.track(connection, claim, theirs, now=now, new_id=deps.sources.new_id)


async def _put_off(deps: Deps, turn: WalkTurn, found: Found) -> None:
    """Leave a walk for later, and give the tokens back that it did not use."""

    async def later(connection: AsyncConnection) -> None:
        await lanes.save(connection, await _released(deps, connection, turn, found))
        await watches.put_off_for(connection, turn.claim.connection_id, POISONED_S)

    await deps.db.run(later, tries=FOR_EVER)


async def _released(deps: Deps, connection: AsyncConnection, turn: WalkTurn, found: Found) -> Lane:
    """Return the locked lane with the turn's grant taken back: what was answered is spent, the rest is free."""
    # Before the lock, as of launches.
    ago_s = [deps.sources.monotonic() - at for at in found.answered_at]
    lane = await lanes.lock(connection, turn.claim.lane_id)
    return await grants.release(connection, lane, turn.grant_id, CallKind.LOOK, ago_s)
