"""Reads what operators watch: is the database there, is work being done, what is the oldest thing that waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows

# Lower bounds are enough here: a lane that has been due for long is not being served.
OLDEST_DUE = text("""
    SELECT 'launch' AS kind, min(launch_due_at) AS due_at FROM lanes
    UNION ALL SELECT 'poll', min(poll_due_at) FROM lanes
    UNION ALL SELECT 'download', min(due_at) FROM timers WHERE kind = 'download'
    UNION ALL SELECT 'sweep', min(due_at) FROM timers WHERE kind = 'sending'""")

FIRST_LOSS = text("SELECT min(deadline_at) FROM timers WHERE kind = 'download'")

# Those with work, and those that were stopped: a lane that waits for a person must not vanish from the graphs.
LANES = text("""
    SELECT id FROM lanes
    WHERE launch_due_at IS NOT NULL OR poll_due_at IS NOT NULL OR launches_stopped IS NOT NULL ORDER BY id LIMIT 500""")

REVISION = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What the database says about the work: its own time, and since when each kind is due."""

    now: datetime
    due_since: dict[str, datetime | None]
    first_loss_at: datetime | None


async def pulse(connection: AsyncConnection, now: datetime) -> Pulse:
    """Return how the work stands."""
    due: dict[str, Any] = {row.kind: row.due_at for row in await rows(connection, OLDEST_DUE, {})}
    first_loss_at: datetime | None = (await connection.execute(FIRST_LOSS)).scalar_one()
    return Pulse(now=now, due_since=due, first_loss_at=first_loss_at)


async def busy_lanes(connection: AsyncConnection) -> list[UUID]:
    """Return the lanes that have something to do."""
    return [row.id for row in await rows(connection, LANES, {})]


async def revision(connection: AsyncConnection) -> str | None:
    """Return the schema's revision."""
    found: str | None = (await connection.execute(REVISION)).scalar_one_or_none()
    return found
