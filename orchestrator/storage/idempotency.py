"""Idempotency keys: what the first request under a key came to, so that a repeat has no second effect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one

#: Promised to clients.
KEPT_DAYS = 7
#: No request takes longer; a key still held then belongs to a process that died in the middle.
HELD_AT_MOST_S = 600

# One statement decides between any number of simultaneous requests: the one that gets a row back holds the key.
# A key past its promise is new again.
HOLD = text("""
    INSERT INTO idempotency_keys AS k (workspace_id, key, fingerprint, body, created_at)
    VALUES (:workspace, :key, :fingerprint, :holder, orch_now())
    ON CONFLICT (workspace_id, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, status = NULL, body = excluded.body, created_at = excluded.created_at
        WHERE k.created_at < orch_now() - make_interval(days => :kept_days)
    RETURNING created_at""")

# A submission that was cut off is taken over by its repeat. The holder's mark keeps the first one, should it live after
# all, from giving back the key that another works under.
TAKE_OVER = text("""
    UPDATE idempotency_keys SET body = :holder
    WHERE workspace_id = :workspace AND key = :key AND fingerprint = :fingerprint AND status IS NULL
    RETURNING created_at""")

FIND = text("""
    SELECT fingerprint, status, body, created_at < orch_now() - make_interval(secs => :held_s) AS is_old
    FROM idempotency_keys WHERE workspace_id = :workspace AND key = :key""")

KEEP = text("""
    UPDATE idempotency_keys SET status = :status, body = :body
    WHERE workspace_id = :workspace AND key = :key AND fingerprint = :fingerprint AND status IS NULL""")

FREE = text("""
    DELETE FROM idempotency_keys
    WHERE workspace_id = :workspace AND key = :key AND fingerprint = :fingerprint AND status IS NULL
        AND body IS NOT DISTINCT FROM :holder""")

# By hand of the sweep, a bounded bite at a time. No index: the table is small, and every insert would pay for it.
FORGET = text("""
    DELETE FROM idempotency_keys WHERE (workspace_id, key) IN (
        SELECT workspace_id, key FROM idempotency_keys
        WHERE created_at < orch_now() - make_interval(days => :kept_days) LIMIT :limit)""")


class Standing(StrEnum):
    """Where a key stands for the request that shows it."""

    OURS = "ours"
    DONE = "done"
    BUSY = "busy"
    #: The process that held it died; whether its work was stored is not known here.
    INTERRUPTED = "interrupted"
    MISMATCH = "mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A key's standing, and what the first request came to when it is done.

    Args:
        held_at: of a key that is ours: when it was first shown. A repeat that takes it over is told the same time.
    """

    standing: Standing
    held_at: datetime | None = None
    status: int | None = None
    body: str | None = None


async def hold(
    connection: AsyncConnection,
    workspace: UUID,
    key: str,
    fingerprint: bytes,
    *,
    holder: str | None = None,
    takes_over: bool = False,
) -> Found:
    """Take the key for this request, or tell why it cannot be taken.

    Args:
        holder: what tells this request from its repeats, of those that may take over.
        takes_over: take a key that an earlier request holds without an end. Only for what may be done twice at once
            and has one effect all the same.
    """
    values = {"workspace": workspace, "key": key, "fingerprint": fingerprint, "holder": holder}
    held = await one(connection, HOLD, values | {"kept_days": KEPT_DAYS})
    if held is None and takes_over:
        held = await one(connection, TAKE_OVER, values)
    if held is not None:
        return Found(standing=Standing.OURS, held_at=held.created_at)
    row = await one(connection, FIND, {"workspace": workspace, "key": key, "held_s": HELD_AT_MOST_S})
    if row is None:  # freed between the two statements: the other request failed, and this one may be sent again
        return Found(standing=Standing.BUSY)
    if bytes(row.fingerprint) != fingerprint:
        return Found(standing=Standing.MISMATCH)
    if row.status is None:
        return Found(standing=Standing.INTERRUPTED if row.is_old else Standing.BUSY)
    return Found(standing=Standing.DONE, status=row.status, body=row.body)


async def keep(
    connection: AsyncConnection, workspace: UUID, key: str, fingerprint: bytes, *, status: int, body: str
) -> None:
    """Write down what the request came to."""
    values = {"workspace": workspace, "key": key, "fingerprint": fingerprint, "status": status, "body": body}
    await connection.execute(KEEP, values)


async def free(
    connection: AsyncConnection, workspace: UUID, key: str, fingerprint: bytes, *, holder: str | None = None
) -> None:
    """Give the key back: nothing was stored, the same request may be sent again."""
    values = {"workspace": workspace, "key": key, "fingerprint": fingerprint, "holder": holder}
    await connection.execute(FREE, values)


async def forget(connection: AsyncConnection, *, limit: int = 1_000) -> int:
    """Remove keys past their promise; returns how many."""
    return await execute(connection, FORGET, {"kept_days": KEPT_DAYS, "limit": limit})
