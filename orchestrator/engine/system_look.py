"""What is shown of the system: versions, workers, queues, storage, clocks, and what is wrong and its cure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator import __version__
from orchestrator.domain import alarms
from orchestrator.domain.alarm_words import Code
from orchestrator.domain.alarms import Alarm
from orchestrator.domain.sights import DiskSight, OwnSights, Sights
from orchestrator.engine.deps import Deps
from orchestrator.engine.own_place import Disks, ahead_s
from orchestrator.engine.shown import shown
from orchestrator.engine.who import Who
from orchestrator.storage import connection_look, health, retention, system_look
from orchestrator.storage.database import now as transaction_now

#: A page does not wait longer for a disk that hangs.
DISK_WITHIN_S = 1.0

#: What an alarm says of a run, which is nothing to another workspace's people.
OF_RUNS = frozenset({"first_run", "because"})

#: What each kind of work is, for people.
QUEUES: Mapping[str, str] = {
    "launch": "launches",
    "poll": "looks at executions",
    "download": "downloads of results",
    "sweep": "launches that nobody recorded",
    "fire": "ticks of schedules",
    "deliver": "messages to webhooks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    now: datetime
    clock_ahead_s: float
    sights: Sights
    server: dict[str, Any]
    revision: str | None
    workers: list[dict[str, Any]]
    retired: tuple[int, int]
    hidden: frozenset[str]


async def look_at_system(deps: Deps, who: Who, disks: Disks) -> dict[str, Any]:
    """Return how the installation is doing. Of other workspaces it tells nothing but sums.

    Raises:
        Unavailable: the database is away.
    """
    found = await disks.look(within_s=DISK_WITHIN_S)
    seen = await _read(deps, who)
    own = OwnSights(disks=found or (), disks_are_silent=found is None, clock_ahead_s=seen.clock_ahead_s)
    told = [*alarms.shared(seen.sights, sweep_interval_s=deps.settings.sweep_interval_s), *alarms.own(own)]
    is_known = {"running", "draining"}
    return shown(
        {
            "version": __version__,
            "server": seen.server,
            "revision": seen.revision,
            "alarms": [_alarm(alarm, seen.hidden) for alarm in told],
            "workers": seen.workers[: system_look.MOST_WORKERS],
            "more_workers": len(seen.workers) > system_look.MOST_WORKERS,
            "other_versions": sorted(
                {w["version"] for w in seen.workers if w["state"] in is_known and w["version"] != __version__}
            ),
            "queues": [_queue(kind, due_at, seen.now) for kind, due_at in seen.sights.due_since.items()],
            "swept_ago_s": seen.sights.workers.swept_ago_s,
            "clock_ahead_s": round(seen.clock_ahead_s, 3),
            "storage": _storage(deps, seen, found),
            "history": _history(deps, seen),
            "broker": "pgmq in the same Postgres" if deps.settings.broker_url is None else "its own (ORCH_BROKER_URL)",
        }
    )


async def _read(deps: Deps, who: Who) -> _Seen:
    async def read(connection: AsyncConnection) -> _Seen:
        before = deps.sources.utc_now()
        now = await transaction_now(connection)
        after = deps.sources.utc_now()
        dead_after_s = deps.settings.dead_after_s
        lanes = await connection_look.lanes(connection, who.workspace_id)
        sights = await health.sights(connection, now, dead_after_s=dead_after_s)
        run = sights.results.run_at_risk
        is_owned = run is None or await system_look.is_owned(connection, who.workspace_id, run)
        return _Seen(
            now=now,
            clock_ahead_s=ahead_s(before, now, after),
            sights=_ours(sights, who.workspace_id, lanes),
            server=await system_look.server(connection),
            revision=await health.revision(connection),
            workers=await system_look.workers(connection, dead_after_s=dead_after_s),
            retired=await retention.totals(connection),
            hidden=frozenset() if is_owned else OF_RUNS,
        )

    return await deps.db.run(read, tries=2)


def _ours(sights: Sights, workspace: UUID, lanes: Sequence[Mapping[str, Any]]) -> Sights:
    """Return the sights without what is named of other workspaces: a lane may serve theirs beside ours."""
    names: dict[UUID, list[str]] = {}
    for lane in lanes:
        names.setdefault(lane["lane_id"], []).append(lane["name"])
    return replace(
        sights,
        lanes=tuple(replace(lane, names=",".join(names[lane.id])) for lane in sights.lanes if lane.id in names),
        slots=tuple(slots for slots in sights.slots if slots.workspace_id == workspace),
        endings=tuple(ending for ending in sights.endings if ending.workspace_id == workspace),
    )


def _alarm(alarm: Alarm, hidden: frozenset[str]) -> dict[str, Any]:
    left_out = {"lane"} | (hidden if alarm.code is Code.RESULT_AT_RISK else set())
    return {
        "code": alarm.code,
        "is_grave": alarm.is_grave,
        "message": alarm.message,
        "cure": alarm.hint,
        "facts": {name: fact for name, fact in alarm.facts.items() if name not in left_out and fact is not None},
    }


def _queue(kind: str, due_at: datetime | None, now: datetime) -> dict[str, Any]:
    """Return how a kind of work stands: `late_s` where it is due and not done yet."""
    late_s = None if due_at is None or due_at > now else (now - due_at).total_seconds()
    is_stalled = late_s is not None and late_s > alarms.STALLED_AFTER_S
    return {"kind": kind, "what": QUEUES.get(kind, kind), "due_at": due_at, "late_s": late_s, "is_stalled": is_stalled}


def _storage(deps: Deps, seen: _Seen, disks: tuple[DiskSight, ...] | None) -> dict[str, Any]:
    results = seen.sights.results
    return {
        "artifacts": deps.settings.artifacts_url or f"{deps.settings.data_dir}/artifacts",
        "disks": None
        if disks is None
        else [{"folder": d.folder, "free_bytes": d.free_bytes, "total_bytes": d.total_bytes} for d in disks],
        "waiting": sum(results.waiting.values()),
        "at_risk": results.at_risk,
        "first_loss_at": results.first_loss_at,
        "store_says": results.store_says,
    }


def _history(deps: Deps, seen: _Seen) -> dict[str, Any]:
    months, events = seen.retired
    return {
        "signed_ago_s": seen.sights.signed_ago_s,
        "anchors": None if deps.anchors is None else deps.anchors.place,
        "keep_content_days": deps.settings.keep_content_days,
        "keep_history_days": deps.settings.keep_history_days,
        "retired_months": months,
        "retired_events": events,
        "unproven_months": list(seen.sights.unproven_months),
    }
