"""Probing: a harmless read tells whether a provider in trouble is back, before anything is launched on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.governor import CallKind
from orchestrator.engine.deps import Deps
from orchestrator.engine.launch_claims import ProbeOrder
from orchestrator.errors import NotSent, ProviderError
from orchestrator.faultpoints import Point, reach
from orchestrator.storage import lanes
from orchestrator.storage.lanes import Lane
from orchestrator.telemetry import get_logger

log = get_logger(__name__)


async def probe(deps: Deps, order: ProbeOrder) -> None:
    """Ask the provider something harmless; if it answers at all, one launch may try."""
    sent_at = deps.sources.monotonic()
    try:
        await deps.provider(order.provider).list_workflows(order.access, limit=1)
        error = None
    except ProviderError as failure:
        error = failure
    answered_at = deps.sources.monotonic()
    await reach(Point.PROBE_ANSWERED)
    log.info("provider probed", lane=str(order.lane_id), ok=error is None, after_s=round(answered_at - sent_at, 3))

    async def record(connection: AsyncConnection) -> None:
        lane = await lanes.lock(connection, order.lane_id)
        spent = [] if isinstance(error, NotSent) else [deps.sources.monotonic() - answered_at]
        lane = await lanes.release(connection, lane, order.grant_id, CallKind.OTHER, spent)
        lane = after_probe(lane, error)
        await lanes.save(connection, lane)

    await deps.db.run(record)


def after_probe(lane: Lane, error: ProviderError | None) -> Lane:
    """Return the lane after a probe: half open, throttled, stopped, or still in trouble."""
    match error.code if error is not None else None:
        case None | "gone" | "refused":
            return replace(lane, breaker=lane.breaker.probed_well(), launch_due_at=lane.now)
        case "throttled":
            wait_s = getattr(error, "retry_after_s", None) or 10.0
            until = lane.now + timedelta(seconds=wait_s)
            return replace(lane, blocked_until=until, launch_due_at=until)
        case "key_refused":
            return replace(lane, launches_stopped="key_refused", launch_due_at=None)
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
