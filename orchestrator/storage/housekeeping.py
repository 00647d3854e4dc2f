"""What keeps the tables in order: next month's partition, and rows that have served."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage import idempotency, workers

# Harmless when they exist; made before the month begins, because the default partition must stay empty.
PARTITIONS = text("SELECT events_partition(orch_now()), events_partition(orch_now() + interval '1 month')")


async def tidy(connection: AsyncConnection) -> None:
    """Do what is due; cheap when nothing is."""
    await connection.execute(PARTITIONS)
    await idempotency.forget(connection)
    await workers.forget_old(connection)
