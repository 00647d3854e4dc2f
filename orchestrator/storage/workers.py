"""Workers: who lives, whose leases are void, and how much of the work ran inside tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one, rows

# A row that is there already was written by this very worker, whose commit's answer was lost.
REGISTER = text("""
    INSERT INTO workers (id, place, pid, version, started_at, heartbeat_at)
    VALUES (:id, :place, :pid, :version, orch_now(), orch_now())
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = orch_now(), state = 'running', ended_at = NULL, buried_at = NULL
    RETURNING heartbeat_at""")

# A worker that was taken for dead and speaks again is alive again; its old claims are void by their fences.
HEARTBEAT = text("""
    UPDATE workers SET heartbeat_at = orch_now(), state = CASE WHEN :draining THEN 'draining' ELSE 'running' END,
        ended_at = NULL, buried_at = NULL, units_in_tasks = :tasks, units_in_ticker = :ticker
    WHERE id = :id RETURNING heartbeat_at""")

# One row that every heartbeat touches. A gap, or a clock that went back, begins it anew: then nobody could be heard.
PULSE = text("""
    UPDATE pulse SET last = orch_now(), since = CASE
        WHEN orch_now() - last BETWEEN interval '0' AND make_interval(secs => :gap_s) THEN since ELSE orch_now() END
    RETURNING since""")

SWEPT = text("UPDATE workers SET swept_at = orch_now() WHERE id = :id")

END = text("UPDATE workers SET state = 'stopped', ended_at = orch_now() WHERE id = :id")

ALIVE_HERE = text("""
    SELECT id, pid FROM workers WHERE place = :place AND state IN ('running', 'draining') ORDER BY id LIMIT 1000""")

# SKIP LOCKED: of many sweepers one declares it, once. Silence is judged only by one that was just heard itself: when it
# was not, the database was away or stood still, and nobody could be heard.
DECLARE_DEAD = text("""
    UPDATE workers SET state = 'dead', ended_at = orch_now() WHERE id IN (
        SELECT w.id FROM workers w WHERE w.state IN ('running', 'draining') AND w.id IS DISTINCT FROM CAST(:by AS uuid)
            AND (w.id = ANY(CAST(:known AS uuid[]))
                OR w.heartbeat_at < orch_now() - make_interval(secs => :silent_s)
                    AND (CAST(:by AS uuid) IS NULL OR EXISTS (SELECT FROM workers me WHERE me.id = :by
                        AND me.heartbeat_at > orch_now() - make_interval(secs => :silent_s) / 2)))
        ORDER BY w.id LIMIT 100 FOR UPDATE SKIP LOCKED)
    RETURNING id""")

# Those that ended, one way or another, and whose leases nobody has given back. A worker that stopped by itself has none
# left, but for what a broken connection kept it from recording.
UNBURIED = text("""
    SELECT id FROM workers WHERE state IN ('stopped', 'dead') AND buried_at IS NULL
    AND (CAST(:among AS uuid[]) IS NULL OR id = ANY(CAST(:among AS uuid[]))) ORDER BY id LIMIT 100""")

# Lanes come before timers in the order of locks, so they are found first and locked one by one.
LANES_OF = text("""
    SELECT lane_id FROM timers WHERE worker_id = ANY(CAST(:ids AS uuid[]))
    UNION SELECT lane_id FROM grants WHERE worker_id = ANY(CAST(:ids AS uuid[]))""")

# A grant that nobody has recorded for so long belongs to a call that was lost, whoever made it. A launch may last long.
_LOST = "granted_at < orch_now() - CASE kind WHEN 'launch' THEN interval '15 minutes' ELSE interval '3 minutes' END"

LANES_WITH_OLD_GRANTS = text(f"SELECT DISTINCT lane_id FROM grants WHERE {_LOST}")  # noqa: S608 - our own words

# Its leases end now. A launch that it may have had on the wire comes due too, and becomes a doubt.
VOID_LEASES = text("""
    UPDATE timers SET due_at = orch_now(), worker_id = NULL, fence = CASE WHEN kind = 'sending' THEN fence ELSE 0 END
    WHERE lane_id = :lane AND worker_id = ANY(CAST(:ids AS uuid[]))""")

# Its tokens are spent as of now: what it sent may have arrived as late as this.
TAKE_GRANTS = text(f"""
    DELETE FROM grants WHERE lane_id = :lane AND (worker_id = ANY(CAST(:ids AS uuid[])) OR {_LOST})
    RETURNING kind, count AS requests""")  # noqa: S608 - our own words

# Not one that has spoken again: it would be taken for buried when it ends.
BURY = text("""
    UPDATE workers SET buried_at = orch_now()
    WHERE id = ANY(CAST(:ids AS uuid[])) AND state IN ('stopped', 'dead')""")

ALIVE = text("""
    SELECT id, place, pid, version, state, started_at, heartbeat_at, units_in_tasks, units_in_ticker FROM workers
    WHERE state IN ('running', 'draining') AND heartbeat_at > orch_now() - make_interval(secs => :dead_after_s)
    ORDER BY id LIMIT 1000""")

SHARE = text("""
    SELECT COALESCE(sum(units_in_tasks), 0)::bigint AS tasks, COALESCE(sum(units_in_ticker), 0)::bigint AS ticker
    FROM workers""")

FORGET = text("DELETE FROM workers WHERE state IN ('stopped', 'dead') AND ended_at < orch_now() - interval '7 days'")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A living worker."""

    id: UUID
    place: str
    pid: int
    version: str
    state: str
    started_at: datetime
    heartbeat_at: datetime
    units_in_tasks: int
    units_in_ticker: int


async def register(connection: AsyncConnection, *, id: UUID, place: str, pid: int, version: str) -> datetime:
    """Write a worker that starts; return when, by the database's clock."""
    row = (await connection.execute(REGISTER, {"id": id, "place": place, "pid": pid, "version": version})).one()
    at: datetime = row.heartbeat_at
    return at


async def heartbeat(
    connection: AsyncConnection, id: UUID, *, draining: bool, tasks: int, ticker: int
) -> datetime | None:
    """Say that a worker lives, and how much it did where. Returns when, None when its row is gone."""
    row = await one(connection, HEARTBEAT, {"id": id, "draining": draining, "tasks": tasks, "ticker": ticker})
    return None if row is None else row.heartbeat_at


async def swept(connection: AsyncConnection, id: UUID) -> None:
    """Say that a worker has swept."""
    await connection.execute(SWEPT, {"id": id})


async def pulse(connection: AsyncConnection, *, gap_s: float) -> datetime:
    """Note that some worker was heard; return since when some worker was, without a gap of so long."""
    since: datetime = (await connection.execute(PULSE, {"gap_s": gap_s})).scalar_one()
    return since


async def end(connection: AsyncConnection, id: UUID) -> None:
    """Write that a worker stopped by itself."""
    await connection.execute(END, {"id": id})


async def alive_here(connection: AsyncConnection, place: str) -> list[tuple[UUID, int]]:
    """Return workers of one place (host, boot and pid namespace) with their pids."""
    return [(row.id, row.pid) for row in await rows(connection, ALIVE_HERE, {"place": place})]


async def declare_dead(
    connection: AsyncConnection, known: Sequence[UUID], *, silent_s: float | None, by: UUID | None
) -> list[UUID]:
    """Mark workers as dead; return those that this call declared.

    Args:
        known: those that are dead whatever their heartbeat says.
        silent_s: those that have not spoken for so long are dead too; None: silence says nothing now.
        by: the worker that declares it, never itself.
    """
    values = {"known": list(known), "silent_s": silent_s, "by": by}
    return [row.id for row in await rows(connection, DECLARE_DEAD, values)]


async def unburied(connection: AsyncConnection, *, among: Sequence[UUID] | None = None) -> list[UUID]:
    """Return workers that ended and whose leases nobody has given back; of some, or of all."""
    return [row.id for row in await rows(connection, UNBURIED, {"among": None if among is None else list(among)})]


async def lanes_to_clear(connection: AsyncConnection, ids: Sequence[UUID]) -> list[UUID]:
    """Return the lanes on which some workers hold something, and those with grants that were lost, in id order."""
    held = await rows(connection, LANES_OF, {"ids": list(ids)}) if ids else []
    old = await rows(connection, LANES_WITH_OLD_GRANTS, {})
    return sorted({row.lane_id for row in (*held, *old)})


async def void_leases(connection: AsyncConnection, lane: UUID, ids: Sequence[UUID]) -> int:
    """End the leases of workers on a lane that is locked; return how many."""
    return await execute(connection, VOID_LEASES, {"lane": lane, "ids": list(ids)})


async def take_grants(connection: AsyncConnection, lane: UUID, ids: Sequence[UUID]) -> list[tuple[str, int]]:
    """Take the grants of workers on a lane that is locked, and the lost ones: (kind, count)."""
    found = await rows(connection, TAKE_GRANTS, {"lane": lane, "ids": list(ids)})
    return [(row.kind, row.requests) for row in found]


async def bury(connection: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Write that nothing is held by these workers any more."""
    await connection.execute(BURY, {"ids": list(ids)})


async def alive(connection: AsyncConnection, *, dead_after_s: float) -> list[WorkerRow]:
    """Return the workers that live."""
    return [WorkerRow(**row._mapping) for row in await rows(connection, ALIVE, {"dead_after_s": dead_after_s})]


async def share(connection: AsyncConnection) -> tuple[int, int]:
    """Return how many units of work ran inside Celery tasks, and how many in tickers, ever."""
    row = (await connection.execute(SHARE)).one()
    return row.tasks, row.ticker


async def forget_old(connection: AsyncConnection) -> None:
    """Remove workers that ended a week ago."""
    await connection.execute(FORGET)
