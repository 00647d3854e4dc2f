"""Why a batch's runs failed, counted by cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import RunStatus
from orchestrator.storage.database import rows

# By the batch's index, its failed runs only: 10,000 at most, for no batch has more. A code alone is no cause: whatever
# a provider says of its executions comes under one.
TOP = text("""
    SELECT error_code AS code, error_message AS message, count(*)::int AS runs,
        (array_agg(id ORDER BY index))[1] AS run_id
    FROM runs WHERE batch_id = :batch AND status = ANY(CAST(:statuses AS text[])) AND error_code IS NOT NULL
    GROUP BY error_code, error_message ORDER BY count(*) DESC, min(index) LIMIT :limit""")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """One cause, and the first run that it met."""

    code: str
    message: str | None
    runs: int
    run_id: UUID


async def top(
    connection: AsyncConnection, batch_id: UUID, statuses: Sequence[RunStatus], *, limit: int
) -> list[FailureRow]:
    """Return the most frequent causes with which runs of these statuses ended."""
    found = await rows(connection, TOP, {"batch": batch_id, "statuses": list(statuses), "limit": limit})
    return [FailureRow(code=r.code, message=r.message, runs=r.runs, run_id=r.run_id) for r in found]
