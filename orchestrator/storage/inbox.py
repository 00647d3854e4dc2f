"""Reads the inbox: what waits for a person."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import one, rows

_COLUMNS = """i.id, i.kind, i.title, i.run_id, i.wave_id, i.batch_id, i.link, i.opened_at, i.closed_at,
    i.closed_because"""

LIST = text(f"""
    SELECT {_COLUMNS} FROM inbox i WHERE i.workspace_id = :workspace AND i.closed_at IS NULL
    ORDER BY i.id LIMIT :limit""")  # noqa: S608

FIND = text(f"SELECT {_COLUMNS} FROM inbox i WHERE i.workspace_id = :workspace AND i.id = :id")  # noqa: S608


COUNT_OPEN = text("SELECT kind, count(*)::int AS items FROM inbox WHERE closed_at IS NULL GROUP BY kind")


async def page(connection: AsyncConnection, workspace: UUID, *, limit: int) -> list[dict[str, Any]]:
    """Return the open questions, oldest first."""
    return [dict(row._mapping) for row in await rows(connection, LIST, {"workspace": workspace, "limit": limit})]


async def find(connection: AsyncConnection, workspace: UUID, item_id: UUID) -> dict[str, Any] | None:
    """Return one question."""
    row = await one(connection, FIND, {"workspace": workspace, "id": item_id})
    return None if row is None else dict(row._mapping)


async def count_open(connection: AsyncConnection) -> dict[str, int]:
    """Count the open questions by kind, over all workspaces."""
    return {row.kind: row.items for row in await rows(connection, COUNT_OPEN, {})}
