"""Turns of looks: which lanes are due, what of each may be looked at now, and when each is worth asking again.

A turn takes several lanes, in a fixed number of statements whatever their number (but for lanes with a list): at 100
requests a minute a lane has a handful of looks at a time, and each turn by itself would cost as many statements as it
makes requests. What else a turn needs to know (walks, providers, turns out) is asked with the lanes: who has neither a
list nor a watch pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import gathering
from orchestrator.domain.changes import Urgency
from orchestrator.domain.governor import CallKind
from orchestrator.domain.look_timing import late_after
from orchestrator.domain.statuses import RunStatus
from orchestrator.runtime import Sources
from orchestrator.storage import grants, lanes, lists, look_claims, offers, watches
from orchestrator.storage.database import rows
from orchestrator.storage.grants import Grant
from orchestrator.storage.lanes import COLUMNS, Lane
from orchestrator.storage.look_claims import CLAIMED, LookBatch

#: Lanes that one turn serves, and looks that it takes of all of them together: its record is one transaction.
LANES_AT_ONCE = 16
LOOKS_AT_ONCE = 200

#: Turns of one lane that a worker has out at once. A provider that hangs keeps a turn for as long as a call may take,
#: and must leave most of the worker's to other lanes. Looks that wait meanwhile go together with the next.
TURNS_OF_A_LANE = 3

# SKIP LOCKED, as of launches: so whoever holds some lanes waits for no other. The outer join tells of walks where no
# lane is due, too. A turn's grant stands until its looks are recorded.
LOCK_DUE = text(f"""
    SELECT {watches.IS_DUE} AS walk_is_due, l.* FROM (VALUES (1)) AS o LEFT JOIN LATERAL (
        SELECT {COLUMNS}, ARRAY(SELECT DISTINCT c.provider FROM connections c
                WHERE c.lane_id = lanes.id AND c.removed_at IS NULL) AS providers,
            (SELECT count(*) FROM grants g WHERE g.lane_id = lanes.id AND g.worker_id = :worker AND g.kind = 'look')
                AS turns_out
        FROM lanes WHERE poll_due_at <= orch_now() ORDER BY poll_due_at LIMIT :lanes FOR UPDATE SKIP LOCKED) l
    ON true""")  # noqa: S608 - our own words

# The CTE `due` is a fence: without it the planner may run the LIMIT once per joined row.
# For each urgency the earliest due rows, by index alone; the outer LIMIT then takes the most urgent.
CLAIM = text(f"""
    WITH due AS MATERIALIZED (
        SELECT d.subject_id FROM unnest(CAST(:lanes AS uuid[]), CAST(:limits AS int[])) AS l(id, most), LATERAL (
            SELECT t.subject_id FROM generate_series(0, 2) AS u(urgency), LATERAL (
                SELECT subject_id, urgency, due_at FROM timers
                WHERE lane_id = l.id AND kind = 'poll' AND urgency = u.urgency AND due_at <= orch_now()
                ORDER BY due_at LIMIT l.most FOR UPDATE SKIP LOCKED) t
            ORDER BY t.urgency, t.due_at LIMIT l.most) d), {CLAIMED}""")  # noqa: S608 - our own words

# One execution that the provider has, whoever looks at it: his answer comes to nothing.
CLAIM_ONE = text(f"""
    WITH due AS MATERIALIZED (
        SELECT t.subject_id FROM timers t JOIN runs r ON r.id = t.subject_id
        WHERE t.subject_id = :run AND t.kind = 'poll' AND r.status IN ('processing', 'human_in_the_loop')
        FOR UPDATE OF t), {CLAIMED}""")  # noqa: S608 - our own words

NEXT_DUE = text("""
    SELECT l.id, (SELECT min(t.due_at) FROM generate_series(0, 2) AS u(urgency), LATERAL (
        SELECT due_at FROM timers WHERE lane_id = l.id AND kind = 'poll' AND urgency = u.urgency AND due_at IS NOT NULL
        ORDER BY due_at LIMIT 1) t) AS due_at
    FROM unnest(CAST(:lanes AS uuid[])) AS l(id)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueLane:
    """A lane whose looks are due, locked: its providers, and how many turns of it this worker has out."""

    lane: Lane
    providers: tuple[str, ...] = ()
    turns_out: int = 0

    def rests_until(self) -> datetime | None:
        """Return when to ask again, if the provider asked for silence or hangs; None if the lane may look."""
        if self.lane.is_blocked:
            return self.lane.blocked_until
        # A turn that comes back makes its lane due at once, so this is only the latest time.
        return self.lane.now + timedelta(seconds=0.5) if self.turns_out >= TURNS_OF_A_LANE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """How many looks of a lane may leave now, of how many in one turn."""

    lane: Lane
    tokens: int
    limit: int


async def lock_due(
    connection: AsyncConnection,
    *,
    worker: UUID,
    most: int = LANES_AT_ONCE,
    told: Callable[[UUID], None] | None = None,
    walks: Callable[[], None] | None = None,
) -> list[DueLane]:
    """Lock the lanes whose looks have been due longest.

    Args:
        told: hears each before anything else of its data is read, so that one that breaks a claim is known.
        walks: hears that a walk is due, on whatever lane.
    """
    found = await rows(connection, LOCK_DUE, {"worker": worker, "lanes": most})
    if found[0].walk_is_due and walks is not None:
        walks()
    due = [row for row in found if row.id is not None]
    if told is not None:
        for row in due:
            told(row.id)
    return [
        DueLane(lane=lane, providers=tuple(row.providers), turns_out=row.turns_out)
        for lane, row in zip(await lanes.of_all_locked(connection, due), due, strict=True)
    ]


async def claim(
    connection: AsyncConnection,
    *,
    worker: UUID,
    lease_s: float,
    sources: Sources,
    most_lanes: int = LANES_AT_ONCE,
    told: Callable[[UUID], None] | None = None,
    walks: Callable[[], None] = lambda: None,
    page_items: Callable[[str], int] = lambda _provider: 0,
) -> list[LookBatch]:
    """Claim the most urgent looks of the lanes that have been due longest: a batch for each, none when none is due.

    An empty batch means that the lane was due but may not send now; it has been told when to come back. What the turn
    has no room for stays due.

    Args:
        told: hears which lanes are being claimed.
        walks: hears that a walk is due.
        page_items: how many executions a page of a provider's list shows, by the provider; 0: each is looked at alone.
    """
    batches: list[LookBatch] = []
    changed: list[Lane] = []
    shares: list[_Share] = []
    room = LOOKS_AT_ONCE
    for due in await lock_due(connection, worker=worker, most=most_lanes, told=told, walks=walks):
        lane = due.lane
        if (rests_until := due.rests_until()) is not None:
            changed.append(replace(lane, poll_due_at=rests_until))
            batches.append(LookBatch(lane_id=lane.id, grant_id=lane.id, now=lane.now, claims=()))
            continue
        waiting = lane.waiting_beside_looks
        listed = await lists.claim(
            connection, lane, providers=due.providers, page_items=page_items, waiting=waiting, worker=worker,
            lease_s=lease_s, sources=sources,
        )  # fmt: skip
        if listed is not None:
            # Its record makes the lane due for what is left; without a token, as soon as one may be back.
            again_at = max(lane.budget.next_free_at(lane.now), lane.now + timedelta(milliseconds=200))
            changed.append(replace(lane, poll_due_at=again_at))
            batches.append(listed)
        elif room > 0:
            limit = gathering.turn_size(lane.limit)
            wanted = lane.budget.paced(limit, now=lane.now)
            tokens = min(lane.budget.grant(CallKind.LOOK, wanted, now=lane.now, waiting=waiting), room)
            room -= tokens
            shares.append(_Share(lane=lane, tokens=tokens, limit=limit))
    claimed, after = await _claimed(connection, shares, worker=worker, lease_s=lease_s, sources=sources)
    await lanes.save_all(connection, [*changed, *after])
    return [*batches, *claimed]


async def _claimed(
    connection: AsyncConnection, shares: Sequence[_Share], *, worker: UUID, lease_s: float, sources: Sources
) -> tuple[list[LookBatch], list[Lane]]:
    """Claim what each lane may look at; return that, and the lanes as they are to be saved."""
    if not shares:
        return [], []
    found = await _take(connection, [s for s in shares if s.tokens], worker=worker, lease_s=lease_s)
    granted = {s.lane.id: sources.new_id() for s in shares}
    out = [Grant(id=granted[id], lane_id=id, count=len(taken)) for id, taken in found.items()]
    await grants.grant_all(connection, out, worker=worker, kind=CallKind.LOOK)
    next_due = {row.id: row.due_at for row in await rows(connection, NEXT_DUE, {"lanes": list(granted)})}
    refreshed = [
        (row.subject_id, row.attempt)
        for taken in found.values()
        for row in taken
        if row.status == RunStatus.DOWNLOADING
    ]
    files = await offers.known(connection, refreshed)
    batches, after = [], []
    for share in shares:
        lane, taken = share.lane, found.get(share.lane.id, ())
        lane = replace(lane, looks_late_s=late_after(lane.looks_late_s, [row.late_s for row in taken]))
        again_at = _next_turn(lane, next_due[lane.id], taken=len(taken), limit=share.limit)
        after.append(replace(lane, poll_due_at=again_at))
        claims = tuple(look_claims.read(row, lane, files.get(row.subject_id, ())) for row in taken)
        batches.append(LookBatch(lane_id=lane.id, grant_id=granted[lane.id], now=lane.now, claims=claims))
    return batches, after


async def _take(
    connection: AsyncConnection, shares: Sequence[_Share], *, worker: UUID, lease_s: float
) -> Mapping[UUID, Sequence[Row[Any]]]:
    """Take what is most urgent of each lane, as much as it has tokens; return it by lane."""
    if not shares:
        return {}
    values = {"lanes": [s.lane.id for s in shares], "limits": [s.tokens for s in shares]}
    taken: dict[UUID, list[Row[Any]]] = {}
    # In an order of its own: the database returns claimed rows in any.
    claimed = await rows(connection, CLAIM, {**values, "lease_s": lease_s, "worker": worker})
    for row in sorted(claimed, key=lambda row: row.subject_id):
        taken.setdefault(row.lane_id, []).append(row)
    return taken


def _next_turn(lane: Lane, next_due: datetime | None, *, taken: int, limit: int) -> datetime | None:
    """Return when the lane is next worth claiming: something is due, and a token is back."""
    if next_due is None:
        return None
    if taken == limit:
        # As many as one claim may take: the rest is due.
        return max(next_due, lane.budget.next_free_at(lane.now))
    next_due = lane.gathered(next_due)
    if lane.budget.free(lane.now) > taken:
        # Tokens are left, so whatever is due was left to others: come back as soon as it may be taken.
        return max(next_due, lane.now + timedelta(milliseconds=200))
    return max(next_due, lane.budget.next_free_at(lane.now), lane.now + timedelta(milliseconds=50))


async def claim_one(
    connection: AsyncConnection, lane: Lane, run_id: UUID, *, worker: UUID, lease_s: float, sources: Sources
) -> LookBatch | None:
    """Take one execution from whoever looks at it, on behalf of a person; None where the provider has it no more.

    The caller holds the lane's lock, and has seen that it has a token.
    """
    found = await rows(connection, CLAIM_ONE, {"run": run_id, "lease_s": lease_s, "worker": worker})
    if not found:
        return None
    grant_id = sources.new_id()
    await grants.grant(connection, lane, id=grant_id, worker=worker, kind=CallKind.LOOK, count=1)
    # Asked for by a person: it says nothing of what a look is worth.
    claims = tuple(replace(look_claims.read(row, lane, ()), urgency=Urgency.ASKED) for row in found)
    return LookBatch(lane_id=lane.id, grant_id=grant_id, now=lane.now, claims=claims)
