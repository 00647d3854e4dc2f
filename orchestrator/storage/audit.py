"""Reads the whole history of a workspace, or that of a period, in one snapshot: for exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Event
from orchestrator.storage.database import now, one, rows
from orchestrator.storage.patience import take_time

#: One statement of an export may take so long, seconds.
STATEMENT_S = 240

SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

KEEP_MONTHS = text("LOCK TABLE ONLY events IN ACCESS SHARE MODE")

# Streams that no row owns are everybody's: somebody removed the owner, or put them there, and an export shows both.
STREAMS = text("""
    SELECT m.stream FROM (SELECT DISTINCT e.stream FROM events e
        WHERE (CAST(:since AS timestamptz) IS NULL OR e.at >= :since)
            AND (CAST(:until AS timestamptz) IS NULL OR e.at < :until)) m
    LEFT JOIN runs r ON r.id = m.stream LEFT JOIN batches b ON b.id = m.stream LEFT JOIN workspaces w ON w.id = m.stream
    WHERE COALESCE(r.workspace_id, b.workspace_id, w.id, :workspace) = :workspace""")

EVENTS = text("""
    SELECT stream, seq, at, type, actor, data, hash FROM events WHERE stream = ANY(CAST(:streams AS uuid[]))
    ORDER BY stream, seq""")

# What a row says of its own history, against the last event that there is: a tail that was cut, anchored or not.
BROKEN_HEAD = text("""
    SELECT o.id, o.event_seq AS said, COALESCE(e.seq, 0) AS found FROM (
        SELECT id, event_seq, event_hash FROM runs WHERE workspace_id = :workspace
        UNION ALL SELECT id, event_seq, event_hash FROM batches WHERE workspace_id = :workspace
        UNION ALL SELECT id, event_seq, event_hash FROM workspaces WHERE id = :workspace) o
    LEFT JOIN LATERAL (SELECT seq, hash FROM events WHERE stream = o.id ORDER BY seq DESC LIMIT 1) e ON true
    WHERE (o.event_seq <> COALESCE(e.seq, 0) OR (o.event_seq > 0 AND o.event_hash <> e.hash))
        -- Of a stream that was retired whole, the last checkpoint's end is all that is here.
        AND NOT (e.seq IS NULL AND EXISTS (
            SELECT FROM retirements t WHERE o.id >= t.first_stream AND o.id < t.until_stream)
            AND o.event_seq = (SELECT a.seq FROM anchored_heads a WHERE a.stream = o.id))
    ORDER BY o.id LIMIT 1""")

ORPHAN = text("""
    SELECT m.stream FROM (SELECT DISTINCT stream FROM events) m
    LEFT JOIN runs r ON r.id = m.stream LEFT JOIN batches b ON b.id = m.stream LEFT JOIN workspaces w ON w.id = m.stream
    WHERE r.id IS NULL AND b.id IS NULL AND w.id IS NULL ORDER BY m.stream LIMIT 1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenHead:
    """A row that names another end of its history than there is. `said` and `found` are sequence numbers."""

    id: UUID
    said: int
    found: int


async def begin(connection: AsyncConnection) -> datetime:
    """Make the transaction an export's: one snapshot, read only, patient. Returns the moment that it shows."""
    await connection.execute(SNAPSHOT)
    # Before the snapshot is taken, which the next statement does: no month is dropped behind its back.
    await connection.execute(KEEP_MONTHS)
    await take_time(connection, STATEMENT_S)
    return await now(connection)


async def streams(
    connection: AsyncConnection, workspace: UUID, *, since: datetime | None, until: datetime | None
) -> set[UUID]:
    """Return the streams with an event in [since, until)."""
    values = {"workspace": workspace, "since": since, "until": until}
    return {row.stream for row in await rows(connection, STREAMS, values)}


async def events(connection: AsyncConnection, chosen: Sequence[UUID]) -> list[Event]:
    """Return all events of some streams, by stream and in order."""
    found = await rows(connection, EVENTS, {"streams": list(chosen)})
    return [Event(**{**row._mapping, "hash": bytes(row.hash)}) for row in found]


async def broken_head(connection: AsyncConnection, workspace: UUID) -> BrokenHead | None:
    """Return the first row whose history does not end where the row says, None when all do."""
    row = await one(connection, BROKEN_HEAD, {"workspace": workspace})
    return None if row is None else BrokenHead(**row._mapping)


async def orphan(connection: AsyncConnection) -> UUID | None:
    """Return the first stream that belongs to no row, None when there is none."""
    row = await one(connection, ORPHAN, {})
    return None if row is None else row.stream
