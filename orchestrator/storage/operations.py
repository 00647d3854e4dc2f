"""Bulk operations: their rows, their runs frozen when they are made, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage import copying
from orchestrator.storage.copying import field, fields_count
from orchestrator.storage.database import execute, one, rows

_COLUMNS = """id, workspace_id, verb, how, relaunch, filter, reason, matched, total, ineligible, created_by, created_at,
    cancelled_at, cancelled_by, finished_at, final_counts"""

INSERT = text("""
    INSERT INTO operations (id, workspace_id, verb, how, relaunch, filter, reason, matched, total, ineligible,
        created_by, due_at)
    VALUES (:id, :workspace, :verb, :how, :relaunch, CAST(:filter AS jsonb), :reason, :matched, :total,
        CAST(:ineligible AS jsonb), :created_by, orch_now())""")

COPY_ITEMS = "COPY operation_items (operation_id, position, run_id) FROM STDIN WITH (FORMAT BINARY)"

READ = text(f"SELECT {_COLUMNS} FROM operations WHERE workspace_id = :workspace AND id = :id")  # noqa: S608

LIST = text(f"""
    SELECT {_COLUMNS} FROM operations
    WHERE workspace_id = :workspace AND (CAST(:before AS uuid) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit""")  # noqa: S608 - our own words

COUNTS = text("""
    SELECT operation_id, state, count(*)::int AS runs FROM operation_items
    WHERE operation_id = ANY(CAST(:ids AS uuid[])) GROUP BY operation_id, state""")

# Each state by its own part of the index; all of them in the operation's order.
ITEMS = text("""
    SELECT f.* FROM unnest(CAST(:states AS text[])) AS s(state), LATERAL (
        SELECT position, run_id, state, code, message, done_at FROM operation_items
        WHERE operation_id = :id AND state = s.state AND position > :after ORDER BY position LIMIT :limit) f
    ORDER BY f.position LIMIT :limit""")

# One worker at a time goes on with an operation; when it is killed, another does, once the lease is over.
CLAIM = text(f"""
    UPDATE operations SET due_at = orch_now() + make_interval(secs => :lease_s) WHERE id = (
        SELECT id FROM operations WHERE due_at <= orch_now() ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}""")  # noqa: S608 - our own words

RELEASE = text("""
    UPDATE operations SET due_at = orch_now() + make_interval(secs => :rests_s)
    WHERE id = :id AND due_at IS NOT NULL""")

# In the transaction of the act: whoever finds it taken does nothing. The operation itself is not locked.
TAKE = text("""
    UPDATE operation_items i SET state = 'done', done_at = orch_now() FROM operations o
    WHERE i.operation_id = :id AND i.run_id = :run AND i.state = 'waiting'
        AND o.id = i.operation_id AND o.cancelled_at IS NULL""")

# The act was not done, so its item still waits.
REFUSE = text("""
    UPDATE operation_items SET state = :state, code = :code, message = :message, done_at = orch_now()
    WHERE operation_id = :id AND run_id = :run AND state = 'waiting'""")

CANCEL = text("""
    UPDATE operations SET cancelled_at = orch_now(), cancelled_by = :by, due_at = orch_now()
    WHERE workspace_id = :workspace AND id = :id AND finished_at IS NULL AND cancelled_at IS NULL""")

CANCEL_ITEMS = text("""
    UPDATE operation_items SET state = 'cancelled', done_at = orch_now()
    WHERE operation_id = :id AND state = 'waiting'""")

FINISH = text("""
    UPDATE operations SET finished_at = orch_now(), due_at = NULL, final_counts = CAST(:counts AS jsonb)
    WHERE id = :id AND finished_at IS NULL""")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRow:
    """An operation, and how many of its runs stand in which state."""

    id: UUID
    workspace_id: UUID
    verb: str
    how: str | None
    relaunch: bool
    filter: Mapping[str, Any]
    reason: str | None
    matched: int
    total: int
    ineligible: Sequence[Mapping[str, Any]]
    created_by: str
    created_at: datetime
    cancelled_at: datetime | None
    cancelled_by: str | None
    finished_at: datetime | None
    counts: Mapping[str, int]


async def insert(connection: AsyncConnection, values: Mapping[str, Any], run_ids: Sequence[UUID]) -> None:
    """Write an operation and its runs, in the order in which they will be worked."""
    packed = {name: json.dumps(values[name]) for name in ("filter", "ineligible")}
    await connection.execute(INSERT, {**values, **packed})
    begins = fields_count(3) + field(values["id"].bytes)
    items = (begins + field(n.to_bytes(4)) + field(run.bytes) for n, run in enumerate(run_ids))
    await copying.copy_rows(connection, COPY_ITEMS, items)


async def read(connection: AsyncConnection, workspace: UUID, operation: UUID) -> OperationRow | None:
    """Return one operation, None when the workspace has no such."""
    row = await one(connection, READ, {"workspace": workspace, "id": operation})
    return None if row is None else (await _counted(connection, [row]))[0]


async def page(connection: AsyncConnection, workspace: UUID, *, before: UUID | None, limit: int) -> list[OperationRow]:
    """Return operations, newest first."""
    values = {"workspace": workspace, "before": before, "limit": limit}
    return await _counted(connection, await rows(connection, LIST, values))


async def items(
    connection: AsyncConnection, operation: UUID, *, states: Sequence[str], after: int, limit: int
) -> list[dict[str, Any]]:
    """Return runs of an operation that stand in some states, after a position, with what became of each."""
    values = {"id": operation, "states": list(states), "after": after, "limit": limit}
    return [dict(row._mapping) for row in await rows(connection, ITEMS, values)]


async def claim(connection: AsyncConnection, *, lease_s: float) -> OperationRow | None:
    """Take the operation that has been due longest, None when none is."""
    row = await one(connection, CLAIM, {"lease_s": lease_s})
    return None if row is None else _row(row, {})


async def release(connection: AsyncConnection, operation: UUID, *, rests_s: float = 0.0) -> None:
    """Let whoever is free go on with it, after a rest."""
    await connection.execute(RELEASE, {"id": operation, "rests_s": rests_s})


async def take(connection: AsyncConnection, operation: UUID, run_id: UUID) -> bool:
    """Mark a run's item as done, with the act itself; False when it was taken before, or the operation is cancelled."""
    return await execute(connection, TAKE, {"id": operation, "run": run_id}) == 1


async def refuse(
    connection: AsyncConnection, operation: UUID, run_id: UUID, *, state: str, code: str, message: str
) -> None:
    """Write down why a run's act was not done."""
    values = {"id": operation, "run": run_id, "state": state, "code": code, "message": message}
    await connection.execute(REFUSE, values)


async def cancel(connection: AsyncConnection, workspace: UUID, operation: UUID, *, by: str) -> bool:
    """Mark an operation as cancelled; False when it has ended or was cancelled before."""
    return await execute(connection, CANCEL, {"workspace": workspace, "id": operation, "by": by}) == 1


async def finish(connection: AsyncConnection, operation: UUID, *, is_cancelled: bool) -> None:
    """End an operation, and keep its counts. What still waits of a cancelled one is not done any more."""
    if is_cancelled:
        await connection.execute(CANCEL_ITEMS, {"id": operation})
    counts = {row.state: row.runs for row in await rows(connection, COUNTS, {"ids": [operation]})}
    await connection.execute(FINISH, {"id": operation, "counts": json.dumps(counts)})


async def _counted(connection: AsyncConnection, found: Sequence[Any]) -> list[OperationRow]:
    live = [row.id for row in found if row.final_counts is None]
    counts: dict[UUID, dict[str, int]] = {row.id: dict(row.final_counts or {}) for row in found}
    if live:
        for row in await rows(connection, COUNTS, {"ids": live}):
            counts[row.operation_id][row.state] = row.runs
    return [_row(row, counts[row.id]) for row in found]


def _row(row: Any, counts: Mapping[str, int]) -> OperationRow:
    fields = {name: row._mapping[name] for name in OperationRow.__slots__ if name in row._mapping}
    return OperationRow(**{**fields, "counts": counts})
