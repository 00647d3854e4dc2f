"""Batches: what they stand at, counted from their runs, and the marks that people and rules put on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import RunStatus
from orchestrator.storage import batch_pages, run_pages
from orchestrator.storage.database import one, rows
from orchestrator.storage.listening import LISTENS

_COLUMNS = """b.id, b.workspace_id, b.workflow_id, w.lane_id, b.name, b.external_id, b.total, b.refused, b.concurrency,
    b.wave_size, b.max_failures_count, b.max_failures_percent, b.created_at, b.created_by, b.paused_at,
    b.paused_because, b.cancelled_at, b.ended_at, b.final_counts, b.source_sha256, b.source_format, b.erased_at,
    w.remote_id AS workflow, w.name AS workflow_name, n.name AS connection"""

_FROM = "FROM batches b JOIN workflows w ON w.id = b.workflow_id JOIN connections n ON n.id = b.connection_id"

READ = text(f"SELECT {_COLUMNS} {_FROM} WHERE b.workspace_id = :workspace AND b.id = :id")

MANY = text(f"SELECT {_COLUMNS} {_FROM} WHERE b.id = ANY(CAST(:ids AS uuid[]))")

# Each of the page's few by its own key: its OFFSET keeps a planner that knows the table as short from reading it whole.
PAGE = f"""SELECT {_COLUMNS} FROM ({{ids}}) p CROSS JOIN LATERAL (SELECT * FROM batches WHERE id = p.id OFFSET 0) b
    JOIN workflows w ON w.id = b.workflow_id JOIN connections n ON n.id = b.connection_id ORDER BY b.id DESC"""  # noqa: S608

LOCK = text(f"""
    SELECT b.id, b.workspace_id, w.lane_id, b.total, b.paused_at, b.cancelled_at, b.ended_at, b.max_failures_count,
        b.max_failures_percent, b.excused_endings, b.excused_failures, b.erased_at, {LISTENS.format("b")} AS listens
    FROM batches b JOIN workflows w ON w.id = b.workflow_id WHERE b.id = :id FOR NO KEY UPDATE OF b""")  # noqa: S608

# By index alone. An ended batch keeps its counts on its row, so old batches cost nothing.
COUNTS = text("""
    SELECT batch_id, status, count(*)::int AS runs FROM runs
    WHERE batch_id = ANY(CAST(:ids AS uuid[])) GROUP BY batch_id, status""")

ANY_LIVE = text("""
    SELECT EXISTS (SELECT FROM runs WHERE batch_id = :id AND status = ANY(CAST(:live AS text[])))""")

# Asked after every ending, so it locks nothing: whoever ends the last run asks after its own commit, and sees it.
MAY_SETTLE = text("""
    SELECT b.id FROM batches b WHERE b.id = ANY(CAST(:ids AS uuid[])) AND b.ended_at IS NULL
        AND (b.max_failures_count IS NOT NULL OR b.max_failures_percent IS NOT NULL
            OR NOT EXISTS (SELECT FROM runs WHERE batch_id = b.id AND status = ANY(CAST(:live AS text[]))))
    ORDER BY b.id""")

END = text("UPDATE batches SET ended_at = orch_now(), final_counts = CAST(:counts AS jsonb) WHERE id = :id")
REOPEN = text("UPDATE batches SET ended_at = NULL, final_counts = NULL WHERE id = :id")
PAUSE = text("UPDATE batches SET paused_at = orch_now(), paused_because = :because WHERE id = :id")
# What failed before a person resumed is forgiven: the failure rule judges what comes after.
RESUME = text("""
    UPDATE batches b SET paused_at = NULL, paused_because = NULL, excused_endings = c.endings,
        excused_failures = c.failures
    FROM (SELECT count(*) FILTER (WHERE status IN ('error', 'result_lost'))::int AS failures,
                 count(*) FILTER (WHERE status IN ('error', 'result_lost', 'finished'))::int AS endings
          FROM runs WHERE batch_id = :id) c
    WHERE b.id = :id""")

LANE = text("SELECT w.lane_id FROM batches b JOIN workflows w ON w.id = b.workflow_id WHERE b.id = :id")

# Queued in a batch that was cancelled: a doubt that turned out not to have started, or a cancel cut half way.
QUEUED_IN_CANCELLED = text("""
    SELECT b.id, b.workspace_id FROM batches b WHERE b.ended_at IS NULL AND b.cancelled_at IS NOT NULL
        AND EXISTS (SELECT FROM runs r WHERE r.batch_id = b.id AND r.status = 'queued') ORDER BY b.id LIMIT 100""")
CANCEL = text("UPDATE batches SET cancelled_at = orch_now() WHERE id = :id")
UNCANCEL = text("UPDATE batches SET cancelled_at = NULL WHERE id = :id")

# An erased run has nothing left that could be launched or fetched: no bulk act takes it.
RUNS_IN = text("""
    SELECT id, status, attempt, execution_id FROM runs
    WHERE batch_id = :id AND status = ANY(CAST(:statuses AS text[])) AND erased_at IS NULL ORDER BY id LIMIT :limit""")

# A settle that was lost with its worker: the batch has no live run, and nobody has said so.
UNSETTLED = text("""
    SELECT b.id FROM batches b WHERE b.ended_at IS NULL AND NOT EXISTS (
        SELECT FROM runs r WHERE r.batch_id = b.id AND r.status = ANY(CAST(:live AS text[])))
    ORDER BY b.id LIMIT 100""")

# What has ended, by index; the rest of the batch is not read.
FINISHED_LATELY = text("""
    SELECT b.id, f.ended, extract(
        epoch FROM orch_now() - GREATEST(b.created_at, orch_now() - interval '2 minutes'))::float8 AS over_s
    FROM batches b, LATERAL (SELECT count(*)::int AS ended FROM runs r
        WHERE r.batch_id = b.id AND r.status IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned')
            AND r.ended_at > orch_now() - interval '2 minutes') f
    WHERE b.id = ANY(:ids) LIMIT 1000""")


#: Endings from which a rate may be told.
FEWEST_FOR_A_RATE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A batch with its counts by status."""

    id: UUID
    workspace_id: UUID
    workflow_id: UUID
    lane_id: UUID
    workflow: str
    workflow_name: str
    connection: str
    name: str | None
    external_id: str | None
    total: int
    refused: int
    concurrency: str
    wave_size: int | None
    created_at: datetime
    created_by: str
    paused_at: datetime | None
    paused_because: str | None
    cancelled_at: datetime | None
    ended_at: datetime | None
    erased_at: datetime | None
    source_sha256: str
    source_format: str
    max_failures_count: int | None
    max_failures_percent: float | None
    counts: Mapping[RunStatus, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedBatch:
    """A batch that this transaction has locked."""

    id: UUID
    workspace_id: UUID
    lane_id: UUID
    total: int
    is_paused: bool
    is_cancelled: bool
    has_ended: bool
    is_erased: bool
    max_failures_count: int | None
    max_failures_percent: float | None
    excused_endings: int
    excused_failures: int
    #: Whether a webhook may be told of it.
    listens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInBatch:
    """A run of a batch, as bulk verbs need it."""

    id: UUID
    status: RunStatus
    attempt: int
    execution_id: str | None


async def read(connection: AsyncConnection, workspace: UUID, batch_id: UUID) -> BatchRow | None:
    """Return one batch, or None when the workspace has no such."""
    row = await one(connection, READ, {"workspace": workspace, "id": batch_id})
    return None if row is None else (await _with_counts(connection, [row]))[0]


async def page(
    connection: AsyncConnection, workspace: UUID, conditions: Mapping[str, Any], *, limit: int
) -> list[BatchRow]:
    """Return batches that meet all conditions, by the names that `batch_pages` knows, newest first."""
    query = text(PAGE.format(ids=batch_pages.query(conditions)))
    values = {"workspace": workspace, "limit": limit, **run_pages.values(conditions)}
    return await _with_counts(connection, await rows(connection, query, values))


async def read_all(connection: AsyncConnection, batch_ids: Sequence[UUID]) -> list[BatchRow]:
    """Return some batches, whoever's they are."""
    return await _with_counts(connection, await rows(connection, MANY, {"ids": list(batch_ids)}))


async def lock(connection: AsyncConnection, batch_id: UUID) -> LockedBatch:
    """Lock a batch."""
    row = (await connection.execute(LOCK, {"id": batch_id})).one()
    return LockedBatch(
        id=row.id,
        workspace_id=row.workspace_id,
        lane_id=row.lane_id,
        total=row.total,
        is_paused=row.paused_at is not None,
        is_cancelled=row.cancelled_at is not None,
        has_ended=row.ended_at is not None,
        is_erased=row.erased_at is not None,
        max_failures_count=row.max_failures_count,
        max_failures_percent=row.max_failures_percent,
        excused_endings=row.excused_endings,
        excused_failures=row.excused_failures,
        listens=row.listens,
    )


async def lane_of(connection: AsyncConnection, batch_id: UUID) -> UUID:
    """Return a batch's lane, to be locked before the batch."""
    lane: UUID = (await connection.execute(LANE, {"id": batch_id})).scalar_one()
    return lane


async def queued_in_cancelled(connection: AsyncConnection) -> list[tuple[UUID, UUID]]:
    """Return cancelled batches that still have something queued: (batch, workspace)."""
    return [(row.id, row.workspace_id) for row in await rows(connection, QUEUED_IN_CANCELLED, {})]


async def counts(connection: AsyncConnection, batch_id: UUID) -> dict[RunStatus, int]:
    """Count a batch's runs by status, now."""
    found = await rows(connection, COUNTS, {"ids": [batch_id]})
    return {RunStatus(row.status): row.runs for row in found}


async def has_live_runs(connection: AsyncConnection, batch_id: UUID, live: Sequence[RunStatus]) -> bool:
    """Tell whether any run of the batch has not ended."""
    found: bool = (await connection.execute(ANY_LIVE, {"id": batch_id, "live": list(live)})).scalar_one()
    return found


async def that_may_settle(
    connection: AsyncConnection, batch_ids: Sequence[UUID], live: Sequence[RunStatus]
) -> list[UUID]:
    """Return, without a lock, those of some batches that may have ended, or have a rule to be judged."""
    found = await rows(connection, MAY_SETTLE, {"ids": list(batch_ids), "live": list(live)})
    return [row.id for row in found]


async def end(connection: AsyncConnection, batch_id: UUID, final: Mapping[RunStatus, int]) -> None:
    """Mark a batch as ended, with its last counts."""
    await connection.execute(END, {"id": batch_id, "counts": json.dumps(dict(final))})


async def mark(connection: AsyncConnection, batch_id: UUID, act: str, *, because: str | None = None) -> None:
    """Put or take a mark: `pause`, `resume`, `cancel`, `uncancel`, `reopen`."""
    query = {"pause": PAUSE, "resume": RESUME, "cancel": CANCEL, "uncancel": UNCANCEL, "reopen": REOPEN}[act]
    await connection.execute(query, {"id": batch_id, "because": because} if act == "pause" else {"id": batch_id})


async def runs_in(
    connection: AsyncConnection, batch_id: UUID, statuses: Sequence[RunStatus], *, limit: int
) -> list[RunInBatch]:
    """Return runs of a batch that stand in some statuses and were not erased, in id order."""
    values = {"id": batch_id, "statuses": list(statuses), "limit": limit}
    return [
        RunInBatch(id=r.id, status=RunStatus(r.status), attempt=r.attempt, execution_id=r.execution_id)
        for r in await rows(connection, RUNS_IN, values)
    ]


async def unsettled(connection: AsyncConnection, live: Sequence[RunStatus]) -> list[UUID]:
    """Return batches that have ended without anybody saying so."""
    return [row.id for row in await rows(connection, UNSETTLED, {"live": list(live)})]


async def rates(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, float | None]:
    """Return how many runs of each batch ended per minute over the last two minutes, None while too little is known."""
    found: dict[UUID, float | None] = dict.fromkeys(ids)
    for row in await rows(connection, FINISHED_LATELY, {"ids": list(ids)}) if ids else ():
        if row.ended >= FEWEST_FOR_A_RATE and row.over_s > 0:
            found[row.id] = row.ended * 60 / row.over_s
    return found


async def _with_counts(connection: AsyncConnection, found: Sequence[Row[Any]]) -> list[BatchRow]:
    live = [row.id for row in found if row.final_counts is None]
    by_id: dict[UUID, dict[RunStatus, int]] = {
        row.id: {RunStatus(s): n for s, n in (row.final_counts or {}).items()} for row in found
    }
    if live:
        for row in await rows(connection, COUNTS, {"ids": live}):
            by_id[row.batch_id][RunStatus(row.status)] = row.runs
    return [_batch(row, by_id[row.id]) for row in found]


def _batch(row: Row[Any], by_status: Mapping[RunStatus, int]) -> BatchRow:
    fields = {name: row._mapping[name] for name in BatchRow.__slots__ if name in row._mapping}
    return BatchRow(**{**fields, "source_sha256": bytes(row.source_sha256).hex(), "counts": by_status})
