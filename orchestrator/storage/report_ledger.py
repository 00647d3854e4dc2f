"""Counts what a report compares: the launch ledger, the files, the doubts, and what the history tells of each."""

# ruff: noqa: S608 -- queries are put together once, of constants of ours; whatever comes from outside is bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.report.figures import (
    MAX_ACT_GROUPS,
    ActGroup,
    DoubtFigures,
    DoubtGroup,
    FireFigure,
    IntakeFigures,
    LaunchFigures,
    ResultFigures,
)
from orchestrator.storage.database import rows
from orchestrator.storage.report_rows import ACTS_OF, DOUBTS_OF
from orchestrator.storage.report_scope import BATCHES, RUNS, TICKS_OF, Scope, fact
from orchestrator.storage.reports import Spread

MAX_DOUBT_GROUPS = 1_000
#: Ticks that a report shows: a schedule of each minute has so many in a week.
MAX_TICKS = 10_080

INTAKE = {
    kind: text(f"""
    SELECT count(*)::int AS batches, COALESCE(sum(b.total + b.refused), 0)::bigint AS file_rows,
        COALESCE(sum(CASE WHEN {fact("e", "refused")} ~ '^[0-9]{{1,9}}$'
            THEN ({fact("e", "refused")})::int END), 0)::bigint AS refused
    FROM batches b LEFT JOIN events e ON e.stream = b.id AND e.seq = 1 AND e.type = 'batch_accepted' WHERE {where}""")
    for kind, where in BATCHES.items()
}

# One pass over the events of all runs: what the history tells of, by type and actor.
TOLD = {
    kind: text(f"""
    SELECT e.type, e.actor, count(*)::bigint AS events FROM runs r JOIN events e ON e.stream = r.id
    WHERE {where} AND e.stream BETWEEN :first AND :last GROUP BY 1, 2""")
    for kind, where in RUNS.items()
}

# Where there are too many, what fired is left out first: an auditor asks for what did not.
TICKS = {
    kind: text(f"""
    SELECT s.name AS schedule, f.nominal_at, f.state AS became,
        NULLIF(concat_ws('; ', 'run now by ' || f.asked_by, f.why), '') AS why,
        COALESCE(f.batch_id, f.run_id)::text AS batch
    {of} ORDER BY f.state = 'fired', f.nominal_at, s.name LIMIT :most""")
    for kind, of in TICKS_OF.items()
}

TICK_COUNTS = {
    kind: text(f"""
    SELECT s.name AS schedule, f.state, count(*)::int AS ticks {of} GROUP BY s.id, s.name, f.state
    ORDER BY s.name, s.id""")
    for kind, of in TICKS_OF.items()
}

# A wave's intent belongs to its batch, a single launch's to its run.
INTENTS = {
    kind: text(f"""
    SELECT count(*)::bigint AS intents, count(*) FILTER (WHERE v.outcome = 'not_sent')::bigint AS unsent,
        COALESCE(sum(v.size), 0)::bigint AS items
    FROM (SELECT i.size, i.outcome FROM runs r JOIN intents i ON i.run_id = r.id WHERE {where}
          UNION ALL
          SELECT i.size, i.outcome FROM batches b JOIN waves w ON w.batch_id = b.id JOIN intents i ON i.wave_id = w.id
          WHERE {BATCHES[kind]}) v""")
    for kind, where in RUNS.items()
}

# An execution that fits none of these is in none of them, and the launches do not add up.
EXECUTIONS = {
    kind: text(f"""
    SELECT count(*)::bigint AS attempts, count(e.remote_id)::bigint AS linked,
        count(*) FILTER (WHERE e.remote_id IS NULL AND e.state = 'in_doubt')::bigint AS in_doubt,
        count(*) FILTER (WHERE e.remote_id IS NULL AND e.state = 'left')::bigint AS given_up,
        count(*) FILTER (WHERE e.remote_id IS NULL AND e.state = 'launching')::bigint AS on_the_wire,
        count(*) FILTER (WHERE e.remote_id IS NULL AND e.state = 'refused')::bigint AS refused,
        count(*) FILTER (WHERE e.remote_id IS NULL AND e.state = 'not_sent')::bigint AS unsent_items,
        COALESCE(sum(GREATEST(e.looks, t.looks)), 0)::bigint AS looks
    FROM runs r JOIN executions e ON e.run_id = r.id
    LEFT JOIN timers t ON t.subject_id = r.id AND e.attempt = r.attempt WHERE {where}""")
    for kind, where in RUNS.items()
}

# An attempt that was never sent is launched again under its number, and its execution's row is written over: only the
# history still has both. Asked of those runs alone whose history tells of such a thing.
LAUNCHED_AGAIN = {
    kind: text(f"""
    SELECT COALESCE(sum(l.again), 0)::bigint AS again FROM (
        SELECT DISTINCT e.stream FROM runs r JOIN events e ON e.stream = r.id
        WHERE {where} AND e.stream BETWEEN :first AND :last
            AND e.type IN ('not_sent', 'never_sent', 'doubt_resolved')) s,
        LATERAL (SELECT count(*) - count(DISTINCT {fact("x", "attempt")}) AS again FROM events x
            WHERE x.stream = s.stream AND x.type = 'launching') l""")
    for kind, where in RUNS.items()
}

# A file that is neither stored nor explained by its run's status is in none of these.
FILES = {
    kind: text(f"""
    SELECT count(*)::bigint AS offered, count(a.stored_at)::bigint AS stored,
        count(*) FILTER (WHERE a.stored_at IS NULL AND (a.attempt < r.attempt OR r.status = 'result_lost'))::bigint
            AS lost,
        count(*) FILTER (WHERE a.stored_at IS NULL AND a.attempt = r.attempt AND r.status = 'abandoned')::bigint
            AS given_up,
        count(*) FILTER (WHERE a.stored_at IS NULL AND a.attempt = r.attempt AND r.status NOT IN
            ('finished', 'error', 'result_lost', 'cancelled', 'abandoned'))::bigint AS to_come,
        COALESCE(sum(a.size_bytes) FILTER (WHERE a.stored_at IS NOT NULL), 0)::bigint AS stored_bytes
    FROM runs r JOIN artifacts a ON a.run_id = r.id WHERE {where}""")
    for kind, where in RUNS.items()
}

DOUBTS = {
    kind: text(f"SELECT d.settled, d.how, count(*)::int AS doubts FROM ({query}) d GROUP BY 1, 2 ORDER BY 3 DESC")
    for kind, query in DOUBTS_OF.items()
}

# A wave's doubts are raised together, and mostly settled together: one line instead of a thousand.
DOUBT_GROUPS = {
    kind: text(f"""
    SELECT count(*)::int AS count, min(d.run::text) AS run, min(d.index) AS first_index, max(d.index) AS last_index,
        d.raised_at, d.why, d.settled, d.how, d.actor, d.reason, d.settled_at
    FROM ({query}) d GROUP BY d.batch, d.raised_at, d.why, d.settled, d.how, d.actor, d.reason, d.settled_at
    ORDER BY d.settled IS NOT NULL, d.raised_at, 2 LIMIT {MAX_DOUBT_GROUPS}""")
    for kind, query in DOUBTS_OF.items()
}

ACTS = {
    kind: text(f"""
    SELECT a.type, a.actor, a.reason, count(*)::int AS count, min(a.at) AS first_at, max(a.at) AS last_at
    FROM ({query}) a GROUP BY 1, 2, 3 ORDER BY 5, 1, 2 LIMIT {MAX_ACT_GROUPS}""")
    for kind, query in ACTS_OF.items()
}

#: (event that settled a doubt, its `how`) -> what the report calls it.
SETTLEMENTS: Mapping[tuple[str, str | None], str] = {
    ("adopted", None): "adopted",
    ("late_answer", None): "settled by a late answer",
    ("never_sent", None): "never sent, says its worker",
    ("never_sent", "turned_away"): "turned away, says a late answer",
    ("doubt_resolved", "not_started"): "not started, says a person",
    ("doubt_resolved", "relaunch"): "launched again by a person",
    ("relaunched", None): "launched again by policy",
    ("failed_by_policy", None): "failed by policy",
    ("abandoned", None): "abandoned by a person",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the history of the runs tells: events by type; acceptances by actor; whether anybody else acted."""

    by_type: Mapping[str, int] = field(default_factory=dict)
    accepted_by: Mapping[str, int] = field(default_factory=dict)


async def told(connection: AsyncConnection, scope: Scope, spread: Spread) -> Told:
    """Count the events of the runs."""
    if spread.first is None:
        return Told()
    by_type: dict[str, int] = {}
    accepted_by: dict[str, int] = {}
    values = scope.values() | {"first": spread.first, "last": spread.last}
    for row in await rows(connection, TOLD[scope.kind], values):
        by_type[row.type] = by_type.get(row.type, 0) + row.events
        if row.type == "accepted":
            accepted_by[row.actor] = row.events
    return Told(by_type=by_type, accepted_by=accepted_by)


async def intake(connection: AsyncConnection, scope: Scope, spread: Spread, told: Told) -> IntakeFigures:
    """Count what came in."""
    row = (await connection.execute(INTAKE[scope.kind], scope.values())).one()
    return IntakeFigures(
        **row._mapping,
        singles=spread.singles,
        accepted_told=told.by_type.get("accepted", 0),
        observed=spread.observed,
        observed_told=told.by_type.get("observed", 0),
    )


async def launches(connection: AsyncConnection, scope: Scope, spread: Spread, told: Told) -> LaunchFigures:
    """Count the launches: the ledger, what became of each, and the looks."""
    ledger = (await connection.execute(INTENTS[scope.kind], scope.values())).one()
    executions = (await connection.execute(EXECUTIONS[scope.kind], scope.values())).one()
    again = 0
    if any(told.by_type.get(type) for type in ("not_sent", "never_sent", "doubt_resolved")):
        values = scope.values() | {"first": spread.first, "last": spread.last}
        again = (await connection.execute(LAUNCHED_AGAIN[scope.kind], values)).scalar_one()
    return LaunchFigures(**ledger._mapping, **executions._mapping, launched_again=again)


async def results(connection: AsyncConnection, scope: Scope, told: Told) -> ResultFigures:
    """Count the files that were offered, and what became of them."""
    row = (await connection.execute(FILES[scope.kind], scope.values())).one()
    return ResultFigures(**row._mapping, stored_told=told.by_type.get("result_stored", 0))


async def doubts(connection: AsyncConnection, scope: Scope, told: Told, *, standing: int) -> DoubtFigures:
    """Count the doubts, and how each was settled."""
    raised = told.by_type.get("in_doubt", 0)
    resolved: dict[str, int] = {}
    if raised:
        for row in await rows(connection, DOUBTS[scope.kind], scope.values()):
            if row.settled is not None:
                how = _settlement(row)
                resolved[how] = resolved.get(how, 0) + row.doubts
    return DoubtFigures(raised=raised, standing=standing, resolved=resolved)


async def doubt_groups(connection: AsyncConnection, scope: Scope, told: Told) -> Sequence[DoubtGroup]:
    """Return the doubts, those together that were raised and settled together, the open ones first."""
    if not told.by_type.get("in_doubt"):
        return ()
    found = await rows(connection, DOUBT_GROUPS[scope.kind], scope.values())
    return [_group(row) for row in found]


def _group(row: Any) -> DoubtGroup:
    told = {name: value for name, value in row._mapping.items() if name != "how"}
    return DoubtGroup(**(told | {"settled": None if row.settled is None else _settlement(row)}))


def _settlement(row: Any) -> str:
    return SETTLEMENTS.get((row.settled, row.how)) or SETTLEMENTS.get((row.settled, None)) or str(row.settled)


async def acts(connection: AsyncConnection, scope: Scope) -> Sequence[ActGroup]:
    """Return what people and policies did, alike acts together, at most `MAX_ACT_GROUPS`, the first one first."""
    return [ActGroup(**row._mapping) for row in await rows(connection, ACTS[scope.kind], scope.values())]


async def fires(connection: AsyncConnection, scope: Scope) -> Sequence[FireFigure]:
    """Return the ticks of schedules in the report's period, oldest first, and what became of each."""
    found = await rows(connection, TICKS[scope.kind], {**scope.values(), "most": MAX_TICKS})
    every = [FireFigure(**row._mapping) for row in found]
    return sorted(every, key=lambda fire: (fire.nominal_at, fire.schedule))


async def ticks(connection: AsyncConnection, scope: Scope) -> dict[str, dict[str, int]]:
    """Return what became of the ticks of each schedule -> how many. Schedules of one name are together."""
    found: dict[str, dict[str, int]] = {}
    for row in await rows(connection, TICK_COUNTS[scope.kind], scope.values()):
        states = found.setdefault(row.schedule, {})
        states[row.state] = states.get(row.state, 0) + row.ticks
    return found
