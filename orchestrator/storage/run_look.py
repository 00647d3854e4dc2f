"""Reads what a run's page shows beside the run: its attempts, its input, how many runs a list has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Head
from orchestrator.domain.overview import CAP
from orchestrator.storage import run_pages
from orchestrator.storage.database import one, rows

MOST_ATTEMPTS = 100

ATTEMPTS = text(f"""
    SELECT e.attempt, e.state, e.remote_id AS execution_id, e.wave_id, e.began_at, e.accepted_at, e.ended_at,
        GREATEST(e.looks, t.looks) AS looks, t.looked_at AS last_look_at, t.due_at AS next_due_at, t.kind AS next_kind
    FROM executions e JOIN runs r ON r.id = e.run_id AND r.workspace_id = :workspace
    LEFT JOIN timers t ON t.subject_id = e.run_id AND e.attempt = r.attempt
    WHERE e.run_id = :run ORDER BY e.attempt DESC LIMIT {MOST_ATTEMPTS}""")  # noqa: S608 - our own words

INPUT = text("""
    SELECT substr(i.body, 1, :most) AS head, length(i.body) AS size_bytes
    FROM inputs i JOIN runs r ON r.id = i.run_id AND r.workspace_id = :workspace WHERE i.run_id = :run""")

HEAD = text("SELECT event_seq, event_hash FROM runs WHERE workspace_id = :workspace AND id = :run")


async def attempts(connection: AsyncConnection, workspace: UUID, run_id: UUID) -> list[dict[str, Any]]:
    """Return a run's attempts at the provider, the latest first."""
    found = await rows(connection, ATTEMPTS, {"workspace": workspace, "run": run_id})
    return [dict(row._mapping) for row in found]


async def input_head(
    connection: AsyncConnection, workspace: UUID, run_id: UUID, *, most: int
) -> tuple[bytes, int] | None:
    """Return the first bytes of a run's input and how many there are, None when it was erased."""
    row = await one(connection, INPUT, {"workspace": workspace, "run": run_id, "most": most})
    return None if row is None else (bytes(row.head), row.size_bytes)


async def head(connection: AsyncConnection, workspace: UUID, run_id: UUID) -> Head | None:
    """Return where a run's history ends, as its row says; None when the workspace has no such run."""
    row = await one(connection, HEAD, {"workspace": workspace, "run": run_id})
    return None if row is None else Head(seq=row.event_seq, hash=bytes(row.event_hash))


async def count(connection: AsyncConnection, workspace: UUID, conditions: Mapping[str, Any]) -> int:
    """Count the runs that meet all conditions, up to `CAP` + 1, by the indexes of a page."""
    query = text(f"SELECT count(*)::int AS runs FROM ({run_pages.query(conditions)}) found")  # noqa: S608 - our own words
    values = {"workspace": workspace, "limit": CAP + 1, **run_pages.values(conditions)}
    found: int = (await connection.execute(query, values)).scalar_one()
    return found
