"""Reads what pages show of schedules: the last ticks of many, the acts on one, and which schedule made a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import one, rows

#: Events of the workspace, from the latest back, in which the acts on a schedule are looked for.
READ_BACK = 5_000

# Of each schedule its latest ticks, by its own part of the index.
RECENT = text("""
    SELECT s.schedule_id, f.nominal_at, f.state, f.why, f.batch_id, f.run_id, r.status AS run_status,
        b.ended_at AS batch_ended_at, b.final_counts
    FROM unnest(CAST(:schedules AS uuid[])) AS s(schedule_id), LATERAL (
        SELECT nominal_at, state, why, batch_id, run_id FROM fires
        WHERE schedule_id = s.schedule_id ORDER BY nominal_at DESC LIMIT :each) f
    LEFT JOIN runs r ON r.id = f.run_id LEFT JOIN batches b ON b.id = f.batch_id
    ORDER BY s.schedule_id, f.nominal_at""")

# Acts on schedules stand in the workspace's history. It is read from its end, and not for ever.
HISTORY = text(f"""
    SELECT e.seq, e.at, e.type, e.actor, e.data, e.hash FROM workspaces o, LATERAL (
        SELECT seq, at, type, actor, data, hash FROM events
        WHERE stream = o.id AND seq > o.event_seq - {READ_BACK} ORDER BY seq DESC) e
    WHERE o.id = :workspace AND e.type LIKE 'schedule\\_%' AND CAST(e.data AS jsonb)->>'schedule' = :name
    ORDER BY e.seq DESC LIMIT :limit""")  # noqa: S608 - our own words

# A tick's id is the id of what it submitted.
OF_RUN = text("""
    SELECT s.name, f.nominal_at, f.asked_by, s.removed_at FROM fires f JOIN schedules s ON s.id = f.schedule_id
    WHERE f.workspace_id = :workspace AND f.id = ANY(CAST(:ids AS uuid[])) AND f.state = 'fired' LIMIT 1""")


async def recent(connection: AsyncConnection, schedules: Sequence[UUID], *, each: int) -> list[dict[str, Any]]:
    """Return the latest ticks of some schedules, oldest first, with what became of what they submitted."""
    return [dict(row._mapping) for row in await rows(connection, RECENT, {"schedules": [*schedules], "each": each})]


async def history(connection: AsyncConnection, workspace: UUID, name: str, *, limit: int) -> list[dict[str, Any]]:
    """Return the acts on a schedule, latest first."""
    found = await rows(connection, HISTORY, {"workspace": workspace, "name": name, "limit": limit})
    return [dict(row._mapping) for row in found]


async def of_run(connection: AsyncConnection, workspace: UUID, ids: Sequence[UUID]) -> dict[str, Any] | None:
    """Return the schedule and the tick that submitted a run, or its batch; None when none did."""
    row = await one(connection, OF_RUN, {"workspace": workspace, "ids": [*ids]})
    return None if row is None else dict(row._mapping)
