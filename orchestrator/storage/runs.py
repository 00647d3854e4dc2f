"""Reads runs: one, a page of them, and what explains why one waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.operator_decisions import RunFacts
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.watching import Origin
from orchestrator.storage import run_pages
from orchestrator.storage.database import one, rows

_COLUMNS = """r.id, r.workspace_id, w.lane_id, r.batch_id, r.index, r.external_id, r.status, r.provider_status,
    r.results_state, r.attempt, r.execution_id, r.error_code, r.error_message, r.cancel_requested, r.input_bytes,
    encode(r.input_sha256, 'hex') AS input_sha256, r.created_at, r.created_by, r.launched_at, r.status_at, r.ended_at,
    r.workflow_id AS workflow, w.remote_id AS workflow_id, w.name AS workflow_name, n.name AS connection,
    n.provider, n.console_url, n.paused_at AS connection_paused_at, w.launches_blocked_until,
    w.launches_blocked_because, t.kind AS timer_kind, t.due_at, GREATEST(t.looks, e.looks) AS looks, t.looked_at,
    e.progress_fraction, e.progress_message, e.estimated_completion_at,
    t.tries, t.worker_id, t.deadline_at, t.position, t.wave_id, e.wave_id AS execution_wave_id,
    b.paused_at AS batch_paused_at, b.paused_because AS batch_paused_because, r.erased_at, r.event_seq, r.origin"""

_FROM = """FROM runs r JOIN workflows w ON w.id = r.workflow_id JOIN connections n ON n.id = r.connection_id
    LEFT JOIN timers t ON t.subject_id = r.id LEFT JOIN batches b ON b.id = r.batch_id
    LEFT JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt"""

READ = text(f"SELECT {_COLUMNS} {_FROM} WHERE r.workspace_id = :workspace AND r.id = :id")

IDS_OF_BATCH = text("""
    SELECT id FROM runs WHERE batch_id = :batch AND workspace_id = :workspace ORDER BY index LIMIT 10000""")
STATES = text("SELECT id, status, event_seq FROM runs WHERE id = ANY(CAST(:ids AS uuid[]))")

LABELS = text("""
    SELECT run_id, key, value FROM labels WHERE run_id = ANY(CAST(:ids AS uuid[])) ORDER BY run_id, key""")

FILES = text("""
    SELECT a.run_id, a.attempt, a.n, a.filename, a.size_bytes, encode(a.sha256, 'hex') AS sha256, a.store_key,
        a.stored_at, a.failure, a.url_expires_at, a.erased_at
    FROM artifacts a JOIN runs r ON r.id = a.run_id AND r.attempt = a.attempt
    WHERE a.run_id = ANY(CAST(:ids AS uuid[])) ORDER BY a.run_id, a.n""")

# One file, by primary keys alone: a batch's results are fetched by the thousand.
FILE = text("""
    SELECT a.run_id, a.attempt, a.n, a.filename, a.size_bytes, encode(a.sha256, 'hex') AS sha256, a.store_key,
        a.stored_at, a.failure, a.url_expires_at, a.erased_at
    FROM runs r JOIN artifacts a ON a.run_id = r.id AND a.attempt = r.attempt AND a.n = :n
    WHERE r.id = :id AND r.workspace_id = :workspace""")

LOCK = text("""
    SELECT r.id, r.status, r.attempt, r.batch_id, r.execution_id, r.connection_id, e.wave_id, e.position,
        b.cancelled_at IS NOT NULL AS batch_is_cancelled, r.erased_at, r.origin
    FROM runs r LEFT JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    LEFT JOIN batches b ON b.id = r.batch_id
    WHERE r.workspace_id = :workspace AND r.id = :id FOR UPDATE OF r""")

# An operator's act voids what a worker may be doing with the run: its fence is another from now on.
VOID_CLAIM = text("UPDATE timers SET fence = 0, worker_id = NULL WHERE subject_id = ANY(CAST(:ids AS uuid[]))")

LOOK_NOW = text("""
    UPDATE timers SET due_at = orch_now(), urgency = 1 WHERE subject_id = :id AND kind = 'poll' RETURNING lane_id""")

# Live runs only, by their small index: a count of all that ever ended would grow without end.
BY_STATUS = text("""
    SELECT status, count(*)::int AS runs FROM runs
    WHERE status NOT IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned') GROUP BY status""")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run with all that says where it stands and why it waits."""

    id: UUID
    workspace_id: UUID
    lane_id: UUID
    batch_id: UUID | None
    index: int | None
    external_id: str | None
    status: RunStatus
    provider_status: str | None
    results_state: str
    attempt: int
    execution_id: str | None
    error_code: str | None
    error_message: str | None
    cancel_requested: bool
    input_bytes: int
    input_sha256: str
    created_at: datetime
    created_by: str
    launched_at: datetime | None
    status_at: datetime
    ended_at: datetime | None
    workflow: UUID
    workflow_id: str
    workflow_name: str
    connection: str
    provider: str
    console_url: str | None
    connection_paused_at: datetime | None
    launches_blocked_until: datetime | None
    launches_blocked_because: str | None
    timer_kind: str | None
    due_at: datetime | None
    looks: int | None
    looked_at: datetime | None
    progress_fraction: float | None
    progress_message: str | None
    estimated_completion_at: datetime | None
    tries: int | None
    worker_id: UUID | None
    deadline_at: datetime | None
    position: int | None
    wave_id: UUID | None
    execution_wave_id: UUID | None
    batch_paused_at: datetime | None
    batch_paused_because: str | None
    erased_at: datetime | None
    event_seq: int
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRun:
    """A run that this transaction has locked, as operator decisions need it."""

    facts: RunFacts
    batch_id: UUID | None
    batch_is_cancelled: bool
    connection_id: UUID
    wave_id: UUID | None
    position: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """A result file of a run's present attempt."""

    run_id: UUID
    attempt: int
    n: int
    filename: str
    size_bytes: int | None
    sha256: str | None
    store_key: str | None
    stored_at: datetime | None
    failure: str | None
    url_expires_at: datetime | None
    erased_at: datetime | None


async def read(connection: AsyncConnection, workspace: UUID, run_id: UUID) -> RunRow | None:
    """Return one run, or None when the workspace has no such."""
    row = await one(connection, READ, {"workspace": workspace, "id": run_id})
    return None if row is None else _run(row)


async def page(
    connection: AsyncConnection, workspace: UUID, conditions: Mapping[str, Any], *, limit: int
) -> list[RunRow]:
    """Return runs that meet all conditions: newest first, within a batch in the file's order.

    Args:
        conditions: by the names that `run_pages` knows; those that are absent do not narrow.
    """
    order = "r.index" if "batch" in conditions else "r.id DESC"
    found_ids = run_pages.query(conditions)
    # Its LIMIT is a fence: the page is found before anything is joined to it.
    query = text(f"SELECT {_COLUMNS} {_FROM} JOIN ({found_ids}) page ON page.id = r.id ORDER BY {order}")
    values = {"workspace": workspace, "limit": limit, **run_pages.values(conditions)}
    found = await rows(connection, query, values)
    return [_run(row) for row in found]


async def ids_of_batch(connection: AsyncConnection, workspace: UUID, batch_id: UUID) -> list[UUID]:
    """Return the ids of a batch's runs in the file's order: all of them, for no batch has more than 10,000."""
    return [row.id for row in await rows(connection, IDS_OF_BATCH, {"workspace": workspace, "batch": batch_id})]


async def last_judged(connection: AsyncConnection, workspace: UUID, conditions: Mapping[str, Any]) -> UUID | None:
    """Return the run at which a page stops looking for more, None when it looks at all there are."""
    query = run_pages.last_judged(conditions)
    if query is None:
        return None
    row = await one(connection, text(query), {"workspace": workspace, **run_pages.values(conditions)})
    return None if row is None else row.run_id


async def states(connection: AsyncConnection, run_ids: Sequence[UUID]) -> dict[UUID, tuple[str, int]]:
    """Return how some runs stand, and how many events each has."""
    found = await rows(connection, STATES, {"ids": list(run_ids)})
    return {row.id: (row.status, row.event_seq) for row in found}


async def labels(connection: AsyncConnection, run_ids: Sequence[UUID]) -> dict[UUID, dict[str, str]]:
    """Return the labels of some runs."""
    found: dict[UUID, dict[str, str]] = {}
    for row in await rows(connection, LABELS, {"ids": list(run_ids)}):
        found.setdefault(row.run_id, {})[row.key] = row.value
    return found


async def files(connection: AsyncConnection, run_ids: Sequence[UUID]) -> dict[UUID, list[FileRow]]:
    """Return the result files of the present attempts of some runs."""
    found: dict[UUID, list[FileRow]] = {}
    for row in await rows(connection, FILES, {"ids": list(run_ids)}):
        found.setdefault(row.run_id, []).append(FileRow(**row._mapping))
    return found


async def file(connection: AsyncConnection, workspace: UUID, run_id: UUID, n: int) -> FileRow | None:
    """Return one result file of a run's present attempt, None when there is no such run or file."""
    row = await one(connection, FILE, {"workspace": workspace, "id": run_id, "n": n})
    return None if row is None else FileRow(**row._mapping)


async def lock(connection: AsyncConnection, workspace: UUID, run_id: UUID) -> LockedRun | None:
    """Lock a run for an operator's act. Lane and batch are to be locked before."""
    row = await one(connection, LOCK, {"workspace": workspace, "id": run_id})
    if row is None:
        return None
    facts = RunFacts(
        run_id=row.id,
        status=RunStatus(row.status),
        attempt=row.attempt,
        of_batch=row.batch_id is not None,
        execution_id=row.execution_id,
        is_erased=row.erased_at is not None,
        is_observed=row.origin == Origin.OBSERVED,
    )
    return LockedRun(
        facts=facts,
        batch_id=row.batch_id,
        batch_is_cancelled=bool(row.batch_is_cancelled),
        connection_id=row.connection_id,
        wave_id=row.wave_id,
        position=row.position,
    )


async def void_claims(connection: AsyncConnection, run_ids: Sequence[UUID]) -> None:
    """Make whatever workers are doing with these runs come to nothing."""
    await connection.execute(VOID_CLAIM, {"ids": list(run_ids)})


async def look_now(connection: AsyncConnection, run_id: UUID) -> UUID | None:
    """Make a run's next look due at once; returns its lane, None when nobody looks at it."""
    row = await one(connection, LOOK_NOW, {"id": run_id})
    return None if row is None else row.lane_id


async def count_by_status(connection: AsyncConnection) -> dict[str, int]:
    """Count the live runs by status, for the metrics."""
    return {row.status: row.runs for row in await rows(connection, BY_STATUS, {})}


def _run(row: Row[Any]) -> RunRow:
    return RunRow(**{**row._mapping, "status": RunStatus(row.status)})
