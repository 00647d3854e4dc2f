"""Claims executions to look at, and records what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import gathering, windows
from orchestrator.domain.changes import Urgency
from orchestrator.domain.governor import CallKind
from orchestrator.domain.look_timing import late_after, price_after
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.windows import WaveState
from orchestrator.runtime import Sources
from orchestrator.storage import (
    changes,
    fences,
    lane_minutes,
    lanes,
    learning,
    lists,
    look_claims,
    look_turns,
    offers,
    progress,
    waves,
)
from orchestrator.storage.changes import Applied
from orchestrator.storage.database import rows
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.storage.learning import Took
from orchestrator.storage.look_claims import CLAIMED, LaneNews, LookBatch, LookResult
from orchestrator.storage.sealing import Sealer

# The CTE `due` is a fence: without it the planner may run the LIMIT once per joined row.
# For each urgency the earliest due rows, by index alone; the outer LIMIT then takes the most urgent.
CLAIM = text(f"""
    WITH due AS MATERIALIZED (
        SELECT t.subject_id FROM generate_series(0, 2) AS u(urgency), LATERAL (
            SELECT subject_id, urgency, due_at FROM timers
            WHERE lane_id = :lane AND kind = 'poll' AND urgency = u.urgency AND due_at <= orch_now()
            ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED) t
        ORDER BY t.urgency, t.due_at LIMIT :limit), {CLAIMED}""")  # noqa: S608 - our own words

# One execution that the provider has, whoever looks at it: his answer comes to nothing.
CLAIM_ONE = text(f"""
    WITH due AS MATERIALIZED (
        SELECT t.subject_id FROM timers t JOIN runs r ON r.id = t.subject_id
        WHERE t.subject_id = :run AND t.kind = 'poll' AND r.status IN ('processing', 'human_in_the_loop')
        FOR UPDATE OF t), {CLAIMED}""")  # noqa: S608 - our own words

NEXT_DUE = text("""
    SELECT min(t.due_at) FROM generate_series(0, 2) AS u(urgency), LATERAL (
        SELECT due_at FROM timers WHERE lane_id = :lane AND kind = 'poll' AND urgency = u.urgency AND due_at IS NOT NULL
        ORDER BY due_at LIMIT 1) t""")

# A batch that waits for its last wave to run dry, or for a slot, plans anew when something ended.
PLAN_ANEW = text("""
    UPDATE timers SET due_at = orch_now()
    WHERE kind = 'launch' AND workflow_id = ANY(CAST(:workflows AS uuid[])) AND batch_id = subject_id
        AND due_at > orch_now()""")

# A turn's grant stands until its looks are recorded.
TURNS_OUT = text("SELECT count(*)::int FROM grants WHERE lane_id = :lane AND worker_id = :worker AND kind = 'look'")

#: Turns of one lane that a worker has out at once. A provider that hangs keeps a turn for as long as a call may take,
#: and must leave most of the worker's to other lanes. Looks that wait meanwhile go together with the next.
TURNS_OF_A_LANE = 3

#: A run that leaves one of these frees a slot, or is a wave's own no more.
AT_PROVIDER = frozenset({RunStatus.PROCESSING, RunStatus.HUMAN_IN_THE_LOOP})


async def claim(
    connection: AsyncConnection,
    *,
    worker: UUID,
    lease_s: float,
    sources: Sources,
    told: Callable[[UUID], None] | None = None,
    walks: Callable[[], None] = lambda: None,
    page_items: Callable[[str], int] = lambda _provider: 0,
) -> LookBatch | None:
    """Claim the most urgent looks of the lane that has been due longest; None when no lane is due.

    An empty batch means that the lane was due but may not send now; it has been told when to come back.

    Args:
        told: hears which lane is being claimed.
        walks: hears that a walk is due.
        page_items: how many executions a page of a provider's list shows, by the provider; 0: each is looked at alone.
    """
    turn = await look_turns.lock_due(connection, told=told, walks=walks)
    if (lane := turn.lane) is None:
        return None
    rests_until = lane.blocked_until if lane.is_blocked else await _hangs_until(connection, lane, worker)
    if rests_until is not None:
        await lanes.save(connection, replace(lane, poll_due_at=rests_until))
        return LookBatch(lane_id=lane.id, grant_id=lane.id, now=lane.now, claims=())
    waiting = lane.waiting_beside_looks
    listed = await lists.claim(
        connection,
        lane,
        providers=turn.providers,
        page_items=page_items,
        waiting=waiting,
        worker=worker,
        lease_s=lease_s,
        sources=sources,
    )
    if listed is not None:
        # Its record makes the lane due for what is left; without a token, as soon as one may be back.
        again_at = max(lane.budget.next_free_at(lane.now), lane.now + timedelta(milliseconds=200))
        await lanes.save(connection, replace(lane, poll_due_at=again_at))
        return listed
    limit = gathering.turn_size(lane.limit)
    wanted = lane.budget.paced(limit, now=lane.now)
    tokens = lane.budget.grant(CallKind.LOOK, wanted, now=lane.now, waiting=waiting)
    found: Sequence[Row[Any]] = ()
    if tokens:
        values = {"lane": lane.id, "limit": tokens, "lease_s": lease_s, "worker": worker}
        # In an order of its own: the database returns claimed rows in any.
        found = sorted(await rows(connection, CLAIM, values), key=lambda row: row.subject_id)
    lane = replace(lane, looks_late_s=late_after(lane.looks_late_s, [row.late_s for row in found]))
    grant_id = sources.new_id()
    if found:
        await lanes.grant(connection, lane, id=grant_id, worker=worker, kind=CallKind.LOOK, count=len(found))
    lane = replace(lane, poll_due_at=await _next_turn(connection, lane, taken=len(found), limit=limit))
    await lanes.save(connection, lane)
    refreshed = [(row.subject_id, row.attempt) for row in found if row.status == RunStatus.DOWNLOADING]
    files = await offers.known(connection, refreshed)
    claims = tuple(look_claims.read(row, lane, files.get(row.subject_id, ())) for row in found)
    return LookBatch(lane_id=lane.id, grant_id=grant_id, now=lane.now, claims=claims)


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
    await lanes.grant(connection, lane, id=grant_id, worker=worker, kind=CallKind.LOOK, count=1)
    # Asked for by a person: it says nothing of what a look is worth.
    claims = tuple(replace(look_claims.read(row, lane, ()), urgency=Urgency.ASKED) for row in found)
    return LookBatch(lane_id=lane.id, grant_id=grant_id, now=lane.now, claims=claims)


async def _hangs_until(connection: AsyncConnection, lane: Lane, worker: UUID) -> datetime | None:
    """Return when to ask again, if the lane has all the turns of this worker that it may have; None if it has not."""
    out: int = (await connection.execute(TURNS_OUT, {"lane": lane.id, "worker": worker})).scalar_one()
    # A turn that comes back makes its lane due at once, so this is only the latest time.
    return lane.now + timedelta(seconds=0.5) if out >= TURNS_OF_A_LANE else None


async def _next_turn(connection: AsyncConnection, lane: Lane, *, taken: int, limit: int) -> datetime | None:
    """Return when the lane is next worth claiming: something is due, and a token is back."""
    next_due: datetime | None = (await connection.execute(NEXT_DUE, {"lane": lane.id})).scalar_one()
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


async def record(
    connection: AsyncConnection,
    batch: LookBatch,
    results: Sequence[LookResult],
    answered_ago_s: Sequence[float],
    news: LaneNews,
    *,
    sources: Sources,
    sealer: Sealer,
) -> Applied:
    """Write what was seen, by the holders of valid fences only; give the tokens back."""
    lane = await lanes.lock(connection, batch.lane_id)
    lane = await lanes.release(connection, lane, batch.grant_id, CallKind.LOOK, answered_ago_s)
    wave_ids = {r.claim.wave_id for r in results if r.claim.wave_id is not None and r.wave_look is not None}
    locked = await waves.lock(connection, sorted(wave_ids))
    unseen = news.listed.unseen if news.listed is not None else {}
    held = await fences.held(connection, {**{r.claim.run_id: r.claim.fence for r in results}, **unseen})
    valid = [r for r in results if r.claim.run_id in held]
    applied = await changes.apply(
        connection, [r.change for r in valid], now=lane.now, sources=sources, sealer=sealer, lane=lane.id
    )
    written = {c.run_id for c in applied.changes}
    valid = [r for r in valid if r.claim.run_id in written]
    plans, opened_s = await _teach_waves(connection, lane, locked, valid, sources=sources)
    await learning.teach_durations(connection, [t for r in valid if (t := _took(r, locked, plans, now=lane.now))])
    await _plan_anew(connection, valid)
    await progress.write(connection, [s for r in valid if (s := _progress(r)) is not None])
    # A list of which nothing is held any more, of a worker taken for dead, puts off no other: what it saw is lost.
    if news.listed is not None and held:
        await lists.record(connection, news.listed)
    lane = replace(lane, look_price_s=price_after(lane.look_price_s, valid))
    await lanes.save(connection, _told(lane, valid, news, opened_s=opened_s))
    await lane_minutes.turned_away(connection, lane.id, news.turned_away)
    return applied


def _told(lane: Lane, valid: Sequence[LookResult], news: LaneNews, *, opened_s: Sequence[float]) -> Lane:
    due = [r.change.timer.due_at for r in valid if r.change.timer is not None and r.change.timer.due_at is not None]
    due += [lane.now + timedelta(seconds=in_s) for in_s in opened_s]
    due += lists.wakes_at(news.listed)
    lane = lane.pull(Turn.POLL, lane.gathered(min(due, default=lane.now)))
    if any(r.change.was != r.change.to for r in valid) and lane.launch_due_at is not None:
        # Something ended or stopped running: a slot may be free.
        lane = lane.pull(Turn.LAUNCH, lane.gathered(lane.now))
    if news.blocked_until is not None:
        lane = replace(lane, blocked_until=max(news.blocked_until, lane.blocked_until or news.blocked_until))
    if news.launches_stopped is not None:
        lane = replace(lane, launches_stopped=news.launches_stopped)
    return lane.heard(news.rate)


async def _teach_waves(
    connection: AsyncConnection,
    lane: Lane,
    locked: dict[UUID, waves.Wave],
    valid: Sequence[LookResult],
    *,
    sources: Sources,
) -> tuple[dict[UUID, WaveState], list[float]]:
    """Move each wave's window by what its looks saw; return what became of the waves, and when more of them is due."""
    plans: dict[UUID, WaveState] = {}
    opened_s: list[float] = []
    disordered: set[UUID] = set()
    for wave_id, wave in locked.items():
        seen = [r for r in valid if r.claim.wave_id == wave_id and r.wave_look is not None]
        if seen:
            plans[wave_id], move = await waves.teach(
                connection,
                wave,
                [r.wave_look for r in seen if r.wave_look is not None],
                now=lane.now,
                unit=sources.unit(),
                looks_per_minute=lane.limit,
                timing=seen[0].timing,
            )
            opened_s += [] if move.next_due_s is None else [move.next_due_s]
            if wave.plan.in_order and not plans[wave_id].in_order:
                disordered.add(seen[0].claim.workflow_id)
    await learning.break_order(connection, sorted(disordered))
    return plans, opened_s


def _took(
    result: LookResult, locked: dict[UUID, waves.Wave], plans: dict[UUID, WaveState], *, now: datetime
) -> Took | None:
    """Return what an ended execution taught; in a wave without order, what all of the wave taught."""
    took, wave_id = result.took, result.claim.wave_id
    plan, wave = (plans.get(wave_id), locked.get(wave_id)) if wave_id is not None else (None, None)
    if took is None or plan is None or plan.in_order or wave is None or wave.launched_at is None:
        return took
    mean_s = windows.mean_by_throughput(plan, age_s=(now - wave.launched_at).total_seconds())
    return replace(took, after_s=mean_s, by_s=mean_s)


def _progress(result: LookResult) -> progress.Seen | None:
    claim = result.claim
    if result.standing is None or result.change.to not in AT_PROVIDER:
        return None
    return progress.Seen(run_id=claim.run_id, attempt=claim.attempt, standing=result.standing)


async def _plan_anew(connection: AsyncConnection, valid: Sequence[LookResult]) -> None:
    """Give batches their turn when slots came free or a wave drew to its end."""
    freed = {r.claim.workflow_id for r in valid if r.change.was != r.change.to and r.claim.status in AT_PROVIDER}
    if freed:
        await connection.execute(PLAN_ANEW, {"workflows": sorted(freed)})
