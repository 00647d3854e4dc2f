"""What keeps the tables in order: next month's partition, and rows that have served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import RunStatus
from orchestrator.storage import batches, deliveries, drafts, idempotency, lane_minutes, workers

# Harmless when they exist; made before the month begins, because the default partition must stay empty. While somebody
# reads the history they answer 'busy' at once: there is a month of sweeps to make the next one in.
PARTITIONS = text("SELECT events_partition(orch_now()), events_partition(orch_now() + interval '1 month')")

# What only a sweep does: launches that nobody recorded, cancels and settles that were cut off, files of erased runs,
# bulk operations, webhook messages and uploads that were kept long enough. Each by a small index of what is open.
LEFT = text(f"""
    SELECT {lane_minutes.DUE} AS minutes, EXISTS (SELECT FROM timers WHERE kind = 'sending' AND due_at <= orch_now())
        OR EXISTS (SELECT FROM erasures WHERE due_at <= orch_now())
        OR EXISTS (SELECT FROM operations WHERE due_at <= orch_now()) OR {deliveries.OLD} OR {drafts.OLD}
        OR EXISTS ({batches.QUEUED_IN_CANCELLED}) OR EXISTS ({batches.UNSETTLED}) AS other""")  # noqa: S608 - our own words


class Left(NamedTuple):
    """What a sweep finds to do: a minute of lanes to write down, and any of the rest."""

    minutes: bool
    other: bool


async def anything_left(connection: AsyncConnection, live: Sequence[RunStatus]) -> Left:
    """Tell whether a sweep has any of that to do."""
    row = (await connection.execute(LEFT, {"live": list(live)})).one()
    return Left(minutes=row.minutes, other=row.other)


async def tidy(connection: AsyncConnection, *, minutes: bool) -> None:
    """Do what is due; cheap when nothing is. Let it be the last of its transaction: it may hold the whole history."""
    await idempotency.forget(connection)
    await workers.forget_old(connection)
    if minutes:
        await lane_minutes.sample(connection)
    await connection.execute(PARTITIONS)
