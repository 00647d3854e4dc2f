"""Records what looks saw, of several lanes together: a fixed number of statements, whatever their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import planner, windows
from orchestrator.domain.governor import CallKind
from orchestrator.domain.look_timing import price_after
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.windows import WaveState, WindowMove
from orchestrator.runtime import Sources
from orchestrator.storage import changes, fences, grants, lane_minutes, lanes, learning, lists, progress, waves
from orchestrator.storage.changes import Applied
from orchestrator.storage.lanes import Lane, Turn
from orchestrator.storage.learning import Took
from orchestrator.storage.look_claims import LookRecord, LookResult
from orchestrator.storage.sealing import Sealer
from orchestrator.storage.waves import Lesson, Wave

# A batch that waits for its last wave to run dry, or for a slot, plans anew when something ended.
PLAN_ANEW = text("""
    UPDATE timers SET due_at = orch_now()
    WHERE kind = 'launch' AND workflow_id = ANY(CAST(:workflows AS uuid[])) AND batch_id = subject_id
        AND due_at > orch_now()""")

#: A run that leaves one of these frees a slot, or is a wave's own no more.
AT_PROVIDER = frozenset({RunStatus.PROCESSING, RunStatus.HUMAN_IN_THE_LOOP})


@dataclass(frozen=True, slots=True)
class _Seen:
    """What of a record holds, and what became of the waves that it is about."""

    record: LookRecord
    valid: tuple[LookResult, ...]
    taught: Mapping[UUID, tuple[WaveState, WindowMove]]

    def makes_room(self, result: LookResult, *, limit: int) -> bool:
        """Tell whether a look may have made room for a launch: a slot came free, or a wave drew to its end."""
        claim = result.claim
        if result.change.was == result.change.to or claim.status not in AT_PROVIDER:
            return False
        taught = self.taught.get(claim.wave_id) if claim.wave_id is not None else None
        return taught is None or planner.makes_room(taught[0], looks_per_minute=limit, mean_s=claim.durations.mean_s)

    def moves(self) -> list[WindowMove]:
        """Return how the windows of this record's waves moved."""
        own = {r.claim.wave_id for r in self.valid if r.claim.wave_id is not None}
        return [self.taught[id][1] for id in sorted(own) if id in self.taught]


async def record(
    connection: AsyncConnection,
    records: Sequence[LookRecord],
    held: Mapping[UUID, Lane],
    *,
    sources: Sources,
    sealer: Sealer,
) -> Applied:
    """Write what was seen, by the holders of valid fences only; give the tokens back.

    Args:
        held: the lanes of all the records, locked by the caller.
    """
    after = await _released(connection, records, held)
    now = next(iter(held.values())).now
    about = {id for r in records for result in r.results if (id := _wave(result)) is not None}
    locked = await waves.lock(connection, sorted(about))
    fences_held = await fences.held(connection, _fences(records))
    valid = [[r for r in rec.results if fences_held.get(r.claim.run_id) == r.claim.fence] for rec in records]
    applied = await changes.apply(
        connection,
        [r.change for results in valid for r in results],
        now=now,
        sources=sources,
        sealer=sealer,
        lane={r.claim.run_id: rec.lane_id for rec, results in zip(records, valid, strict=True) for r in results},
    )
    written = {c.run_id for c in applied.changes}
    valid = [[r for r in results if r.claim.run_id in written] for results in valid]
    taught = await _teach_waves(connection, records, valid, locked, held, now=now, sources=sources)
    looks = [r for results in valid for r in results]
    await learning.teach_durations(connection, [t for r in looks if (t := _took(r, locked, taught, now=now))])
    await progress.write(connection, [s for r in looks if (s := _progress(r)) is not None])
    freed: set[UUID] = set()
    for seen in (_Seen(rec, tuple(results), taught) for rec, results in zip(records, valid, strict=True)):
        lane = after[seen.record.lane_id]
        room = {r.claim.workflow_id for r in seen.valid if seen.makes_room(r, limit=lane.limit)}
        after[lane.id] = _told(lane, seen, makes_room=bool(room))
        freed |= room
        await _news(connection, seen.record, holds=any(id in fences_held for id in _fences([seen.record])))
    if freed:
        await connection.execute(PLAN_ANEW, {"workflows": sorted(freed)})
    for lane_id in applied.woken & after.keys():
        # It was woken in its row, which is written over here.
        after[lane_id] = after[lane_id].pull(Turn.POLL, now).pull(Turn.LAUNCH, now)
    await lanes.save_all(connection, list(after.values()))
    return applied


async def _released(
    connection: AsyncConnection, records: Sequence[LookRecord], held: Mapping[UUID, Lane]
) -> dict[UUID, Lane]:
    """Take the grants back; return the lanes with what was answered spent, for 60 s from its answer."""
    found = await grants.release_all(connection, [r.grant_id for r in records])
    after = dict(held)
    for r in records:
        if r.grant_id in found:
            after[r.lane_id] = after[r.lane_id].spent(CallKind.LOOK, r.answered_ago_s)
    return after


def _fences(records: Sequence[LookRecord]) -> dict[UUID, int]:
    """Return what the records claim to hold; of two claims of one run the later, for the earlier is void."""
    claimed: dict[UUID, int] = {}
    for r in records:
        unseen = r.news.listed.unseen if r.news.listed is not None else {}
        for run, fence in [*((one.claim.run_id, one.claim.fence) for one in r.results), *unseen.items()]:
            claimed[run] = max(fence, claimed.get(run, fence))
    return claimed


def _wave(result: LookResult) -> UUID | None:
    """Return the wave that a look taught something."""
    return result.claim.wave_id if result.wave_look is not None else None


def _told(lane: Lane, seen: _Seen, *, makes_room: bool) -> Lane:
    """Return a lane as it is after a record: when it is due again, what its looks were worth, what it was told."""
    news = seen.record.news
    lane = replace(lane, look_price_s=price_after(lane.look_price_s, seen.valid))
    due = [r.change.timer.due_at for r in seen.valid if r.change.timer and r.change.timer.due_at is not None]
    due += [lane.now + timedelta(seconds=m.next_due_s) for m in seen.moves() if m.next_due_s is not None]
    due += lists.wakes_at(news.listed)
    lane = lane.pull(Turn.POLL, lane.gathered(min(due, default=lane.now)))
    if makes_room and lane.launch_due_at is not None:
        lane = lane.pull(Turn.LAUNCH, lane.gathered(lane.now))
    if news.blocked_until is not None:
        lane = replace(lane, blocked_until=max(news.blocked_until, lane.blocked_until or news.blocked_until))
    if news.launches_stopped is not None:
        lane = replace(lane, launches_stopped=news.launches_stopped)
    return lane.heard(news.rate)


async def _news(connection: AsyncConnection, record: LookRecord, *, holds: bool) -> None:
    """Write what answers told beside what was seen."""
    # A list of which nothing is held any more, of a worker taken for dead, puts off no other: what it saw is lost.
    if record.news.listed is not None and holds:
        await lists.record(connection, record.news.listed)
    await lane_minutes.turned_away(connection, record.lane_id, record.news.turned_away)


async def _teach_waves(
    connection: AsyncConnection,
    records: Sequence[LookRecord],
    valid: Sequence[Sequence[LookResult]],
    locked: Mapping[UUID, Wave],
    held: Mapping[UUID, Lane],
    *,
    now: datetime,
    sources: Sources,
) -> dict[UUID, tuple[WaveState, WindowMove]]:
    """Move each wave's window by what its looks saw."""
    seen: dict[UUID, list[LookResult]] = {}
    lane_of: dict[UUID, Lane] = {}
    for rec, results in zip(records, valid, strict=True):
        for r in results:
            if (wave_id := _wave(r)) in locked and wave_id is not None:
                seen.setdefault(wave_id, []).append(r)
                lane_of[wave_id] = held[rec.lane_id]
    lessons = [
        Lesson(
            wave=locked[id],
            seen=[r.wave_look for r in seen[id] if r.wave_look is not None],
            unit=sources.unit(),
            looks_per_minute=lane_of[id].limit,
            timing=seen[id][0].timing,
        )
        for id in sorted(seen)
    ]
    taught = await waves.teach(connection, lessons, now=now)
    disordered = {
        seen[id][0].claim.workflow_id
        for id, (plan, _) in taught.items()
        if locked[id].plan.in_order and not plan.in_order
    }
    await learning.break_order(connection, sorted(disordered))
    return taught


def _took(
    result: LookResult,
    locked: Mapping[UUID, Wave],
    taught: Mapping[UUID, tuple[WaveState, WindowMove]],
    *,
    now: datetime,
) -> Took | None:
    """Return what an ended execution taught; in a wave without order, what all of the wave taught."""
    took, wave_id = result.took, result.claim.wave_id
    if took is None or wave_id is None or wave_id not in taught:
        return took
    plan, wave = taught[wave_id][0], locked[wave_id]
    if plan.in_order or wave.launched_at is None:
        return took
    mean_s = windows.mean_by_throughput(plan, age_s=(now - wave.launched_at).total_seconds())
    return replace(took, after_s=mean_s, by_s=mean_s)


def _progress(result: LookResult) -> progress.Seen | None:
    claim = result.claim
    if result.standing is None or result.change.to not in AT_PROVIDER:
        return None
    return progress.Seen(run_id=claim.run_id, attempt=claim.attempt, standing=result.standing)
