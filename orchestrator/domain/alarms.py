"""What is wrong, judged from what was seen: each alarm has a stable code, its facts, and what a person can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.domain.alarm_words import WORDS, Code
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.sights import AT_RISK_S, DiskSight, LaneSight, OwnSights, ResultsSight, Sights

#: Work that has been due for so long is not being done.
STALLED_AFTER_S = 60.0

#: A pause that the provider asked for is told when it is, or has become, longer than this.
THROTTLED_LONG_S = 120.0

INBOX_OLD_S = 24 * 3600.0

#: All slots taken, and nothing launched for so long: the executions that hold them hardly run any more.
SLOTS_LONG_S = 3600.0

CLOCK_OFF_S = 5.0
CLOCK_FAR_OFF_S = 30.0

DISK_LOW_SHARE = 0.05
DISK_LOW_BYTES = 1024**3

#: The ringer tells at once that the broker is away; this reminds.
BROKER_REMIND_S = 600.0

UNSWEPT_S = 60.0

#: So long before a version's end it becomes urgent.
SUNSET_NEAR_S = 30 * 86_400.0

#: The history is signed at least hourly.
UNSIGNED_S = 3900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that is wrong now.

    Args:
        subject: which one, where there can be several: a lane, a folder, a kind of work.
        extent: how much of it there is; it is told again when it grows.
        is_grave: louder than a warning.
        patience_s: it is told only when it has lasted so long.
    """

    code: Code
    subject: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    extent: float = 0.0
    is_grave: bool = False
    patience_s: float = 0.0

    @property
    def message(self) -> str:
        """What is wrong, without figures, so that lines can be counted by it."""
        return WORDS[self.code][0]

    @property
    def hint(self) -> str:
        """What a person can do."""
        return WORDS[self.code][1]


def shared(seen: Sights, *, sweep_interval_s: float) -> list[Alarm]:
    """Judge what the database tells of all."""
    return [
        *_of_holds(seen),
        *(alarm for lane in seen.lanes for alarm in _of_lane(lane, seen.now)),
        *_of_doubts(seen),
        *_of_results(seen.results, seen.now),
        *_of_workers(seen, unswept_s=max(UNSWEPT_S, 4 * sweep_interval_s)),
        *_of_work(seen),
        *_of_history(seen),
        *_of_versions(seen),
    ]


def own(seen: OwnSights) -> list[Alarm]:
    """Judge what a worker sees of its own place."""
    found = [alarm for disk in seen.disks for alarm in _of_disk(disk)]
    if seen.disks_are_silent:
        found.append(Alarm(code=Code.DISK_SILENT, is_grave=True))
    if seen.clock_ahead_s is not None and abs(seen.clock_ahead_s) > CLOCK_OFF_S:
        is_far = abs(seen.clock_ahead_s) > CLOCK_FAR_OFF_S
        ahead = {"ahead_s": round(seen.clock_ahead_s, 1)}
        found.append(Alarm(code=Code.CLOCK_OFF, facts=ahead, is_grave=is_far, extent=float(is_far)))
    if seen.broker_away_s is not None:
        away = {"away_s": round(seen.broker_away_s)}
        found.append(Alarm(code=Code.BROKER_AWAY, facts=away, patience_s=BROKER_REMIND_S))
    if seen.database_away_s is not None:
        why = {"away_s": round(seen.database_away_s), "because": seen.database_says}
        found.append(Alarm(code=Code.DATABASE_AWAY, facts=why, is_grave=True))
    return found


def _of_holds(seen: Sights) -> Iterator[Alarm]:
    for hold in seen.launch_holds:
        facts = {"reason": hold.code, "because": hold.because, "since": hold.held_at}
        yield Alarm(code=Code.LAUNCHES_HELD, subject=hold.code, facts=facts, is_grave=True)


def _of_lane(lane: LaneSight, now: datetime) -> Iterator[Alarm]:
    subject = str(lane.id)
    who = {"lane": subject, "connections": lane.names}
    if lane.launches_stopped is not None:
        stop = {**who, "reason": lane.launches_stopped, "since": lane.stopped_at}
        is_version = lane.launches_stopped == Code.VERSION_UNSUPPORTED
        which = Code.VERSION_UNSUPPORTED if is_version else Code.LAUNCHES_STOPPED
        yield Alarm(code=which, subject=subject, facts=stop, is_grave=True)
    if lane.told_limit is not None:
        limits = {**who, "declared": lane.limit, "told": lane.told_limit}
        yield Alarm(code=Code.LIMIT_LOWERED, subject=subject, facts=limits, extent=-lane.told_limit)
    # Half open is no end: one launch tries, and may trip it again.
    if lane.breaker is not BreakerState.CLOSED:
        trip = {**who, "breaker": str(lane.breaker), "trips": lane.trips, "probe_at": lane.probe_at}
        if lane.loses_launches:
            yield Alarm(code=Code.LAUNCHES_LOST, subject=subject, facts=trip, is_grave=True)
        else:
            yield Alarm(code=Code.PROVIDER_UNREACHABLE, subject=subject, facts=trip)
    if lane.blocked_until is not None and lane.blocked_until > now:
        left_s = (lane.blocked_until - now).total_seconds()
        pause = {**who, "until": lane.blocked_until, "budget": f"{lane.used} of {lane.limit}"}
        patience_s = 0.0 if left_s > THROTTLED_LONG_S else THROTTLED_LONG_S
        yield Alarm(code=Code.LANE_THROTTLED, subject=subject, facts=pause, patience_s=patience_s)


def _of_doubts(seen: Sights) -> Iterator[Alarm]:
    doubts = seen.doubts
    if doubts.runs:
        facts = {"runs": doubts.runs, "singles": doubts.singles, "waves": doubts.waves, "oldest_since": doubts.since}
        yield Alarm(code=Code.IN_DOUBT, facts=facts, extent=doubts.runs)


def _of_results(results: ResultsSight, now: datetime) -> Iterator[Alarm]:
    full = results.waiting.get("store_full", 0)
    if full:
        yield Alarm(code=Code.STORE_FULL, facts={"runs": full, "because": results.store_says}, is_grave=True)
    away = results.waiting.get("unavailable", 0)
    if away:
        yield Alarm(code=Code.STORE_AWAY, facts={"runs": away, "because": results.store_says}, is_grave=True)
    if results.at_risk and results.first_loss_at is not None:
        left_s = (results.first_loss_at - now).total_seconds()
        facts = {
            "runs": results.at_risk,
            "first_run": str(results.run_at_risk),
            "minutes_left": round(left_s / 60, 1),
            "because": results.because or "not tried yet",
        }
        # Told again when half of the time is gone, and when it is over.
        halves = (left_s < AT_RISK_S / 2) + (left_s < 0)
        yield Alarm(code=Code.RESULT_AT_RISK, facts=facts, extent=halves, is_grave=True)


def _of_workers(seen: Sights, *, unswept_s: float) -> Iterator[Alarm]:
    workers = seen.workers
    if workers.dead_lately:
        facts = {
            "workers": [str(w) for w in workers.dead_lately],
            "alive": workers.running + workers.draining,
            "unburied": workers.unburied,
        }
        yield Alarm(code=Code.WORKER_DEAD, facts=facts, extent=len(workers.dead_lately))
    if workers.silent:
        facts = {"workers": workers.silent, "alive": workers.running + workers.draining}
        yield Alarm(code=Code.WORKER_SILENT, facts=facts, extent=workers.silent)
    if workers.swept_ago_s is not None and workers.swept_ago_s > unswept_s:
        yield Alarm(code=Code.NOT_SWEPT, facts={"seconds": round(workers.swept_ago_s)})


def _of_work(seen: Sights) -> Iterator[Alarm]:
    for kind, since in seen.due_since.items():
        waited_s = (seen.now - since).total_seconds() if since is not None else 0.0
        if waited_s > STALLED_AFTER_S:
            yield Alarm(
                code=Code.WORK_STALLED, subject=kind, facts={"kind": kind, "oldest_s": round(waited_s)}, is_grave=True
            )
    for item in seen.inbox:
        age_s = (seen.now - item.oldest_at).total_seconds()
        if age_s > INBOX_OLD_S:
            facts = {"kind": item.kind, "items": item.items, "oldest_hours": int(age_s // 3600)}
            yield Alarm(code=Code.INBOX_OLD, subject=item.kind, facts=facts)
    for flow in seen.slots:
        idle_s = (seen.now - flow.launched_at).total_seconds() if flow.launched_at is not None else 0.0
        if flow.used >= flow.limit and idle_s > SLOTS_LONG_S:
            facts = {
                "workflow": flow.workflow_id,
                "connection": flow.connection,
                "slots": f"{flow.used} of {flow.limit}",
                "minutes_without_launch": round(idle_s / 60),
            }
            yield Alarm(code=Code.SLOTS_TAKEN, subject=f"{flow.connection}/{flow.workflow_id}", facts=facts)


def _of_history(seen: Sights) -> Iterator[Alarm]:
    if seen.signed_ago_s is not None and seen.signed_ago_s > UNSIGNED_S:
        yield Alarm(code=Code.HISTORY_UNSIGNED, facts={"minutes": round(seen.signed_ago_s / 60)})
    if seen.unproven_months:
        months = list(seen.unproven_months)
        yield Alarm(code=Code.RETENTION_UNPROVEN, facts={"months": months}, extent=len(months), is_grave=True)


def _of_versions(seen: Sights) -> Iterator[Alarm]:
    for ending in seen.endings:
        left_s = None if ending.sunset_at is None else (ending.sunset_at - seen.now).total_seconds()
        facts = {
            "connection": ending.name,
            "version": ending.version,
            "sunset_at": ending.sunset_at,
            "replacement": ending.replacement,
        }
        # Louder for the last month; told again when that begins.
        is_near = left_s is not None and left_s < SUNSET_NEAR_S
        yield Alarm(code=Code.VERSION_ENDING, subject=ending.name, facts=facts, is_grave=is_near, extent=float(is_near))


def _of_disk(disk: DiskSight) -> Iterator[Alarm]:
    if disk.free_bytes < DISK_LOW_BYTES or disk.free_bytes < DISK_LOW_SHARE * disk.total_bytes:
        facts = {"folder": disk.folder, "free_bytes": disk.free_bytes, "total_bytes": disk.total_bytes}
        yield Alarm(code=Code.DISK_LOW, subject=disk.folder, facts=facts)
