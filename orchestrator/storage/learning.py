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
    UPDATE workflows w SET durations_count = v.count, durations_log_mean = v.log_mean, durations_log_var = v.log_var
    FROM unnest(CAST(:ids AS uuid[]), CAST(:counts AS int[]), CAST(:log_means AS float8[]), CAST(:log_vars AS float8[]))
        AS v(id, count, log_mean, log_var)
    WHERE w.id = v.id""")


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
    known = {
        row.id: Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var)
        for row in await rows(connection, READ_DURATIONS, {"ids": sorted({t.workflow_id for t in took})})
    }
    for one in took:
        known[one.workflow_id] = known[one.workflow_id].learn_between(one.after_s, one.by_s)
    learned = {
        "ids": list(known),
        "counts": [durations.count for durations in known.values()],
        "log_means": [durations.log_mean for durations in known.values()],
        "log_vars": [durations.log_var for durations in known.values()],
    }
    await connection.execute(SAVE_DURATIONS, learned)


async def break_order(connection: AsyncConnection, workflow_ids: Sequence[UUID]) -> None:
    """Remember of workflows that the provider does not run their waves in order."""
    if workflow_ids:
        await connection.execute(BREAK_ORDER, {"ids": list(workflow_ids)})
