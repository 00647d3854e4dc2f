"""Launches without an answer: which are due to be decided, and all that it takes to send one again under its key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.launch_decisions import LaunchingRun, OnDoubt
from orchestrator.storage.database import one, rows

DUE_SENDING = text("""
    SELECT t.subject_id AS intent_id, t.fence, t.lane_id, t.tries, i.committed_at, i.wave_id, c.provider,
        orch_now() AS now
    FROM timers t JOIN intents i ON i.id = t.subject_id JOIN workflows w ON w.id = i.workflow_id
    JOIN connections c ON c.id = w.connection_id
    WHERE t.kind = 'sending' AND t.due_at <= orch_now() ORDER BY t.due_at LIMIT :limit""")


# The answer was lost, and the provider knows the key: the intent stays open, and comes due to be sent again. `tries`
# counts the sendings.
SEND_LATER = text("""
    INSERT INTO timers (subject_id, kind, lane_id, workflow_id, due_at, fence, tries)
    SELECT i.id, 'sending', w.lane_id, i.workflow_id, :at, nextval('fences'), :sends
    FROM intents i JOIN workflows w ON w.id = i.workflow_id WHERE i.id = :id""")


# The old fence is void from now on: of two that would send it again, one may.
RETAKE_SENDING = text("""
    UPDATE timers SET due_at = :due_at, fence = nextval('fences'), worker_id = :worker, tries = :sends
    WHERE subject_id = :id AND kind = 'sending' AND fence = :fence RETURNING fence""")


# Where the connection leads elsewhere by now, the same key may start a second execution there.
READ_UNANSWERED = text("""
    SELECT i.body_sha256, i.api_version, c.api_version AS version_now,
        i.workflow_id, w.remote_id, w.on_doubt, c.id AS connection_id, c.provider, c.base_url,
        c.api_key, e.run_id, e.attempt, e.position, r.cancel_requested, r.batch_id, n.body,
        c.access_changed_at IS NULL OR c.access_changed_at < i.committed_at AS leads_there_still
    FROM intents i JOIN workflows w ON w.id = i.workflow_id JOIN connections c ON c.id = w.connection_id
    JOIN executions e ON e.intent_id = i.id AND e.state = 'launching' JOIN runs r ON r.id = e.run_id
    JOIN inputs n ON n.run_id = r.id
    WHERE i.id = :id AND i.wave_id IS NULL""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSending:
    """An intent that nobody recorded in time, or whose answer was lost. `sends`: how often that was seen to happen."""

    intent_id: UUID
    fence: int
    lane_id: UUID
    provider: str
    is_wave: bool
    committed_at: datetime
    sends: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A single launch without an answer: all that it takes to send it again. `item` is the run's input.

    `api_version` is the one that it was sent with, `version_now` the one that its connection asks for by now.
    `leads_there_still`: neither the connection's key nor its address was changed since the intent was committed.
    """

    workflow_id: UUID
    remote_workflow_id: str
    connection_id: UUID
    provider: str
    base_url: str
    api_key: bytes
    api_version: str | None
    version_now: str | None
    on_doubt: OnDoubt
    run: LaunchingRun
    batch_id: UUID | None
    item: bytes
    sha256: bytes
    leads_there_still: bool


async def due_sending(connection: AsyncConnection, limit: int) -> list[DueSending]:
    """Return intents that nobody recorded in time, or that are to be sent again."""
    return [
        DueSending(
            intent_id=r.intent_id,
            fence=r.fence,
            lane_id=r.lane_id,
            provider=r.provider,
            is_wave=r.wave_id is not None,
            committed_at=r.committed_at,
            sends=r.tries,
            now=r.now,
        )
        for r in await rows(connection, DUE_SENDING, {"limit": limit})
    ]


async def send_later(connection: AsyncConnection, intent: UUID, *, at: datetime, sends: int) -> None:
    """Let an intent whose answer was lost come due again. Its timer was taken with the right to decide."""
    await connection.execute(SEND_LATER, {"id": intent, "at": at, "sends": sends})


async def retake_sending(connection: AsyncConnection, due: DueSending, *, worker: UUID, due_at: datetime) -> int | None:
    """Take the right to send an intent again; return its new fence, None where somebody else has it."""
    values = {"id": due.intent_id, "fence": due.fence, "worker": worker, "due_at": due_at, "sends": due.sends + 1}
    row = await one(connection, RETAKE_SENDING, values)
    return None if row is None else int(row.fence)


async def read_unanswered(connection: AsyncConnection, intent_id: UUID) -> Unanswered | None:
    """Read a single launch that has no answer; None where its run moved on."""
    r = await one(connection, READ_UNANSWERED, {"id": intent_id})
    if r is None:
        return None
    return Unanswered(
        workflow_id=r.workflow_id,
        remote_workflow_id=r.remote_id,
        connection_id=r.connection_id,
        provider=r.provider,
        base_url=r.base_url,
        api_key=bytes(r.api_key),
        api_version=r.api_version,
        version_now=r.version_now,
        on_doubt=OnDoubt(r.on_doubt),
        run=LaunchingRun(run_id=r.run_id, attempt=r.attempt, position=r.position, cancel_requested=r.cancel_requested),
        batch_id=r.batch_id,
        item=bytes(r.body),
        sha256=bytes(r.body_sha256),
        leads_there_still=r.leads_there_still,
    )
