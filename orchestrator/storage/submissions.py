"""Writes what was accepted: a run, or a batch of 10,000, all or nothing in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain
from orchestrator.domain.chain import Head, NewEvent
from orchestrator.storage import accepted_rows, events, lanes
from orchestrator.storage.accepted_rows import NewRun, Place
from orchestrator.storage.database import one, rows
from orchestrator.storage.lanes import Turn

# A retried submission with the same external id, or of the same file, waits here for the first one to commit, then
# finds it. No row is locked before.
SERIALIZE = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")

FIND_RUN = text("""
    SELECT id, input_sha256 FROM runs
    WHERE workspace_id = :workspace AND workflow_id = :workflow AND external_id = ANY(CAST(:external_ids AS text[]))
        AND batch_id IS NULL""")

FIND_BATCH = text("""
    SELECT id, source_sha256 FROM batches
    WHERE workspace_id = :workspace AND workflow_id = :workflow AND external_id = ANY(CAST(:external_ids AS text[]))""")

SAME_FILE = text("""
    SELECT id, created_at FROM batches WHERE workspace_id = :workspace AND source_sha256 = :sha256
    ORDER BY id DESC LIMIT 1""")

# After a commit whose answer was lost: did it come through?
STORED = text("SELECT EXISTS (SELECT FROM runs WHERE id = :id) OR EXISTS (SELECT FROM batches WHERE id = :id)")

INSERT_BATCH = text("""
    INSERT INTO batches (id, workspace_id, connection_id, workflow_id, name, external_id, source_sha256,
        source_format, total, refused, concurrency, wave_size, max_failures_count, max_failures_percent, created_by,
        created_at, event_seq, event_hash)
    VALUES (:id, :workspace, :connection, :workflow, :name, :external_id, :source_sha256, :source_format, :total,
        :refused, :concurrency, :wave_size, :max_failures_count, :max_failures_percent, :created_by, orch_now(),
        :event_seq, :event_hash)""")

INSERT_TIMER = text("""
    INSERT INTO timers (subject_id, kind, lane_id, workflow_id, batch_id, due_at)
    VALUES (:subject, 'launch', :lane, :workflow, :batch, orch_now())""")

INSERT_LABELS = text("""
    INSERT INTO labels (run_id, workspace_id, key, value)
    SELECT :run, :workspace, v.key, v.value
    FROM unnest(CAST(:keys AS text[]), CAST(:values AS text[])) AS v(key, value)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch to write."""

    id: UUID
    name: str | None
    external_id: str | None
    source_sha256: bytes
    source_format: str
    refused: int
    concurrency: str
    wave_size: int | None
    max_failures_count: int | None
    max_failures_percent: float | None


async def serialize(connection: AsyncConnection, place: Place, external_id: str) -> None:
    """Let submissions with one external id pass one after the other."""
    await connection.execute(SERIALIZE, {"key": f"{place.workspace_id}/{place.workflow_id}/{external_id}"})


async def find_run(connection: AsyncConnection, place: Place, external_ids: Sequence[str]) -> tuple[UUID, bytes] | None:
    """Return the single run with an external id, however it is stored, and its input's hash."""
    values = {"workspace": place.workspace_id, "workflow": place.workflow_id, "external_ids": [*external_ids]}
    row = await one(connection, FIND_RUN, values)
    return None if row is None else (row.id, bytes(row.input_sha256))


async def find_batch(
    connection: AsyncConnection, place: Place, external_ids: Sequence[str]
) -> tuple[UUID, bytes] | None:
    """Return the batch with an external id, however it is stored, and its file's hash."""
    values = {"workspace": place.workspace_id, "workflow": place.workflow_id, "external_ids": [*external_ids]}
    row = await one(connection, FIND_BATCH, values)
    return None if row is None else (row.id, bytes(row.source_sha256))


async def serialize_file(connection: AsyncConnection, workspace: UUID, sha256: bytes) -> None:
    """Let batches of the same bytes pass one after the other: what `same_file` says holds until the commit."""
    await connection.execute(SERIALIZE, {"key": f"{workspace}/file/{sha256.hex()}"})


async def same_file(connection: AsyncConnection, workspace: UUID, sha256: bytes) -> tuple[UUID, datetime] | None:
    """Return the latest batch that was made from the same bytes."""
    found = await rows(connection, SAME_FILE, {"workspace": workspace, "sha256": sha256})
    return (found[0].id, found[0].created_at) if found else None


async def came_before(connection: AsyncConnection, place: Place, id: UUID, *, is_repeatable: bool, tries: int) -> bool:
    """Tell whether this very submission was committed: only its answer was lost, or the process that made it."""
    if is_repeatable:
        # Its repeat may be at work at the same time: whoever comes second waits here, and finds it.
        await serialize(connection, place, str(id))
    elif tries == 1:
        return False
    found: bool = (await connection.execute(STORED, {"id": id})).scalar_one()
    return found


async def insert_run(
    connection: AsyncConnection, place: Place, run: NewRun, labels: Mapping[str, str], *, actor: str, now: datetime
) -> None:
    """Write a single run, due for launch at once."""
    await accepted_rows.copy(connection, place, [run], batch_id=None, actor=actor, now=now)
    if labels:
        values = {"run": run.id, "workspace": place.workspace_id}
        await connection.execute(INSERT_LABELS, {**values, "keys": list(labels), "values": list(labels.values())})
    await _due(connection, place, run.id, batch_id=None)


async def insert_batch(
    connection: AsyncConnection, place: Place, batch: NewBatch, runs: Sequence[NewRun], *, actor: str, now: datetime
) -> None:
    """Write a batch and all its runs."""
    told = NewEvent(
        type="batch_accepted",
        actor=actor,
        data={"total": len(runs), "refused": batch.refused, "source_sha256": batch.source_sha256.hex()},
    )
    history, head = chain.append(Head(), batch.id, [told], at=now)
    await connection.execute(
        INSERT_BATCH,
        {
            "id": batch.id,
            "workspace": place.workspace_id,
            "connection": place.connection_id,
            "workflow": place.workflow_id,
            "name": batch.name,
            "external_id": batch.external_id,
            "source_sha256": batch.source_sha256,
            "source_format": batch.source_format,
            "total": len(runs),
            "refused": batch.refused,
            "concurrency": batch.concurrency,
            "wave_size": batch.wave_size,
            "max_failures_count": batch.max_failures_count,
            "max_failures_percent": batch.max_failures_percent,
            "created_by": actor,
            "event_seq": head.seq,
            "event_hash": head.hash,
        },
    )
    await events.insert(connection, history)
    await accepted_rows.copy(connection, place, runs, batch_id=batch.id, actor=actor, now=now)
    await _due(connection, place, batch.id, batch_id=batch.id)


async def _due(connection: AsyncConnection, place: Place, subject: UUID, *, batch_id: UUID | None) -> None:
    values = {"subject": subject, "lane": place.lane_id, "workflow": place.workflow_id, "batch": batch_id}
    await connection.execute(INSERT_TIMER, values)
    await lanes.wake(connection, place.lane_id, Turn.LAUNCH)
