"""Drafts: uploaded files that wait, in pieces, for a person to start them as batches; gone when they are not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one

#: Long enough to look at a file and to ask somebody; what it holds may be personal, so no longer.
LIFE_H = 4

_OWN = f"""workspace_id = :workspace AND actor = :actor AND id = :id
    AND created_at > orch_now() - make_interval(hours => {LIFE_H})"""
_WAITS = f"{_OWN} AND options->>'became' IS NULL"

WAITING = text(f"""
    SELECT COALESCE(sum(size_bytes), 0)::bigint AS size_bytes FROM drafts
    WHERE workspace_id = :workspace AND created_at > orch_now() - make_interval(hours => {LIFE_H})""")  # noqa: S608

INSERT = text("""
    INSERT INTO drafts (id, workspace_id, actor, filename, size_bytes, options)
    VALUES (:id, :workspace, :actor, :filename, :size_bytes, CAST(:options AS jsonb))""")
INSERT_PIECE = text("INSERT INTO draft_pieces (draft_id, n, body) VALUES (:id, :n, :body)")

FIND = text(f"""
    SELECT id, filename, size_bytes, options, created_at + make_interval(hours => {LIFE_H}) AS expires_at
    FROM drafts WHERE {_WAITS}""")  # noqa: S608 - our own words
PIECE = text("SELECT body FROM draft_pieces WHERE draft_id = :id AND n = :n")
CHANGE = text(f"""
    UPDATE drafts SET options = CAST(:options AS jsonb)
    WHERE {_WAITS}""")  # noqa: S608 - our own words

# Of a file that came before nothing is kept but which batch it is, for whoever asks again.
BECOME = text(f"""
    WITH became AS (UPDATE drafts SET options = jsonb_build_object('became', CAST(:batch AS text)), size_bytes = 0
        WHERE {_OWN} RETURNING id)
    DELETE FROM draft_pieces p USING became b WHERE p.draft_id = b.id""")  # noqa: S608 - our own words
BECAME = text(f"SELECT options->>'became' AS batch FROM drafts WHERE {_OWN}")  # noqa: S608 - our own words
DISCARD = text(f"DELETE FROM drafts WHERE {_WAITS}")  # noqa: S608 - our own words

#: Whether any has waited too long.
OLD = f"EXISTS (SELECT FROM drafts WHERE created_at <= orch_now() - make_interval(hours => {LIFE_H}))"
# Few at a time: each takes its pieces along.
FORGET = text(f"""
    DELETE FROM drafts WHERE id IN (SELECT id FROM drafts
        WHERE created_at <= orch_now() - make_interval(hours => {LIFE_H}) ORDER BY created_at LIMIT 20)""")  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRow:
    """A file that waits. `options` is what was chosen for it so far."""

    id: UUID
    filename: str | None
    size_bytes: int
    options: Mapping[str, Any]
    expires_at: datetime


async def waiting_bytes(connection: AsyncConnection, workspace: UUID) -> int:
    """Return how many bytes of a workspace wait."""
    found: int = (await connection.execute(WAITING, {"workspace": workspace})).scalar_one()
    return found


async def insert(connection: AsyncConnection, workspace: UUID, actor: str, row: Mapping[str, Any]) -> None:
    """Write a draft without its pieces."""
    values = {"workspace": workspace, "actor": actor, **row, "options": json.dumps(row["options"])}
    await connection.execute(INSERT, values)


async def insert_piece(connection: AsyncConnection, draft_id: UUID, n: int, body: bytes) -> None:
    """Write a piece of its content."""
    await connection.execute(INSERT_PIECE, {"id": draft_id, "n": n, "body": body})


async def find(connection: AsyncConnection, workspace: UUID, actor: str, draft_id: UUID) -> DraftRow | None:
    """Return a draft of whoever uploaded it."""
    row = await one(connection, FIND, {"workspace": workspace, "actor": actor, "id": draft_id})
    return None if row is None else DraftRow(**row._mapping)


async def piece(connection: AsyncConnection, draft_id: UUID, n: int) -> bytes | None:
    """Return a piece of its content; None beyond the last."""
    row = await one(connection, PIECE, {"id": draft_id, "n": n})
    return None if row is None else bytes(row.body)


async def change(
    connection: AsyncConnection, workspace: UUID, actor: str, draft_id: UUID, options: Mapping[str, Any]
) -> bool:
    """Keep what was chosen for it; False when it is gone."""
    values = {"workspace": workspace, "actor": actor, "id": draft_id, "options": json.dumps(options)}
    return await execute(connection, CHANGE, values) == 1


async def become(connection: AsyncConnection, workspace: UUID, actor: str, draft_id: UUID, batch_id: UUID) -> None:
    """Drop a draft's content, and remember which batch it was found to be."""
    values = {"workspace": workspace, "actor": actor, "id": draft_id, "batch": str(batch_id)}
    await connection.execute(BECOME, values)


async def became(connection: AsyncConnection, workspace: UUID, actor: str, draft_id: UUID) -> UUID | None:
    """Return the batch that a draft was found to be."""
    row = await one(connection, BECAME, {"workspace": workspace, "actor": actor, "id": draft_id})
    return None if row is None or row.batch is None else UUID(row.batch)


async def discard(connection: AsyncConnection, workspace: UUID, actor: str, draft_id: UUID) -> bool:
    """Remove a draft with its content; False when it is gone already."""
    return await execute(connection, DISCARD, {"workspace": workspace, "actor": actor, "id": draft_id}) == 1


async def forget(connection: AsyncConnection) -> None:
    """Remove drafts that nobody started."""
    await connection.execute(FORGET)
