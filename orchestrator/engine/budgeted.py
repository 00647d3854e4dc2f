"""A single call to a provider on behalf of a person: it draws on the lane's budget like everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.governor import CallKind
from orchestrator.engine import heard
from orchestrator.engine.deps import Deps
from orchestrator.engine.heard import Ears
from orchestrator.errors import NotSent, ProviderError, Throttled, Unavailable
from orchestrator.storage import grants, lane_minutes, lanes

T = TypeVar("T")

#: A person waits so long for a token before being told to come back.
PATIENCE_S = 20.0

#: Whoever asks from outside a worker: a grant needs a holder, and this one never heartbeats.
NOBODY = UUID(int=0)

USED_UP = "the provider's request budget is used up just now"


async def call(deps: Deps, lane_id: UUID, send: Callable[[], Awaitable[T]], *, ears: Ears) -> T:
    """Send one request when the lane's budget allows.

    Args:
        ears: whose answer it is.

    Raises:
        Unavailable: no token came free in time; says when to try again.
        ProviderError: what the call came to.
    """
    grant_id = await _token(deps, lane_id)
    error: ProviderError | None = None
    answered_at = deps.sources.monotonic()
    try:
        return await send()
    except ProviderError as failure:
        error = failure
        raise
    finally:
        answered_at = deps.sources.monotonic()
        costs = not isinstance(error, NotSent)
        said = heard.take(deps, ears)

        async def record(connection: AsyncConnection) -> None:
            # Before the lock, as of launches.
            spent = [deps.sources.monotonic() - answered_at] if costs else []
            lane = await lanes.lock(connection, lane_id)
            lane = await grants.release(connection, lane, grant_id, CallKind.OTHER, spent)
            await lanes.save(connection, lane.heard(said.rate))
            await lane_minutes.turned_away(connection, lane_id, int(isinstance(error, Throttled)))

        await deps.db.run(record, tries=20)
        await heard.tell(deps, said)


async def _token(deps: Deps, lane_id: UUID) -> UUID:
    give_up_at = deps.sources.monotonic() + PATIENCE_S
    grant_id = deps.sources.new_id()

    async def take(connection: AsyncConnection) -> float:
        """Return 0 when a token was taken, else seconds until one may be free."""
        lane = await lanes.lock(connection, lane_id)
        if lane.is_blocked and lane.blocked_until is not None:
            return (lane.blocked_until - lane.now).total_seconds()
        if not lane.budget.grant(CallKind.OTHER, 1, now=lane.now):
            return max(0.2, (lane.budget.next_free_at(lane.now) - lane.now).total_seconds())
        await grants.grant(connection, lane, id=grant_id, worker=NOBODY, kind=CallKind.OTHER, count=1)
        return 0.0

    while (wait_s := await deps.db.run(take)) > 0.0:
        if deps.sources.monotonic() + wait_s > give_up_at:
            raise Unavailable(USED_UP, code="budget_used", retry_after_s=wait_s)
        await asyncio.sleep(wait_s)
    return grant_id
