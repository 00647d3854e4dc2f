"""Appends to the history. The owner's row is locked by the caller; the head that comes back is written on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain
from orchestrator.domain.chain import Event, Head, NewEvent
from orchestrator.storage.database import one, rows

# One statement for all streams of an act: the arrays are columns.
INSERT = text("""
    INSERT INTO events (stream, seq, at, type, actor, data, hash)
    SELECT * FROM unnest(CAST(:stream AS uuid[]), CAST(:seq AS bigint[]), CAST(:at AS timestamptz[]),
        CAST(:type AS text[]), CAST(:actor AS text[]), CAST(:data AS text[]), CAST(:hash AS bytea[]))""")

# With when the last event was: one row, by the events' own key. No key is changed. FOR UPDATE would wait for everybody
# who writes a row that names the owner, and they for us: a submission holds its workspace so before it locks it.
LOCK_WORKSPACE = text("""
    SELECT event_seq, event_hash, (SELECT e.at FROM events e WHERE e.stream = o.id AND e.seq = o.event_seq) AS event_at
    FROM workspaces o WHERE id = :id FOR NO KEY UPDATE OF o""")
LOCK_BATCH = text("""
    SELECT event_seq, event_hash, (SELECT e.at FROM events e WHERE e.stream = o.id AND e.seq = o.event_seq) AS event_at
    FROM batches o WHERE id = :id FOR NO KEY UPDATE OF o""")
SAVE_WORKSPACE = text("UPDATE workspaces SET event_seq = :seq, event_hash = :hash WHERE id = :id")
SAVE_BATCH = text("UPDATE batches SET event_seq = :seq, event_hash = :hash WHERE id = :id")

READ = text("""
    SELECT stream, seq, at, type, actor, data, hash FROM events
    WHERE stream = :stream AND seq > :after ORDER BY seq LIMIT :limit""")


async def insert(connection: AsyncConnection, events: Sequence[Event]) -> None:
    """Write events that already stand in their place in their streams."""
    if not events:
        return
    fields = ("stream", "seq", "at", "type", "actor", "data", "hash")
    await connection.execute(INSERT, {name: [getattr(e, name) for e in events] for name in fields})


async def append_to_batch(
    connection: AsyncConnection, batch_id: UUID, new: Sequence[NewEvent], *, at: datetime
) -> None:
    """Append to a batch's stream, locking the batch."""
    row = await one(connection, LOCK_BATCH, {"id": batch_id})
    assert row is not None, "the caller knows the batch"
    events, head = chain.append(Head(seq=row.event_seq, hash=row.event_hash, at=row.event_at), batch_id, new, at=at)
    await insert(connection, events)
    await connection.execute(SAVE_BATCH, {"id": batch_id, "seq": head.seq, "hash": head.hash})


async def append_to_workspace(
    connection: AsyncConnection, workspace_id: UUID, new: Sequence[NewEvent], *, at: datetime
) -> None:
    """Append to a workspace's stream: what people did, to what, and why."""
    row = await one(connection, LOCK_WORKSPACE, {"id": workspace_id})
    assert row is not None, "the caller knows the workspace"
    events, head = chain.append(Head(seq=row.event_seq, hash=row.event_hash, at=row.event_at), workspace_id, new, at=at)
    await insert(connection, events)
    await connection.execute(SAVE_WORKSPACE, {"id": workspace_id, "seq": head.seq, "hash": head.hash})


async def read(connection: AsyncConnection, stream: UUID, *, after: int = 0, limit: int = 1000) -> list[Event]:
    """Return a stream's events in order, at most `limit` of them after a sequence number."""
    found = await rows(connection, READ, {"stream": stream, "after": after, "limit": limit})
    return [Event(**{**row._mapping, "hash": bytes(row.hash)}) for row in found]
