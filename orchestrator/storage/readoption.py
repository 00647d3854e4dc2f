"""Takes up launches that the database forgot: what it has of their runs, and their place in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.launch_decisions import IntentOutcome, LaunchingRun
from orchestrator.domain.launch_notes import RunHere
from orchestrator.domain.statuses import RunStatus
from orchestrator.storage.database import rows
from orchestrator.storage.intents import NewIntent, insert_executions

FIND = text("""
    SELECT r.id, v.attempt AS asked, r.workspace_id, w.lane_id, w.id AS workflow, r.connection_id, n.provider,
        r.batch_id, b.concurrency, r.index, r.status, r.attempt, e.state, e.remote_id, e.wave_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS v(run_id, attempt)
    JOIN runs r ON r.id = v.run_id JOIN workflows w ON w.id = r.workflow_id
    JOIN connections n ON n.id = r.connection_id LEFT JOIN batches b ON b.id = r.batch_id
    LEFT JOIN executions e ON e.run_id = v.run_id AND e.attempt = v.attempt""")

CONNECTIONS = text("SELECT id, name FROM connections WHERE id = ANY(CAST(:ids AS uuid[]))")

# Its outcome is known already, so no timer waits for a worker to record it.
INSERT_INTENT = text("""
    INSERT INTO intents (id, lane_id, workflow_id, run_id, wave_id, worker_id, size, body_sha256, body_bytes,
        committed_at, send_deadline, outcome, outcome_at, detail)
    VALUES (:id, :lane, :workflow, :run, :wave, CAST('00000000-0000-0000-0000-000000000000' AS uuid), :size, :sha256,
        :bytes, :at, :at, :outcome, orch_now(), 'taken up from the journal of launches after a restore')""")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run that the database has, asked for with one of its attempts."""

    id: UUID
    workspace_id: UUID
    lane_id: UUID
    workflow_id: UUID
    connection_id: UUID
    provider: str
    batch_id: UUID | None
    level: str | None
    index: int | None
    wave_id: UUID | None
    here: RunHere


async def find(connection: AsyncConnection, asked: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], FoundRun]:
    """Return what the database has of some runs and attempts; those that it does not know are left out."""
    values = {"ids": [run for run, _ in asked], "attempts": [attempt for _, attempt in asked]}
    return {
        (row.id, row.asked): FoundRun(
            id=row.id,
            workspace_id=row.workspace_id,
            lane_id=row.lane_id,
            workflow_id=row.workflow,
            connection_id=row.connection_id,
            provider=row.provider,
            batch_id=row.batch_id,
            level=row.concurrency,
            index=row._mapping["index"],
            wave_id=row.wave_id,
            here=RunHere(
                status=RunStatus(row.status),
                attempt=row.attempt,
                execution_state=row.state,
                execution_id=row.remote_id,
            ),
        )
        for row in await rows(connection, FIND, values)
    }


async def connection_names(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the names of those connections that the database knows."""
    return {row.id: row.name for row in await rows(connection, CONNECTIONS, {"ids": list(ids)})}


async def insert_launch(
    connection: AsyncConnection,
    *,
    intent: UUID,
    at: datetime,
    of: FoundRun,
    wave: UUID | None,
    runs: Sequence[LaunchingRun],
    sha256: bytes,
    body_bytes: int,
    outcome: IntentOutcome,
) -> None:
    """Write a launch of the past into the ledger: its intent with the outcome, and its executions, launching."""
    await connection.execute(
        INSERT_INTENT,
        {
            "id": intent,
            "lane": of.lane_id,
            "workflow": of.workflow_id,
            "run": runs[0].run_id if wave is None else None,
            "wave": wave,
            "size": len(runs),
            "sha256": sha256,
            "bytes": body_bytes,
            "at": at,
            "outcome": outcome,
        },
    )
    launched = NewIntent(
        id=intent,
        workflow_id=of.workflow_id,
        connection_id=of.connection_id,
        wave_id=wave,
        runs=runs,
        sha256=sha256,
        body_bytes=body_bytes,
    )
    await insert_executions(connection, [launched])
