"""Watches: connections whose provider's list is walked for what other programs started, and what was found there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one, rows

SAVE = text("""
    INSERT INTO watches (connection_id, workflow_ids, since, walked_to, due_at, created_by)
    VALUES (:connection, :workflow_ids, COALESCE(:since, orch_now()), COALESCE(:since, orch_now()), orch_now(), :by)
    ON CONFLICT (connection_id) DO UPDATE SET workflow_ids = excluded.workflow_ids,
        since = CASE WHEN watches.due_at IS NULL OR :since IS NOT NULL THEN excluded.since ELSE watches.since END,
        walked_to = CASE WHEN watches.due_at IS NULL OR :since IS NOT NULL THEN excluded.walked_to
                         WHEN watches.workflow_ids <> excluded.workflow_ids THEN watches.since
                         ELSE watches.walked_to END,
        cursor = NULL, newest_at = NULL, due_at = orch_now(), fence = nextval('fences'), failure = NULL,
        created_by = excluded.created_by, created_at = orch_now()""")

STOP = text("""
    UPDATE watches SET due_at = NULL, cursor = NULL, newest_at = NULL, fence = nextval('fences')
    WHERE connection_id = :connection AND due_at IS NOT NULL""")

SHOW = text("""
    SELECT w.workflow_ids, w.since, w.walked_to, w.walked_at, w.failure, w.created_by, w.created_at,
        w.due_at IS NOT NULL AS is_on,
        (SELECT count(*)::int FROM observed o WHERE o.connection_id = w.connection_id AND o.run_id IS NULL) AS held
    FROM watches w WHERE w.connection_id = :connection""")

# A walk that may go on: not of a connection that was removed, or launches nothing because a person paused it.
_WALKS = """FROM watches w JOIN connections c ON c.id = w.connection_id
    WHERE c.removed_at IS NULL AND c.paused_at IS NULL"""

#: An expression: whether any walk is due. And a query: when the next one is.
IS_DUE = f"EXISTS (SELECT {_WALKS} AND w.due_at <= orch_now())"
NEXT_DUE = f"SELECT min(w.due_at) {_WALKS} AND w.due_at IS NOT NULL"

# Without a lock: the lane is locked first, as everywhere, and then the watch.
DUE = text(f"""
    SELECT w.connection_id, c.lane_id {_WALKS} AND w.due_at <= orch_now() ORDER BY w.due_at LIMIT 1""")

# The new fence makes an old holder's late record come to nothing.
CLAIM = text("""
    UPDATE watches w SET due_at = orch_now() + make_interval(secs => :lease_s), fence = nextval('fences')
    FROM connections c
    WHERE w.connection_id = :connection AND w.due_at <= orch_now() AND c.id = w.connection_id
        AND c.lane_id = :lane AND c.removed_at IS NULL AND c.paused_at IS NULL
    RETURNING w.connection_id, w.fence, w.workflow_ids, w.since, w.walked_to, w.cursor, w.newest_at, w.created_by,
        c.workspace_id, c.lane_id, c.provider, c.base_url, c.api_key, c.api_version""")

# Only what is due still: another may have claimed it since, and its lease stands.
PUT_OFF = text("UPDATE watches SET due_at = :due_at WHERE connection_id = :connection AND due_at <= orch_now()")

PUT_OFF_FOR = text("""
    UPDATE watches SET due_at = orch_now() + make_interval(secs => :seconds), cursor = NULL, newest_at = NULL
    WHERE connection_id = :connection AND due_at IS NOT NULL""")

RECORD = text("""
    UPDATE watches SET cursor = :cursor, newest_at = :newest_at, walked_to = GREATEST(walked_to, :walked_to),
        due_at = :due_at, walked_at = orch_now(), failure = :failure, fence = 0
    WHERE connection_id = :connection""")

# Connections that lead to the same place: what one launched stands in the list of every other. An array, so that what
# is asked of them goes by indexes.
PLACE = """ARRAY(SELECT o.id FROM connections o JOIN connections c ON c.id = :connection
    WHERE o.lane_id = c.lane_id
        OR (o.workspace_id = c.workspace_id AND o.provider = c.provider AND o.base_url = c.base_url))"""

# Whoever records a walk holds every watch of its place until its end, always in this order: another walk of the same
# list waits here, and reads afterwards what this one has tracked. No index can forbid it, for a place is no column.
LOCK_PLACE = text(f"""
    SELECT connection_id, fence FROM watches
    WHERE connection_id = ANY({PLACE}) ORDER BY connection_id FOR UPDATE""")  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchClaim:
    """A leased right to go on with a walk."""

    connection_id: UUID
    fence: int
    workflow_ids: tuple[str, ...]
    since: datetime
    walked_to: datetime
    cursor: str | None
    newest_at: datetime | None
    created_by: str
    workspace_id: UUID
    lane_id: UUID
    provider: str
    base_url: str
    api_key: bytes = field(repr=False)
    api_version: str | None


async def save(
    connection: AsyncConnection, id: UUID, *, workflow_ids: Sequence[str], since: datetime | None, by: str
) -> None:
    """Begin to watch a connection, or change what is watched; without a time from now on, or from where it was."""
    await connection.execute(SAVE, {"connection": id, "workflow_ids": list(workflow_ids), "since": since, "by": by})


async def stop(connection: AsyncConnection, id: UUID) -> bool:
    """Walk its list no more; what was found is tracked to its end. Tells whether it was watched."""
    return await execute(connection, STOP, {"connection": id}) == 1


async def show(connection: AsyncConnection, id: UUID) -> dict[str, Any] | None:
    """Return a connection's watch, None where there never was one."""
    row = await one(connection, SHOW, {"connection": id})
    return None if row is None else dict(row._mapping)


async def due(connection: AsyncConnection) -> tuple[UUID, UUID] | None:
    """Return a connection whose walk is due, and its lane."""
    row = await one(connection, DUE, {})
    return None if row is None else (row.connection_id, row.lane_id)


async def claim(connection: AsyncConnection, id: UUID, *, lane: UUID, lease_s: float) -> WatchClaim | None:
    """Take a walk that is due; None where another has it, or it may not go on. The caller holds the lane, still its."""
    row = await one(connection, CLAIM, {"connection": id, "lane": lane, "lease_s": lease_s})
    if row is None:
        return None
    return WatchClaim(**{**row._mapping, "workflow_ids": tuple(row.workflow_ids), "api_key": bytes(row.api_key)})


async def put_off(connection: AsyncConnection, id: UUID, due_at: datetime) -> None:
    """Go on with a walk later, if nobody has taken it. The caller holds the lane."""
    await connection.execute(PUT_OFF, {"connection": id, "due_at": due_at})


async def put_off_for(connection: AsyncConnection, id: UUID, seconds: float) -> None:
    """Begin a walk anew after so long."""
    await connection.execute(PUT_OFF_FOR, {"connection": id, "seconds": seconds})


async def is_held_by(connection: AsyncConnection, claim: WatchClaim) -> bool:
    """Lock the watches of a claim's place, and tell whether the claim still holds. The caller holds the lane."""
    found = await rows(connection, LOCK_PLACE, {"connection": claim.connection_id})
    return any(row.connection_id == claim.connection_id and row.fence == claim.fence for row in found)


async def record(
    connection: AsyncConnection,
    claim: WatchClaim,
    *,
    cursor: str | None,
    newest_at: datetime | None,
    walked_to: datetime | None,
    due_at: datetime,
    failure: str | None,
) -> None:
    """Write how far the walk has come."""
    values = {"cursor": cursor, "newest_at": newest_at, "walked_to": walked_to, "due_at": due_at, "failure": failure}
    await connection.execute(RECORD, {"connection": claim.connection_id, **values})
