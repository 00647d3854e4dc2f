"""Reads what the page of the system shows beside what operators watch: workers, the server, the schema."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import rows

#: Workers that a page names.
MOST_WORKERS = 50

SERVER = text("""
    SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS is_standby,
        current_setting('synchronous_commit') AS synchronous_commit, pg_postmaster_start_time() AS started_at""")

# Those that live, and those that ended within the hour: few rows, for the rest is forgotten after a week.
WORKERS = text("""
    SELECT id, place, pid, version, CASE WHEN state IN ('running', 'draining')
            AND heartbeat_at <= orch_now() - make_interval(secs => :dead_after_s) THEN 'silent' ELSE state END AS state,
        started_at, heartbeat_at, ended_at, swept_at, units_in_tasks, units_in_ticker
    FROM workers WHERE state IN ('running', 'draining') OR ended_at > orch_now() - interval '1 hour'
    ORDER BY state IN ('running', 'draining') DESC, id DESC LIMIT :limit""")


OWNED = text("SELECT EXISTS (SELECT FROM runs WHERE id = :run AND workspace_id = :workspace)")


async def server(connection: AsyncConnection) -> dict[str, Any]:
    """Return what the database server says of itself."""
    return dict((await connection.execute(SERVER)).one()._mapping)


async def workers(connection: AsyncConnection, *, dead_after_s: float) -> list[dict[str, Any]]:
    """Return the workers that live, then those that ended lately; one more than `MOST_WORKERS` where there are more."""
    values = {"dead_after_s": dead_after_s, "limit": MOST_WORKERS + 1}
    return [dict(row._mapping) for row in await rows(connection, WORKERS, values)]


async def is_owned(connection: AsyncConnection, workspace: UUID, run: UUID) -> bool:
    """Tell whether a run is the workspace's."""
    return bool((await connection.execute(OWNED, {"run": run, "workspace": workspace})).scalar_one())
