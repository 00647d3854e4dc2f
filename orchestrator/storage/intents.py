"""The launch ledger: an intent precedes every launch, and what came of it is written beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.launch_decisions import IntentOutcome, LaunchingRun, OnDoubt
from orchestrator.storage.database import one, rows

INPUTS = text("SELECT run_id, body FROM inputs WHERE run_id = ANY(CAST(:ids AS uuid[]))")


INSERT_INTENTS = text("""
    INSERT INTO intents (id, lane_id, workflow_id, run_id, wave_id, worker_id, size, body_sha256, body_bytes,
        api_version, committed_at, send_deadline)
    SELECT v.id, :lane, v.workflow_id, v.run_id, v.wave_id, :worker, v.size, v.sha256, v.bytes, v.api_version,
        orch_now(), :send_deadline
    FROM unnest(CAST(:id AS uuid[]), CAST(:workflow AS uuid[]), CAST(:run AS uuid[]), CAST(:wave AS uuid[]),
        CAST(:size AS int[]), CAST(:sha256 AS bytea[]), CAST(:bytes AS int[]), CAST(:api_version AS text[]))
        AS v(id, workflow_id, run_id, wave_id, size, sha256, bytes, api_version)""")


# An attempt that was never sent is sent under the same number; any other second execution of an attempt is refused.
INSERT_EXECUTIONS = text("""
    INSERT INTO executions AS e (run_id, attempt, intent_id, connection_id, workflow_id, wave_id, position, state,
        began_at)
    SELECT v.run_id, v.attempt, v.intent_id, v.connection_id, v.workflow_id, v.wave_id, v.position, 'launching',
        orch_now()
    FROM unnest(CAST(:run AS uuid[]), CAST(:attempt AS int[]), CAST(:intent AS uuid[]), CAST(:connection AS uuid[]),
        CAST(:workflow AS uuid[]), CAST(:wave AS uuid[]), CAST(:position AS int[]))
        AS v(run_id, attempt, intent_id, connection_id, workflow_id, wave_id, position)
    ON CONFLICT (run_id, attempt) DO UPDATE SET intent_id = excluded.intent_id, wave_id = excluded.wave_id,
        position = excluded.position, state = 'launching', began_at = excluded.began_at, ended_at = NULL
    WHERE e.state = 'not_sent'""")


# Comes due only if the worker never records: then the launch is in doubt.
INSERT_SENDING = text("""
    INSERT INTO timers (subject_id, kind, lane_id, workflow_id, due_at, fence, worker_id)
    SELECT v.id, 'sending', :lane, v.workflow_id, :due_at, nextval('fences'), :worker
    FROM unnest(CAST(:id AS uuid[]), CAST(:workflow AS uuid[])) AS v(id, workflow_id)
    RETURNING subject_id, fence""")


TAKE_SENDING = text("""
    DELETE FROM timers t USING unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS v(id, fence)
    WHERE t.subject_id = v.id AND t.kind = 'sending' AND t.fence = v.fence RETURNING t.subject_id""")


CLOSE_INTENTS = text("""
    UPDATE intents i SET outcome = v.outcome, outcome_at = orch_now(), http_status = v.http_status, detail = v.detail
    FROM unnest(CAST(:id AS uuid[]), CAST(:outcome AS text[]), CAST(:http_status AS int[]), CAST(:detail AS text[]))
        AS v(id, outcome, http_status, detail)
    WHERE i.id = v.id""")


READ_INTENT = text("""
    SELECT i.id, i.lane_id, i.workflow_id, i.wave_id, i.size, w.on_doubt, w.remote_id, v.batch_id AS wave_batch
    FROM intents i JOIN workflows w ON w.id = i.workflow_id LEFT JOIN waves v ON v.id = i.wave_id WHERE i.id = :id""")


RUNS_OF_INTENT = text("""
    SELECT e.run_id, e.attempt, e.position, e.state, r.cancel_requested, r.batch_id, r.status
    FROM executions e JOIN runs r ON r.id = e.run_id WHERE e.intent_id = :intent ORDER BY e.position""")


# What launches that were just answered are about, with the cancels that came meanwhile.
LAUNCHING_RUNS = text("""
    SELECT e.intent_id, e.run_id, e.attempt, e.position, r.cancel_requested
    FROM executions e JOIN runs r ON r.id = e.run_id
    WHERE e.intent_id = ANY(CAST(:intents AS uuid[])) AND e.state = 'launching' ORDER BY e.intent_id, e.position""")


KNOWN_REMOTE_IDS = text("""
    SELECT remote_id FROM executions WHERE connection_id = :connection AND remote_id = ANY(CAST(:ids AS text[]))""")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIntent:
    """A launch that is about to be committed. `wave_id` is None for a single launch."""

    id: UUID
    workflow_id: UUID
    connection_id: UUID
    wave_id: UUID | None
    runs: Sequence[LaunchingRun]
    sha256: bytes
    body_bytes: int
    api_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedIntent:
    """What came of a launch: the outcome, and the provider's status and words where it said no."""

    id: UUID
    outcome: IntentOutcome
    http_status: int | None
    detail: str | None


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


async def inputs(connection: AsyncConnection, run_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """Return the inputs of runs."""
    return {r.run_id: bytes(r.body) for r in await rows(connection, INPUTS, {"ids": list(run_ids)})}


async def insert(
    connection: AsyncConnection,
    new: Sequence[NewIntent],
    *,
    lane: UUID,
    worker: UUID,
    send_deadline: datetime,
    doubt_at: datetime,
) -> dict[UUID, int]:
    """Write intents with their executions, and the timers that make them doubts if nobody records. Returns fences."""
    ids = {"id": [i.id for i in new], "workflow": [i.workflow_id for i in new]}
    who = {"lane": lane, "worker": worker}
    await connection.execute(
        INSERT_INTENTS,
        {
            **ids,
            **who,
            "run": [i.runs[0].run_id if i.wave_id is None else None for i in new],
            "wave": [i.wave_id for i in new],
            "size": [len(i.runs) for i in new],
            "sha256": [i.sha256 for i in new],
            "bytes": [i.body_bytes for i in new],
            "api_version": [i.api_version for i in new],
            "send_deadline": send_deadline,
        },
    )
    await insert_executions(connection, new)
    fences = await rows(connection, INSERT_SENDING, {**ids, **who, "due_at": doubt_at})
    return {row.subject_id: row.fence for row in fences}


async def insert_executions(connection: AsyncConnection, of: Sequence[NewIntent]) -> None:
    """Write the executions of intents, launching. An attempt that was sent already is never sent again."""
    placed = [(i, run) for i in of for run in i.runs]
    written = await connection.execute(
        INSERT_EXECUTIONS,
        {
            "run": [run.run_id for _, run in placed],
            "attempt": [run.attempt for _, run in placed],
            "intent": [i.id for i, _ in placed],
            "connection": [i.connection_id for i, _ in placed],
            "workflow": [i.workflow_id for i, _ in placed],
            "wave": [i.wave_id for i, _ in placed],
            "position": [run.position for _, run in placed],
        },
    )
    assert written.rowcount == len(placed), "an attempt that was sent already is never sent again"


async def take_sending(connection: AsyncConnection, fences: Mapping[UUID, int]) -> set[UUID]:
    """Take the right to decide about intents; return those of which nobody else has decided already.

    Args:
        fences: by intent.
    """
    values = {"ids": list(fences), "fences": list(fences.values())}
    return {row.subject_id for row in await rows(connection, TAKE_SENDING, values)}


async def close(connection: AsyncConnection, closed: Sequence[ClosedIntent]) -> None:
    """Write what came of launches."""
    await connection.execute(
        CLOSE_INTENTS,
        {
            "id": [c.id for c in closed],
            "outcome": [c.outcome for c in closed],
            "http_status": [c.http_status for c in closed],
            "detail": [c.detail.replace("\x00", "�")[:2000] if c.detail else None for c in closed],
        },
    )


async def launching_runs(connection: AsyncConnection, intents: Sequence[UUID]) -> dict[UUID, list[LaunchingRun]]:
    """Return the runs of intents that are being launched, with the cancels that people asked for meanwhile."""
    runs: dict[UUID, list[LaunchingRun]] = {}
    for r in await rows(connection, LAUNCHING_RUNS, {"intents": list(intents)}):
        run = LaunchingRun(run_id=r.run_id, attempt=r.attempt, position=r.position, cancel_requested=r.cancel_requested)
        runs.setdefault(r.intent_id, []).append(run)
    return runs


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
