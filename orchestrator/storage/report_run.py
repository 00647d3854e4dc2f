"""Reads everything about one run, for its dossier. Open its transaction as a report's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Event, Head
from orchestrator.storage import events
from orchestrator.storage.database import one, rows

#: Events of one run that a dossier shows; a run has six, one with a bad life some dozens.
MAX_EVENTS = 5_000
MAX_LINES = 1_000

RUN = text("""
    SELECT r.id::text AS run, r.batch_id::text AS batch, b.name AS batch_name, r.index, r.external_id, r.status,
        r.provider_status, r.results_state, r.attempt, r.execution_id, r.error_code, r.error_message,
        r.cancel_requested, encode(r.input_sha256, 'hex') AS input_sha256, r.input_bytes, r.created_by, r.created_at,
        r.launched_at, r.status_at, r.ended_at, r.erased_at, r.origin, r.event_seq, r.event_hash,
        w.remote_id AS workflow, w.name AS workflow_name, n.name AS connection
    FROM runs r JOIN workflows w ON w.id = r.workflow_id JOIN connections n ON n.id = r.connection_id
    LEFT JOIN batches b ON b.id = r.batch_id WHERE r.workspace_id = :workspace AND r.id = :run""")

ATTEMPTS = text("""
    SELECT e.attempt, e.state, e.remote_id AS execution_id, e.wave_id::text AS wave, e.position, e.began_at,
        e.accepted_at, e.ended_at, GREATEST(e.looks, t.looks) AS looks
    FROM executions e JOIN runs r ON r.id = e.run_id
    LEFT JOIN timers t ON t.subject_id = e.run_id AND e.attempt = r.attempt
    WHERE e.run_id = :run ORDER BY e.attempt LIMIT :limit""")

# A launch that came to nothing is not its execution's any more: the attempt's row names the latest alone. A single one
# names its run; one of a wave is known from the history, where each `launching` event names it.
LAUNCHES = text("""
    SELECT i.id::text AS intent, i.wave_id::text AS wave, i.size, i.committed_at, i.outcome, i.outcome_at,
        i.http_status, i.detail, i.body_bytes, encode(i.body_sha256, 'hex') AS body_sha256, i.worker_id::text AS worker
    FROM intents i WHERE i.run_id = :run OR i.id = ANY(CAST(:intents AS uuid[]))
        OR i.id IN (SELECT e.intent_id FROM executions e WHERE e.run_id = :run)
    ORDER BY i.committed_at, i.id LIMIT :limit""")

RESULTS = text("""
    SELECT a.attempt, a.n, a.filename, a.size_bytes, encode(a.sha256, 'hex') AS sha256, a.offered_at, a.stored_at,
        a.failure
    FROM artifacts a WHERE a.run_id = :run ORDER BY a.attempt, a.n LIMIT :limit""")

QUESTIONS = text("""
    SELECT i.kind, i.title, i.opened_at, i.closed_at, i.closed_because FROM inbox i
    WHERE i.run_id = :run OR i.wave_id IN (SELECT e.wave_id FROM executions e WHERE e.run_id = :run)
        OR i.wave_id IN (SELECT n.wave_id FROM intents n WHERE n.id = ANY(CAST(:intents AS uuid[])))
    ORDER BY i.opened_at, i.id LIMIT :limit""")

INPUT = text("SELECT body FROM inputs WHERE run_id = :run")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run and all that hangs on it. `is_cut`: its history is longer than what was read of it."""

    run: Mapping[str, Any]
    history: Sequence[Event]
    stream_head: Head
    attempts: Sequence[Mapping[str, Any]]
    launches: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]]
    questions: Sequence[Mapping[str, Any]]
    input: bytes | None
    is_cut: bool


async def read(connection: AsyncConnection, workspace: UUID, run_id: UUID) -> RunRecord | None:
    """Return one run, whole; None when the workspace has no such."""
    row = await one(connection, RUN, {"workspace": workspace, "run": run_id})
    if row is None:
        return None
    history = await events.read(connection, run_id, limit=MAX_EVENTS + 1)
    values = {"run": run_id, "limit": MAX_LINES, "intents": _intents(history)}
    lists = [
        [dict(found._mapping) for found in await rows(connection, query, values)]
        for query in (ATTEMPTS, LAUNCHES, RESULTS, QUESTIONS)
    ]
    body = (await connection.execute(INPUT, {"run": run_id})).scalar()
    facts = {name: value for name, value in row._mapping.items() if name not in ("event_seq", "event_hash")}
    return RunRecord(
        run=facts,
        history=history[:MAX_EVENTS],
        stream_head=Head(seq=row.event_seq, hash=bytes(row.event_hash)),
        attempts=lists[0],
        launches=lists[1],
        results=lists[2],
        questions=lists[3],
        input=None if body is None else bytes(body),
        is_cut=len(history) > MAX_EVENTS,
    )


def _intents(history: Sequence[Event]) -> list[UUID]:
    """Return the launches that a history names; what somebody changed in it names none."""
    found: list[UUID] = []
    for event in history:
        if event.type == "launching":
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                found.append(UUID(json.loads(event.data)["intent"]))
    return found[:MAX_LINES]
