"""Fires: one row for each tick of a schedule, what became of it, and when it needs a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.fires import FireState, Planned, Verdict
from orchestrator.runtime import Sources
from orchestrator.storage.database import execute, one, rows

# A tick that has its row already was written by another scheduler, or before a commit whose answer was lost.
INSERT = text("""
    INSERT INTO fires (id, schedule_id, workspace_id, nominal_at, state, why, due_at, deadline_at, asked_by, reason,
        created_at, decided_at)
    SELECT v.id, :schedule, :workspace, v.nominal_at, v.state, v.why,
        CASE WHEN v.state = 'due' THEN orch_now() END,
        GREATEST(v.nominal_at, orch_now()) + make_interval(secs => :deadline_s), :asked_by, :reason, orch_now(),
        CASE WHEN v.state <> 'due' THEN orch_now() END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:nominal_at AS timestamptz[]), CAST(:states AS text[]),
        CAST(:whys AS text[])) AS v(id, nominal_at, state, why)
    ON CONFLICT (schedule_id, nominal_at) DO NOTHING""")

# SKIP LOCKED: what another worker decides about is its own. Oldest first: a fire may wait for the one before it.
CLAIM = text("""
    WITH due AS (
        SELECT id FROM fires WHERE due_at <= orch_now() ORDER BY due_at, nominal_at, id
        LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE fires f SET due_at = orch_now() + make_interval(secs => :lease_s), fence = nextval('fences'),
        tries = tries + 1
    FROM due, schedules s WHERE f.id = due.id AND s.id = f.schedule_id
    RETURNING f.id, f.fence, f.schedule_id, f.workspace_id, f.nominal_at, f.deadline_at, f.tries, f.asked_by, s.name""")

# What of the schedule still runs, the latest of it: a tick that waited for its file may have fired after a later one,
# and what had ended may have been opened again. A hundred batches side by side are beyond any overlap but `allow`.
STANDING = text("""
    SELECT f.nominal_at, f.batch_id, f.run_id,
        EXISTS (SELECT FROM fires o WHERE o.schedule_id = :schedule AND o.nominal_at < :nominal_at
            AND o.due_at IS NOT NULL AND o.state <> 'waiting') AS is_behind,
        EXISTS (SELECT FROM fires o WHERE o.schedule_id = :schedule AND o.nominal_at < :nominal_at
            AND o.due_at IS NOT NULL AND o.state = 'waiting') AS is_behind_file
    FROM (SELECT) q
    LEFT JOIN LATERAL (
        SELECT p.nominal_at, p.batch_id, p.run_id
        FROM (SELECT nominal_at, batch_id, run_id FROM fires WHERE schedule_id = :schedule AND state = 'fired'
            ORDER BY nominal_at DESC LIMIT 100) p
        LEFT JOIN batches b ON b.id = p.batch_id LEFT JOIN runs r ON r.id = p.run_id
        WHERE (b.id IS NOT NULL AND b.ended_at IS NULL)
            OR r.status NOT IN ('finished', 'error', 'result_lost', 'cancelled', 'abandoned')
        ORDER BY p.nominal_at DESC LIMIT 1) f ON true""")

# The neighbours that fired, on both sides: a tick may be carried out after a later one.
SAME_CONTENT = text("""
    SELECT n.nominal_at FROM (
        (SELECT nominal_at, source_sha256 FROM fires WHERE schedule_id = :schedule AND nominal_at < :nominal_at
            AND state = 'fired' ORDER BY nominal_at DESC LIMIT 1)
        UNION ALL
        (SELECT nominal_at, source_sha256 FROM fires WHERE schedule_id = :schedule AND nominal_at > :nominal_at
            AND state = 'fired' ORDER BY nominal_at LIMIT 1)) n
    WHERE n.source_sha256 = :sha256 LIMIT 1""")

SETTLE = text("""
    UPDATE fires SET state = :state, why = :why, due_at = :again_at, path = COALESCE(:path, path),
        decided_at = CASE WHEN CAST(:again_at AS timestamptz) IS NULL THEN orch_now() END
    WHERE id = :id AND fence = :fence AND due_at IS NOT NULL""")

FIRED = text("""
    UPDATE fires SET state = 'fired', why = :why, due_at = NULL, decided_at = orch_now(), path = :path,
        source_sha256 = :sha256, batch_id = :batch, run_id = :run
    WHERE id = :id AND fence = :fence AND due_at IS NOT NULL""")

# Those that wait are looked at anew at once: what kept them may be over, or the schedule is paused.
HURRY = text("UPDATE fires SET due_at = orch_now() WHERE schedule_id = :schedule AND due_at > orch_now()")

# Shown times end with the second or the millisecond; ticks are whole seconds, those by hand are not.
FIND = text("""
    SELECT id, nominal_at, state, why, batch_id, run_id FROM fires
    WHERE schedule_id = :schedule AND nominal_at >= :at AND nominal_at < CAST(:at AS timestamptz) + interval '1 s'
    ORDER BY nominal_at LIMIT 1""")

# The same row: a tick has one, whatever becomes of it. What it was before stands in the history.
RETAKE = text("""
    UPDATE fires SET state = 'due', why = NULL, due_at = orch_now(), decided_at = NULL, path = NULL,
        deadline_at = orch_now() + make_interval(secs => :deadline_s), asked_by = :by, reason = :reason, tries = 0,
        fence = nextval('fences')
    WHERE id = :id AND state IN ('missed', 'skipped', 'merged')""")

PAGE = text("""
    SELECT f.id, f.nominal_at, f.state, f.why, f.asked_by, f.reason, f.path, encode(f.source_sha256, 'hex') AS sha256,
        f.batch_id, f.run_id, f.deadline_at, f.created_at, f.decided_at
    FROM fires f
    WHERE f.schedule_id = :schedule AND f.nominal_at < COALESCE(CAST(:before AS timestamptz), 'infinity')
        AND (CAST(:states AS text[]) IS NULL OR f.state = ANY(CAST(:states AS text[])))
    ORDER BY f.nominal_at DESC LIMIT :limit""")

# Of each workspace by its own part of the index, whatever it was that lay before.
OF_A_DAY = text("""
    SELECT f.state, count(*)::int AS ticks FROM workspaces o, LATERAL (
        SELECT state FROM fires WHERE workspace_id = o.id AND nominal_at > orch_now() - interval '1 day'
            AND nominal_at <= orch_now() LIMIT 100000) f
    GROUP BY f.state""")

LATEST = text("""
    SELECT DISTINCT ON (f.schedule_id) f.schedule_id, f.nominal_at, f.state, f.why, f.batch_id, f.run_id, f.asked_by,
        f.decided_at
    FROM fires f WHERE f.schedule_id = ANY(CAST(:schedules AS uuid[])) ORDER BY f.schedule_id, f.nominal_at DESC""")


@dataclass(frozen=True, slots=True, kw_only=True)
class FireClaim:
    """A leased right to decide about a fire."""

    id: UUID
    fence: int
    schedule_id: UUID
    workspace_id: UUID
    nominal_at: datetime
    deadline_at: datetime
    tries: int
    asked_by: str | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What became of a tick, if it was decided."""

    id: UUID
    nominal_at: datetime
    state: str
    why: str | None
    batch_id: UUID | None
    run_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a schedule stands for one of its fires.

    Args:
        nominal_at: of the latest fire whose batch or run has not ended; None when none runs.
        is_behind: an earlier fire is not decided yet, and waits for no file.
        is_behind_file: an earlier fire waits for its file.
    """

    nominal_at: datetime | None
    batch_id: UUID | None
    run_id: UUID | None
    is_behind: bool
    is_behind_file: bool


async def insert(
    connection: AsyncConnection,
    planned: Sequence[Planned],
    *,
    schedule: UUID,
    workspace: UUID,
    deadline_s: int,
    sources: Sources,
    asked_by: str | None = None,
    reason: str | None = None,
) -> int:
    """Write the rows of ticks; return how many had none yet."""
    return await execute(
        connection,
        INSERT,
        {
            "ids": [sources.new_id() for _ in planned],
            "nominal_at": [p.nominal_at for p in planned],
            "states": [p.state for p in planned],
            "whys": [p.why for p in planned],
            "schedule": schedule,
            "workspace": workspace,
            "deadline_s": deadline_s,
            "asked_by": asked_by,
            "reason": reason,
        },
    )


async def claim(connection: AsyncConnection, *, limit: int, lease_s: float) -> list[FireClaim]:
    """Claim fires that need a worker, oldest first."""
    found = await rows(connection, CLAIM, {"limit": limit, "lease_s": lease_s})
    return sorted((FireClaim(**row._mapping) for row in found), key=lambda c: (c.nominal_at, c.id))


async def standing(connection: AsyncConnection, schedule: UUID, nominal_at: datetime) -> Standing:
    """Return what of a schedule runs, and what is before one of its fires."""
    row = await one(connection, STANDING, {"schedule": schedule, "nominal_at": nominal_at})
    assert row is not None, "the query has one row"
    return Standing(**row._mapping)


async def same_content(connection: AsyncConnection, claim: FireClaim, sha256: bytes) -> datetime | None:
    """Return the nominal time of the tick before or after one, where it submitted the same bytes."""
    values = {"schedule": claim.schedule_id, "nominal_at": claim.nominal_at, "sha256": sha256}
    row = await one(connection, SAME_CONTENT, values)
    found: datetime | None = None if row is None else row.nominal_at
    return found


async def settle(connection: AsyncConnection, claim: FireClaim, verdict: Verdict, *, path: str | None) -> bool:
    """Write what a fire came to, or when it is looked at again. False when the claim is void."""
    values: dict[str, Any] = {
        "id": claim.id,
        "fence": claim.fence,
        "state": verdict.state,
        "why": verdict.why,
        "again_at": verdict.again_at,
        "path": path,
    }
    assert (verdict.again_at is None) == (verdict.state not in (FireState.DUE, FireState.WAITING, FireState.QUEUED)), (
        "an open fire has a time to be looked at, a decided one has none"
    )
    return await execute(connection, SETTLE, values) == 1


async def fired(
    connection: AsyncConnection,
    claim: FireClaim,
    *,
    batch: UUID | None = None,
    run: UUID | None = None,
    path: str | None = None,
    sha256: bytes | None = None,
    why: str | None = None,
) -> bool:
    """Write what a fire submitted. False when the claim is void."""
    values = {"id": claim.id, "fence": claim.fence, "batch": batch, "run": run, "path": path, "sha256": sha256}
    return await execute(connection, FIRED, {**values, "why": why}) == 1


async def hurry(connection: AsyncConnection, schedule: UUID) -> None:
    """Let a schedule's open fires be looked at now."""
    await connection.execute(HURRY, {"schedule": schedule})


async def find(connection: AsyncConnection, schedule: UUID, at: datetime) -> Tick | None:
    """Return the tick of a nominal time, to the second."""
    row = await one(connection, FIND, {"schedule": schedule, "at": at})
    return None if row is None else Tick(**row._mapping)


async def retake(connection: AsyncConnection, id: UUID, *, deadline_s: int, by: str, reason: str | None) -> bool:
    """Let a tick that submitted nothing be carried out after all. False when it is open, or fired."""
    values = {"id": id, "deadline_s": deadline_s, "by": by, "reason": reason}
    return await execute(connection, RETAKE, values) == 1


async def page(
    connection: AsyncConnection, schedule: UUID, *, before: datetime | None, states: Sequence[str] | None, limit: int
) -> list[dict[str, Any]]:
    """Return a schedule's fires, latest first."""
    values = {"schedule": schedule, "before": before, "states": None if states is None else [*states], "limit": limit}
    return [dict(row._mapping) for row in await rows(connection, PAGE, values)]


async def of_a_day(connection: AsyncConnection) -> dict[str, int]:
    """Count the ticks of the last 24 hours by what became of them, over all workspaces."""
    return {row.state: row.ticks for row in await rows(connection, OF_A_DAY, {})}


async def latest(connection: AsyncConnection, schedules: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return the latest fire of each of some schedules."""
    found = await rows(connection, LATEST, {"schedules": [*schedules]})
    return {row.schedule_id: dict(row._mapping) for row in found}
