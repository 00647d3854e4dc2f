"""Reads doubts: single launches and waves of which it is not known whether they arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.operator_decisions import RunFacts
from orchestrator.domain.statuses import RunStatus
from orchestrator.storage.database import rows

# A wave is one question; a single launch is one each.
LIST = text("""
    SELECT COALESCE(e.wave_id, r.id) AS id, CASE WHEN e.wave_id IS NULL THEN 'run' ELSE 'wave' END AS kind,
        r.batch_id, w.remote_id AS workflow_id, n.name AS connection, count(*)::int AS runs_in_doubt,
        min(r.status_at) AS since, max(COALESCE(e.slot_until, v.slots_until)) AS holds_slots_until,
        max(i.detail) AS reason
    FROM runs r JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    JOIN workflows w ON w.id = r.workflow_id JOIN connections n ON n.id = r.connection_id
    JOIN intents i ON i.id = e.intent_id LEFT JOIN waves v ON v.id = e.wave_id
    WHERE r.workspace_id = :workspace AND r.status = 'in_doubt'
    GROUP BY COALESCE(e.wave_id, r.id), e.wave_id, r.batch_id, w.remote_id, n.name ORDER BY min(r.status_at), 1
    LIMIT :limit""")

RUNS = text("""
    SELECT r.id, r.index, r.attempt, e.position FROM runs r
    JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    WHERE r.workspace_id = :workspace AND r.status = 'in_doubt' AND (e.wave_id = :id OR r.id = :id)
    ORDER BY e.position LIMIT :limit""")

# Where a doubt hangs: its lane and batch are locked before its runs.
PLACE = text("""
    SELECT w.lane_id, r.batch_id, e.wave_id, r.connection_id FROM (
        SELECT run_id FROM executions WHERE wave_id = :id UNION ALL SELECT :id) v
    JOIN runs r ON r.id = v.run_id JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    JOIN workflows w ON w.id = r.workflow_id
    WHERE r.workspace_id = :workspace ORDER BY (r.status = 'in_doubt') DESC LIMIT 1""")

LOCK_RUNS = text("""
    SELECT r.id, r.status, r.attempt, r.index, r.batch_id, r.execution_id, e.position
    FROM runs r JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    WHERE r.workspace_id = :workspace AND r.status = 'in_doubt' AND (e.wave_id = :id OR r.id = :id)
    ORDER BY r.id FOR UPDATE OF r""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtPlace:
    """What a doubt hangs on."""

    lane_id: UUID
    batch_id: UUID | None
    wave_id: UUID | None
    connection_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtedRun:
    """A run in doubt, locked, and where it stands in its file and in its wave."""

    facts: RunFacts
    index: int | None
    position: int


async def page(connection: AsyncConnection, workspace: UUID, *, limit: int) -> list[dict[str, Any]]:
    """Return the doubts, oldest first."""
    return [dict(row._mapping) for row in await rows(connection, LIST, {"workspace": workspace, "limit": limit})]


async def runs_of(
    connection: AsyncConnection, workspace: UUID, doubt_id: UUID, *, limit: int
) -> Sequence[dict[str, Any]]:
    """Return the runs of one doubt."""
    values = {"workspace": workspace, "id": doubt_id, "limit": limit}
    return [dict(row._mapping) for row in await rows(connection, RUNS, values)]


async def place(connection: AsyncConnection, workspace: UUID, doubt_id: UUID) -> DoubtPlace | None:
    """Return what a doubt (a run's id or a wave's) hangs on, None when there is no such run or wave."""
    found = await rows(connection, PLACE, {"workspace": workspace, "id": doubt_id})
    return DoubtPlace(**found[0]._mapping) if found else None


async def lock_runs(connection: AsyncConnection, workspace: UUID, doubt_id: UUID) -> list[DoubtedRun]:
    """Lock the runs of a doubt that are still in doubt."""
    return [
        DoubtedRun(
            facts=RunFacts(
                run_id=row.id,
                status=RunStatus(row.status),
                attempt=row.attempt,
                of_batch=row.batch_id is not None,
                execution_id=row.execution_id,
            ),
            index=row._mapping["index"],
            position=row.position,
        )
        for row in await rows(connection, LOCK_RUNS, {"workspace": workspace, "id": doubt_id})
    ]
