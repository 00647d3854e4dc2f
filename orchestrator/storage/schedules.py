"""Schedules: when what is submitted, and the next nominal time that has no row yet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one, rows

_COLUMNS = """s.id, s.workspace_id, s.name, s.connection_id, c.name AS connection, s.workflow_id,
    w.remote_id AS workflow, w.name AS workflow_name, s.cron, s.every_s, s.zone, s.anchor, s.input, s.template,
    s.options, s.allows_same_content, s.overlap, s.catch_up, s.max_catch_up, s.deadline_s, s.next_at, s.paused_at,
    s.paused_by, s.paused_note, s.created_by, s.created_at, s.removed_at, orch_now() AS now"""

_FROM = "FROM schedules s JOIN connections c ON c.id = s.connection_id JOIN workflows w ON w.id = s.workflow_id"

FIND = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE s.workspace_id = :workspace AND s.name = :name AND s.removed_at IS NULL""")

READ = text(f"SELECT {_COLUMNS} {_FROM} WHERE s.id = :id")

LOCK = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE s.workspace_id = :workspace AND s.name = :name AND s.removed_at IS NULL
    FOR NO KEY UPDATE OF s""")

LOCK_BY_ID = text(f"SELECT {_COLUMNS} {_FROM} WHERE s.id = :id FOR NO KEY UPDATE OF s")

LIST = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE s.workspace_id = :workspace AND s.removed_at IS NULL ORDER BY s.name LIMIT 1000""")

# As many by name as a page shows, of one state or of all.
PAGE = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE s.workspace_id = :workspace AND s.removed_at IS NULL
        AND (CAST(:after AS text) IS NULL OR s.name > :after)
        AND CAST(:status AS text) IN ('', CASE WHEN s.paused_at IS NOT NULL THEN 'paused'
            WHEN s.next_at IS NOT NULL THEN 'active' ELSE 'over' END)
    ORDER BY s.name LIMIT :limit""")

# SKIP LOCKED: whoever plans a schedule now writes the rows of all its ticks; nobody needs to wait for that.
LOCK_DUE = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE s.next_at <= orch_now() AND s.removed_at IS NULL
    ORDER BY s.next_at LIMIT 1 FOR NO KEY UPDATE OF s SKIP LOCKED""")

INSERT = text("""
    INSERT INTO schedules (id, workspace_id, name, connection_id, workflow_id, cron, every_s, zone, anchor, input,
        template, options, allows_same_content, overlap, catch_up, max_catch_up, deadline_s, next_at, created_by,
        created_at)
    VALUES (:id, :workspace, :name, :connection_id, :workflow, :cron, :every_s, :zone, :anchor, :input, :template,
        CAST(:options AS jsonb), :allows_same_content, :overlap, :catch_up, :max_catch_up, :deadline_s, :next_at,
        :created_by, orch_now())
    ON CONFLICT (workspace_id, name) WHERE removed_at IS NULL DO NOTHING""")

UPDATE = text("""
    UPDATE schedules SET cron = :cron, every_s = :every_s, zone = :zone, anchor = :anchor, input = :input,
        template = :template, options = CAST(:options AS jsonb), allows_same_content = :allows_same_content,
        overlap = :overlap, catch_up = :catch_up, max_catch_up = :max_catch_up, deadline_s = :deadline_s,
        next_at = :next_at
    WHERE id = :id""")

ADVANCE = text("UPDATE schedules SET next_at = :next_at WHERE id = :id")
PAUSE = text("UPDATE schedules SET paused_at = orch_now(), paused_by = :by, paused_note = :note WHERE id = :id")
RESUME = text("UPDATE schedules SET paused_at = NULL, paused_by = NULL, paused_note = NULL WHERE id = :id")
REMOVE = text("UPDATE schedules SET removed_at = orch_now(), next_at = NULL WHERE id = :id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """A schedule as it is stored. `now` is the time of the transaction that read it.

    Args:
        workflow: the provider's id of the workflow; `connection` is the connection's name.
        options: the words of a batch's submission, see `engine.schedules`.
    """

    id: UUID
    workspace_id: UUID
    name: str
    connection_id: UUID
    connection: str
    workflow_id: UUID
    workflow: str
    workflow_name: str
    cron: str | None
    every_s: int | None
    zone: str
    anchor: datetime
    input: bytes | None
    template: str | None
    options: dict[str, Any]
    allows_same_content: bool
    overlap: str
    catch_up: str
    max_catch_up: int
    deadline_s: int
    next_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    paused_note: str | None
    created_by: str
    created_at: datetime
    removed_at: datetime | None
    now: datetime


async def find(connection: AsyncConnection, workspace: UUID, name: str) -> ScheduleRow | None:
    """Return a schedule by its name."""
    return _row(await one(connection, FIND, {"workspace": workspace, "name": name}))


async def read(connection: AsyncConnection, id: UUID) -> ScheduleRow:
    """Return a schedule by its id, removed or not."""
    found = _row(await one(connection, READ, {"id": id}))
    assert found is not None, "schedules are marked as removed, never deleted"
    return found


async def lock_by_id(connection: AsyncConnection, id: UUID) -> ScheduleRow:
    """Lock a schedule by its id, removed or not, waiting for it."""
    found = _row(await one(connection, LOCK_BY_ID, {"id": id}))
    assert found is not None, "schedules are marked as removed, never deleted"
    return found


async def lock(connection: AsyncConnection, workspace: UUID, name: str) -> ScheduleRow | None:
    """Lock a schedule by its name, waiting for it."""
    return _row(await one(connection, LOCK, {"workspace": workspace, "name": name}))


async def lock_due(connection: AsyncConnection) -> ScheduleRow | None:
    """Lock the schedule whose next tick is oldest and has come; None when none is due and free."""
    return _row((await connection.execute(LOCK_DUE)).one_or_none())


async def page(connection: AsyncConnection, workspace: UUID) -> list[ScheduleRow]:
    """Return a workspace's schedules by name."""
    return [found for row in await rows(connection, LIST, {"workspace": workspace}) if (found := _row(row)) is not None]


async def page_after(
    connection: AsyncConnection, workspace: UUID, *, status: str, after: str | None, limit: int
) -> list[ScheduleRow]:
    """Return a part of a workspace's schedules by name, of one status (`''`: of all), after a name."""
    values = {"workspace": workspace, "status": status, "after": after, "limit": limit}
    return [found for row in await rows(connection, PAGE, values) if (found := _row(row)) is not None]


async def insert(connection: AsyncConnection, *, options: dict[str, Any], **values: Any) -> bool:
    """Write a schedule; False when the name is taken."""
    return await execute(connection, INSERT, {**values, "options": json.dumps(options)}) == 1


async def update(connection: AsyncConnection, *, options: dict[str, Any], **values: Any) -> None:
    """Write a locked schedule's changeable fields."""
    await connection.execute(UPDATE, {**values, "options": json.dumps(options)})


async def advance(connection: AsyncConnection, id: UUID, next_at: datetime | None) -> None:
    """Write a locked schedule's next nominal time."""
    await connection.execute(ADVANCE, {"id": id, "next_at": next_at})


async def pause(connection: AsyncConnection, id: UUID, *, by: str, note: str | None) -> None:
    """Mark a locked schedule as paused from now on."""
    await connection.execute(PAUSE, {"id": id, "by": by, "note": note})


async def resume(connection: AsyncConnection, id: UUID) -> None:
    """Take a locked schedule's pause away."""
    await connection.execute(RESUME, {"id": id})


async def remove(connection: AsyncConnection, id: UUID) -> None:
    """Remove a locked schedule. Its fires, and what they submitted, stay."""
    await connection.execute(REMOVE, {"id": id})


def _row(row: Row[Any] | None) -> ScheduleRow | None:
    if row is None:
        return None
    return ScheduleRow(**{**row._mapping, "input": None if row.input is None else bytes(row.input)})
