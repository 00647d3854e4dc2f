"""Looks as they are claimed and as they come back: what the engine is handed, and what it hands over to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

# A claim moves due_at to the lease's end, so a leased row is not scanned again, and is due by itself if its worker
# dies. What to claim is the CTE `due` before it.
CLAIMED = """
    claimed AS (
        UPDATE timers t SET due_at = orch_now() + make_interval(secs => :lease_s), fence = nextval('fences'),
            worker_id = :worker, looks = looks + 1, looked_at = orch_now()
        FROM due WHERE t.subject_id = due.subject_id
        RETURNING t.subject_id, t.lane_id, t.fence, t.wave_id, t.position, t.tries, t.stage, t.urgency, t.entered_at,
            t.gone_since, t.looks,
            (SELECT o.looked_at FROM timers o WHERE o.subject_id = t.subject_id) AS looked_before,
            (SELECT extract(epoch FROM orch_now() - o.due_at)::float8 FROM timers o WHERE o.subject_id = t.subject_id)
                AS late_s)
    SELECT c.*, r.status, r.status_at, r.attempt, r.provider_status, r.execution_id, r.launched_at, r.batch_id,
        (SELECT e.began_at FROM executions e WHERE e.run_id = r.id AND e.attempt = r.attempt) AS sent_at,
        r.workflow_id, w.remote_id AS remote_workflow_id, w.poll_initial_s, w.poll_factor, w.poll_cap_s, w.poll_jitter,
        w.poll_polite, w.durations_count, w.durations_log_mean, w.durations_log_var,
        v.width AS wave_width, v.size - v.ended - v.human AS wave_remaining, v.in_order AS wave_in_order,
        n.id AS connection_id, n.provider, n.base_url, n.api_key, n.api_version
    FROM claimed c JOIN runs r ON r.id = c.subject_id JOIN workflows w ON w.id = r.workflow_id
    JOIN connections n ON n.id = r.connection_id LEFT JOIN waves v ON v.id = c.wave_id"""


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
    #: Before its launch was sent; None where it was not sent by us.
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list to ask a provider for.

    Args:
        page_items: executions of one page.
        requests: how many requests were granted.
        limit: the lane's requests in a minute.
    """

    connection_id: UUID
    page_items: int
    requests: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookBatch:
    """What one claim of a lane gave: its claims (perhaps none), and the grant that pays for them.

    Args:
        listing: they are observed by a list; None: each by a look of its own.
    """

    lane_id: UUID
    grant_id: UUID
    now: datetime
    claims: tuple[LookClaim, ...]
    listing: Listing | None = None


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
class ListNews:
    """What became of a list.

    Args:
        due_at: when the next one is worth asking for.
        off_until: it could not be had, and is not asked for until then.
        unseen: what no page has shown, and is due again at `unseen_due_at`: fences by run.
    """

    connection_id: UUID
    due_at: datetime
    off_until: datetime | None
    unseen: Mapping[UUID, int]
    unseen_due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneNews:
    """What answers told about a lane as a whole, and about the list that they were. `turned_away`: answers 429."""

    blocked_until: datetime | None = None
    launches_stopped: str | None = None
    rate: RateSaid | None = None
    listed: ListNews | None = None
    turned_away: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRecord:
    """What is to be written of one turn of a lane.

    Args:
        answered_ago_s: how long ago each request that took a token was answered.
    """

    lane_id: UUID
    grant_id: UUID
    results: Sequence[LookResult]
    answered_ago_s: Sequence[float]
    news: LaneNews = field(default_factory=LaneNews)


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
        sent_at=row.sent_at,
    )


def _wave_clock(row: Row[Any]) -> WaveClock | None:
    if row.wave_width is None:
        return None
    return WaveClock(width=row.wave_width, remaining=row.wave_remaining, in_order=row.wave_in_order)
