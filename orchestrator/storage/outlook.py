"""What decides how long a batch takes, beside its own runs: what was learned, what is allowed, who else is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.backoff import OwnFigures
from orchestrator.domain.durations import Durations
from orchestrator.storage.database import one

#: Of other work so many batches count, the oldest first: more of them would say the same of a forecast.
MOST_RIVALS = 20

# Runs of others are counted up to :most only: all on a key get on alike, so what one has left beyond that comes later.
AROUND = text("""
    SELECT orch_now() AS now, n.provider, n.max_concurrent,
        LEAST(l.requests_per_minute, l.told_limit) AS requests_per_minute,
        w.durations_count, w.durations_log_mean, w.durations_log_var,
        w.poll_initial_s, w.poll_factor, w.poll_cap_s, w.poll_jitter, w.poll_polite,
        n.paused_at IS NOT NULL OR l.launches_stopped IS NOT NULL AS is_stopped,
        (SELECT COALESCE(sum((s ->> 2)::int), 0)::int FROM jsonb_array_elements(l.spent) s
         WHERE (s ->> 0)::float8 > extract(epoch FROM orch_now()) * 1000) AS spent,
        (SELECT count(*)::int FROM (
            SELECT FROM timers t WHERE t.workflow_id = w.id AND t.kind = 'launch' AND t.batch_id IS NULL
            LIMIT :most) queued) AS singles,
        (SELECT COALESCE(json_agg(json_build_array(r.runs, r.known, r.log_mean, r.log_var, r.workflow_id = w.id)), '[]')
         FROM (SELECT o.id AS workflow_id, o.durations_count AS known, o.durations_log_mean AS log_mean,
                   o.durations_log_var AS log_var,
                   (SELECT count(*) FROM (
                       SELECT FROM runs x WHERE x.batch_id = b.id AND x.status IN ('queued', 'launching', 'processing')
                       LIMIT :most) live) AS runs
               FROM batches b JOIN workflows o ON o.id = b.workflow_id
                   JOIN connections p ON p.id = b.connection_id AND p.paused_at IS NULL
               WHERE b.ended_at IS NULL AND b.paused_at IS NULL AND b.cancelled_at IS NULL AND o.lane_id = w.lane_id
                   AND b.id IS DISTINCT FROM CAST(:batch AS uuid)
               ORDER BY b.id LIMIT :rivals) r
         WHERE r.runs > 0) AS rivals
    FROM workflows w JOIN connections n ON n.id = w.connection_id JOIN lanes l ON l.id = w.lane_id
    WHERE w.id = :workflow""")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherBatch:
    """Another batch on the same key: its runs that have not ended, as far as they count."""

    runs: int
    durations: Durations
    of_same_workflow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a batch of a workflow meets now.

    Args:
        slot_limit: executions of the workflow that may be alive.
        free: requests that may leave at once.
        singles: single runs of the workflow that wait for their launch, as far as they count.
        now: the transaction's time.
        is_stopped: nothing is launched until a person does something.
    """

    now: datetime
    provider: str
    slot_limit: int
    requests_per_minute: int
    free: int
    durations: Durations
    poll: OwnFigures
    singles: int
    others: tuple[OtherBatch, ...]
    is_stopped: bool


async def around(connection: AsyncConnection, workflow_id: UUID, *, batch_id: UUID | None, runs: int) -> Outlook:
    """Return what so many runs of a workflow meet now; a batch does not meet itself."""
    values = {"workflow": workflow_id, "batch": batch_id, "most": runs, "rivals": MOST_RIVALS}
    row = await one(connection, AROUND, values)
    assert row is not None, "the caller knows the workflow"
    return Outlook(
        now=row.now,
        provider=row.provider,
        slot_limit=row.max_concurrent,
        requests_per_minute=row.requests_per_minute,
        free=max(0, row.requests_per_minute - row.spent),
        durations=Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var),
        poll=(row.poll_initial_s, row.poll_factor, row.poll_cap_s, row.poll_jitter, row.poll_polite),
        singles=row.singles,
        others=tuple(
            OtherBatch(
                runs=runs, durations=Durations(count=known, log_mean=mean, log_var=var), of_same_workflow=is_same
            )
            for runs, known, mean, var, is_same in row.rivals
        ),
        is_stopped=row.is_stopped,
    )
