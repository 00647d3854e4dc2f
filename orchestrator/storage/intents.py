"""The launch ledger: an intent precedes every launch, and what came of it is written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.launch_decisions import IntentOutcome, LaunchingRun, OnDoubt
from orchestrator.storage.database import one, rows
from orchestrator.storage.turns import DueWorkflow

INPUTS = text("SELECT run_id, body FROM inputs WHERE run_id = ANY(CAST(:ids AS uuid[]))")


INSERT_INTENT = text("""
    INSERT INTO intents (id, lane_id, workflow_id, run_id, wave_id, worker_id, size, body_sha256, body_bytes,
        committed_at, send_deadline)
    VALUES (:id, :lane, :workflow, :run, :wave, :worker, :size, :sha256, :bytes, orch_now(), :send_deadline)""")


# An attempt that was never sent is sent under the same number; any other second execution of an attempt is refused.
INSERT_EXECUTIONS = text("""
    INSERT INTO executions AS e (run_id, attempt, intent_id, connection_id, workflow_id, wave_id, position, state,
        began_at)
    SELECT v.run_id, v.attempt, :intent, :connection, :workflow, :wave, v.position, 'launching', orch_now()
    FROM unnest(CAST(:run_ids AS uuid[]), CAST(:attempts AS int[]), CAST(:positions AS int[]))
        AS v(run_id, attempt, position)
    ON CONFLICT (run_id, attempt) DO UPDATE SET intent_id = excluded.intent_id, wave_id = excluded.wave_id,
        position = excluded.position, state = 'launching', began_at = excluded.began_at, ended_at = NULL
    WHERE e.state = 'not_sent'""")


# Comes due only if the worker never records: then the launch is in doubt.
INSERT_SENDING = text("""
    INSERT INTO timers (subject_id, kind, lane_id, workflow_id, due_at, fence, worker_id)
    VALUES (:id, 'sending', :lane, :workflow, :due_at, nextval('fences'), :worker) RETURNING fence""")


TAKE_SENDING = text("DELETE FROM timers WHERE subject_id = :id AND kind = 'sending' AND fence = :fence RETURNING 1")


DUE_SENDING = text("""
    SELECT t.subject_id AS intent_id, t.fence, t.lane_id FROM timers t
    WHERE t.kind = 'sending' AND t.due_at <= orch_now() ORDER BY t.due_at LIMIT :limit""")


CLOSE_INTENT = text("""
    UPDATE intents SET outcome = :outcome, outcome_at = orch_now(), http_status = :http_status, detail = :detail
    WHERE id = :id""")


READ_INTENT = text("""
    SELECT i.id, i.lane_id, i.workflow_id, i.wave_id, i.size, w.on_doubt, w.remote_id, v.batch_id AS wave_batch
    FROM intents i JOIN workflows w ON w.id = i.workflow_id LEFT JOIN waves v ON v.id = i.wave_id WHERE i.id = :id""")


RUNS_OF_INTENT = text("""
    SELECT e.run_id, e.attempt, e.position, e.state, r.cancel_requested, r.batch_id, r.status
    FROM executions e JOIN runs r ON r.id = e.run_id WHERE e.intent_id = :intent ORDER BY e.position""")


KNOWN_REMOTE_IDS = text("""
    SELECT remote_id FROM executions WHERE connection_id = :connection AND remote_id = ANY(CAST(:ids AS text[]))""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An intent and its runs, read back to decide about it."""

    id: UUID
    lane_id: UUID
    workflow_id: UUID
    wave_id: UUID | None
    batch_id: UUID | None
    on_doubt: OnDoubt
    runs: tuple[LaunchingRun, ...]


async def inputs(connection: AsyncConnection, run_ids: Sequence[UUID]) -> list[bytes]:
    """Return the inputs of runs, in the order asked for."""
    found = {r.run_id: bytes(r.body) for r in await rows(connection, INPUTS, {"ids": list(run_ids)})}
    return [found[run_id] for run_id in run_ids]


async def insert_intent(
    connection: AsyncConnection,
    *,
    id: UUID,
    lane: UUID,
    workflow: DueWorkflow,
    worker: UUID,
    runs: Sequence[LaunchingRun],
    wave: UUID | None,
    sha256: bytes,
    body_bytes: int,
    send_deadline: datetime,
    doubt_at: datetime,
) -> int:
    """Write an intent with its executions, and the timer that makes it a doubt if nobody records. Returns the fence."""
    values = {"id": id, "lane": lane, "workflow": workflow.id, "worker": worker}
    await connection.execute(
        INSERT_INTENT,
        {
            **values,
            "run": runs[0].run_id if wave is None else None,
            "wave": wave,
            "size": len(runs),
            "sha256": sha256,
            "bytes": body_bytes,
            "send_deadline": send_deadline,
        },
    )
    placed = await connection.execute(
        INSERT_EXECUTIONS,
        {
            "intent": id,
            "connection": workflow.connection_id,
            "workflow": workflow.id,
            "wave": wave,
            "run_ids": [r.run_id for r in runs],
            "attempts": [r.attempt for r in runs],
            "positions": [r.position for r in runs],
        },
    )
    assert placed.rowcount == len(runs), "an attempt that was sent already is never sent again"
    fence: int = (await connection.execute(INSERT_SENDING, {**values, "due_at": doubt_at})).scalar_one()
    return fence


async def take_sending(connection: AsyncConnection, intent_id: UUID, fence: int) -> bool:
    """Take the right to decide about an intent; False when somebody else has decided already."""
    return await one(connection, TAKE_SENDING, {"id": intent_id, "fence": fence}) is not None


async def due_sending(connection: AsyncConnection, limit: int) -> list[tuple[UUID, int, UUID]]:
    """Return intents that nobody recorded in time: (intent, fence, lane)."""
    return [(r.intent_id, r.fence, r.lane_id) for r in await rows(connection, DUE_SENDING, {"limit": limit})]


async def close_intent(
    connection: AsyncConnection, intent_id: UUID, outcome: IntentOutcome, *, http_status: int | None, detail: str | None
) -> None:
    """Write what came of a launch."""
    cut = detail.replace("\x00", "�")[:2000] if detail else None
    values = {"id": intent_id, "outcome": outcome, "http_status": http_status, "detail": cut}
    await connection.execute(CLOSE_INTENT, values)


async def read_intent(connection: AsyncConnection, intent_id: UUID, *, states: frozenset[str]) -> Intent | None:
    """Read an intent with those of its runs whose execution is in one of some states."""
    row = await one(connection, READ_INTENT, {"id": intent_id})
    if row is None:
        return None
    found = await rows(connection, RUNS_OF_INTENT, {"intent": intent_id})
    return Intent(
        id=row.id,
        lane_id=row.lane_id,
        workflow_id=row.workflow_id,
        wave_id=row.wave_id,
        batch_id=found[0].batch_id if found else None,
        on_doubt=OnDoubt(row.on_doubt),
        runs=tuple(
            LaunchingRun(run_id=r.run_id, attempt=r.attempt, position=r.position, cancel_requested=r.cancel_requested)
            for r in found
            if r.state in states
        ),
    )


async def known_remote_ids(connection: AsyncConnection, connection_id: UUID, ids: Sequence[str]) -> set[str]:
    """Return which of some execution ids belong to attempts already: an id that comes twice is not believed."""
    found = await rows(connection, KNOWN_REMOTE_IDS, {"connection": connection_id, "ids": list(ids)})
    return {r.remote_id for r in found}
