"""Looks as they are claimed and as they come back: what the engine is handed, and what it hands over to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from orchestrator.domain.backoff import OwnFigures
from orchestrator.domain.changes import Change, Urgency
from orchestrator.domain.durations import Durations
from orchestrator.domain.heard import RateSaid
from orchestrator.domain.look_timing import Timing, WaveClock
from orchestrator.domain.offered_files import KnownFile
from orchestrator.domain.progress import Standing
from orchestrator.domain.statuses import RunStatus
from orchestrator.domain.windows import WaveLook
from orchestrator.storage.lanes import Lane
from orchestrator.storage.learning import Took


@dataclass(frozen=True, slots=True, kw_only=True)
class LookClaim:
    """A leased right to look at one execution, and all that the look and its decision need."""

    run_id: UUID
    fence: int
    status: RunStatus
    status_at: datetime
    attempt: int
    provider_status: str | None
    execution_id: str
    launched_at: datetime
    entered_at: datetime | None
    looked_before: datetime | None
    tries: int
    stage: int
    gone_since: datetime | None
    wave_id: UUID | None
    position: int | None
    batch_id: UUID | None
    workflow_id: UUID
    remote_workflow_id: str
    connection_id: UUID
    provider: str
    base_url: str
    api_key: bytes = field(repr=False)
    poll: OwnFigures
    api_version: str | None = None
    files: tuple[KnownFile, ...] = ()
    urgency: int = Urgency.NORMAL
    durations: Durations = field(default_factory=Durations)
    wave: WaveClock | None = None
    #: What a look had to be worth on its lane when it was claimed, and how late looks came; seconds.
    price_s: float = 0.0
    late_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LookBatch:
    """What one claim of a lane gave: its claims (perhaps none), and the grant that pays for them."""

    lane_id: UUID
    grant_id: UUID
    now: datetime
    claims: tuple[LookClaim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookResult:
    """One look's meaning: the change, what it taught its wave and, if it ended, of the workflow's durations.

    Args:
        worth_s: what the look was worth when it was made; None for one that others asked for, or that failed.
        timing: what times the looks at this execution and at those after it in its wave.
        standing: how far it is; None where the look did not show it.
    """

    claim: LookClaim
    change: Change
    wave_look: WaveLook | None = None
    took: Took | None = None
    worth_s: float | None = None
    timing: Timing | None = None
    standing: Standing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneNews:
    """What answers told about a lane as a whole."""

    blocked_until: datetime | None = None
    launches_stopped: str | None = None
    rate: RateSaid | None = None


def read(row: Row[Any], lane: Lane, files: Sequence[KnownFile]) -> LookClaim:
    """Return a claimed row as the engine sees it."""
    return LookClaim(
        run_id=row.subject_id,
        fence=row.fence,
        status=RunStatus(row.status),
        status_at=row.status_at,
        attempt=row.attempt,
        provider_status=row.provider_status,
        execution_id=row.execution_id,
        launched_at=row.launched_at,
        entered_at=row.entered_at,
        looked_before=row.looked_before,
        tries=row.tries,
        stage=row.stage,
        gone_since=row.gone_since,
        wave_id=row.wave_id,
        position=row.position,
        batch_id=row.batch_id,
        workflow_id=row.workflow_id,
        remote_workflow_id=row.remote_workflow_id,
        connection_id=row.connection_id,
        provider=row.provider,
        base_url=row.base_url,
        api_key=bytes(row.api_key),
        api_version=row.api_version,
        poll=(row.poll_initial_s, row.poll_factor, row.poll_cap_s, row.poll_jitter, row.poll_polite),
        files=tuple(files),
        urgency=row.urgency,
        durations=Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var),
        wave=_wave_clock(row),
        price_s=lane.asked_price_s,
        late_s=lane.looks_late_s,
    )


def _wave_clock(row: Row[Any]) -> WaveClock | None:
    if row.wave_width is None:
        return None
    return WaveClock(width=row.wave_width, remaining=row.wave_remaining, in_order=row.wave_in_order)
