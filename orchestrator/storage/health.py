"""Reads what operators watch. Each read is bounded by what lives, never by what has ended; `ended` is the exception."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.breaker import Breaker, BreakerState
from orchestrator.domain.file_failures import parted
from orchestrator.domain.sights import (
    AT_RISK_S,
    DoubtsSight,
    HoldSight,
    InboxSight,
    LaneSight,
    ResultsSight,
    Sights,
    SlotsSight,
    WorkersSight,
)
from orchestrator.storage import deliveries, endings, retention
from orchestrator.storage.database import one, rows
from orchestrator.storage.slots import SINGLE_SLOTS, WAVE_SLOTS

# A look that takes longer than this is of no use to a scrape, and is in the way of the work.
BOUND = text("SET LOCAL statement_timeout = '10s'")

# Lower bounds are enough here: a lane that has been due for long is not being served.
OLDEST_DUE = text(f"""
    SELECT 'launch' AS kind, min(launch_due_at) AS due_at FROM lanes
    UNION ALL SELECT 'poll', min(poll_due_at) FROM lanes
    UNION ALL SELECT 'download', min(due_at) FROM timers WHERE kind = 'download'
    UNION ALL SELECT 'sweep', min(due_at) FROM timers WHERE kind = 'sending'
    UNION ALL SELECT 'fire', LEAST((SELECT min(next_at) FROM schedules WHERE removed_at IS NULL),
        (SELECT min(due_at) FROM fires WHERE due_at IS NOT NULL))
    UNION ALL SELECT 'deliver', ({deliveries.DUE_SINCE})""")  # noqa: S608 - our own words

# Those with work, or that are stopped, first: a lane that waits for a person must not vanish from the graphs.
LANES = text("""
    SELECT l.id, c.names, l.requests_per_minute, l.breaker, l.breaker_trips, l.breaker_probe_at, l.blocked_until,
        l.launches_stopped, l.launches_stopped_at, l.told_limit,
        (SELECT COALESCE(sum((s->>2)::int), 0)::int FROM jsonb_array_elements(l.spent) s
            WHERE (s->>0)::bigint > extract(epoch FROM orch_now()) * 1000)
            + (SELECT COALESCE(sum(g.count), 0)::int FROM grants g WHERE g.lane_id = l.id) AS used,
        (SELECT count(*)::int FROM workflows w WHERE w.lane_id = l.id AND w.launches_blocked_until > orch_now())
            AS resting_workflows
    FROM lanes l, LATERAL (
        SELECT string_agg(name, ',' ORDER BY name) AS names FROM (SELECT DISTINCT name FROM connections
            WHERE lane_id = l.id AND removed_at IS NULL ORDER BY name LIMIT 5) n) c
    WHERE c.names IS NOT NULL
    ORDER BY l.launch_due_at IS NULL AND l.poll_due_at IS NULL AND l.launches_stopped IS NULL, l.id LIMIT 500""")

# By the index of live runs; of each its own few files, by primary key. They come counted, by what failed.
RESULTS = text("""
    SELECT f.failure, count(*)::int AS runs, min(f.dies_at) AS dies_at,
        count(*) FILTER (WHERE f.dies_at < orch_now() + make_interval(secs => :at_risk_s))::int AS at_risk,
        (array_agg(r.id ORDER BY f.dies_at, r.id))[1] AS first
    FROM (SELECT id, attempt FROM runs WHERE status = 'downloading' LIMIT 50000) r,
        LATERAL (SELECT min(a.url_expires_at) AS dies_at, min(a.failure) AS failure FROM artifacts a
            WHERE a.run_id = r.id AND a.attempt = r.attempt AND a.stored_at IS NULL) f
    GROUP BY f.failure""")

DOUBTS = text("""
    SELECT count(*)::int AS runs, count(DISTINCT e.wave_id)::int AS waves,
        count(*) FILTER (WHERE e.wave_id IS NULL)::int AS singles, min(r.status_at) AS since
    FROM runs r LEFT JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt WHERE r.status = 'in_doubt'""")

WORKERS = text("""
    WITH seen AS (SELECT id, state, ended_at, buried_at, heartbeat_at,
        state IN ('running', 'draining') AND heartbeat_at <= orch_now() - make_interval(secs => :dead_after_s)
            AS silent,
        state = 'dead' AND ended_at > orch_now() - interval '1 hour' AS died FROM workers)
    SELECT count(*) FILTER (WHERE state = 'running' AND NOT silent)::int AS running,
        count(*) FILTER (WHERE state = 'draining' AND NOT silent)::int AS draining,
        count(*) FILTER (WHERE silent)::int AS silent, count(*) FILTER (WHERE died)::int AS dead,
        count(*) FILTER (WHERE state = 'dead' AND buried_at IS NULL)::int AS unburied,
        (array_agg(id ORDER BY id DESC) FILTER (WHERE died AND ended_at > orch_now() - interval '10 minutes'))[1:20]
            AS dead_lately,
        extract(epoch FROM max(buried_at - heartbeat_at) FILTER (WHERE died))::float AS recovery_s,
        (SELECT extract(epoch FROM orch_now() - max(swept_at))::float FROM workers) AS swept_ago_s
    FROM seen""")

INBOX = text("""
    SELECT kind, count(*)::int AS items, min(opened_at) AS oldest_at FROM inbox WHERE closed_at IS NULL
    GROUP BY kind ORDER BY kind""")

# Workflows with something to launch; what holds their slots is found by two small partial indexes.
SLOTS = text(f"""
    SELECT w.remote_id, n.name AS connection, n.workspace_id, n.max_concurrent, {SINGLE_SLOTS} + {WAVE_SLOTS} AS used,
        GREATEST((SELECT max(e.began_at) FROM executions e WHERE e.workflow_id = w.id AND e.wave_id IS NULL
                AND (e.state IN ('launching', 'open') OR e.slot_until IS NOT NULL)),
            (SELECT max(v.created_at) FROM waves v WHERE v.workflow_id = w.id
                AND v.state IN ('launching', 'open', 'in_doubt'))) AS launched_at
    FROM workflows w JOIN connections n ON n.id = w.connection_id
    WHERE n.paused_at IS NULL AND EXISTS (SELECT FROM timers t WHERE t.workflow_id = w.id AND t.kind = 'launch')
    ORDER BY w.id LIMIT 200""")  # noqa: S608 - our own words

SIGNED = text("""
    SELECT extract(epoch FROM orch_now() - min(COALESCE(c.at, w.created_at)))::float AS ago_s
    FROM workspaces w LEFT JOIN LATERAL (SELECT at FROM checkpoints k WHERE k.workspace_id = w.id
        ORDER BY k.number DESC LIMIT 1) c ON true""")

HOLDS = text("SELECT code, because, held_at FROM launch_holds ORDER BY held_at LIMIT 10")

OVERDUE = text("SELECT count(*)::int AS runs FROM timers WHERE kind = 'poll' AND stage >= 1")

# Live runs of open batches, by the index of live runs: what has ended in them is the rest of their total.
OPEN_BATCHES = text("""
    SELECT b.id, b.total, b.paused_at IS NOT NULL AS paused, b.cancelled_at IS NOT NULL AS cancelled, r.status, r.runs
    FROM (SELECT * FROM batches WHERE ended_at IS NULL ORDER BY id DESC LIMIT 5000) b LEFT JOIN (
        SELECT batch_id, status, count(*)::int AS runs FROM runs
        WHERE status NOT IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned') AND batch_id IS NOT NULL
        GROUP BY batch_id, status) r ON r.batch_id = b.id""")

# These two grow with all that ever ended: 0.2 s for a million runs. Whoever asks spaces its questions by their cost.
ENDED_RUNS = text("""
    SELECT status, count(*)::bigint AS runs FROM runs
    WHERE status IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned') GROUP BY status""")

ENDED_BATCHES = text("""
    SELECT cancelled_at IS NOT NULL AS cancelled, COALESCE((final_counts->>'cancelled')::int, 0) > 0 AS has_cancelled,
        COALESCE((final_counts->>'finished')::int, 0) < total AS has_others, count(*)::bigint AS batches
    FROM batches WHERE ended_at IS NOT NULL GROUP BY 1, 2, 3""")

# The oldest that runs watches for all, the oldest of a place for that place: ids are in the order of their making.
WATCHERS = text("""
    WITH alive AS (SELECT id, place FROM workers
        WHERE state = 'running' AND heartbeat_at > orch_now() - make_interval(secs => :fresh_s))
    SELECT (SELECT id FROM alive ORDER BY id LIMIT 1) AS of_all,
        (SELECT id FROM alive WHERE place = :place ORDER BY id LIMIT 1) AS of_place""")

REVISION = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch:
    """A batch that has not ended: what of it lives, by status."""

    total: int
    paused: bool
    cancelled: bool
    live: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedBatches:
    """Batches that ended alike, and how many they are."""

    cancelled: bool
    has_cancelled: bool
    has_others: bool
    batches: int


async def sights(connection: AsyncConnection, now: datetime, *, dead_after_s: float) -> Sights:
    """Return what operators watch, of all workspaces."""
    await connection.execute(BOUND)
    return Sights(
        now=now,
        due_since=await due_since(connection),
        lanes=await _lanes(connection),
        results=await _results(connection),
        doubts=DoubtsSight(**(await connection.execute(DOUBTS)).one()._mapping),
        workers=await _workers(connection, dead_after_s),
        inbox=tuple(InboxSight(**row._mapping) for row in await rows(connection, INBOX, {})),
        slots=tuple(
            SlotsSight(
                workflow_id=row.remote_id,
                connection=row.connection,
                used=row.used,
                limit=row.max_concurrent,
                launched_at=row.launched_at,
                workspace_id=row.workspace_id,
            )
            for row in await rows(connection, SLOTS, {})
        ),
        launch_holds=tuple(HoldSight(**row._mapping) for row in await rows(connection, HOLDS, {})),
        endings=await endings.known(connection),
        signed_ago_s=(await connection.execute(SIGNED)).scalar_one(),
        unproven_months=await retention.unproven(connection),
    )


async def due_since(connection: AsyncConnection) -> dict[str, datetime | None]:
    """Return since when the oldest work of each kind is due; a time to come for what is not."""
    return {row.kind: row.due_at for row in await rows(connection, OLDEST_DUE, {})}


async def _lanes(connection: AsyncConnection) -> tuple[LaneSight, ...]:
    return tuple(
        LaneSight(
            id=row.id,
            names=row.names,
            limit=row.requests_per_minute,
            used=row.used,
            breaker=BreakerState(row.breaker),
            trips=row.breaker_trips,
            loses_launches=Breaker(trips=row.breaker_trips).loses_launches,
            probe_at=row.breaker_probe_at,
            blocked_until=row.blocked_until,
            launches_stopped=row.launches_stopped,
            stopped_at=row.launches_stopped_at,
            resting_workflows=row.resting_workflows,
            told_limit=row.told_limit,
        )
        for row in await rows(connection, LANES, {})
    )


async def _results(connection: AsyncConnection) -> ResultsSight:
    waiting: dict[str, int] = {}
    store_says: str | None = None
    found = await rows(connection, RESULTS, {"at_risk_s": AT_RISK_S})
    for row in found:
        code, words = parted(row.failure) if row.failure is not None else ("not_tried", "")
        waiting[code or "unknown"] = waiting.get(code or "unknown", 0) + row.runs
        if code in ("store_full", "unavailable"):
            store_says = words
    first = min((row for row in found if row.dies_at is not None), key=lambda row: row.dies_at, default=None)
    is_urgent = first is not None and first.at_risk > 0
    return ResultsSight(
        waiting=waiting,
        first_loss_at=first.dies_at if first is not None else None,
        at_risk=sum(row.at_risk for row in found),
        run_at_risk=first.first if first is not None and is_urgent else None,
        because=first.failure if first is not None and is_urgent else None,
        store_says=store_says,
    )


async def _workers(connection: AsyncConnection, dead_after_s: float) -> WorkersSight:
    row = (await connection.execute(WORKERS, {"dead_after_s": dead_after_s})).one()
    return WorkersSight(**{**row._mapping, "dead_lately": tuple(row.dead_lately or ())})


async def overdue(connection: AsyncConnection) -> int:
    """Return how many executions the provider has had for too long."""
    count: int = (await connection.execute(OVERDUE)).scalar_one()
    return count


async def open_batches(connection: AsyncConnection) -> list[OpenBatch]:
    """Return the batches that have not ended."""
    found: dict[UUID, OpenBatch] = {}
    for row in await rows(connection, OPEN_BATCHES, {}):
        batch = found.setdefault(
            row.id, OpenBatch(total=row.total, paused=row.paused, cancelled=row.cancelled, live={})
        )
        if row.status is not None:
            batch.live[row.status] = row.runs
    return list(found.values())


async def ended_runs(connection: AsyncConnection) -> dict[str, int]:
    """Count what has ended, by status. Slow where much has: see above."""
    return {row.status: row.runs for row in await rows(connection, ENDED_RUNS, {})}


async def ended_batches(connection: AsyncConnection) -> list[EndedBatches]:
    """Count the batches that ended. Slow where many have."""
    return [EndedBatches(**row._mapping) for row in await rows(connection, ENDED_BATCHES, {})]


async def watchers(connection: AsyncConnection, place: str, *, fresh_s: float) -> tuple[UUID | None, UUID | None]:
    """Return the worker that watches for all, and the one that watches a place."""
    row = await one(connection, WATCHERS, {"place": place, "fresh_s": fresh_s})
    assert row is not None, "two sub-selects always make a row"
    return row.of_all, row.of_place


async def revision(connection: AsyncConnection) -> str | None:
    """Return the schema's revision."""
    found: str | None = (await connection.execute(REVISION)).scalar_one_or_none()
    return found
