"""Reads what the audit's pages show: the workspace's own stream backwards, a bounded stretch of it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Event, Head
from orchestrator.storage.checkpoints import Stored, stored
from orchestrator.storage.database import one, rows

#: A page looks through so many events at most, whatever it looks for.
STRETCH = 5_000

HEAD = text("SELECT event_seq, event_hash FROM workspaces WHERE id = :workspace")

# By the events' own key: the inner part is at most `STRETCH` neighbours, of which the filters leave some.
PAGE = text("""
    SELECT * FROM (SELECT stream, seq, at, type, actor, data, hash FROM events
        WHERE stream = :workspace AND seq < :before AND seq >= :floor ORDER BY seq DESC LIMIT :stretch) e
    WHERE (CAST(:types AS text[]) IS NULL OR e.type = ANY(CAST(:types AS text[])))
        AND (CAST(:actor AS text) IS NULL OR e.actor = :actor)
        AND (CAST(:words AS text) IS NULL OR position(lower(:words) IN lower(e.data)) > 0)
        AND (CAST(:since AS timestamptz) IS NULL OR e.at >= :since)
        AND (CAST(:until AS timestamptz) IS NULL OR e.at <= :until)
    ORDER BY e.seq DESC LIMIT :limit""")

# A stream has no gaps, and its events never go back in time: some twenty halvings find a moment in a million of them.
# Where an event was taken out it ends early, and the bounds are wider than they could be, never narrower.
SEEK = text("""
    WITH RECURSIVE bounds (low, high) AS (
        SELECT 0::bigint, CAST(:end AS bigint) UNION ALL
        SELECT CASE WHEN e.at <= :moment THEN e.seq ELSE b.low END, CASE WHEN e.at <= :moment THEN b.high ELSE e.seq END
        FROM bounds b JOIN events e ON e.stream = :workspace AND e.seq = (b.low + b.high) / 2
        WHERE b.high - b.low > 1)
    SELECT low, high FROM bounds ORDER BY high - low LIMIT 1""")

CHECKPOINTS = text("""
    SELECT number, at, body, signature, ''::bytea AS heads FROM checkpoints
    WHERE workspace_id = :workspace AND number < :before ORDER BY number DESC LIMIT :limit""")

#: Before every number of a checkpoint.
LAST = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which events are looked for. None: whatever they say.

    Args:
        types: of these kinds.
        actor: by this one.
        words: with this in their facts, however it is spelled in capitals.
        since, until: no earlier and no later than that.
    """

    types: Sequence[str] | None = None
    actor: str | None = None
    words: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def head(connection: AsyncConnection, workspace: UUID) -> Head:
    """Return where the workspace's row says that its stream ends."""
    row = await one(connection, HEAD, {"workspace": workspace})
    assert row is not None, "whoever asks belongs to the workspace"
    return Head(seq=row.event_seq, hash=bytes(row.event_hash))


async def bounds(connection: AsyncConnection, workspace: UUID, sought: Sought, *, end: int) -> tuple[int, int]:
    """Return the first number that may be of the times that are sought, and the one before which the last may be.

    Args:
        end: what comes after the stream's last number.
    """
    first, before = 1, end
    if sought.since is not None:
        first = (await _seek(connection, workspace, sought.since - timedelta(microseconds=1), end))[0] + 1
    if sought.until is not None:
        before = (await _seek(connection, workspace, sought.until, end))[1]
    return first, before


async def page(
    connection: AsyncConnection, workspace: UUID, sought: Sought, *, floor: int, before: int, limit: int
) -> list[Event]:
    """Return events from a number on and before another, the latest first; they are `STRETCH` apart at most."""
    values = {
        "workspace": workspace,
        "before": before,
        "floor": floor,
        "stretch": STRETCH,
        "types": None if sought.types is None else list(sought.types),
        "actor": sought.actor,
        "words": sought.words,
        "since": sought.since,
        "until": sought.until,
        "limit": limit,
    }
    return [Event(**{**row._mapping, "hash": bytes(row.hash)}) for row in await rows(connection, PAGE, values)]


async def checkpoints(connection: AsyncConnection, workspace: UUID, *, before: int = LAST, limit: int) -> list[Stored]:
    """Return checkpoints before a number without their heads, the latest first."""
    values = {"workspace": workspace, "before": before, "limit": limit}
    return stored(await rows(connection, CHECKPOINTS, values))


async def _seek(connection: AsyncConnection, workspace: UUID, moment: datetime, end: int) -> tuple[int, int]:
    """Return the last number known to be no later than a moment, and the first known to be later."""
    row = await one(connection, SEEK, {"workspace": workspace, "moment": moment, "end": end})
    assert row is not None, "the first bounds are always there"
    return row.low, row.high
