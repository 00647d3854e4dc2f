"""Applies changes: every run's facts, history, timer, files and questions, in a fixed number of statements.

The caller holds the locks that come before runs (lane, batch, wave) and has checked the fences; a change whose run has
moved on meanwhile is void and is left out of what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import chain
from orchestrator.domain.chain import Event, Head
from orchestrator.domain.changes import Change, ExecutionState
from orchestrator.domain.statuses import ENDINGS, RunStatus
from orchestrator.runtime import Sources
from orchestrator.storage import events, offers, outbox, questions
from orchestrator.storage.database import rows
from orchestrator.storage.listening import LISTENS
from orchestrator.storage.sealing import Sealer

# In id order, so that two acts on the same runs cannot wait for each other in a ring.
LOCK_RUNS = text(f"""
    SELECT r.id, r.workspace_id, r.connection_id, r.workflow_id, w.lane_id, r.batch_id, r.status, r.attempt,
        r.execution_id, r.event_seq, r.event_hash, {LISTENS.format("r")} AS listens,
        (SELECT e.at FROM events e WHERE e.stream = r.id AND e.seq = r.event_seq) AS event_at
    FROM runs r JOIN workflows w ON w.id = r.workflow_id
    WHERE r.id = ANY(CAST(:ids AS uuid[])) ORDER BY r.id FOR UPDATE OF r""")  # noqa: S608 - our own words

# An attempt that changes leaves the old attempt's execution behind; an ending has a time, anything else has none.
UPDATE_RUNS = text("""
    UPDATE runs r SET
        status_at = CASE WHEN r.status <> v.status THEN orch_now() ELSE r.status_at END,
        status = v.status,
        provider_status = CASE WHEN v.attempt > r.attempt THEN NULL ELSE COALESCE(v.provider_status, r.provider_status)
                          END,
        results_state = COALESCE(v.results_state, r.results_state),
        error_code = CASE WHEN v.sets_error THEN v.error_code ELSE r.error_code END,
        error_message = CASE WHEN v.sets_error THEN v.error_message ELSE r.error_message END,
        execution_id = CASE WHEN v.attempt > r.attempt THEN NULL ELSE COALESCE(v.execution_id, r.execution_id) END,
        attempt = COALESCE(v.attempt, r.attempt),
        launched_at = CASE WHEN v.was_launched THEN orch_now() ELSE r.launched_at END,
        ended_at = CASE WHEN v.has_ended THEN CASE WHEN r.status = v.status THEN r.ended_at ELSE orch_now() END END,
        cancel_requested = v.asks_cancel OR (r.cancel_requested AND v.status = 'launching'),
        event_seq = v.event_seq, event_hash = v.event_hash
    FROM unnest(CAST(:id AS uuid[]), CAST(:status AS text[]), CAST(:provider_status AS text[]),
        CAST(:results_state AS text[]), CAST(:sets_error AS boolean[]), CAST(:error_code AS text[]),
        CAST(:error_message AS text[]), CAST(:attempt AS int[]), CAST(:execution_id AS text[]),
        CAST(:was_launched AS boolean[]), CAST(:has_ended AS boolean[]), CAST(:asks_cancel AS boolean[]),
        CAST(:event_seq AS bigint[]), CAST(:event_hash AS bytea[]))
        AS v(id, status, provider_status, results_state, sets_error, error_code, error_message, attempt, execution_id,
             was_launched, has_ended, asks_cancel, event_seq, event_hash)
    WHERE r.id = v.id""")

# A launch that is in doubt or left alone keeps its slot as long as the provider could be running it; an item of a wave
# may have to wait there for those before it. The number of looks outlives the timer that counted them.
UPDATE_EXECUTIONS = text("""
    UPDATE executions e SET
        state = v.state,
        remote_id = COALESCE(v.remote_id, e.remote_id),
        accepted_at = CASE WHEN v.state = 'open' THEN COALESCE(e.accepted_at, orch_now()) ELSE e.accepted_at END,
        ended_at = CASE WHEN v.state IN ('ended', 'refused', 'left', 'not_sent') THEN orch_now() END,
        slot_until = CASE
            WHEN v.state = 'left' AND e.state = 'in_doubt' THEN e.slot_until
            WHEN v.state = 'in_doubt' OR (v.state = 'left' AND e.state IN ('launching', 'open'))
            THEN orch_now() + interval '16 minutes' * CASE WHEN v.state = 'in_doubt' THEN COALESCE(
                (SELECT ceil(w.size::numeric / w.width) FROM waves w WHERE w.id = e.wave_id), 1) ELSE 1 END END,
        -- Watched again after it was left: alone from now on, its wave has counted it as gone.
        wave_id = CASE WHEN v.state = 'open' AND e.state = 'left' THEN NULL ELSE e.wave_id END,
        looks = GREATEST(e.looks, COALESCE((SELECT t.looks FROM timers t WHERE t.subject_id = e.run_id), 0)),
        -- How far it is, is of interest while it goes on; the provider's words are not kept longer.
        progress_fraction = CASE WHEN v.state = 'open' THEN e.progress_fraction END,
        progress_message = CASE WHEN v.state = 'open' THEN e.progress_message END,
        estimated_completion_at = CASE WHEN v.state = 'open' THEN e.estimated_completion_at END
    FROM unnest(CAST(:run_id AS uuid[]), CAST(:attempt AS int[]), CAST(:state AS text[]), CAST(:remote_id AS text[]))
        AS v(run_id, attempt, state, remote_id)
    WHERE e.run_id = v.run_id AND e.attempt = v.attempt""")

# The fence is cleared: an act that is recorded once cannot be recorded again. Wave and position stay what they are. The
# first deadline of a result stays too: a fresh URL may live longer, or die with the first, so the first comes first.
SET_TIMERS = text("""
    INSERT INTO timers AS t (subject_id, kind, lane_id, workflow_id, batch_id, wave_id, position, due_at, urgency,
        tries, stage, gone_since, deadline_at, entered_at)
    SELECT v.id, v.kind, v.lane_id, v.workflow_id, v.batch_id, v.wave_id, v.position, v.due_at, v.urgency, v.tries,
        v.stage, v.gone_since, v.deadline_at, CASE WHEN v.due_at IS NOT NULL THEN orch_now() END
    FROM unnest(CAST(:id AS uuid[]), CAST(:kind AS text[]), CAST(:lane_id AS uuid[]), CAST(:workflow_id AS uuid[]),
        CAST(:batch_id AS uuid[]), CAST(:wave_id AS uuid[]), CAST(:position AS int[]), CAST(:due_at AS timestamptz[]),
        CAST(:urgency AS smallint[]), CAST(:tries AS int[]), CAST(:stage AS smallint[]),
        CAST(:gone_since AS timestamptz[]), CAST(:deadline_at AS timestamptz[]))
        AS v(id, kind, lane_id, workflow_id, batch_id, wave_id, position, due_at, urgency, tries, stage, gone_since,
             deadline_at)
    ON CONFLICT (subject_id) DO UPDATE SET
        kind = excluded.kind, due_at = excluded.due_at, urgency = excluded.urgency, tries = excluded.tries,
        stage = excluded.stage, gone_since = excluded.gone_since,
        deadline_at = COALESCE(t.deadline_at, excluded.deadline_at),
        entered_at = COALESCE(t.entered_at, excluded.entered_at),
        fence = 0, worker_id = NULL""")

COUNT_REFRESHES = text("UPDATE timers SET refreshes = refreshes + 1 WHERE subject_id = ANY(CAST(:ids AS uuid[]))")

WAKE_LANES = text("""
    UPDATE lanes SET poll_due_at = LEAST(COALESCE(poll_due_at, orch_now()), orch_now()),
        launch_due_at = LEAST(COALESCE(launch_due_at, orch_now()), orch_now())
    WHERE id = ANY(CAST(:ids AS uuid[]))""")

DROP_TIMERS = text("DELETE FROM timers WHERE subject_id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class WavePlace:
    """Where a run stands in the wave that it was launched in."""

    wave_id: UUID
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was written: the changes that held, and the batches in which a run ended.

    Args:
        woken: lanes other than a run's own that got its timer, for its key was rotated while a call was on the wire.
    """

    changes: tuple[Change, ...]
    batches_with_endings: frozenset[UUID]
    woken: frozenset[UUID] = frozenset()

    @classmethod
    def nothing(cls) -> Applied:
        """Return what is written where no change held."""
        return cls(changes=(), batches_with_endings=frozenset())

    def __add__(self, other: Applied) -> Applied:
        return Applied(
            changes=self.changes + other.changes,
            batches_with_endings=self.batches_with_endings | other.batches_with_endings,
            woken=self.woken | other.woken,
        )


async def apply(
    connection: AsyncConnection,
    changes: Sequence[Change],
    *,
    now: datetime,
    sources: Sources,
    sealer: Sealer,
    places: dict[UUID, WavePlace] | None = None,
    lane: UUID | Mapping[UUID, UUID] | None = None,
) -> Applied:
    """Write the changes that still hold.

    Args:
        places: for runs that are being launched in a wave: where they stand in it.
        lane: the lane that the caller holds and wakes; where it holds several, each run's own. Timers may land on
            another, if the key was rotated meanwhile.
    """
    if not changes:
        return Applied.nothing()
    found = await rows(connection, LOCK_RUNS, {"ids": [c.run_id for c in changes]})
    by_id = {row.id: row for row in found}
    held = [(c, by_id[c.run_id]) for c in changes if c.run_id in by_id and by_id[c.run_id].status == c.was]
    touched = [(c, run) for c, run in held if c.touches_run]
    if touched:
        await _write_runs(connection, touched, now=now)
        await _write_executions(connection, touched)
        await offers.offer(connection, touched, sealer=sealer)
        await questions.ask_and_settle(connection, touched, sources=sources)
        await outbox.tell_changes(connection, touched, at=now)
    await _write_timers(connection, held, places or {})
    woken = await _wake_other_lanes(connection, held, lane)
    ended = frozenset(run.batch_id for c, run in held if c.to in ENDINGS and c.was != c.to and run.batch_id)
    return Applied(changes=tuple(c for c, _ in held), batches_with_endings=ended, woken=woken)


async def _write_runs(
    connection: AsyncConnection, touched: Sequence[tuple[Change, Row[Any]]], *, now: datetime
) -> None:
    history: list[Event] = []
    heads: list[Head] = []
    for change, run in touched:
        head = Head(seq=run.event_seq, hash=bytes(run.event_hash), at=run.event_at)
        added, head = chain.append(head, run.id, change.events, at=now)
        history += added
        heads.append(head)
    changes = [c for c, _ in touched]
    await connection.execute(
        UPDATE_RUNS,
        {
            "id": [c.run_id for c in changes],
            "status": [c.to for c in changes],
            "provider_status": [c.provider_status for c in changes],
            "results_state": [c.results_state for c in changes],
            "sets_error": [c.error is not None or c.clears_error for c in changes],
            "error_code": [c.error.code if c.error else None for c in changes],
            "error_message": [_storable(c.error.message) if c.error else None for c in changes],
            "attempt": [c.attempt for c in changes],
            "execution_id": [c.execution_id for c in changes],
            "was_launched": [c.was_launched for c in changes],
            "has_ended": [c.to in ENDINGS for c in changes],
            "asks_cancel": [c.asks_cancel for c in changes],
            "event_seq": [h.seq for h in heads],
            "event_hash": [h.hash for h in heads],
        },
    )
    await events.insert(connection, history)


async def _write_executions(connection: AsyncConnection, touched: Sequence[tuple[Change, Row[Any]]]) -> None:
    moved = [(c, run) for c, run in touched if c.execution is not None and c.execution is not ExecutionState.LAUNCHING]
    if not moved:
        return
    await connection.execute(
        UPDATE_EXECUTIONS,
        {
            "run_id": [run.id for _, run in moved],
            "attempt": [run.attempt for _, run in moved],
            "state": [c.execution for c, _ in moved],
            "remote_id": [c.execution_id for c, _ in moved],
        },
    )


async def _write_timers(
    connection: AsyncConnection, held: Sequence[tuple[Change, Row[Any]]], places: dict[UUID, WavePlace]
) -> None:
    dropped = [c.run_id for c, _ in held if c.timer is None and not c.keeps_timer]
    if dropped:
        await connection.execute(DROP_TIMERS, {"ids": dropped})
    timed = [(c, run, c.timer, places.get(run.id)) for c, run in held if c.timer is not None and not c.keeps_timer]
    if not timed:
        return
    await connection.execute(
        SET_TIMERS,
        {
            "id": [run.id for _, run, _, _ in timed],
            "kind": [t.kind for _, _, t, _ in timed],
            "lane_id": [run.lane_id for _, run, _, _ in timed],
            "workflow_id": [run.workflow_id for _, run, _, _ in timed],
            "batch_id": [run.batch_id for _, run, _, _ in timed],
            "wave_id": [p.wave_id if p else None for _, _, _, p in timed],
            "position": [p.position if p else None for _, _, _, p in timed],
            "due_at": [t.due_at for _, _, t, _ in timed],
            "urgency": [t.urgency for _, _, t, _ in timed],
            "tries": [t.tries for _, _, t, _ in timed],
            "stage": [t.stage for _, _, t, _ in timed],
            "gone_since": [t.gone_since for _, _, t, _ in timed],
            "deadline_at": [t.deadline_at for _, _, t, _ in timed],
        },
    )
    refreshed = [c.run_id for c, _, _, _ in timed if c.was is RunStatus.DOWNLOADING and c.offered is not None]
    if refreshed:
        await connection.execute(COUNT_REFRESHES, {"ids": refreshed})


async def _wake_other_lanes(
    connection: AsyncConnection, held: Sequence[tuple[Change, Row[Any]]], lane: UUID | Mapping[UUID, UUID] | None
) -> frozenset[UUID]:
    """Wake lanes that got timers and that nobody else wakes: the run's key was rotated while a call was on the wire."""
    if lane is None:
        return frozenset()
    timed = [run for change, run in held if change.timer is not None and not change.keeps_timer]
    if isinstance(lane, Mapping):
        others = frozenset(run.lane_id for run in timed if run.lane_id != lane.get(run.id, run.lane_id))
    else:
        others = frozenset(run.lane_id for run in timed) - {lane}
    if others:
        await connection.execute(WAKE_LANES, {"ids": sorted(others)})
    return others


def _storable(message: str) -> str:
    """Return provider text that Postgres takes, cut to a length that a list can show."""
    return message.replace("\x00", "�")[:2000]
