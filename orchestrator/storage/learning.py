"""What workflows learn: how long their executions take."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.durations import Durations
from orchestrator.storage.database import rows

# No key is changed. FOR UPDATE would wait, under the lane's lock, for every submission that is being written: its runs
# name the workflow. And where that submission then wants the lane, both would wait for each other.
READ_DURATIONS = text("""
    SELECT id, durations_count, durations_log_mean, durations_log_var FROM workflows
    WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE""")

SAVE_DURATIONS = text("""
    UPDATE workflows SET durations_count = :count, durations_log_mean = :log_mean, durations_log_var = :log_var
    WHERE id = :id""")


async def teach_durations(connection: AsyncConnection, took: Sequence[tuple[UUID, float]]) -> None:
    """Let workflows learn from executions that were seen to end: (workflow, seconds)."""
    if not took:
        return
    for row in await rows(connection, READ_DURATIONS, {"ids": sorted({w for w, _ in took})}):
        known = Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var)
        for workflow_id, seconds in took:
            known = known.learn(seconds) if workflow_id == row.id else known
        values = {"id": row.id, "count": known.count, "log_mean": known.log_mean, "log_var": known.log_var}
        await connection.execute(SAVE_DURATIONS, values)
