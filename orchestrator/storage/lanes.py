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
from orchestrator.storage import budgets, deliveries, outbox, watches
from orchestrator.storage.database import execute, rows


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

SAVE = text(f"""
    UPDATE lanes SET {budgets.SET}, blocked_until = :blocked_until,
        launches_stopped_at = CASE WHEN launches_stopped IS DISTINCT FROM :launches_stopped THEN orch_now()
                                   ELSE launches_stopped_at END,
        launches_stopped = :launches_stopped, breaker = :breaker, breaker_probe_at = :breaker_probe_at,
        breaker_trips = :breaker_trips, launch_due_at = :launch_due_at, poll_due_at = :poll_due_at,
        look_price_s = :look_price_s, looks_late_s = :looks_late_s
    WHERE id = :lane RETURNING launches_stopped IS NOT NULL AND launches_stopped_at = orch_now()""")  # noqa: S608 - our own words

# A grant that is there already was made by the same call, whose commit's answer was lost.
GRANT = text("""
    INSERT INTO grants (id, lane_id, worker_id, kind, count, granted_at)
    VALUES (:id, :lane, :worker, :kind, :count, orch_now()) ON CONFLICT (id) DO NOTHING""")

GRANT_EACH = text("""
    INSERT INTO grants (id, lane_id, worker_id, kind, count, granted_at)
    SELECT id, :lane, :worker, :kind, 1, orch_now() FROM unnest(CAST(:ids AS uuid[])) AS v(id)""")

RELEASE = text("DELETE FROM grants WHERE id = :id")

RELEASE_EACH = text("DELETE FROM grants WHERE id = ANY(CAST(:ids AS uuid[])) RETURNING id")

# A pump asks this before it rings or works: one row, from a few small indexes.
ANY_DUE = text(f"""
    SELECT EXISTS (SELECT FROM lanes WHERE launch_due_at <= orch_now()) AS launch,
           EXISTS (SELECT FROM lanes WHERE poll_due_at <= orch_now())
               OR {watches.IS_DUE} AS poll,
           EXISTS (SELECT FROM timers WHERE kind = 'download' AND due_at <= orch_now()) AS download,
           EXISTS (SELECT FROM timers WHERE kind = 'sending' AND due_at <= orch_now()) AS sweep,
           EXISTS (SELECT FROM schedules WHERE next_at <= orch_now() AND removed_at IS NULL)
               OR EXISTS (SELECT FROM fires WHERE due_at <= orch_now()) AS fire,
           {deliveries.DUE} AS deliver""")  # noqa: S608 - our own words

# When the next work of a kind is due, in seconds: each is the first entry of an index.
DUE_IN = {
    "launch": text("SELECT extract(epoch FROM min(launch_due_at) - orch_now())::float8 FROM lanes"),
    "poll": text(f"""
        SELECT extract(epoch FROM LEAST((SELECT min(poll_due_at) FROM lanes), ({watches.NEXT_DUE}))
            - orch_now())::float8"""),  # noqa: S608 - our own words
    "download": text("SELECT extract(epoch FROM min(due_at) - orch_now())::float8 FROM timers WHERE kind = 'download'"),
}

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
    return _lane(row, (await _in_flight(connection, [row.id])).get(row.id, {}))


async def lock(connection: AsyncConnection, lane_id: UUID) -> Lane:
    """Lock one lane, waiting for it."""
    return await of_locked(connection, (await connection.execute(LOCK_ONE, {"lane": lane_id})).one())


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
    saved = await connection.execute(
        SAVE,
        {
            "lane": lane.id,
            **budgets.values(lane.budget),
            "blocked_until": lane.blocked_until,
            "launches_stopped": lane.launches_stopped,
            "breaker": lane.breaker.state,
            "breaker_probe_at": lane.breaker.probe_at,
            "breaker_trips": lane.breaker.trips,
            "launch_due_at": lane.launch_due_at,
            "poll_due_at": lane.poll_due_at,
            "look_price_s": lane.look_price_s,
            "looks_late_s": lane.looks_late_s,
        },
    )
    if saved.scalar_one():
        await outbox.tell_refused(connection, lane.id)


async def grant(connection: AsyncConnection, lane: Lane, *, id: UUID, worker: UUID, kind: CallKind, count: int) -> None:
    """Write down that so many requests may leave now; their tokens are out until `release`."""
    await connection.execute(GRANT, {"id": id, "lane": lane.id, "worker": worker, "kind": kind, "count": count})


async def grant_each(
    connection: AsyncConnection, lane: Lane, *, ids: Sequence[UUID], worker: UUID, kind: CallKind
) -> None:
    """Write down a grant of one request for each id, so that each can be released by itself."""
    await connection.execute(GRANT_EACH, {"ids": list(ids), "lane": lane.id, "worker": worker, "kind": kind})


async def release_each(
    connection: AsyncConnection, lane: Lane, kind: CallKind, answered_ago_s: Mapping[UUID, float | None]
) -> Lane:
    """Take grants of one request back.

    Args:
        answered_ago_s: by grant; None: it was never sent, and its token is free at once.
    """
    found = await rows(connection, RELEASE_EACH, {"ids": list(answered_ago_s)})
    # In an order of its own: the database returns them in any. What is gone was counted as spent with its worker.
    ago_s = [answered_ago_s[id] for id in sorted(row.id for row in found)]
    return lane.spent(kind, [s for s in ago_s if s is not None])


async def release(
    connection: AsyncConnection, lane: Lane, grant_id: UUID, kind: CallKind, answered_ago_s: Sequence[float]
) -> Lane:
    """Take a grant back: what was answered stays spent for 60 s from its answer, what was never sent is free."""
    found = await execute(connection, RELEASE, {"id": grant_id})
    # A grant that is gone was taken for dead with its worker, and its tokens were counted as spent then.
    return lane.spent(kind, answered_ago_s) if found else lane


async def any_due(connection: AsyncConnection) -> frozenset[str]:
    """Return which kinds of work are due anywhere: `launch`, `poll`, `download`, `sweep`, `fire`, `deliver`."""
    row = (await connection.execute(ANY_DUE)).one()
    return frozenset(kind for kind, due in row._mapping.items() if due)


async def due_in_s(connection: AsyncConnection, kind: str) -> float | None:
    """Return in how many seconds the next work of a kind of `DUE_IN` is due (negative: it is); None: none in sight."""
    found: float | None = (await connection.execute(DUE_IN[kind])).scalar_one()
    return found


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
