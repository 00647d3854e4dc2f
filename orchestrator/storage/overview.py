"""Reads what a workspace's overview shows. Each read ends just above `CAP` rows, so that no page grows with a table."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.overview import CAP, MOST_ASKED
from orchestrator.storage import batches
from orchestrator.storage.batches import BatchRow
from orchestrator.storage.database import rows
from orchestrator.storage.run_pages import first_id

#: Of each list, so many are shown.
SHOWN = 5
MOST_LANES = 50

# Each status by its own part of the index of live runs; the literal list is what lets that index be used.
LIVE = text(f"""
    SELECT s.status, (SELECT count(*)::int FROM (SELECT FROM runs r WHERE r.workspace_id = :workspace
            AND r.status = s.status AND r.status NOT IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned')
            LIMIT {CAP + 1}) f) AS runs
    FROM unnest(ARRAY['queued', 'launching', 'in_doubt', 'processing', 'human_in_the_loop', 'downloading'])
        AS s(status)""")  # noqa: S608 - our own words

# An id holds when it was made: a day is a range of the list's own index, of which the newest are taken.
LATELY = text(f"""
    SELECT f.status, f.error_code, count(*)::int AS runs FROM (SELECT r.status, r.error_code FROM runs r
        WHERE r.workspace_id = :workspace AND r.id >= :from_id ORDER BY r.id DESC LIMIT {CAP + 1}) f
    GROUP BY f.status, f.error_code ORDER BY runs DESC LIMIT 200""")  # noqa: S608 - our own words

INBOX = text(f"""
    SELECT i.kind, count(*)::int AS items, min(i.opened_at) AS oldest_at FROM (SELECT kind, opened_at FROM inbox
        WHERE workspace_id = :workspace AND closed_at IS NULL ORDER BY id LIMIT {CAP + 1}) i
    GROUP BY i.kind ORDER BY i.kind""")  # noqa: S608 - our own words

ASKED = text(f"""
    SELECT count(*)::int AS items FROM (SELECT FROM inbox WHERE workspace_id = :workspace AND closed_at IS NULL
        LIMIT {MOST_ASKED + 1}) i""")  # noqa: S608 - our own words

RESULTS = text(f"""
    SELECT count(*)::int AS runs, min(f.dies_at) AS first_loss_at,
        count(*) FILTER (WHERE f.dies_at < orch_now() + make_interval(secs => :at_risk_s))::int AS at_risk,
        (array_agg(r.id ORDER BY f.dies_at, r.id))[1] AS first_run
    FROM (SELECT id, attempt FROM runs WHERE workspace_id = :workspace AND status = 'downloading' LIMIT {CAP + 1}) r,
        LATERAL (SELECT min(a.url_expires_at) AS dies_at FROM artifacts a
            WHERE a.run_id = r.id AND a.attempt = r.attempt AND a.stored_at IS NULL) f""")  # noqa: S608

# A lane may be shared with others; only this workspace's connections on it are named.
LANES = text(f"""
    SELECT l.id, c.names, c.paused, l.requests_per_minute AS limit, l.breaker, l.breaker_probe_at AS probe_at,
        CASE WHEN l.blocked_until > orch_now() THEN l.blocked_until END AS blocked_until, l.launches_stopped,
        (SELECT COALESCE(sum((s->>2)::int), 0)::int FROM jsonb_array_elements(l.spent) s
            WHERE (s->>0)::bigint > extract(epoch FROM orch_now()) * 1000)
            + (SELECT COALESCE(sum(g.count), 0)::int FROM grants g WHERE g.lane_id = l.id) AS used
    FROM (SELECT n.lane_id, array_agg(n.name ORDER BY n.name) AS names,
            array_agg(n.name ORDER BY n.name) FILTER (WHERE n.paused_at IS NOT NULL) AS paused
        FROM connections n WHERE n.workspace_id = :workspace AND n.removed_at IS NULL
        GROUP BY n.lane_id ORDER BY min(n.name) LIMIT {MOST_LANES}) c JOIN lanes l ON l.id = c.lane_id
    ORDER BY c.names LIMIT {MOST_LANES}""")  # noqa: S608 - our own words

# The inner LIMIT is a fence: the small index of open batches is walked, whatever has ended.
OPEN_BATCHES = text(f"""
    SELECT b.id FROM (SELECT id, workspace_id FROM batches WHERE ended_at IS NULL ORDER BY id DESC LIMIT 5000) b
    WHERE b.workspace_id = :workspace ORDER BY b.id DESC LIMIT {SHOWN + 1}""")  # noqa: S608 - our own words

FIRES = text(f"""
    SELECT s.name, s.next_at, s.zone, s.cron, s.every_s, s.anchor FROM schedules s
    WHERE s.workspace_id = :workspace AND s.removed_at IS NULL AND s.paused_at IS NULL AND s.next_at IS NOT NULL
    ORDER BY s.next_at, s.name LIMIT {SHOWN}""")  # noqa: S608 - our own words


async def live(connection: AsyncConnection, workspace: UUID) -> dict[str, int]:
    """Count what has not ended, by status; each count ends at `CAP` + 1."""
    return {row.status: row.runs for row in await rows(connection, LIVE, {"workspace": workspace})}


async def lately(connection: AsyncConnection, workspace: UUID, now: datetime) -> list[dict[str, Any]]:
    """Count the runs that were made in the last day, by status and error code; of the newest `CAP` + 1."""
    values = {"workspace": workspace, "from_id": first_id(now - timedelta(days=1))}
    return [dict(row._mapping) for row in await rows(connection, LATELY, values)]


async def inbox(connection: AsyncConnection, workspace: UUID) -> list[dict[str, Any]]:
    """Count the open questions by kind, with the oldest of each."""
    return [dict(row._mapping) for row in await rows(connection, INBOX, {"workspace": workspace})]


async def asked(connection: AsyncConnection, workspace: UUID) -> int:
    """Count the open questions, up to `MOST_ASKED` + 1."""
    count: int = (await connection.execute(ASKED, {"workspace": workspace})).scalar_one()
    return count


async def results(connection: AsyncConnection, workspace: UUID, *, at_risk_s: float) -> dict[str, Any]:
    """Return how many runs are being stored, and when the first of them would be lost."""
    return dict((await connection.execute(RESULTS, {"workspace": workspace, "at_risk_s": at_risk_s})).one()._mapping)


async def lanes(connection: AsyncConnection, workspace: UUID) -> list[dict[str, Any]]:
    """Return the workspace's lanes: budget used, and what holds launches."""
    return [dict(row._mapping) for row in await rows(connection, LANES, {"workspace": workspace})]


async def open_batches(connection: AsyncConnection, workspace: UUID) -> list[BatchRow]:
    """Return the newest batches that have not ended: `SHOWN`, and one more where there are more."""
    ids = [row.id for row in await rows(connection, OPEN_BATCHES, {"workspace": workspace})]
    found = await batches.read_all(connection, ids) if ids else []
    return sorted(found, key=lambda row: row.id, reverse=True)


async def next_fires(connection: AsyncConnection, workspace: UUID) -> list[dict[str, Any]]:
    """Return the schedules that come next."""
    return [dict(row._mapping) for row in await rows(connection, FIRES, {"workspace": workspace})]
