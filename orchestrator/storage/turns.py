"""Whose turn it is to launch: lanes share their requests among workflows, workflows among batches and single runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.backoff import OwnFigures
from orchestrator.domain.launch_decisions import OnDoubt
from orchestrator.storage.database import one, rows
from orchestrator.storage.slots import SINGLE_SLOTS, WAVE_SLOTS

# The lane's workflows that have launching to do, longest without a turn first. Slots are counted by what is alive at
# the provider: single launches one each, a wave as many as it can be using.
DUE_WORKFLOWS = text(f"""
    SELECT w.id, w.remote_id, w.on_doubt, w.launches_blocked_until, w.durations_count, w.durations_log_mean,
        w.durations_log_var, w.poll_initial_s, w.poll_factor, w.poll_cap_s, w.poll_jitter, w.poll_polite,
        w.order_broken_at IS NULL OR w.order_broken_at < orch_now() - interval '1 day' AS in_order,
        (SELECT count(*)::int FROM (SELECT FROM timers b WHERE b.workflow_id = w.id AND b.kind = 'launch'
            AND b.batch_id = b.subject_id LIMIT 100) waiting) AS batches,
        n.id AS connection_id, n.provider, n.base_url, n.api_key, n.api_version, n.max_concurrent, n.paused_at,
        {SINGLE_SLOTS} AS single_slots,
        {WAVE_SLOTS} AS wave_slots
    FROM workflows w JOIN connections n ON n.id = w.connection_id
    WHERE w.lane_id = :lane AND n.paused_at IS NULL
        AND (w.launches_blocked_until IS NULL OR w.launches_blocked_until <= orch_now()) AND EXISTS (
        SELECT FROM timers t WHERE t.workflow_id = w.id AND t.kind = 'launch' AND t.due_at <= orch_now())
    ORDER BY w.last_turn_at NULLS FIRST LIMIT 100""")  # noqa: S608 - our own words


UNSEEN = text("""
    SELECT COALESCE(sum(size - ended - human), 0)::int FROM waves
    WHERE workflow_id IN (SELECT id FROM workflows WHERE lane_id = :lane) AND state IN ('launching', 'open')""")

# Batches and single runs take turns by the time that they have been due.
DUE_SUBJECTS = text("""
    SELECT subject_id, batch_id, tries FROM timers
    WHERE workflow_id = :workflow AND kind = 'launch' AND due_at <= orch_now()
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED""")

# The next turn that is not due yet, or that a workflow's rest puts off. A paused connection is woken by its resuming.
NEXT_DUE = text("""
    SELECT min(GREATEST(t.due_at, w.launches_blocked_until))
    FROM workflows w JOIN connections n ON n.id = w.connection_id,
        LATERAL (SELECT due_at FROM timers WHERE workflow_id = w.id AND kind = 'launch'
            AND (due_at > orch_now() OR w.launches_blocked_until > orch_now()) ORDER BY due_at LIMIT 1) t
    WHERE w.lane_id = :lane AND n.paused_at IS NULL""")

LOCK_BATCH = text("""
    SELECT id, concurrency, wave_size, wave_cap, paused_at, cancelled_at FROM batches WHERE id = :id
    FOR NO KEY UPDATE""")

# In id order, as everybody locks them.
LOCK_BATCHES = text("SELECT FROM batches WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")


COUNT_QUEUED = text("""
    SELECT count(*)::int FROM (SELECT FROM runs WHERE batch_id = :batch AND status = 'queued' LIMIT :limit) q""")

# In the order of the file, so that results come in about that order too.
QUEUED_OF_BATCH = text("""
    SELECT id, attempt, index, input_bytes FROM runs
    WHERE batch_id = :batch AND status = 'queued' ORDER BY index LIMIT :limit FOR UPDATE""")

QUEUED_SINGLES = text("""
    SELECT id, attempt, index, input_bytes FROM runs
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'queued' ORDER BY id FOR UPDATE""")

# A batch that waits for slots says since when; whatever else it gets a turn for ends that.
SET_TURN = text("UPDATE timers SET due_at = :due_at, entered_at = NULL WHERE subject_id = :id AND kind = 'launch'")


WAIT_FOR_SLOTS = text("""
    UPDATE timers SET due_at = :due_at, entered_at = COALESCE(entered_at, orch_now())
    WHERE subject_id = :id AND kind = 'launch'""")

# Due or not: it is asked before the others, so that it finds the slots that come free.
LONGEST_WAITING = text("""
    SELECT subject_id, batch_id, tries, entered_at FROM timers
    WHERE workflow_id = :workflow AND kind = 'launch' AND batch_id = subject_id AND entered_at IS NOT NULL
    ORDER BY entered_at LIMIT 1 FOR UPDATE SKIP LOCKED""")

# A batch that has something to launch, or may have again: one row, whoever asks first.
GIVE_TURN = text("""
    INSERT INTO timers (subject_id, kind, lane_id, workflow_id, batch_id, due_at)
    SELECT b.id, 'launch', w.lane_id, b.workflow_id, b.id, orch_now()
    FROM batches b JOIN workflows w ON w.id = b.workflow_id
    WHERE b.id = :batch AND b.paused_at IS NULL AND b.cancelled_at IS NULL
    ON CONFLICT (subject_id) DO UPDATE SET due_at = LEAST(timers.due_at, orch_now())""")

DROP_TURNS = text("DELETE FROM timers WHERE subject_id = ANY(CAST(:ids AS uuid[])) AND kind = 'launch'")


TOOK_TURN = text("UPDATE workflows SET last_turn_at = orch_now() WHERE id = ANY(CAST(:ids AS uuid[]))")


SET_WAVE_CAP = text("UPDATE batches SET wave_cap = :cap WHERE id = :batch")


BLOCK_WORKFLOW = text("""
    UPDATE workflows SET launches_blocked_until = :until, launches_blocked_because = :because WHERE id = :id""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWorkflow:
    """A workflow with launching to do: its policies, what is known of it, the way to its provider, slots in use.

    `in_order`: its waves have kept the order lately; `batches`: how many have something to launch.
    """

    id: UUID
    remote_id: str
    on_doubt: OnDoubt
    blocked_until: datetime | None
    known: int
    log_mean: float
    log_var: float
    poll: OwnFigures
    connection_id: UUID
    provider: str
    base_url: str
    api_key: bytes = field(repr=False)
    api_version: str | None
    is_paused: bool
    slot_limit: int
    slots_used: int
    in_order: bool
    batches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose turn it is: a batch, or a single run. `waits_since`: when a batch began to wait for slots."""

    id: UUID
    is_batch: bool
    tries: int
    waits_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTurn:
    """A batch's own rules for launching, locked."""

    id: UUID
    level: str
    wave_size: int | None
    wave_cap: int | None
    may_launch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRun:
    """A run that may be launched, locked."""

    id: UUID
    attempt: int
    input_bytes: int


async def due_workflows(connection: AsyncConnection, lane_id: UUID) -> list[DueWorkflow]:
    """Return the lane's workflows with launching due."""
    return [_workflow(row) for row in await rows(connection, DUE_WORKFLOWS, {"lane": lane_id})]


async def unseen(connection: AsyncConnection, lane_id: UUID) -> int:
    """Return how many launched items of the lane's waves were not seen to end."""
    count: int = (await connection.execute(UNSEEN, {"lane": lane_id})).scalar_one()
    return count


async def due_subjects(connection: AsyncConnection, workflow_id: UUID, limit: int) -> list[Subject]:
    """Lock the timers of those whose turn it is."""
    found = await rows(connection, DUE_SUBJECTS, {"workflow": workflow_id, "limit": limit})
    return [Subject(id=r.subject_id, is_batch=r.batch_id == r.subject_id, tries=r.tries) for r in found]


async def longest_waiting(connection: AsyncConnection, workflow_id: UUID) -> Subject | None:
    """Lock the turn of the batch that has waited longest for the workflow's slots."""
    row = await one(connection, LONGEST_WAITING, {"workflow": workflow_id})
    return row and Subject(id=row.subject_id, is_batch=True, tries=row.tries, waits_since=row.entered_at)


async def next_due(connection: AsyncConnection, lane_id: UUID) -> datetime | None:
    """Return when the next turn of the lane comes that is not due yet."""
    due_at: datetime | None = (await connection.execute(NEXT_DUE, {"lane": lane_id})).scalar_one()
    return due_at


async def lock_batch(connection: AsyncConnection, batch_id: UUID) -> BatchTurn:
    """Lock a batch and read its rules."""
    row = (await connection.execute(LOCK_BATCH, {"id": batch_id})).one()
    return BatchTurn(
        id=row.id,
        level=row.concurrency,
        wave_size=row.wave_size,
        wave_cap=row.wave_cap,
        may_launch=row.paused_at is None and row.cancelled_at is None,
    )


async def count_queued(connection: AsyncConnection, batch_id: UUID, limit: int) -> int:
    """Return how many runs of a batch are queued, counting no further than `limit`."""
    count: int = (await connection.execute(COUNT_QUEUED, {"batch": batch_id, "limit": limit})).scalar_one()
    return count


async def queued(connection: AsyncConnection, batch_id: UUID, limit: int) -> list[QueuedRun]:
    """Lock the next queued runs of a batch."""
    return [_queued(r) for r in await rows(connection, QUEUED_OF_BATCH, {"batch": batch_id, "limit": limit})]


async def queued_singles(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, QueuedRun]:
    """Lock those of some single runs that are queued."""
    found = await rows(connection, QUEUED_SINGLES, {"ids": list(ids)}) if ids else []
    return {r.id: _queued(r) for r in found}


async def lock_batches(connection: AsyncConnection, ids: Collection[UUID]) -> None:
    """Lock batches, if there are any."""
    if ids:
        await connection.execute(LOCK_BATCHES, {"ids": sorted(ids)})


async def give_turn(connection: AsyncConnection, batch_id: UUID) -> None:
    """Let a batch launch again, unless it is paused or cancelled."""
    await connection.execute(GIVE_TURN, {"batch": batch_id})


async def set_turn(connection: AsyncConnection, subject_id: UUID, due_at: datetime | None) -> None:
    """Move a subject's next turn, or (None) drop it."""
    if due_at is None:
        await drop_turns(connection, [subject_id])
    else:
        await connection.execute(SET_TURN, {"id": subject_id, "due_at": due_at})


async def drop_turns(connection: AsyncConnection, subject_ids: Sequence[UUID]) -> None:
    """Take their turns from subjects that have nothing to launch."""
    await connection.execute(DROP_TURNS, {"ids": list(subject_ids)})


async def wait_for_slots(connection: AsyncConnection, batch_id: UUID, due_at: datetime) -> None:
    """Move a batch's next turn, and remember since when it waits."""
    await connection.execute(WAIT_FOR_SLOTS, {"id": batch_id, "due_at": due_at})


async def took_turn(connection: AsyncConnection, workflow_ids: Sequence[UUID]) -> None:
    """Put workflows at the end of the lane's round."""
    await connection.execute(TOOK_TURN, {"ids": list(workflow_ids)})


async def set_wave_cap(connection: AsyncConnection, batch_id: UUID, cap: int | None) -> None:
    """Write above which size the provider refused a wave lately."""
    await connection.execute(SET_WAVE_CAP, {"batch": batch_id, "cap": cap})


async def block_workflow(connection: AsyncConnection, workflow_id: UUID, until: datetime, because: str | None) -> None:
    """Pause a workflow's launches."""
    await connection.execute(BLOCK_WORKFLOW, {"id": workflow_id, "until": until, "because": because})


def _queued(row: Row[Any]) -> QueuedRun:
    return QueuedRun(id=row.id, attempt=row.attempt, input_bytes=row.input_bytes)


def _workflow(row: Row[Any]) -> DueWorkflow:
    return DueWorkflow(
        id=row.id,
        remote_id=row.remote_id,
        on_doubt=OnDoubt(row.on_doubt),
        blocked_until=row.launches_blocked_until,
        known=row.durations_count,
        log_mean=row.durations_log_mean,
        log_var=row.durations_log_var,
        poll=(row.poll_initial_s, row.poll_factor, row.poll_cap_s, row.poll_jitter, row.poll_polite),
        connection_id=row.connection_id,
        provider=row.provider,
        base_url=row.base_url,
        api_key=bytes(row.api_key),
        api_version=row.api_version,
        is_paused=row.paused_at is not None,
        slot_limit=row.max_concurrent,
        slots_used=row.single_slots + row.wave_slots,
        in_order=row.in_order,
        batches=row.batches,
    )
