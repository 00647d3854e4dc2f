"""What is told of a batch's way, before it begins and all along: how it goes out, what binds it, when it is done."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import planner
from orchestrator.domain.forecast import Rival, Work, forecast
from orchestrator.domain.statuses import BatchStatus, RunStatus, batch_status
from orchestrator.engine.deps import Deps
from orchestrator.storage import outlook
from orchestrator.storage.batches import BatchRow
from orchestrator.storage.outlook import Outlook

#: Runs that are at the provider, or on their way there: their ends are still to be seen.
RUNNING = (RunStatus.LAUNCHING, RunStatus.PROCESSING)

#: Batches that go on by themselves.
MOVING = frozenset({BatchStatus.ACCEPTED, BatchStatus.RUNNING, BatchStatus.CANCELLING})


async def plan(deps: Deps, workflow_id: UUID, concurrency: str, wave_size: int | None, *, count: int) -> dict[str, Any]:
    """Say how a batch of so many runs would go out now, and how long it would take."""

    async def read(connection: AsyncConnection) -> Outlook:
        return await outlook.around(connection, workflow_id, batch_id=None, runs=count)

    found = await deps.db.run(read)
    work = _work(deps, found, concurrency=concurrency, wave_size=wave_size, queued=count, running=0)
    told = forecast(work)
    launches = count if work.single else math.ceil(count / (wave_size or planner.LARGEST_WAVE))
    by_slots_s = count * work.durations.mean_s / max(work.width, 1)
    by_rate_s = (count + launches) * 60 / work.requests_per_minute
    return {
        "runs": count,
        "mode": "single launches" if work.single else "waves",
        "side_by_side": min(work.width, count) if work.single else work.width,
        "requests_at_least": count + launches,
        "requests_expected": told.requests,
        "seconds_at_least": round(max(by_slots_s, by_rate_s), 1),
        "finish_p50_s": round(told.p50_s, 1),
        "finish_p90_s": round(told.p90_s, 1),
        "bound_by": told.bound_by,
        "mean_s": round(work.durations.mean_s, 2),
        "mean_is_a_guess": work.durations.count == 0,
        "meets": _meets(work) | {"is_stopped": found.is_stopped},
    }


async def of_batch(deps: Deps, connection: AsyncConnection, row: BatchRow) -> dict[str, Any] | None:
    """Foretell a batch's end; None for one that has ended, or that does not go on by itself."""
    status = batch_status(row.counts, paused=row.paused_at is not None, cancelled=row.cancelled_at is not None)
    queued = 0 if row.cancelled_at is not None else row.counts.get(RunStatus.QUEUED, 0)
    running = sum(row.counts.get(one, 0) for one in RUNNING)
    if row.ended_at is not None or status not in MOVING or not queued + running:
        return None
    found = await outlook.around(connection, row.workflow_id, batch_id=row.id, runs=queued + running)
    if found.is_stopped and queued:
        return None
    concurrency, wave_size = row.concurrency, row.wave_size
    work = _work(deps, found, concurrency=concurrency, wave_size=wave_size, queued=queued, running=running)
    return _told(work, now=found.now)


def _told(work: Work, *, now: datetime) -> dict[str, Any]:
    told = forecast(work)
    return {
        "finish_p50_at": now + timedelta(seconds=told.p50_s),
        "finish_p90_at": now + timedelta(seconds=told.p90_s),
        "bound_by": told.bound_by,
        "requests_left": told.requests,
        "mean_s": round(work.durations.mean_s, 2),
        "mean_is_a_guess": work.durations.count == 0,
    }


def _work(deps: Deps, found: Outlook, *, concurrency: str, wave_size: int | None, queued: int, running: int) -> Work:
    widths = deps.provider(found.provider).capabilities.wave_widths
    single = wave_size == 1 or not widths
    others = [
        Rival(runs=other.runs, mean_s=other.durations.mean_s, shares_slots=other.of_same_workflow)
        for other in found.others
    ]
    if found.singles:
        others.append(Rival(runs=found.singles, mean_s=found.durations.mean_s, shares_slots=True))
    return Work(
        queued=queued,
        running=running,
        width=found.slot_limit if single else widths[concurrency],
        slot_limit=found.slot_limit,
        single=single,
        durations=found.durations,
        requests_per_minute=found.requests_per_minute,
        free=found.free,
        policy=deps.poll_policy(found.poll),
        rivals=tuple(others),
    )


def _meets(work: Work) -> dict[str, Any]:
    """Return all that a rehearsal needs to know of what the batch would meet."""
    return {
        "requests_per_minute": work.requests_per_minute,
        "slot_limit": work.slot_limit,
        "width": work.width,
        "learned": asdict(work.durations),
        "poll": asdict(work.policy),
        "others": [asdict(rival) for rival in work.rivals],
    }
