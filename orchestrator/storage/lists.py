"""Claims what of a lane is observed by a list, and records when the next list is worth asking for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import listing
from orchestrator.domain.governor import CallKind
from orchestrator.runtime import Sources
from orchestrator.storage import grants, look_claims
from orchestrator.storage.database import rows
from orchestrator.storage.lanes import Lane
from orchestrator.storage.look_claims import CLAIMED, Listing, ListNews, LookBatch

#: Executions of one list, those that have been due longest: its record is one transaction.
MOST_LISTED = 5_000

#: A list that nobody recorded is asked for anew after so long: by then a dead worker's leases are void.
LOST_S = 20.0

# A handful of rows: connections that share a limit.
OF_LANE = text("""
    SELECT c.id, c.provider, l.due_at > orch_now() AS is_early, l.due_at FROM connections c
    LEFT JOIN lists l ON l.connection_id = c.id
    WHERE c.lane_id = :lane AND c.removed_at IS NULL AND (l.off_until IS NULL OR l.off_until <= orch_now())
    ORDER BY c.id""")

# What lists observe: not what a person asked for, nor results to renew, nor an anomaly, which is looked at by itself;
# and not what another worker holds.
_LISTED = """t.lane_id = :lane AND t.kind = 'poll' AND t.urgency = 2 AND t.due_at IS NOT NULL AND t.tries = 0
    AND t.gone_since IS NULL AND (t.worker_id IS NULL OR t.due_at <= orch_now())
    AND t.workflow_id IN (SELECT w.id FROM workflows w WHERE w.connection_id = :connection)"""

COUNT = text(f"""
    SELECT count(*)::int AS live, count(*) FILTER (WHERE t.due_at <= orch_now())::int AS due
    FROM timers t WHERE {_LISTED}""")  # noqa: S608 - our own words

# Those that wait longest first; the CTE is a fence, as for single looks.
CLAIM = text(f"""
    WITH due AS MATERIALIZED (
        SELECT t.subject_id FROM timers t WHERE {_LISTED} ORDER BY t.due_at LIMIT :limit FOR UPDATE SKIP LOCKED),
    {CLAIMED}""")  # noqa: S608 - our own words

# Launched since the last list, or due by its own schedule: the next list will show it.
HOLD = text(f"""
    UPDATE timers t SET due_at = :until, worker_id = NULL, fence = 0
    WHERE {_LISTED} AND t.due_at <= orch_now()""")  # noqa: S608 - our own words

SET_DUE = text("""
    INSERT INTO lists AS l (connection_id, due_at, off_until) VALUES (:connection, :due_at, :off_until)
    ON CONFLICT (connection_id) DO UPDATE SET due_at = excluded.due_at,
        off_until = COALESCE(excluded.off_until, l.off_until)""")

# In no page that was read: nothing was learned of them, and no look was spent.
LET_GO = text("""
    UPDATE timers t SET due_at = :due_at, worker_id = NULL, fence = 0, looks = t.looks - 1
    FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS v(id, fence)
    WHERE t.subject_id = v.id AND t.fence = v.fence""")


async def claim(
    connection: AsyncConnection,
    lane: Lane,
    *,
    providers: Sequence[str],
    page_items: Callable[[str], int],
    waiting: Sequence[CallKind],
    worker: UUID,
    lease_s: float,
    sources: Sources,
) -> LookBatch | None:
    """Claim what a list would observe, where that costs less than single looks; None where it does not.

    An empty batch means that a list is worth it, but its requests are not free yet. The caller holds the lane.

    Args:
        providers: of the lane: where none of them has a list, nothing is asked.
        page_items: how many executions a page of a provider's list shows, by the provider; 0 without a list.
    """
    if not any(page_items(provider) for provider in providers):
        return None
    for row in await rows(connection, OF_LANE, {"lane": lane.id}):
        items, where = page_items(row.provider), {"lane": lane.id, "connection": row.id}
        if not items:
            continue
        if row.is_early:
            await connection.execute(HOLD, {**where, "until": row.due_at})
            continue
        counted = (await connection.execute(COUNT, where)).one()
        if listing.pays(counted.due, counted.live, page_items=items):
            batch = _Claiming(connection, lane, row, items, worker=worker, lease_s=lease_s, sources=sources)
            return await batch.made(min(counted.live, MOST_LISTED), waiting=waiting)
    return None


class _Claiming:
    """The claim of one connection's list."""

    def __init__(
        self,
        connection: AsyncConnection,
        lane: Lane,
        row: Row[Any],
        items: int,
        *,
        worker: UUID,
        lease_s: float,
        sources: Sources,
    ) -> None:
        self._connection, self._lane, self._row, self._items = connection, lane, row, items
        self._worker, self._lease_s, self._sources = worker, lease_s, sources

    async def made(self, live: int, *, waiting: Sequence[CallKind]) -> LookBatch:
        lane = self._lane
        most = listing.most_requests(live, page_items=self._items, limit=lane.limit)
        granted = lane.budget.grant(CallKind.LOOK, most, now=lane.now, waiting=waiting)
        if granted < min(listing.least_requests(live, page_items=self._items), most):
            return LookBatch(lane_id=lane.id, grant_id=lane.id, now=lane.now, claims=())
        values = {"lane": lane.id, "connection": self._row.id, "limit": live, "lease_s": self._lease_s}
        found = await rows(self._connection, CLAIM, {**values, "worker": self._worker})
        grant_id = self._sources.new_id()
        if not found:
            # Others hold them just now: nothing is to be asked, so nothing is taken for it.
            return LookBatch(lane_id=lane.id, grant_id=grant_id, now=lane.now, claims=())
        await grants.grant(self._connection, lane, id=grant_id, worker=self._worker, kind=CallKind.LOOK, count=granted)
        due_at = lane.now + timedelta(seconds=LOST_S)
        await self._connection.execute(SET_DUE, {"connection": self._row.id, "due_at": due_at, "off_until": None})
        # By list a look has no price: all of them cost the same few requests.
        free = replace(lane, look_price_s=0.0, looks_late_s=0.0)
        claims = tuple(look_claims.read(row, free, ()) for row in sorted(found, key=lambda row: row.subject_id))
        asked = Listing(connection_id=self._row.id, page_items=self._items, requests=granted, limit=lane.limit)
        return LookBatch(lane_id=lane.id, grant_id=grant_id, now=lane.now, claims=claims, listing=asked)


async def record(connection: AsyncConnection, news: ListNews) -> None:
    """Write when the next list is due, and let go what this one did not show. The caller holds the lane."""
    values = {"connection": news.connection_id, "due_at": news.due_at, "off_until": news.off_until}
    await connection.execute(SET_DUE, values)
    if news.unseen:
        values = {"ids": list(news.unseen), "fences": list(news.unseen.values()), "due_at": news.unseen_due_at}
        await connection.execute(LET_GO, values)


def wakes_at(news: ListNews | None) -> list[datetime]:
    """Return when the lane is due for what a list did not show."""
    return [news.unseen_due_at] if news is not None and news.unseen else []
