"""Lanes: what is limited, and who may send now. A lane's row is locked for claims and records, never across a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import gathering, look_timing
from orchestrator.domain.breaker import Breaker, BreakerState
from orchestrator.domain.governor import Budget, CallKind
from orchestrator.domain.heard import RateSaid
from orchestrator.storage import budgets, outbox
from orchestrator.storage.database import rows


class Turn(StrEnum):
    """What a lane is claimed for."""

    LAUNCH = "launch"
    POLL = "poll"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane, locked by this transaction. `now` is the transaction's time."""

    id: UUID
    now: datetime
    budget: Budget
    blocked_until: datetime | None
    launches_stopped: str | None
    breaker: Breaker
    launch_due_at: datetime | None
    poll_due_at: datetime | None
    #: What a look was worth lately, and how late looks came, seconds (`domain/look_timing.py`).
    look_price_s: float = 0.0
    looks_late_s: float = 0.0

    @property
    def limit(self) -> int:
        """Requests in any 60 s: as declared, or as the provider says, if that is lower."""
        return self.budget.most

    @property
    def asked_price_s(self) -> float:
        """What a look must be worth now, seconds."""
        return look_timing.asked_price_s(self.look_price_s, free=self.budget.free(self.now), limit=self.limit)

    @property
    def is_blocked(self) -> bool:
        """The provider asked for silence until later."""
        return self.blocked_until is not None and self.blocked_until > self.now

    @property
    def waiting_beside_looks(self) -> tuple[CallKind, ...]:
        """What else waits for tokens. A launch that found none comes back within a second; it waits all the same."""
        soon = self.now + timedelta(seconds=1)
        launches_wait = self.launch_due_at is not None and self.launch_due_at <= soon
        return (CallKind.LAUNCH,) if launches_wait and not self.launches_stopped else ()

    def gathered(self, due_at: datetime) -> datetime:
        """Return when to take a turn for what is due at a time: see `domain/gathering.py`."""
        used = self.limit - self.budget.free(self.now)
        return gathering.gathered(due_at, now=self.now, requests_per_minute=self.limit, used=used, lane=self.id.int)

    def pull(self, turn: Turn, due_at: datetime) -> Lane:
        """Return the lane, due no later than this."""
        due_before = self.launch_due_at if turn is Turn.LAUNCH else self.poll_due_at
        if due_before is not None and due_before <= due_at:
            return self
        return replace(self, launch_due_at=due_at) if turn is Turn.LAUNCH else replace(self, poll_due_at=due_at)

    def spent(self, kind: CallKind, answered_ago_s: Sequence[float]) -> Lane:
        """Return the lane after calls were answered so many seconds ago."""
        return replace(self, budget=self.budget.spend(kind, answered_ago_s, now=self.now))

    def heard(self, said: RateSaid | None) -> Lane:
        """Return the lane after the provider told how its own count stands. What was on the wire is recorded."""
        return self if said is None else replace(self, budget=self.budget.heard(said, now=self.now))


#: What a lane is read from, of `lanes` alone.
COLUMNS = f"""id, orch_now() AS now, {budgets.COLUMNS}, blocked_until, launches_stopped, breaker,
    breaker_probe_at, breaker_trips, launch_due_at, poll_due_at, look_price_s,
    looks_late_s"""

# SKIP LOCKED: a lane that another worker is claiming or recording is served by that worker now.
LOCK_DUE = text(f"""
    SELECT {COLUMNS} FROM lanes WHERE launch_due_at <= orch_now() ORDER BY launch_due_at LIMIT 1
    FOR UPDATE SKIP LOCKED""")  # noqa: S608 - constant columns

LOCK_ONE = text(f"SELECT {COLUMNS} FROM lanes WHERE id = :lane FOR UPDATE")  # noqa: S608 - constant columns

READ = text(f"SELECT {COLUMNS} FROM lanes WHERE id = ANY(CAST(:lanes AS uuid[]))")  # noqa: S608 - constant columns

# Tokens in flight: a handful of rows per lane at most.
IN_FLIGHT = text("""
    SELECT lane_id, kind, sum(count)::int AS total FROM grants WHERE lane_id = ANY(CAST(:lanes AS uuid[]))
    GROUP BY lane_id, kind""")

# Those of some lanes that nobody else holds: whoever holds one lane already must not wait for another.
LOCK_FREE = text(f"""
    SELECT {COLUMNS} FROM lanes WHERE id = ANY(CAST(:lanes AS uuid[])) ORDER BY id
    FOR UPDATE SKIP LOCKED""")  # noqa: S608 - constant columns

SAVE = text(f"""
    UPDATE lanes l SET {budgets.SET}, blocked_until = v.blocked_until,
        launches_stopped_at = CASE WHEN l.launches_stopped IS DISTINCT FROM v.launches_stopped THEN orch_now()
                                   ELSE l.launches_stopped_at END,
        launches_stopped = v.launches_stopped, breaker = v.breaker, breaker_probe_at = v.breaker_probe_at,
        breaker_trips = v.breaker_trips, launch_due_at = v.launch_due_at, poll_due_at = v.poll_due_at,
        look_price_s = v.look_price_s, looks_late_s = v.looks_late_s
    FROM unnest(CAST(:lane AS uuid[]), {budgets.ARRAYS}, CAST(:blocked_until AS timestamptz[]),
        CAST(:launches_stopped AS text[]), CAST(:breaker AS text[]), CAST(:breaker_probe_at AS timestamptz[]),
        CAST(:breaker_trips AS int[]), CAST(:launch_due_at AS timestamptz[]), CAST(:poll_due_at AS timestamptz[]),
        CAST(:look_price_s AS float8[]), CAST(:looks_late_s AS float8[]))
        AS v(lane, {budgets.NAMES}, blocked_until, launches_stopped, breaker, breaker_probe_at, breaker_trips,
             launch_due_at, poll_due_at, look_price_s, looks_late_s)
    WHERE l.id = v.lane
    RETURNING l.id, l.launches_stopped IS NOT NULL AND l.launches_stopped_at = orch_now() AS is_refused""")  # noqa: S608

# Wakes a lane from outside a claim: a submission, an operator, a resumed connection.
WAKE = {
    turn: text(
        f"UPDATE lanes SET {turn}_due_at = LEAST(COALESCE({turn}_due_at, orch_now()), orch_now()) WHERE id = :lane"  # noqa: S608
    )
    for turn in Turn
}


async def lock_due(connection: AsyncConnection, *, told: Callable[[UUID], None] | None = None) -> Lane | None:
    """Lock the lane whose launches have been due longest, or return None when none is due and free.

    Args:
        told: as of `of_locked`.
    """
    row = (await connection.execute(LOCK_DUE)).one_or_none()
    return None if row is None else await of_locked(connection, row, told=told)


async def of_locked(connection: AsyncConnection, row: Row[Any], *, told: Callable[[UUID], None] | None = None) -> Lane:
    """Return the lane of a row of `COLUMNS` that this transaction has locked.

    Args:
        told: hears which lane it is before anything else of its data is read, so that one that breaks a claim is known.
    """
    if told is not None:
        told(row.id)
    return (await of_all_locked(connection, [row]))[0]


async def of_all_locked(connection: AsyncConnection, found: Sequence[Row[Any]]) -> list[Lane]:
    """Return the lanes of some rows of `COLUMNS` that this transaction has locked, in one statement more."""
    in_flight = await _in_flight(connection, [row.id for row in found])
    return [_lane(row, in_flight.get(row.id, {})) for row in found]


async def lock(connection: AsyncConnection, lane_id: UUID) -> Lane:
    """Lock one lane, waiting for it."""
    return await of_locked(connection, (await connection.execute(LOCK_ONE, {"lane": lane_id})).one())


async def lock_free(connection: AsyncConnection, lane_ids: Sequence[UUID]) -> dict[UUID, Lane]:
    """Lock those of some lanes that nobody else holds, waiting for none."""
    found = await rows(connection, LOCK_FREE, {"lanes": list(lane_ids)})
    return {lane.id: lane for lane in await of_all_locked(connection, found)}


async def read(connection: AsyncConnection, lane_id: UUID) -> Lane:
    """Read one lane without locking it, for showing."""
    # Lanes are never removed while a connection names them.
    return (await read_all(connection, [lane_id]))[lane_id]


async def read_all(connection: AsyncConnection, lane_ids: Sequence[UUID]) -> dict[UUID, Lane]:
    """Read some lanes without locking them, in two statements however many they are."""
    found = await rows(connection, READ, {"lanes": list(lane_ids)}) if lane_ids else []
    in_flight = await _in_flight(connection, [row.id for row in found])
    return {row.id: _lane(row, in_flight.get(row.id, {})) for row in found}


async def save(connection: AsyncConnection, lane: Lane) -> None:
    """Write a locked lane back; tell of its key if it was refused just now."""
    await save_all(connection, [lane])


async def save_all(connection: AsyncConnection, changed: Sequence[Lane]) -> None:
    """Write locked lanes back, each once; tell of the keys that were refused just now."""
    if not changed:
        return
    values: dict[str, list[Any]] = {
        "lane": [lane.id for lane in changed],
        **budgets.values([lane.budget for lane in changed]),
        "breaker": [lane.breaker.state for lane in changed],
        "breaker_probe_at": [lane.breaker.probe_at for lane in changed],
        "breaker_trips": [lane.breaker.trips for lane in changed],
    }
    for name in ("blocked_until", "launches_stopped", "launch_due_at", "poll_due_at", "look_price_s", "looks_late_s"):
        values[name] = [getattr(lane, name) for lane in changed]
    for row in await rows(connection, SAVE, values):
        if row.is_refused:
            await outbox.tell_refused(connection, row.id)


async def wake(connection: AsyncConnection, lane_id: UUID, turn: Turn) -> None:
    """Make a lane due now."""
    await connection.execute(WAKE[turn], {"lane": lane_id})


async def _in_flight(connection: AsyncConnection, lane_ids: Sequence[UUID]) -> dict[UUID, dict[CallKind, int]]:
    found: dict[UUID, dict[CallKind, int]] = {}
    for row in await rows(connection, IN_FLIGHT, {"lanes": list(lane_ids)}) if lane_ids else []:
        found.setdefault(row.lane_id, {})[CallKind(row.kind)] = row.total
    return found


def _lane(row: Row[Any], in_flight: Mapping[CallKind, int]) -> Lane:
    return Lane(
        id=row.id,
        now=row.now,
        budget=budgets.read(row, in_flight),
        blocked_until=row.blocked_until,
        launches_stopped=row.launches_stopped,
        breaker=Breaker(state=BreakerState(row.breaker), probe_at=row.breaker_probe_at, trips=row.breaker_trips),
        launch_due_at=row.launch_due_at,
        poll_due_at=row.poll_due_at,
        look_price_s=row.look_price_s,
        looks_late_s=row.looks_late_s,
    )
