"""Probing: a harmless read tells whether a provider in trouble is back, before anything is launched on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import Access
from orchestrator.domain.governor import CallKind
from orchestrator.engine import heard
from orchestrator.engine.deps import Deps
from orchestrator.errors import NotSent, ProviderError, Throttled
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import connections, grants, lane_minutes, lanes
from orchestrator.storage.lanes import Lane
from orchestrator.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOrder:
    """A harmless read, to learn whether a provider in trouble is back."""

    grant_id: UUID
    lane_id: UUID
    provider: str
    connection_id: UUID
    access: Access


async def claim(deps: Deps, connection: AsyncConnection, lane: Lane, *, worker: UUID) -> ProbeOrder | None:
    """Pay for a probe of a locked lane, and put the lane off until it is answered; None when none can go now."""
    found = await connections.any_of_lane(connection, lane.id)
    free = lane.budget.grant(CallKind.OTHER, 1, now=lane.now)
    if found is None or not free:
        again_at = lane.budget.next_free_at(lane.now) if found is not None else None
        await lanes.save(connection, replace(lane, launch_due_at=again_at))
        return None
    grant_id = deps.sources.new_id()
    await grants.grant(connection, lane, id=grant_id, worker=worker, kind=CallKind.OTHER, count=1)
    # Whoever holds the probe reports within the call's own timeout; if it dies, the next one probes.
    retry_at = lane.now + timedelta(seconds=deps.settings.http_timeout_s + 5)
    await lanes.save(connection, replace(lane, launch_due_at=retry_at))
    access = deps.access(
        connection_id=found.id,
        base_url=found.base_url,
        api_key=bytes(found.api_key),
        api_version=found.api_version,
    )
    return ProbeOrder(
        grant_id=grant_id, lane_id=lane.id, provider=found.provider, connection_id=found.id, access=access
    )


async def probe(deps: Deps, order: ProbeOrder) -> None:
    """Ask the provider something harmless; if it answers at all, one launch may try."""
    sent_at = deps.sources.monotonic()
    try:
        await deps.provider(order.provider).list_workflows(order.access, limit=1)
        error = None
    except ProviderError as failure:
        error = failure
    answered_at = deps.sources.monotonic()
    said = heard.take(deps, heard.ears(order.provider, order.connection_id))
    await reach(Point.PROBE_ANSWERED)
    log.info("provider probed", lane=str(order.lane_id), ok=error is None, after_s=round(answered_at - sent_at, 3))

    async def record(connection: AsyncConnection) -> None:
        # Before the lock, as of launches.
        spent = [] if isinstance(error, NotSent) else [deps.sources.monotonic() - answered_at]
        lane = await lanes.lock(connection, order.lane_id)
        lane = await grants.release(connection, lane, order.grant_id, CallKind.OTHER, spent)
        lane = after_probe(lane.heard(said.rate), error)
        await lanes.save(connection, lane)
        await lane_minutes.turned_away(connection, lane.id, int(isinstance(error, Throttled)))

    await deps.db.run(record)
    await heard.tell(deps, said)


def after_probe(lane: Lane, error: ProviderError | None) -> Lane:
    """Return the lane after a probe: half open, throttled, stopped, or still in trouble."""
    match error.code if error is not None else None:
        case None | "gone" | "refused":
            return replace(lane, breaker=lane.breaker.probed_well(), launch_due_at=lane.now)
        case "throttled":
            wait_s = getattr(error, "retry_after_s", None) or 10.0
            until = lane.now + timedelta(seconds=wait_s)
            return replace(lane, blocked_until=until, launch_due_at=until)
        case "key_refused" | "version_unsupported" as code:
            return replace(lane, launches_stopped=code, launch_due_at=None)
        case _:
            breaker = lane.breaker.trip(now=lane.now)
            tripped = replace(lane, breaker=breaker, launch_due_at=breaker.probe_at)
            wait_s = error.retry_after_s if error is not None else None
            return tripped if wait_s is None else _rests(tripped, wait_s)


def _rests(lane: Lane, wait_s: float) -> Lane:
    """Return the lane resting as long as the provider asks, and no less than its breaker does."""
    until = lane.now + timedelta(seconds=wait_s)
    return replace(
        lane,
        blocked_until=max(until, lane.blocked_until or until),
        launch_due_at=max(until, lane.launch_due_at or until),
    )
