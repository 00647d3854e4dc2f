"""What workflows learn: how long their executions take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


# Found out once in a while, so it may be a statement of its own; forgotten after a day, when the order is tried anew.
BREAK_ORDER = text("UPDATE workflows SET order_broken_at = orch_now() WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """An execution that was seen to have ended between two ages, seconds."""

    workflow_id: UUID
    after_s: float
    by_s: float


async def teach_durations(connection: AsyncConnection, took: Sequence[Took]) -> None:
    """Let workflows learn from executions that were seen to end."""
    if not took:
        return
    for row in await rows(connection, READ_DURATIONS, {"ids": sorted({t.workflow_id for t in took})}):
        known = Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var)
        for one in took:
            known = known.learn_between(one.after_s, one.by_s) if one.workflow_id == row.id else known
        values = {"id": row.id, "count": known.count, "log_mean": known.log_mean, "log_var": known.log_var}
        await connection.execute(SAVE_DURATIONS, values)


async def break_order(connection: AsyncConnection, workflow_ids: Sequence[UUID]) -> None:
    """Remember of workflows that the provider does not run their waves in order."""
    if workflow_ids:
        await connection.execute(BREAK_ORDER, {"ids": list(workflow_ids)})
