"""Is it well? Readiness for load balancers, and the business gauges for Prometheus, both asked from the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator import __version__
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError
from orchestrator.storage import health, inbox, lanes, runs, workers
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.health import Pulse
from orchestrator.storage.workers import WorkerRow

#: Work that has been due for so long is not being done.
STALLED_AFTER_S = 60.0


async def readiness(deps: Deps) -> dict[str, Any]:
    """Say whether the database answers and workers make progress. Never raises for what it reports."""

    async def read(connection: AsyncConnection) -> tuple[Pulse, list[WorkerRow], str | None]:
        pulse = await health.pulse(connection, await transaction_now(connection))
        alive = await workers.alive(connection, dead_after_s=deps.settings.dead_after_s)
        return pulse, alive, await health.revision(connection)

    try:
        pulse, alive, revision = await deps.db.run(read, tries=2)
    except OrchestratorError as error:
        return {"ready": False, "database": error.message, "migrations": None, "workers": None, "version": __version__}
    stalled = [kind for kind, since in pulse.due_since.items() if _age_s(since, pulse.now) > STALLED_AFTER_S]
    running = [w for w in alive if w.state == "running"]
    return {
        "ready": bool(running) and not stalled,
        "database": "ok",
        "migrations": revision,
        "workers": {"alive": len(running), "progressing": bool(running) and not stalled, "stalled": stalled},
        "version": __version__,
    }


def _age_s(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since is not None else 0.0


async def metrics(deps: Deps) -> str:
    """Return the gauges as Prometheus text."""
    registry = CollectorRegistry()

    async def read(connection: AsyncConnection) -> None:
        await _work(connection, registry)
        await _workers(deps, connection, registry)
        await _lanes(connection, registry)

    await deps.db.run(read)
    info = Gauge("orch_build_info", "the version that answers", ["version"], registry=registry)
    info.labels(version=__version__).set(1)
    return generate_latest(registry).decode()


async def _work(connection: AsyncConnection, registry: CollectorRegistry) -> None:
    by_status = Gauge("orch_runs", "runs by status", ["status"], registry=registry)
    for status, count in (await runs.count_by_status(connection)).items():
        by_status.labels(status=status).set(count)
    opened = Gauge("orch_inbox_open", "questions that wait for a person", ["kind"], registry=registry)
    for kind, count in (await inbox.count_open(connection)).items():
        opened.labels(kind=kind).set(count)
    pulse = await health.pulse(connection, await transaction_now(connection))
    oldest = Gauge("orch_oldest_due_seconds", "how long the oldest due work has waited", ["kind"], registry=registry)
    for kind, since in pulse.due_since.items():
        oldest.labels(kind=kind).set(max(0.0, _age_s(since, pulse.now)))
    if pulse.first_loss_at is not None:
        loss = Gauge("orch_first_result_lost_in_seconds", "until the first unstored URL dies", registry=registry)
        loss.set((pulse.first_loss_at - pulse.now) / timedelta(seconds=1))


async def _workers(deps: Deps, connection: AsyncConnection, registry: CollectorRegistry) -> None:
    alive = await workers.alive(connection, dead_after_s=deps.settings.dead_after_s)
    Gauge("orch_workers_alive", "workers that speak", registry=registry).set(len(alive))
    in_tasks, in_ticker = await workers.share(connection)
    units = Gauge("orch_work_units", "claims worked, by where they ran", ["place"], registry=registry)
    units.labels(place="task").set(in_tasks)
    units.labels(place="ticker").set(in_ticker)
    share = Gauge("orch_task_share", "share of the work that ran inside Celery tasks", registry=registry)
    share.set(in_tasks / (in_tasks + in_ticker) if in_tasks + in_ticker else 1.0)


async def _lanes(connection: AsyncConnection, registry: CollectorRegistry) -> None:
    limit = Gauge("orch_lane_limit", "requests in any 60 s", ["lane"], registry=registry)
    used = Gauge("orch_lane_used", "requests that count against the last 60 s", ["lane"], registry=registry)
    stopped = Gauge("orch_lane_launches_stopped", "1 while nothing is launched", ["lane"], registry=registry)
    for lane_id in await health.busy_lanes(connection):
        lane = await lanes.read(connection, lane_id)
        name = str(lane_id)
        limit.labels(lane=name).set(lane.limit)
        used.labels(lane=name).set(lane.limit - lane.budget.free(lane.now))
        stopped.labels(lane=name).set(int(lane.launches_stopped is not None or lane.breaker.state != "closed"))
