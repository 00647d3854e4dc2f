"""The shapes in which runs, batches and events are shown. `docs/` and the contract name these fields; they stay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import batch_story, chain, waiting
from orchestrator.domain.breaker import BreakerState
from orchestrator.domain.statuses import ENDINGS, PARKED, BatchStatus, RunStatus, batch_status
from orchestrator.domain.waiting import Reason, Surroundings
from orchestrator.domain.watching import Origin
from orchestrator.engine.shown import shown
from orchestrator.storage import explain, highwater, lanes
from orchestrator.storage import runs as run_rows
from orchestrator.storage.batches import BatchRow
from orchestrator.storage.explain import Slots
from orchestrator.storage.failures import FailureRow
from orchestrator.storage.lanes import Lane
from orchestrator.storage.questions import console_link
from orchestrator.storage.runs import FileRow, RunRow


async def runs(
    connection: AsyncConnection, found: Sequence[RunRow], *, files: Mapping[UUID, Sequence[FileRow]] | None = None
) -> list[dict[str, Any]]:
    """Return views of runs: a fixed number of statements for a page, however long.

    Args:
        files: those of the runs, for a caller who shows more of them: what is read twice may differ.
    """
    if not found:
        return []
    ids = [row.id for row in found]
    labels = await run_rows.labels(connection, ids)
    if files is None:
        files = await run_rows.files(connection, ids)
    live = [row for row in found if row.status not in ENDINGS]
    known_lanes = await lanes.read_all(connection, sorted({r.lane_id for r in live}))
    slots = await explain.slots(connection, sorted({r.workflow for r in live})) if live else {}
    held = await highwater.held_because(connection) if any(r.status is RunStatus.QUEUED for r in live) else None
    return [
        _run(
            row,
            labels.get(row.id, {}),
            files.get(row.id, []),
            waiting.why(
                replace(
                    _surroundings(row, known_lanes[row.lane_id], slots.get(row.workflow), files.get(row.id, [])),
                    held_because=held,
                )
            )
            if row.lane_id in known_lanes
            else None,
        )
        for row in found
    ]


def _run(row: RunRow, labels: Mapping[str, str], files: Sequence[FileRow], reason: Reason | None) -> dict[str, Any]:
    link = None
    if row.console_url is not None and row.execution_id is not None:
        link = console_link(row.console_url, row.workflow_id, row.execution_id)
    return shown(
        {
            "id": row.id,
            "status": row.status,
            "origin": row.origin,
            "event_seq": row.event_seq,
            "provider_status": row.provider_status,
            "results_state": row.results_state,
            "workflow_id": row.workflow_id,
            "workflow_name": row.workflow_name,
            "connection": row.connection,
            "provider": row.provider,
            "batch_id": row.batch_id,
            "index": row.index,
            "external_id": row.external_id,
            "labels": labels,
            "created_at": row.created_at,
            "created_by": row.created_by,
            "updated_at": row.status_at,
            "launched_at": row.launched_at,
            "finished_at": row.ended_at,
            "erased_at": row.erased_at,
            "attempts": row.attempt if row.launched_at is not None else 0,
            "execution_id": row.execution_id,
            "console_link": link,
            "waiting_because": None if reason is None else _reason(reason),
            "error": None if row.error_code is None else {"code": row.error_code, "message": row.error_message},
            "input_sha256": row.input_sha256 if row.origin == Origin.SUBMITTED else None,
            "input_bytes": row.input_bytes,
            "looks": row.looks or 0,
            "last_look_at": row.looked_at,
            "progress": _progress(row),
            "results_expire_at": _results_expire_at(row, files),
            "results": [result(file) for file in files if file.stored_at is not None],
        }
    )


def _progress(row: RunRow) -> dict[str, Any] | None:
    """Return how far the provider says it is; None where it says nothing of it, which is not zero."""
    told = {
        "fraction": row.progress_fraction,
        "message": row.progress_message,
        "estimated_completion_at": row.estimated_completion_at,
    }
    return told if any(value is not None for value in told.values()) else None


def _results_expire_at(row: RunRow, files: Sequence[FileRow]) -> datetime | None:
    """Return when the first URL of a file dies that is still to be stored; None when there is none."""
    if row.status is not RunStatus.DOWNLOADING:
        return None
    return min((f.url_expires_at for f in files if f.stored_at is None and f.url_expires_at is not None), default=None)


def result(file: FileRow) -> dict[str, Any]:
    """Return the view of a stored file; its URL is a path of our own API."""
    return {
        "n": file.n,
        "filename": file.filename,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "url": f"/api/v1/runs/{file.run_id}/results/{file.n}",
        "stored_at": file.stored_at,
        "erased": file.erased_at is not None,
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {"code": reason.code, "message": reason.message, "until": reason.until}


def _surroundings(row: RunRow, lane: Lane, slots: Slots | None, files: Sequence[FileRow]) -> Surroundings:
    """Gather what may make a run wait."""
    return replace(
        _around(lane, slots, row.launches_blocked_until, row.launches_blocked_because),
        status=row.status,
        due_at=row.due_at,
        in_hand=row.worker_id is not None,
        of_batch=row.batch_id is not None,
        looked_at=row.looked_at,
        batch_paused_because=(row.batch_paused_because or "by a person") if row.batch_paused_at else None,
        connection_is_paused=row.connection_paused_at is not None,
        last_failure=next((f.failure for f in files if f.failure is not None), None),
        tries=row.tries or 0,
        asks_fresh_urls=row.timer_kind == "poll",
        files_stored=sum(f.stored_at is not None for f in files),
        files_total=len(files),
        results_expire_at=_results_expire_at(row, files),
    )


def _around(
    lane: Lane, slots: Slots | None, blocked_until: datetime | None, blocked_because: str | None
) -> Surroundings:
    """Gather what makes everything of a workflow wait: its lane, its slots, its own rest."""
    return Surroundings(
        status=RunStatus.QUEUED,
        now=lane.now,
        launches_stopped=lane.launches_stopped,
        breaker_is_open=lane.breaker.state is not BreakerState.CLOSED,
        breaker_until=lane.breaker.probe_at,
        loses_launches=lane.breaker.loses_launches,
        workflow_blocked_until=blocked_until,
        workflow_blocked_because=blocked_because,
        lane_blocked_until=lane.blocked_until,
        slots_used=slots.used if slots else None,
        slot_limit=slots.limit if slots else None,
        free_at=lane.budget.next_free_at(lane.now) if lane.budget.free(lane.now) == 0 else None,
    )


def batch(
    row: BatchRow,
    *,
    rate_per_minute: float | None = None,
    waiting: Reason | None = None,
    forecast: Mapping[str, Any] | None = None,
    failures: Sequence[FailureRow] | None = None,
) -> dict[str, Any]:
    """Return the view of a batch; every status stands in its counts, at zero too."""
    status = batch_status(row.counts, paused=row.paused_at is not None, cancelled=row.cancelled_at is not None)
    live = sum(n for s, n in row.counts.items() if s not in ENDINGS)
    movable = live - sum(row.counts.get(s, 0) for s in PARKED)
    eta_s = round(movable * 60 / rate_per_minute, 1) if rate_per_minute and movable else None
    return shown(
        {
            "id": row.id,
            "status": status,
            "name": row.name,
            "external_id": row.external_id,
            "workflow_id": row.workflow,
            "workflow_name": row.workflow_name,
            "connection": row.connection,
            "total": row.total,
            "refused": row.refused,
            "counts": {str(s): row.counts.get(s, 0) for s in RunStatus},
            "concurrency": row.concurrency,
            "wave_size": row.wave_size,
            "created_at": row.created_at,
            "created_by": row.created_by,
            "finished_at": row.ended_at,
            "erased_at": row.erased_at,
            "paused_because": row.paused_because,
            "rate_per_minute": None if rate_per_minute is None else round(rate_per_minute, 1),
            "eta_s": eta_s,
            "failures": None if failures is None else [_failure(one) for one in failures],
            "forecast": forecast,
            "waiting_because": None if waiting is None else _reason(waiting),
            "source_sha256": row.source_sha256,
            "source_format": row.source_format,
            "max_failures": _max_failures(row),
        }
    )


def _max_failures(row: BatchRow) -> str | None:
    """Return the rule as it was given: `5` or `10%`."""
    if row.max_failures_percent is not None:
        return f"{row.max_failures_percent:g}%"
    return None if row.max_failures_count is None else str(row.max_failures_count)


def _failure(row: FailureRow) -> dict[str, Any]:
    return {"code": row.code, "message": row.message, "count": row.runs, "run_id": row.run_id}


async def batch_waits(connection: AsyncConnection, row: BatchRow) -> Reason | None:
    """Say what a batch waits for: its next launch, its people, or what is running."""
    status = batch_status(row.counts, paused=row.paused_at is not None, cancelled=row.cancelled_at is not None)
    if row.ended_at is not None or not any(n for s, n in row.counts.items() if s not in ENDINGS):
        return None
    if status is BatchStatus.WAITING:
        return Reason(code="human", message=f"{batch_story.under_way(row.counts)}: orchestrator inbox list")
    queued = row.counts.get(RunStatus.QUEUED, 0)
    timing = await explain.batch_timing(connection, row.id)
    lane = await lanes.read(connection, timing.lane_id)
    if not queued:
        until = lane.poll_due_at
        return Reason(code="provider", message=batch_story.under_way(row.counts), until=until)
    slots = (await explain.slots(connection, [timing.workflow_id])).get(timing.workflow_id)
    around = _around(lane, slots, timing.launches_blocked_until, timing.launches_blocked_because)
    return waiting.why(
        replace(
            around,
            held_because=await highwater.held_because(connection),
            due_at=timing.due_at,
            of_batch=True,
            batch_paused_because=(row.paused_because or "by a person") if row.paused_at else None,
            connection_is_paused=timing.connection_paused_at is not None,
        )
    )


def event(entry: chain.Event) -> dict[str, Any]:
    """Return the view of an event, with its hash."""
    return shown(
        {
            "seq": entry.seq,
            "at": entry.at,
            "type": entry.type,
            "actor": entry.actor,
            "data": json.loads(entry.data),
            "hash": entry.hash,
        }
    )
