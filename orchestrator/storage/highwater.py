"""The database's own mark, and the holds on all launches while a place outside knows more than it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.highwater import Finding, Mark
from orchestrator.storage import events
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.database import one, rows

# Asked by every claim of a launch: three small rows by their keys. An intent that this process committed and that is
# not there shows a lost tail at once, before the next mark does.
GATE = text("""
    SELECT incarnation, epoch, mark, EXISTS (SELECT FROM launch_holds) AS is_held,
        CAST(:intent AS uuid) IS NULL OR EXISTS (SELECT FROM intents WHERE id = :intent) AS knows_intent
    FROM highwater""")

LOCK = text("SELECT incarnation, epoch, mark FROM highwater FOR UPDATE")

READ = text("SELECT incarnation, epoch, mark FROM highwater")

SET = text("UPDATE highwater SET epoch = :epoch, mark = :mark, advanced_at = orch_now()")

HOLD = text("""
    INSERT INTO launch_holds (folder, place, code, because, held_at)
    VALUES (:folder, :place, :code, :because, orch_now()) ON CONFLICT (folder) DO NOTHING RETURNING folder""")

HOLDS = text("SELECT folder, place, code, because, held_at FROM launch_holds ORDER BY held_at, folder LIMIT 100")

RELEASE = text("DELETE FROM launch_holds WHERE folder = ANY(CAST(:folders AS uuid[]))")

KNOWN_INTENTS = text("SELECT id FROM intents WHERE id = ANY(CAST(:ids AS uuid[]))")

# In id order, as everybody locks them.
WORKSPACES = text("SELECT id FROM workspaces ORDER BY id LIMIT 10000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a claim must know before it launches."""

    mark: Mark
    is_held: bool
    knows_intent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """All launches are held."""

    folder: UUID
    place: str
    code: str
    because: str
    held_at: datetime


async def gate(connection: AsyncConnection, last_intent: UUID | None) -> Gate:
    """Return the mark, whether launches are held, and whether an intent is known."""
    row = (await connection.execute(GATE, {"intent": last_intent})).one()
    mark = Mark(incarnation=row.incarnation, epoch=row.epoch, number=row.mark)
    return Gate(mark=mark, is_held=row.is_held, knows_intent=row.knows_intent)


async def lock(connection: AsyncConnection) -> Mark:
    """Lock the mark and return it."""
    row = (await connection.execute(LOCK)).one()
    return Mark(incarnation=row.incarnation, epoch=row.epoch, number=row.mark)


async def read(connection: AsyncConnection) -> Mark:
    """Return the mark."""
    row = (await connection.execute(READ)).one()
    return Mark(incarnation=row.incarnation, epoch=row.epoch, number=row.mark)


async def set_to(connection: AsyncConnection, mark: Mark) -> None:
    """Move the mark, which the caller has locked."""
    await connection.execute(SET, {"epoch": mark.epoch, "mark": mark.number})


async def hold(connection: AsyncConnection, finding: Finding) -> bool:
    """Hold all launches; False when that folder's hold stands already. Each workspace's history says so once."""
    values = {"folder": finding.folder, "place": finding.place, "code": finding.code, "because": finding.because}
    if await one(connection, HOLD, values) is None:
        return False
    told = {"why": str(finding.code), "because": finding.because, "folder": str(finding.folder)}
    await tell_workspaces(connection, NewEvent(type="launches_held", data=told))
    return True


async def holds(connection: AsyncConnection) -> list[Hold]:
    """Return the holds, the oldest first; launches go when there is none."""
    return [Hold(**row._mapping) for row in await rows(connection, HOLDS, {})]


async def held_because(connection: AsyncConnection) -> str | None:
    """Return why launches are held, None when they go."""
    return next((hold.because for hold in await holds(connection)), None)


async def release(connection: AsyncConnection, folders: Sequence[UUID]) -> None:
    """Take back the holds of some folders."""
    await connection.execute(RELEASE, {"folders": list(folders)})


async def unknown_intents(connection: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    """Return which of some intents the database does not know."""
    return set(ids) - {row.id for row in await rows(connection, KNOWN_INTENTS, {"ids": list(ids)})}


async def tell_workspaces(connection: AsyncConnection, told: NewEvent) -> None:
    """Write into the history of every workspace what concerns them all."""
    at = await transaction_now(connection)
    for row in await rows(connection, WORKSPACES, {}):
        await events.append_to_workspace(connection, row.id, [told], at=at)
