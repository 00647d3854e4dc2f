"""Reads what the pages of connections show: each lane as it stands, and what waits for it. Counts end at `CAP`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.changes import Urgency
from orchestrator.domain.overview import CAP
from orchestrator.storage.database import one, rows
from orchestrator.storage.lane_minutes import USED

# The limit that is kept: what was declared, or what the provider tells, where that is less.
_LANE = f"""l.id AS lane_id, LEAST(l.requests_per_minute, l.told_limit) AS "limit", {USED} AS used, l.breaker,
    l.breaker_trips, l.breaker_probe_at AS probe_at,
    CASE WHEN l.blocked_until > orch_now() THEN l.blocked_until END AS blocked_until, l.launches_stopped,
    l.launches_stopped_at, l.launch_due_at, l.poll_due_at"""

LANES = text(f"""
    SELECT n.name, n.paused_at, n.paused_by, {_LANE} FROM connections n JOIN lanes l ON l.id = n.lane_id
    WHERE n.workspace_id = :workspace AND n.removed_at IS NULL ORDER BY n.name LIMIT 1000""")  # noqa: S608

# Others of the workspace that share the key's budget are named; those of another workspace are only counted in it.
LANE = text(f"""
    SELECT n.name, n.paused_at, n.paused_by, {_LANE},
        ARRAY(SELECT o.name FROM connections o WHERE o.lane_id = n.lane_id AND o.workspace_id = n.workspace_id
            AND o.removed_at IS NULL AND o.id <> n.id ORDER BY o.name LIMIT 20) AS shared_with
    FROM connections n JOIN lanes l ON l.id = n.lane_id
    WHERE n.workspace_id = :workspace AND n.name = :name AND n.removed_at IS NULL""")  # noqa: S608

# By the workflows' own index of runs, a status at a time: what has ended is not read.
QUEUE = text(f"""
    SELECT s.status, (SELECT count(*)::int FROM (SELECT FROM workflows w, LATERAL (SELECT FROM runs r
            WHERE r.workflow_id = w.id AND r.status = s.status LIMIT {CAP + 1}) f
            WHERE w.connection_id = :connection LIMIT {CAP + 1}) c) AS runs
    FROM unnest(ARRAY['queued', 'launching', 'in_doubt', 'processing', 'human_in_the_loop', 'downloading'])
        AS s(status)""")  # noqa: S608 - our own words

# What is due on the lane: looks by the index of looks, launches workflow by workflow.
DUE = text(f"""
    SELECT (SELECT count(*)::int FROM (SELECT FROM unnest(CAST(:urgencies AS smallint[])) AS u(urgency), LATERAL (
            SELECT FROM timers t WHERE t.lane_id = :lane AND t.kind = 'poll' AND t.urgency = u.urgency
            AND t.due_at <= orch_now() LIMIT {CAP + 1}) f LIMIT {CAP + 1}) c) AS looks,
        (SELECT count(*)::int FROM (SELECT FROM workflows w, LATERAL (SELECT FROM timers t
            WHERE t.workflow_id = w.id AND t.kind = 'launch' AND t.due_at <= orch_now() LIMIT {CAP + 1}) f
            WHERE w.lane_id = :lane LIMIT {CAP + 1}) c) AS launches""")  # noqa: S608 - our own words


async def lanes(connection: AsyncConnection, workspace: UUID) -> list[dict[str, Any]]:
    """Return how each connection's lane stands."""
    return [dict(row._mapping) for row in await rows(connection, LANES, {"workspace": workspace})]


async def lane(connection: AsyncConnection, workspace: UUID, name: str) -> dict[str, Any] | None:
    """Return how one connection's lane stands."""
    row = await one(connection, LANE, {"workspace": workspace, "name": name})
    return None if row is None else dict(row._mapping)


async def queue(connection: AsyncConnection, connection_id: UUID) -> dict[str, int]:
    """Count a connection's live runs by status."""
    return {row.status: row.runs for row in await rows(connection, QUEUE, {"connection": connection_id})}


async def due(connection: AsyncConnection, lane_id: UUID) -> dict[str, Any]:
    """Return what is due on a lane now."""
    values = {"lane": lane_id, "urgencies": [Urgency.REFRESH, Urgency.ASKED, Urgency.NORMAL]}
    return dict((await connection.execute(DUE, values)).one()._mapping)
