"""The months of the history: what is in them, which were retired, and the one transaction that retires one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.retention import Content, Living, Month, Retired
from orchestrator.domain.statuses import LIVE
from orchestrator.storage.database import execute, one, rows
from orchestrator.storage.patience import take_time

#: A month of millions of events is read within it.
STATEMENT_S = 240

#: A hundred years of months.
MAX_MONTHS = 1200

# By the bounds that Postgres keeps, not by the name.
MONTHS = text(r"""
    SELECT c.relname AS name, b.bounds[1] AS first, b.bounds[2] AS until
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid CROSS JOIN LATERAL regexp_match(
        pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([0-9a-f-]{36})''\) TO \(''([0-9a-f-]{36})''\)') AS b(bounds)
    WHERE i.inhparent = CAST('events' AS regclass) AND b.bounds IS NOT NULL ORDER BY 2 LIMIT :limit""")

# By the keys of runs and batches, which begin with their time. A run that ended is not done before its batch is.
LIVING = text("""
    SELECT (SELECT count(*) FROM runs r LEFT JOIN batches b ON b.id = r.batch_id
            WHERE r.id >= :first AND r.id < :until AND (r.status = ANY(CAST(:live AS text[]))
                OR (r.batch_id IS NOT NULL AND b.ended_at IS NULL))) AS runs,
        (SELECT count(*) FROM batches WHERE id >= :first AND id < :until AND ended_at IS NULL) AS batches,
        CASE WHEN CAST(:erases AS boolean) THEN
            (SELECT count(*) FROM runs WHERE id >= :first AND id < :until AND erased_at IS NULL)
            + (SELECT count(*) FROM batches WHERE id >= :first AND id < :until AND erased_at IS NULL)
        ELSE 0 END AS kept""")

CONTENT = text("""
    WITH ends AS (SELECT stream, max(seq) AS seq, count(*) AS events, min(at) AS first_at, max(at) AS last_at
        FROM events WHERE stream >= :first AND stream < :until GROUP BY stream)
    SELECT count(*) AS streams, COALESCE(sum(e.events), 0)::bigint AS events,
        min(e.first_at) AS first_at, max(e.first_at) AS begun_at, max(e.last_at) AS last_at,
        array_agg(DISTINCT COALESCE(r.workspace_id, b.workspace_id, w.id))
            FILTER (WHERE COALESCE(r.id, b.id, w.id) IS NOT NULL) AS workspaces,
        count(*) FILTER (WHERE w.id IS NOT NULL) AS own,
        count(*) FILTER (WHERE e.events <> e.seq
            OR e.seq IS DISTINCT FROM COALESCE(r.event_seq, b.event_seq, w.event_seq)) AS strange,
        count(*) FILTER (WHERE e.seq > COALESCE(a.seq, 0)) AS unanchored
    FROM ends e LEFT JOIN runs r ON r.id = e.stream LEFT JOIN batches b ON b.id = e.stream
        LEFT JOIN workspaces w ON w.id = e.stream LEFT JOIN anchored_heads a ON a.stream = e.stream""")

INSERT = text("""
    INSERT INTO retirements (partition, workspace_id, first_stream, until_stream, streams, events, last_at, checkpoint,
        export, manifest_sha256)
    VALUES (:partition, :workspace, :first_stream, :until_stream, :streams, :events, :last_at, :checkpoint,
        :export, :manifest_sha256)""")
DROP = text("SELECT events_retire(:partition, :last_at)")

RETIRED = text("""
    SELECT partition, first_stream, until_stream, streams, events, checkpoint, export, manifest_sha256
    FROM retirements WHERE workspace_id = :workspace ORDER BY first_stream LIMIT :limit""")
TOTALS = text("SELECT count(*) AS months, COALESCE(sum(events), 0)::bigint AS events FROM retirements")

# A lease is a due time of its own: who comes later finds another one, and may not write.
CLAIM = text("""
    UPDATE retention_rounds SET due_at = orch_now() + make_interval(secs => :lease_s), is_held = true
    WHERE kind = (SELECT kind FROM retention_rounds
        WHERE kind = :kind AND (due_at <= orch_now() OR (CAST(:at_once AS boolean) AND NOT is_held))
        FOR UPDATE SKIP LOCKED)
    RETURNING due_at, reached""")
HOLD = text("SELECT kind FROM retention_rounds WHERE kind = :kind AND due_at = :lease FOR UPDATE")
RENEW = text("""
    UPDATE retention_rounds SET due_at = orch_now() + make_interval(secs => :lease_s)
    WHERE kind = :kind AND due_at = :lease RETURNING due_at""")
LEAVE = text("""
    UPDATE retention_rounds SET due_at = orch_now() + make_interval(secs => :wait_s), is_held = false,
        reached = :reached
    WHERE kind = :kind AND due_at = :lease""")

# Only a proof takes a month off: one that merely stays, for another reason, may have been changed once more.
UNPROVEN = text("""
    UPDATE retention_rounds SET unproven = ARRAY(
        SELECT u FROM unnest(unproven) u WHERE NOT u = ANY(CAST(:but AS text[]))
        UNION SELECT unnest(CAST(:unproven AS text[])) ORDER BY 1)
    WHERE kind = 'history' AND due_at = :lease""")
ALL_UNPROVEN = text("SELECT unproven FROM retention_rounds WHERE kind = 'history'")

# A step of a round reads so many rows of the key, whatever has been erased of them before.
OLD_BATCHES = text("""
    SELECT id, workspace_id, erased_at IS NULL AND ended_at IS NOT NULL AND ended_at < :before AS is_due FROM batches
    WHERE id > :after AND id < :until ORDER BY id LIMIT :limit""")
OLD_RUNS = text("""
    SELECT id, workspace_id, batch_id IS NULL AND erased_at IS NULL AND ended_at IS NOT NULL AND ended_at < :before
            AND NOT status = ANY(CAST(:live AS text[])) AS is_due
    FROM runs WHERE id > :after AND id < :until ORDER BY id LIMIT :limit""")
TO_ERASE = text("""
    SELECT (SELECT count(*) FROM batches WHERE erased_at IS NULL AND ended_at < :before) AS batches,
        (SELECT count(*) FROM runs WHERE batch_id IS NULL AND erased_at IS NULL AND ended_at < :before) AS runs""")


async def months(connection: AsyncConnection) -> list[Month]:
    """Return the months that are there, the oldest first."""
    return [
        Month(name=row.name, first=UUID(row.first), until=UUID(row.until))
        for row in await rows(connection, MONTHS, {"limit": MAX_MONTHS})
    ]


async def living(connection: AsyncConnection, month: Month, *, erases: bool) -> Living:
    """Return what of a month may still move. `erases`: content is erased after a time, and that must come first."""
    await take_time(connection, STATEMENT_S)
    values = {"first": month.first, "until": month.until, "live": sorted(LIVE), "erases": erases}
    row = await one(connection, LIVING, values)
    assert row is not None, "counts are one row"
    return Living(**row._mapping)


async def content(connection: AsyncConnection, month: Month) -> Content:
    """Return what a month holds: reads all of it."""
    await take_time(connection, STATEMENT_S)
    row = await one(connection, CONTENT, {"first": month.first, "until": month.until})
    assert row is not None, "counts are one row"
    return Content(**{**row._mapping, "workspaces": tuple(row.workspaces or ())})


async def drop(connection: AsyncConnection, retired: Retired, *, workspace: UUID, last_at: datetime) -> str:
    """Write down that a month is retired, then detach and drop it: 'gone'; roll back on 'busy' and 'moved'.

    Args:
        last_at: when its last event was; a later one that came meanwhile is noticed under the lock.
    """
    facts = {name: getattr(retired, name) for name in Retired.__slots__}
    await connection.execute(INSERT, {**facts, "workspace": workspace, "last_at": last_at})
    values = {"partition": retired.partition, "last_at": last_at}
    return str((await connection.execute(DROP, values)).scalar_one())


async def retired(connection: AsyncConnection, workspace: UUID) -> list[Retired]:
    """Return the months of a workspace that were retired, the oldest first."""
    return [
        Retired(**r._mapping) for r in await rows(connection, RETIRED, {"workspace": workspace, "limit": MAX_MONTHS})
    ]


async def totals(connection: AsyncConnection) -> tuple[int, int]:
    """Return how many months were retired, and how many events with them."""
    row = await one(connection, TOTALS, {})
    assert row is not None, "counts are one row"
    return row.months, row.events


async def claim(
    connection: AsyncConnection, kind: str, *, lease_s: float, at_once: bool = False
) -> tuple[datetime, UUID | None] | None:
    """Take a round; return the lease, and how far the round has come. None: it is not due, or somebody has it.

    Args:
        at_once: take it before it is due, if nobody has it.
    """
    row = await one(connection, CLAIM, {"kind": kind, "lease_s": lease_s, "at_once": at_once})
    return None if row is None else (row.due_at, row.reached)


async def renew(connection: AsyncConnection, kind: str, lease: datetime, *, lease_s: float) -> datetime | None:
    """Return the lease, made longer; None: it is not ours any more."""
    row = await one(connection, RENEW, {"kind": kind, "lease": lease, "lease_s": lease_s})
    return None if row is None else row.due_at


async def hold(connection: AsyncConnection, kind: str, lease: datetime) -> bool:
    """Tell whether the lease is still ours, and keep it so to the end of the transaction."""
    return await one(connection, HOLD, {"kind": kind, "lease": lease}) is not None


async def leave(
    connection: AsyncConnection, kind: str, lease: datetime, *, wait_s: float, reached: UUID | None = None
) -> None:
    """Give a round back, to go on after a time."""
    await execute(connection, LEAVE, {"kind": kind, "lease": lease, "wait_s": wait_s, "reached": reached})


async def note_unproven(
    connection: AsyncConnection, lease: datetime, found: Sequence[str], *, but: Sequence[str]
) -> None:
    """Keep which months could not be proven when they were last tried, but for those that were proven since."""
    await execute(connection, UNPROVEN, {"lease": lease, "unproven": list(found), "but": list(but)})


async def unproven(connection: AsyncConnection) -> tuple[str, ...]:
    """Return the months that should go and could not be proven when they were last tried."""
    row = await one(connection, ALL_UNPROVEN, {})
    return () if row is None else tuple(row.unproven)


async def old(
    connection: AsyncConnection, kind: str, *, after: UUID, until: UUID, before: datetime, limit: int
) -> list[tuple[UUID, UUID, bool]]:
    """Return the next batches or runs of a round: id, workspace, and whether its content is due to be erased."""
    query = OLD_BATCHES if kind == "batches" else OLD_RUNS
    values = {"after": after, "until": until, "before": before, "limit": limit}
    found = await rows(connection, query, values | ({} if kind == "batches" else {"live": sorted(LIVE)}))
    return [(row.id, row.workspace_id, row.is_due) for row in found]


async def to_erase(connection: AsyncConnection, before: datetime) -> tuple[int, int]:
    """Return how many batches and single runs have content that is due to be erased."""
    await take_time(connection, STATEMENT_S)
    row = await one(connection, TO_ERASE, {"before": before})
    assert row is not None, "counts are one row"
    return row.batches, row.runs


async def covering(connection: AsyncConnection, workspace: UUID, first: UUID, until: UUID) -> Sequence[Retired]:
    """Return the retired months that hold streams of [first, until)."""
    return [
        month
        for month in await retired(connection, workspace)
        if month.first_stream.int < until.int and first.int < month.until_stream.int
    ]
