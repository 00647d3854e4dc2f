"""Waves: the small row from which the planner decides, and the window that it opens over the wave's timers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import windows
from orchestrator.domain.look_timing import Timing
from orchestrator.domain.windows import WaveLook, WaveState, WindowMove
from orchestrator.storage.database import rows

_COLUMNS = "id, state, size, width, ended, human, frontier, started_to, in_order, looks, launched_at"

LOCK = text(f"SELECT {_COLUMNS} FROM waves WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")  # noqa: S608

LIVE_OF_BATCH = text(f"""
    SELECT {_COLUMNS} FROM waves
    WHERE batch_id = :batch AND state IN ('launching', 'open', 'in_doubt') ORDER BY id LIMIT 1000""")  # noqa: S608

INSERT = text("""
    INSERT INTO waves (id, batch_id, workflow_id, state, size, width, level, in_order, created_at)
    VALUES (:id, :batch, :workflow, 'launching', :size, :width, :level, :in_order, orch_now())""")

# A wave with nothing left to see is over; its slots are free. Unless items of it are in doubt: those may run on.
SAVE = text("""
    UPDATE waves w SET ended = v.ended, human = v.human, frontier = v.frontier, started_to = v.started_to,
        in_order = v.in_order, looks = v.looks,
        state = CASE WHEN w.state <> 'open' OR v.ended < w.size THEN w.state
            WHEN EXISTS (SELECT FROM executions e WHERE e.wave_id = w.id AND e.state = 'in_doubt') THEN 'in_doubt'
            ELSE 'over' END,
        slots_until = CASE WHEN w.state <> 'open' OR v.ended < w.size THEN w.slots_until
            ELSE (SELECT max(e.slot_until) FROM executions e WHERE e.wave_id = w.id AND e.state = 'in_doubt') END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:ended AS int[]), CAST(:human AS int[]), CAST(:frontier AS int[]),
        CAST(:started_to AS int[]), CAST(:in_order AS boolean[]), CAST(:looks AS int[]))
        AS v(id, ended, human, frontier, started_to, in_order, looks)
    WHERE w.id = v.id""")

SET_STATE = text("""
    UPDATE waves SET state = :state, frontier = :frontier, ended = :ended,
        launched_at = CASE WHEN :state = 'open' THEN COALESCE(launched_at, orch_now()) ELSE launched_at END,
        -- A doubt that a policy has settled already has nobody to release it: it holds its slots for one round only.
        slots_until = CASE WHEN :state = 'in_doubt' THEN orch_now() + interval '16 minutes'
            * CASE WHEN :has_doubts THEN ceil(size::numeric / width) ELSE 1 END END
    WHERE id = :id""")

# Positions that the window reached become due at once; those already due are left alone. A sample that nobody has
# taken yet becomes an ordinary member of the window.
OPEN_WINDOW = text("""
    UPDATE timers SET due_at = orch_now(), entered_at = orch_now()
    WHERE wave_id = :wave AND position < :frontier AND kind = 'poll'
        AND (due_at IS NULL OR (entered_at IS NULL AND worker_id IS NULL))""")

# All that some looks move in their waves, in one statement that reads no further than it must. Positions that the
# window reached come in with the time at which they can have begun. What waits for its turn inside it begins no sooner
# than now. A look beyond the window leaves the entry time unset: when it began is not known.
MOVE_WINDOWS = text("""
    UPDATE timers t SET
        due_at = CASE WHEN t.position < m.frontier AND (t.due_at IS NULL OR t.entered_at IS NULL)
            THEN orch_now() + make_interval(secs => COALESCE(m.due_in[t.position - m.first + 1], 0))
            WHEN t.position < m.frontier THEN t.due_at ELSE orch_now() END,
        entered_at = CASE WHEN t.position >= m.frontier THEN NULL
            WHEN t.due_at IS NULL OR t.entered_at IS NULL OR t.position = ANY(m.waiting)
            THEN orch_now() - make_interval(secs => COALESCE(m.began[t.position - m.first + 1], 0))
            ELSE t.entered_at END
    FROM (SELECT * FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS j(wave uuid, frontier int, first int,
        due_in float8[], began float8[], waiting int[], swept_to int, sample int, reach int) OFFSET 0) m
    WHERE t.wave_id = m.wave AND t.kind = 'poll' AND t.position < m.reach AND CASE WHEN t.position < m.frontier
        THEN t.due_at IS NULL OR (t.entered_at IS NULL AND t.worker_id IS NULL) OR t.position = ANY(m.waiting)
        ELSE t.due_at IS NULL AND (t.position = m.sample OR t.position < m.swept_to AND (
            t.looked_at IS NULL OR t.looked_at < orch_now() - make_interval(secs => :swept_within_s))) END""")

# A doubted wave of which a person said what became of each item: those that were adopted are watched, all at once;
# with none of them left in doubt it holds its slots no longer than they do.
SETTLE = text("""
    UPDATE waves w SET
        state = CASE WHEN v.open > 0 THEN 'open' WHEN v.doubted > 0 THEN 'in_doubt' ELSE 'over' END,
        ended = w.size - v.open, frontier = w.size, in_order = false,
        launched_at = CASE WHEN v.open > 0 THEN COALESCE(w.launched_at, orch_now()) ELSE w.launched_at END,
        slots_until = COALESCE(w.slots_until, v.until)
    FROM (SELECT max(slot_until) FILTER (WHERE state = 'in_doubt') AS until,
                 count(*) FILTER (WHERE state = 'open')::int AS open,
                 count(*) FILTER (WHERE state = 'in_doubt')::int AS doubted
          FROM executions WHERE wave_id = :wave) v
    WHERE w.id = :wave RETURNING w.size""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A wave's row, as the planner sees it and when it was launched."""

    id: UUID
    state: str
    plan: WaveState
    launched_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What was seen of a locked wave, on a lane of so many looks a minute."""

    wave: Wave
    seen: Sequence[WaveLook]
    unit: float
    looks_per_minute: int
    timing: Timing | None = None


async def lock(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Wave]:
    """Lock waves in id order."""
    if not ids:
        return {}
    return {row.id: _wave(row) for row in await rows(connection, LOCK, {"ids": list(ids)})}


async def live_of_batch(connection: AsyncConnection, batch_id: UUID) -> list[Wave]:
    """Return a batch's waves that are not over."""
    return [_wave(row) for row in await rows(connection, LIVE_OF_BATCH, {"batch": batch_id})]


async def insert(
    connection: AsyncConnection,
    *,
    id: UUID,
    batch: UUID,
    workflow: UUID,
    size: int,
    width: int,
    level: str,
    in_order: bool = True,
) -> None:
    """Write a wave that is about to be launched."""
    values = {"id": id, "batch": batch, "workflow": workflow, "size": size, "width": width}
    await connection.execute(INSERT, {**values, "level": level, "in_order": in_order})


async def save(connection: AsyncConnection, plans: Mapping[UUID, WaveState]) -> None:
    """Write what looks taught about waves."""
    fields = ("ended", "human", "frontier", "started_to", "in_order", "looks")
    values = {name: [getattr(plan, name) for plan in plans.values()] for name in fields}
    await connection.execute(SAVE, {"ids": list(plans), **values})


async def set_state(
    connection: AsyncConnection,
    wave_id: UUID,
    state: str,
    *,
    frontier: int = 0,
    ended: int = 0,
    has_doubts: bool = False,
) -> None:
    """Write what became of a wave's launch. `ended` are the items that are no part of it any more."""
    values = {"id": wave_id, "state": state, "frontier": frontier, "ended": ended, "has_doubts": has_doubts}
    await connection.execute(SET_STATE, values)


async def open_window(connection: AsyncConnection, wave_id: UUID, frontier: int) -> None:
    """Make everything below the frontier due that is not yet."""
    await connection.execute(OPEN_WINDOW, {"wave": wave_id, "frontier": frontier})


async def teach(
    connection: AsyncConnection, lessons: Sequence[Lesson], *, now: datetime
) -> dict[UUID, tuple[WaveState, WindowMove]]:
    """Move the windows of some waves by what was seen, and look beyond them.

    Returns by wave what has become of it, and what becomes due.
    """
    taught: dict[UUID, tuple[WaveState, WindowMove]] = {}
    for lesson in lessons:
        wave = lesson.wave
        plan = windows.after_looks(wave.plan, lesson.seen)
        move = windows.moved(
            wave.plan,
            plan,
            lesson.seen,
            age_s=(now - wave.launched_at).total_seconds() if wave.launched_at else 0.0,
            timing=lesson.timing,
            looks_per_minute=lesson.looks_per_minute,
            unit=lesson.unit,
        )
        taught[wave.id] = plan, move
    if taught:
        await save(connection, {id: plan for id, (plan, _) in taught.items()})
        # Always: a sample that went back to sleep may have been passed by the window meanwhile.
        await move_windows(connection, {id: (plan.frontier, move) for id, (plan, move) in taught.items()})
    return taught


async def move_windows(connection: AsyncConnection, moves: Mapping[UUID, tuple[int, WindowMove]]) -> None:
    """Make due what some looks moved: by wave how far its window reaches, and what becomes of it."""
    told = [
        {
            "wave": str(wave),
            "frontier": frontier,
            "first": move.first,
            "began": move.began_ago_s,
            "due_in": move.due_in_s,
            "waiting": move.waiting,
            "swept_to": move.swept_to,
            "sample": move.sample,
            "reach": max(frontier, move.swept_to, 0 if move.sample is None else move.sample + 1),
        }
        for wave, (frontier, move) in moves.items()
    ]
    values = {"moves": json.dumps(told), "swept_within_s": windows.SWEPT_WITHIN_S}
    await connection.execute(MOVE_WINDOWS, values)


async def settle_doubts(connection: AsyncConnection, wave_id: UUID) -> None:
    """Count a wave anew from its executions, after doubts were resolved, and watch all of it that is left."""
    size: int = (await connection.execute(SETTLE, {"wave": wave_id})).scalar_one()
    await open_window(connection, wave_id, size)


def _wave(row: Row[Any]) -> Wave:
    plan = WaveState(
        size=row.size,
        width=row.width,
        ended=row.ended,
        human=row.human,
        frontier=row.frontier,
        started_to=row.started_to,
        in_order=row.in_order,
        looks=row.looks,
    )
    return Wave(id=row.id, state=row.state, plan=plan, launched_at=row.launched_at)
