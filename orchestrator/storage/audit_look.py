"""Reads what the audit's pages show: the workspace's own stream backwards, a bounded stretch of it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    ORDER BY e.seq DESC LIMIT :limit""")

CHECKPOINTS = text("""
    SELECT number, at, body, signature, ''::bytea AS heads FROM checkpoints
    WHERE workspace_id = :workspace ORDER BY number DESC LIMIT :limit""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which events are looked for. None: whatever they say.

    Args:
        types: of these kinds.
        actor: by this one.
        words: with this in their facts, however it is spelled in capitals.
    """

    types: Sequence[str] | None = None
    actor: str | None = None
    words: str | None = None


async def head(connection: AsyncConnection, workspace: UUID) -> Head:
    """Return where the workspace's row says that its stream ends."""
    row = await one(connection, HEAD, {"workspace": workspace})
    assert row is not None, "whoever asks belongs to the workspace"
    return Head(seq=row.event_seq, hash=bytes(row.event_hash))


async def page(connection: AsyncConnection, workspace: UUID, sought: Sought, *, before: int, limit: int) -> list[Event]:
    """Return events before a number, the latest first, of the `STRETCH` before it."""
    values = {
        "workspace": workspace,
        "before": before,
        "floor": before - STRETCH,
        "stretch": STRETCH,
        "types": None if sought.types is None else list(sought.types),
        "actor": sought.actor,
        "words": sought.words,
        "limit": limit,
    }
    return [Event(**{**row._mapping, "hash": bytes(row.hash)}) for row in await rows(connection, PAGE, values)]


async def checkpoints(connection: AsyncConnection, workspace: UUID, *, limit: int) -> list[Stored]:
    """Return the latest checkpoints without their heads, the latest first."""
    return stored(await rows(connection, CHECKPOINTS, {"workspace": workspace, "limit": limit}))
