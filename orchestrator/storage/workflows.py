"""Workflows: what providers offer, with the input schema that submissions are checked against, and local policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import WorkflowSummary, WorkflowView
from orchestrator.storage.database import one, rows

_COLUMNS = """id, connection_id, lane_id, remote_id, name, description, input_schema, fetched_at, on_doubt,
    poll_initial_s, poll_factor, poll_cap_s, poll_jitter, poll_polite, durations_count, durations_log_mean,
    durations_log_var, launches_blocked_until, launches_blocked_because, remote_created_at, remote_updated_at"""

FIND = text(f"SELECT {_COLUMNS} FROM workflows WHERE connection_id = :connection AND remote_id = :remote")  # noqa: S608

LIST = text(f"SELECT {_COLUMNS} FROM workflows WHERE connection_id = :connection ORDER BY name, id LIMIT 10000")  # noqa: S608

# Of several connections at once, and of each so many, without their schemas, which may be large.
OFFERED = text("""
    SELECT w.remote_id AS id, w.name, c.name AS connection
    FROM connections c CROSS JOIN LATERAL (
        SELECT remote_id, name FROM workflows WHERE connection_id = c.id ORDER BY name, id LIMIT :each) w
    WHERE c.workspace_id = :workspace AND c.removed_at IS NULL AND c.name = ANY(CAST(:names AS text[]))
    ORDER BY c.name, w.name, w.remote_id""")

# A view fetched again replaces what the provider says and leaves what we know and decided.
SAVE_VIEW = text("""
    INSERT INTO workflows (id, workspace_id, connection_id, lane_id, remote_id, name, description, input_schema,
        fetched_at, remote_created_at, remote_updated_at)
    SELECT :id, workspace_id, id, lane_id, :remote, :name, :description, :schema, orch_now(), :created_at, :updated_at
    FROM connections WHERE id = :connection
    ON CONFLICT (connection_id, remote_id) DO UPDATE SET name = excluded.name, description = excluded.description,
        input_schema = excluded.input_schema, fetched_at = excluded.fetched_at,
        remote_created_at = excluded.remote_created_at, remote_updated_at = excluded.remote_updated_at""")

# From a list: only the name and the dates are known, the schema is fetched when it is needed.
SAVE_NAME = text("""
    INSERT INTO workflows (id, workspace_id, connection_id, lane_id, remote_id, name, remote_created_at,
        remote_updated_at)
    SELECT :id, workspace_id, id, lane_id, :remote, :name, :created_at, :updated_at FROM connections
    WHERE id = :connection
    ON CONFLICT (connection_id, remote_id) DO UPDATE SET name = excluded.name,
        remote_created_at = excluded.remote_created_at, remote_updated_at = excluded.remote_updated_at""")

SET_POLICIES = text("""
    UPDATE workflows SET on_doubt = COALESCE(:on_doubt, on_doubt),
        poll_initial_s = COALESCE(:initial_s, poll_initial_s), poll_factor = COALESCE(:factor, poll_factor),
        poll_cap_s = COALESCE(:cap_s, poll_cap_s), poll_jitter = COALESCE(:jitter, poll_jitter),
        poll_polite = COALESCE(:polite, poll_polite)
    WHERE id = :id""")

UNBLOCK = text("""
    UPDATE workflows SET launches_blocked_until = NULL, launches_blocked_because = NULL
    WHERE connection_id = :connection""")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRow:
    """A workflow. `fetched_at` is None while only its name is known; `input_schema` is the provider's own text."""

    id: UUID
    connection_id: UUID
    lane_id: UUID
    remote_id: str
    name: str
    description: str | None
    input_schema: str | None
    fetched_at: datetime | None
    on_doubt: str
    poll_initial_s: float | None
    poll_factor: float | None
    poll_cap_s: float | None
    poll_jitter: float | None
    poll_polite: float | None
    durations_count: int
    durations_log_mean: float
    durations_log_var: float
    launches_blocked_until: datetime | None
    launches_blocked_because: str | None
    remote_created_at: datetime | None
    remote_updated_at: datetime | None


async def find(connection: AsyncConnection, connection_id: UUID, remote_id: str) -> WorkflowRow | None:
    """Return a connection's workflow by the provider's id."""
    row = await one(connection, FIND, {"connection": connection_id, "remote": remote_id})
    return None if row is None else _row(row)


async def page(connection: AsyncConnection, connection_id: UUID) -> list[WorkflowRow]:
    """Return a connection's workflows by name."""
    return [_row(row) for row in await rows(connection, LIST, {"connection": connection_id})]


async def offered(
    connection: AsyncConnection, workspace: UUID, names: Sequence[str], *, each: int
) -> list[dict[str, Any]]:
    """Return the workflows of these connections by name, of each so many at most: `id`, `name`, `connection`."""
    found = await rows(connection, OFFERED, {"workspace": workspace, "names": [*names], "each": each})
    return [dict(row._mapping) for row in found]


async def save_view(
    connection: AsyncConnection,
    *,
    new_id: UUID,
    connection_id: UUID,
    remote_id: str,
    view: WorkflowView,
    schema: str | None,
) -> None:
    """Write a workflow as the provider shows it, under the id by which it was asked for.

    Args:
        schema: its input schema as text.
    """
    values = {"id": new_id, "connection": connection_id, "schema": schema, "description": view.description}
    await connection.execute(SAVE_VIEW, {**_told(view), **values, "remote": remote_id})


async def save_name(
    connection: AsyncConnection, *, new_id: UUID, connection_id: UUID, summary: WorkflowSummary
) -> None:
    """Write a workflow of which only the list was seen."""
    await connection.execute(SAVE_NAME, {"id": new_id, "connection": connection_id, **_told(summary)})


def _told(given: WorkflowSummary | WorkflowView) -> dict[str, Any]:
    """Return what lists and views tell alike."""
    dates = {"created_at": given.created_at, "updated_at": given.updated_at}
    return {"remote": given.remote_id, "name": given.name, **dates}


async def set_policies(
    connection: AsyncConnection,
    id: UUID,
    *,
    on_doubt: str | None,
    initial_s: float | None,
    factor: float | None,
    cap_s: float | None,
    jitter: float | None,
    polite: float | None,
) -> None:
    """Change a workflow's own policies; None leaves a thing as it is."""
    values = {"id": id, "on_doubt": on_doubt, "initial_s": initial_s, "factor": factor, "cap_s": cap_s}
    await connection.execute(SET_POLICIES, {**values, "jitter": jitter, "polite": polite})


async def unblock(connection: AsyncConnection, connection_id: UUID) -> None:
    """Let a connection's workflows launch again at once."""
    await connection.execute(UNBLOCK, {"connection": connection_id})


def _row(row: Row[Any]) -> WorkflowRow:
    return WorkflowRow(**row._mapping)
