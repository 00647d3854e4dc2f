"""What a scrape tells, read from the database: any one API process tells of the whole installation.

What lives is counted for each scrape, by small indexes. What has ended is counted now and then, at most a thousandth of
the time: a million ended runs take 0.2 s to count, so they are counted every few minutes, and a thousand every time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.sights import Sights
from orchestrator.domain.statuses import BatchStatus, RunStatus, batch_status
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError
from orchestrator.storage import fires, health, retention, runs, webhooks, workers
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.health import EndedBatches, OpenBatch
from orchestrator.storage.workers import WorkerRow
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: Counting what has ended may take this share of the time.
ENDED_SHARE = 0.001

#: The first scrape waits so long for it; later ones show the last count.
ENDED_WAIT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What had ended when it was counted, at a monotonic time."""

    runs: Mapping[str, int]
    batches: Mapping[BatchStatus, int]
    counted_s: float
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything of one scrape that the database told."""

    seen: Sights
    live: Mapping[str, int]
    batches: Mapping[BatchStatus, int]
    overdue: int
    alive: tuple[WorkerRow, ...]
    revision: str | None
    ticks: Mapping[str, int]
    webhooks: Mapping[str, int]
    deliveries: Mapping[str, int]
    retired_months: int = 0
    retired_events: int = 0
    ended: Ended | None = None
    ended_age_s: float = 0.0


class Readings:
    """Takes the readings of one process, and remembers between them what has ended."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._ended: Ended | None = None
        self._counting: asyncio.Task[Ended] | None = None

    async def take(self) -> Reading:
        """Return how everything stands.

        Raises:
            Unavailable: the database is away. A scrape that fails is the truth then.
        """
        reading = await self._deps.db.run(self._read, tries=1)
        ended = await self._count_ended()
        age_s = 0.0 if ended is None else self._deps.sources.monotonic() - ended.counted_s
        return replace(reading, ended=ended, ended_age_s=age_s)

    async def aclose(self) -> None:
        """End a count that is under way."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.wait({self._counting})

    async def _read(self, connection: AsyncConnection) -> Reading:
        dead_after_s = self._deps.settings.dead_after_s
        seen = await health.sights(connection, await transaction_now(connection), dead_after_s=dead_after_s)
        months, events = await retention.totals(connection)
        return Reading(
            seen=seen,
            retired_months=months,
            retired_events=events,
            live=await runs.count_by_status(connection),
            batches=Counter(_status(batch) for batch in await health.open_batches(connection)),
            overdue=await health.overdue(connection),
            alive=tuple(await workers.alive(connection, dead_after_s=dead_after_s)),
            revision=await health.revision(connection),
            ticks=await fires.of_a_day(connection),
            webhooks=await webhooks.standing(connection),
            deliveries=await webhooks.backlog(connection),
        )

    async def _count_ended(self) -> Ended | None:
        """Return the last count of what has ended; begin another when it is its time."""
        now = self._deps.sources.monotonic()
        last = self._ended
        if self._counting is None and (last is None or now - last.counted_s >= last.took_s / ENDED_SHARE):
            self._counting = asyncio.create_task(self._count())
        if self._counting is not None:
            await asyncio.wait({self._counting}, timeout=ENDED_WAIT_S if last is None else last.took_s * 2)
            if self._counting.done():
                counting, self._counting = self._counting, None
                try:
                    self._ended = counting.result()
                except OrchestratorError as error:
                    log.warning("what has ended could not be counted", code=error.code, why=error.message)
        return self._ended

    async def _count(self) -> Ended:
        began_s = self._deps.sources.monotonic()

        async def read(connection: AsyncConnection) -> tuple[dict[str, int], list[EndedBatches]]:
            return await health.ended_runs(connection), await health.ended_batches(connection)

        by_status, batches = await self._deps.db.run(read, tries=1)
        counted: Counter[BatchStatus] = Counter()
        for alike in batches:
            counted[_ended_status(alike)] += alike.batches
        now = self._deps.sources.monotonic()
        return Ended(runs=by_status, batches=counted, counted_s=now, took_s=now - began_s)


def _status(batch: OpenBatch) -> BatchStatus:
    """Derive an open batch's status: what is not alive of it has ended, however."""
    counts = {RunStatus(status): count for status, count in batch.live.items()}
    counts[RunStatus.FINISHED] = batch.total - sum(batch.live.values())
    return batch_status(counts, paused=batch.paused, cancelled=batch.cancelled)


def _ended_status(alike: EndedBatches) -> BatchStatus:
    counts = {RunStatus.FINISHED: 1, RunStatus.CANCELLED: int(alike.has_cancelled)}
    if alike.has_others and not alike.has_cancelled:
        counts[RunStatus.ERROR] = 1
    return batch_status(counts, paused=False, cancelled=alike.cancelled)
