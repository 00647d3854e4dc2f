"""Connections: the ways to providers, each with its sealed key, on the lane that limits it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one, rows

_COLUMNS = """c.id, c.workspace_id, c.lane_id, c.name, c.provider, c.base_url, c.api_key, c.key_hint, c.limit_group,
    c.max_concurrent, c.console_url, c.api_version, c.ending_told_at, c.ending_version, c.ending_sunset_at,
    c.ending_replacement, c.paused_at, c.paused_by, c.checked_at, c.check_result, c.created_at,
    l.requests_per_minute, l.told_limit, l.blocked_until, l.launches_stopped, l.breaker"""

_FROM = "FROM connections c JOIN lanes l ON l.id = c.lane_id"

FIND = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE c.workspace_id = :workspace AND c.name = :name AND c.removed_at IS NULL""")

LIST = text(f"""
    SELECT {_COLUMNS} {_FROM} WHERE c.workspace_id = :workspace AND c.removed_at IS NULL ORDER BY c.name LIMIT 1000""")

INSERT = text("""
    INSERT INTO connections (id, workspace_id, lane_id, name, provider, base_url, api_key, key_hint, limit_group,
        max_concurrent, console_url, api_version, created_at)
    VALUES (:id, :workspace, :lane, :name, :provider, :base_url, :api_key, :key_hint, :limit_group, :max_concurrent,
        :console_url, :api_version, orch_now())
    ON CONFLICT (workspace_id, name) WHERE removed_at IS NULL DO NOTHING""")

# However many connections use a key, it has one lane.
ENSURE_LANE = text("""
    INSERT INTO lanes (id, limit_key, requests_per_minute, created_at) VALUES (:id, :limit_key, :rate, orch_now())
    ON CONFLICT (limit_key) DO UPDATE SET limit_key = excluded.limit_key RETURNING id, requests_per_minute""")

# A limit that the provider told, and that is no lower than this one, is no news any more.
SET_RATE = text("""
    UPDATE lanes SET requests_per_minute = :rate, told_limit = CASE WHEN told_limit < :rate THEN told_limit END
    WHERE id = :lane""")

# Whoever changes a connection waits here for the one before, then reads it anew: its lane may be another one now.
LOCK = text("""
    SELECT FROM connections WHERE workspace_id = :workspace AND name = :name AND removed_at IS NULL
    FOR NO KEY UPDATE""")

SET = text("""
    UPDATE connections SET base_url = COALESCE(:base_url, base_url), console_url = COALESCE(:console_url, console_url),
        max_concurrent = COALESCE(:max_concurrent, max_concurrent) WHERE id = :id""")

# What was told of the end of the version before says nothing of this one.
SET_VERSION = text("""
    UPDATE connections SET api_version = :version, ending_told_at = NULL, ending_version = NULL,
        ending_sunset_at = NULL, ending_replacement = NULL
    WHERE id = :id AND api_version IS DISTINCT FROM :version""")

# The lane moves with the key; what was launched under the old one is still collected under the new.
ROTATE = text("UPDATE connections SET api_key = :api_key, key_hint = :key_hint, lane_id = :lane WHERE id = :id")

# Not before any intent that was committed for the old key or address. The lane is held, so no claim is on its way, and
# those of before began before this moment; `orch_now()` is an earlier one, for it stands still while a transaction
# waits for its locks. Where the clock went back since, the open intents themselves say what is not before them.
ACCESS_CHANGED = text("""
    UPDATE connections SET access_changed_at = GREATEST(orch_now(), clock_timestamp(), (
        SELECT max(i.committed_at) FROM timers t JOIN intents i ON i.id = t.subject_id
        WHERE t.kind = 'sending' AND t.workflow_id IN (SELECT id FROM workflows WHERE connection_id = :id)))
    WHERE id = :id""")

MOVE_WORKFLOWS = text("UPDATE workflows SET lane_id = :lane WHERE connection_id = :id")
MOVE_TIMERS = text("""
    UPDATE timers SET lane_id = :lane
    WHERE lane_id = :old_lane AND workflow_id IN (SELECT id FROM workflows WHERE connection_id = :id)""")

PAUSE = text("UPDATE connections SET paused_at = orch_now(), paused_by = :by WHERE id = :id AND paused_at IS NULL")
RESUME = text("UPDATE connections SET paused_at = NULL, paused_by = NULL WHERE id = :id")
REMOVE = text("UPDATE connections SET removed_at = orch_now() WHERE id = :id")
CHECKED = text("UPDATE connections SET checked_at = orch_now(), check_result = :result WHERE id = :id")

LIVE_WORK = text("""
    SELECT EXISTS (SELECT FROM runs WHERE connection_id = :id AND workspace_id = :workspace AND status NOT IN
        ('finished', 'error', 'result_lost', 'cancelled', 'abandoned'))""")


ANY_OF_LANE = text("""
    SELECT id, provider, base_url, api_key, api_version FROM connections
    WHERE lane_id = :lane AND removed_at IS NULL ORDER BY id LIMIT 1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRow:
    """A connection with what is known of its lane."""

    id: UUID
    workspace_id: UUID
    lane_id: UUID
    name: str
    provider: str
    base_url: str
    api_key: bytes = field(repr=False)
    key_hint: str
    limit_group: str | None
    max_concurrent: int
    console_url: str | None
    api_version: str | None
    ending_told_at: datetime | None
    ending_version: str | None
    ending_sunset_at: datetime | None
    ending_replacement: str | None
    paused_at: datetime | None
    paused_by: str | None
    checked_at: datetime | None
    check_result: str | None
    created_at: datetime
    requests_per_minute: int
    told_limit: int | None
    blocked_until: datetime | None
    launches_stopped: str | None
    breaker: str


async def find(connection: AsyncConnection, workspace: UUID, name: str) -> ConnectionRow | None:
    """Return a workspace's connection by its name."""
    row = await one(connection, FIND, {"workspace": workspace, "name": name})
    return None if row is None else _row(row)


async def lock(connection: AsyncConnection, workspace: UUID, name: str) -> ConnectionRow | None:
    """Return a workspace's connection by its name, held until the transaction ends. Before its lane, if that too."""
    await connection.execute(LOCK, {"workspace": workspace, "name": name})
    return await find(connection, workspace, name)


async def page(connection: AsyncConnection, workspace: UUID) -> list[ConnectionRow]:
    """Return a workspace's connections by name."""
    return [_row(row) for row in await rows(connection, LIST, {"workspace": workspace})]


async def insert(connection: AsyncConnection, **values: Any) -> bool:
    """Write a connection; False when the name is taken."""
    return await execute(connection, INSERT, values) == 1


async def ensure_lane(connection: AsyncConnection, *, new_id: UUID, limit_key: str, rate: int) -> tuple[UUID, int]:
    """Return the lane of a limit, making it when it is missing, and its rate."""
    row = (await connection.execute(ENSURE_LANE, {"id": new_id, "limit_key": limit_key, "rate": rate})).one()
    return row.id, row.requests_per_minute


async def set_rate(connection: AsyncConnection, lane: UUID, rate: int) -> None:
    """Change how many requests a minute a lane may send."""
    await connection.execute(SET_RATE, {"lane": lane, "rate": rate})


async def change(
    connection: AsyncConnection,
    found: ConnectionRow,
    *,
    base_url: str | None,
    console_url: str | None,
    max_concurrent: int | None,
) -> None:
    """Change what is given; None leaves a thing as it is. The lane is locked by the caller."""
    values = {"id": found.id, "base_url": base_url, "console_url": console_url, "max_concurrent": max_concurrent}
    await connection.execute(SET, values)
    if base_url not in (None, found.base_url):
        await connection.execute(ACCESS_CHANGED, {"id": found.id})


async def set_version(connection: AsyncConnection, id: UUID, version: str) -> None:
    """Ask for another version of the provider's API from now on."""
    await connection.execute(SET_VERSION, {"id": id, "version": version})


async def rotate(
    connection: AsyncConnection, id: UUID, *, api_key: bytes, key_hint: str, old_lane: UUID, lane: UUID
) -> None:
    """Put another key in, and move everything that lives to its lane. Both lanes are locked by the caller."""
    await connection.execute(ROTATE, {"id": id, "api_key": api_key, "key_hint": key_hint, "lane": lane})
    await connection.execute(ACCESS_CHANGED, {"id": id})
    await connection.execute(MOVE_WORKFLOWS, {"id": id, "lane": lane})
    await connection.execute(MOVE_TIMERS, {"id": id, "lane": lane, "old_lane": old_lane})


async def pause(connection: AsyncConnection, id: UUID, *, by: str) -> None:
    """Stop launching on a connection."""
    await connection.execute(PAUSE, {"id": id, "by": by})


async def resume(connection: AsyncConnection, id: UUID) -> None:
    """Launch again on a connection."""
    await connection.execute(RESUME, {"id": id})


async def remove(connection: AsyncConnection, id: UUID) -> None:
    """Take a connection out of sight; its history stays."""
    await connection.execute(REMOVE, {"id": id})


async def checked(connection: AsyncConnection, id: UUID, result: str) -> None:
    """Write what a test of a connection came to."""
    await connection.execute(CHECKED, {"id": id, "result": result})


async def has_live_work(connection: AsyncConnection, workspace: UUID, id: UUID) -> bool:
    """Tell whether any run on a connection has not ended."""
    found: bool = (await connection.execute(LIVE_WORK, {"workspace": workspace, "id": id})).scalar_one()
    return found


def _row(row: Row[Any]) -> ConnectionRow:
    return ConnectionRow(**{**row._mapping, "api_key": bytes(row.api_key)})


async def any_of_lane(connection: AsyncConnection, lane_id: UUID) -> Row[Any] | None:
    """Return a connection of the lane, to probe the provider with."""
    return await one(connection, ANY_OF_LANE, {"lane": lane_id})
