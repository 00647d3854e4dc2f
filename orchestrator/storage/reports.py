"""Opens a report's transaction, and counts what it says of its runs: where they stand, how they got there, how fast.

One REPEATABLE READ, READ ONLY transaction: every figure is as of the same moment, and nothing is locked. Counting a
million runs takes seconds of one core; what a worker does meanwhile it does undisturbed.
"""

# ruff: noqa: S608 -- queries are put together once, of constants of ours; whatever comes from outside is bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.report.buckets import BOUNDS_S
from orchestrator.domain.report.figures import Cause, FirstOutcome, Part, Pass, Slice, Timing
from orchestrator.domain.statuses import ENDINGS, RunStatus
from orchestrator.errors import Unavailable
from orchestrator.storage.database import now, one, rows
from orchestrator.storage.patience import take_time
from orchestrator.storage.report_scope import BATCHES, RUNS, Scope, ScopeKind, fact

#: One statement of a report may take so long, seconds; ordinary ones have 20.
STATEMENT_S = 240

#: Reports that are counted at the same time in one database.
AT_ONCE = 2

#: Batches of a period that are listed; there may be more.
MAX_PARTS = 200

SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

# Not a lock on any row: a turnstile for reports alone, free again when the transaction ends.
TURNSTILE = text("SELECT pg_try_advisory_xact_lock(7205020, :place)")

BATCH = text("""
    SELECT b.name, b.external_id, b.total, b.refused, b.concurrency, b.created_at, b.created_by, b.paused_because,
        b.cancelled_at, b.ended_at, b.erased_at, encode(b.source_sha256, 'hex') AS source_sha256, b.source_format,
        w.name AS workflow_name, w.remote_id AS workflow, n.name AS connection
    FROM batches b JOIN workflows w ON w.id = b.workflow_id JOIN connections n ON n.id = b.connection_id
    WHERE b.workspace_id = :workspace AND b.id = :batch""")

WORKFLOW = text("SELECT name FROM workflows WHERE workspace_id = :workspace AND remote_id = :workflow LIMIT 1")

WORKSPACE = text("SELECT name FROM workspaces WHERE id = :workspace")

# The first and the last id bound the partitions of events that the other queries read.
SPREAD = {
    kind: text(f"""
    SELECT count(*)::int AS runs, count(*) FILTER (WHERE r.batch_id IS NULL AND r.origin = 'submitted')::int AS singles,
        count(*) FILTER (WHERE r.origin = 'observed')::int AS observed,
        min(r.id::text COLLATE "C")::uuid AS first, max(r.id::text COLLATE "C")::uuid AS last,
        min(r.created_at) AS first_created_at, max(r.created_at) AS last_created_at,
        min(r.ended_at) AS first_ended_at, max(r.ended_at) AS last_ended_at, count(r.erased_at)::int AS erased
    FROM runs r WHERE {where}""")
    for kind, where in RUNS.items()
}

STATUSES = {
    kind: text(f"""
    SELECT r.status, r.error_code, count(*)::int AS runs FROM runs r WHERE {where} GROUP BY 1, 2 ORDER BY 3 DESC""")
    for kind, where in RUNS.items()
}

# A run at its first attempt is what it is. Of the others, the event that began attempt 2 says what became of the first.
PASSES = {
    kind: text(f"""
    SELECT CASE WHEN r.attempt > 1 THEN f.first WHEN r.status = ANY(CAST(:endings AS text[])) THEN r.status
        ELSE 'open' END AS first, r.status AS final, count(*)::int AS runs
    FROM runs r LEFT JOIN LATERAL (
        SELECT CASE WHEN e.type = 'reopened' THEN {fact("e", "was")} ELSE 'doubted' END AS first FROM events e
        WHERE r.attempt > 1 AND e.stream = r.id AND (e.type = 'relaunched'
            OR (e.type = 'reopened' AND {fact("e", "attempt")} = '2')
            OR (e.type = 'doubt_resolved' AND {fact("e", "how")} = 'relaunch'))
        ORDER BY e.seq LIMIT 1) f ON true
    WHERE {where} GROUP BY 1, 2 ORDER BY 3 DESC""")
    for kind, where in RUNS.items()
}

# By when a batch's runs ended; by when a period's runs were accepted, so that all of them are on the chart.
_STEPS = {ScopeKind.BATCH: "r.ended_at", ScopeKind.PERIOD: "r.created_at", ScopeKind.WORKFLOW: "r.created_at"}

SLICES = {
    kind: text(f"""
    SELECT date_bin(make_interval(secs => :step_s), {_STEPS[kind]} AT TIME ZONE CAST(:zone AS text),
        timestamp '2001-01-01') AS at, r.status, count(*)::int AS runs
    FROM runs r WHERE {where} AND {_STEPS[kind]} IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2""")
    for kind, where in RUNS.items()
}

DURATIONS = {
    kind: text(f"""
    SELECT width_bucket(extract(epoch FROM r.ended_at - r.created_at)::float8, CAST(:bounds AS float8[])) AS n,
        count(*)::int AS runs
    FROM runs r WHERE {where} AND r.status = 'finished' AND r.ended_at IS NOT NULL GROUP BY 1""")
    for kind, where in RUNS.items()
}

#: name -> (what is measured, as seconds; from where; for which rows).
_MEASURES: Mapping[str, tuple[str, str, str]] = {
    "waiting to launch": (
        "e.accepted_at - r.created_at",
        "runs r JOIN executions e ON e.run_id = r.id AND e.attempt = 1",
        "e.accepted_at IS NOT NULL",
    ),
    "at the provider": (
        "e.ended_at - e.accepted_at",
        "runs r JOIN executions e ON e.run_id = r.id",
        "e.state = 'ended' AND e.accepted_at IS NOT NULL AND e.ended_at IS NOT NULL",
    ),
    "with a person": (
        "i.closed_at - i.opened_at",
        "runs r JOIN inbox i ON i.run_id = r.id",
        "i.kind = 'human' AND i.closed_at IS NOT NULL",
    ),
    "storing a file": (
        "a.stored_at - a.offered_at",
        "runs r JOIN artifacts a ON a.run_id = r.id",
        "a.stored_at IS NOT NULL",
    ),
    "to result": ("r.ended_at - r.created_at", "runs r", "r.status = 'finished' AND r.ended_at IS NOT NULL"),
}

TIMINGS = {
    kind: {
        name: text(f"""
    SELECT count(*)::int AS count, percentile_disc(0.5) WITHIN GROUP (ORDER BY v.s) AS p50_s,
        percentile_disc(0.95) WITHIN GROUP (ORDER BY v.s) AS p95_s, max(v.s) AS max_s
    FROM (SELECT extract(epoch FROM {what})::float8 AS s FROM {source} WHERE {where} AND {condition}) v""")
        for name, (what, source, condition) in _MEASURES.items()
    }
    for kind, where in RUNS.items()
}

PARTS = {
    kind: text(f"""
    SELECT r.batch_id::text AS batch, b.name, w.remote_id AS workflow, count(*)::int AS runs,
        count(*) FILTER (WHERE r.status = 'finished')::int AS finished,
        count(*) FILTER (WHERE r.status IN ('error', 'result_lost', 'abandoned'))::int AS failed,
        count(*) FILTER (WHERE r.status = 'cancelled')::int AS cancelled,
        count(*) FILTER (WHERE r.status <> ALL(CAST(:endings AS text[])))::int AS open
    FROM runs r JOIN workflows w ON w.id = r.workflow_id LEFT JOIN batches b ON b.id = r.batch_id
    WHERE {where} GROUP BY 1, 2, 3 ORDER BY min(r.created_at), 1 LIMIT {MAX_PARTS}""")
    for kind, where in RUNS.items()
}

QUESTIONS = {
    kind: text(f"""
    SELECT i.kind, count(*)::int AS questions FROM inbox i WHERE i.closed_at IS NULL AND (
        EXISTS (SELECT FROM runs r WHERE r.id = i.run_id AND {where})
        OR (i.run_id IS NULL AND EXISTS (SELECT FROM batches b WHERE b.id = i.batch_id AND {BATCHES[kind]})))
    GROUP BY 1 ORDER BY 1""")
    for kind, where in RUNS.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How many runs there are, and between which ids and times they lie; None where there is none."""

    runs: int
    singles: int
    observed: int
    erased: int
    first: UUID | None
    last: UUID | None
    first_created_at: datetime | None
    last_created_at: datetime | None
    first_ended_at: datetime | None
    last_ended_at: datetime | None


async def begin(connection: AsyncConnection) -> datetime:
    """Make the transaction a report's: one snapshot, read only, patient. Returns the moment that it shows.

    Raises:
        Unavailable: as many reports as may be are being made.
    """
    await connection.execute(SNAPSHOT)
    await take_time(connection, STATEMENT_S)
    for place in range(AT_ONCE):
        if (await connection.execute(TURNSTILE, {"place": place})).scalar_one():
            return await now(connection)
    raise Unavailable(
        f"{AT_ONCE} reports are being made already", code="reports_busy", hint="try again in a minute", retry_after_s=30
    )


async def batch(connection: AsyncConnection, scope: Scope) -> Mapping[str, Any] | None:
    """Return what a batch is, None when the workspace has no such."""
    row = await one(connection, BATCH, scope.values())
    return None if row is None else dict(row._mapping)


async def workflow_name(connection: AsyncConnection, workspace: UUID, workflow: str) -> str | None:
    """Return a workflow's name, None when the workspace has no such."""
    name: str | None = (await connection.execute(WORKFLOW, {"workspace": workspace, "workflow": workflow})).scalar()
    return name


async def workspace_name(connection: AsyncConnection, workspace: UUID) -> str:
    """Return a workspace's name."""
    name: str = (await connection.execute(WORKSPACE, {"workspace": workspace})).scalar_one()
    return name


async def spread(connection: AsyncConnection, scope: Scope) -> Spread:
    """Count the runs, and return between which ids and times they lie."""
    row = (await connection.execute(SPREAD[scope.kind], scope.values())).one()
    return Spread(**row._mapping)


async def statuses(connection: AsyncConnection, scope: Scope) -> tuple[dict[RunStatus, int], list[Cause]]:
    """Return the runs by status; and those that have an error, by its code, the most frequent first."""
    by_status: dict[RunStatus, int] = {}
    causes = []
    for row in await rows(connection, STATUSES[scope.kind], scope.values()):
        status = RunStatus(row.status)
        by_status[status] = by_status.get(status, 0) + row.runs
        if row.error_code is not None:
            causes.append(Cause(status=status, code=row.error_code, runs=row.runs))
    return by_status, causes


async def passes(connection: AsyncConnection, scope: Scope) -> list[Pass]:
    """Return how the first attempts ended, and where their runs stand."""
    values = scope.values() | {"endings": sorted(ENDINGS)}
    known = set(FirstOutcome)
    return [
        Pass(first=FirstOutcome(row.first) if row.first in known else None, final=RunStatus(row.final), runs=row.runs)
        for row in await rows(connection, PASSES[scope.kind], values)
    ]


async def slices(connection: AsyncConnection, scope: Scope, *, step_s: int, zone: str) -> list[Slice]:
    """Return the runs by status in steps of time, in the zone's own days."""
    values = scope.values() | {"step_s": step_s, "zone": zone}
    return [
        Slice(at=row.at, status=RunStatus(row.status), runs=row.runs)
        for row in await rows(connection, SLICES[scope.kind], values)
    ]


async def durations(connection: AsyncConnection, scope: Scope) -> dict[float | None, int]:
    """Return how many finished runs took less than each bound and not less than the one before."""
    values = scope.values() | {"bounds": list(BOUNDS_S)}
    found = await rows(connection, DURATIONS[scope.kind], values)
    return {BOUNDS_S[row.n] if row.n < len(BOUNDS_S) else None: row.runs for row in found}


async def timings(connection: AsyncConnection, scope: Scope) -> list[Timing]:
    """Return how long each part of the way took."""
    found = []
    for name, query in TIMINGS[scope.kind].items():
        row = (await connection.execute(query, scope.values())).one()
        found.append(Timing(name=name, **row._mapping))
    return found


async def parts(connection: AsyncConnection, scope: Scope) -> Sequence[Part]:
    """Return a period's batches and single runs, at most `MAX_PARTS` lines, the oldest first."""
    values = scope.values() | {"endings": sorted(ENDINGS)}
    return [Part(**row._mapping) for row in await rows(connection, PARTS[scope.kind], values)]


async def questions(connection: AsyncConnection, scope: Scope) -> dict[str, int]:
    """Return the questions that wait for a person, by kind."""
    return {row.kind: row.questions for row in await rows(connection, QUESTIONS[scope.kind], scope.values())}
