"""Fences: who still holds what it claimed. Every claim and every record changes the token; a late holder has none."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows

HELD = text("""
    SELECT t.subject_id, t.fence FROM timers t
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS v(id, fence)
        ON t.subject_id = v.id AND t.fence = v.fence
    ORDER BY t.subject_id FOR UPDATE OF t""")


async def held(connection: AsyncConnection, fences: Mapping[UUID, int]) -> dict[UUID, int]:
    """Lock those of some timers whose claim still holds, in id order; return their fences.

    Args:
        fences: by the timer's subject.
    """
    values = {"ids": list(fences), "fences": list(fences.values())}
    return {row.subject_id: row.fence for row in await rows(connection, HELD, values)}
