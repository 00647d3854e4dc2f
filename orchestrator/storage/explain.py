"""Reads what explains why work waits: slots in use, and when a batch's next wave may go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import one, rows
from orchestrator.storage.slots import SINGLE_SLOTS, WAVE_SLOTS

SLOTS = text(f"""
    SELECT w.id, n.max_concurrent,
        {SINGLE_SLOTS} AS single_slots,
        {WAVE_SLOTS} AS wave_slots
    FROM workflows w JOIN connections n ON n.id = w.connection_id WHERE w.id = ANY(CAST(:ids AS uuid[]))""")  # noqa: S608 - our own words

BATCH = text("""
    SELECT w.lane_id, b.workflow_id, t.due_at, n.paused_at AS connection_paused_at, w.launches_blocked_until,
        w.launches_blocked_because
    FROM batches b JOIN workflows w ON w.id = b.workflow_id JOIN connections n ON n.id = b.connection_id
    LEFT JOIN timers t ON t.subject_id = b.id WHERE b.id = :id""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """A workflow's slots: how many are used, of how many."""

    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTiming:
    """When a batch's next launch is planned, and what may hold it."""

    lane_id: UUID
    workflow_id: UUID
    due_at: datetime | None
    connection_paused_at: datetime | None
    launches_blocked_until: datetime | None
    launches_blocked_because: str | None


async def slots(connection: AsyncConnection, workflow_ids: Sequence[UUID]) -> dict[UUID, Slots]:
    """Count the slots of some workflows."""
    found = await rows(connection, SLOTS, {"ids": list(workflow_ids)})
    return {r.id: Slots(used=r.single_slots + r.wave_slots, limit=r.max_concurrent) for r in found}


async def batch_timing(connection: AsyncConnection, batch_id: UUID) -> BatchTiming:
    """Return what explains a batch's next step."""
    row = await one(connection, BATCH, {"id": batch_id})
    assert row is not None, "the caller knows the batch"
    return BatchTiming(**row._mapping)
