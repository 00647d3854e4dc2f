"""What operators watch, as it was read: facts without a judgement. `alarms.py` judges them, `/metrics` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestrator.domain.breaker import BreakerState

#: A result that is not stored, and whose URL dies within so long, is at risk.
AT_RISK_S = 20 * 60.0

#: Why nothing is launched on a lane, beside its own word for a stop (`key_refused`).
HOLDS = ("key_refused", "breaker_open", "breaker_half_open", "asked_to_wait", "workflow_rests")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSight:
    """A lane: its budget, and what holds its launches.

    Args:
        names: its connections' names, for people.
        used: requests that count against the last 60 s, those on the wire among them.
        loses_launches: it answers reads, and the launches after them were lost.
        resting_workflows: how many of its workflows launch nothing for a while.
        told_limit: the provider's own limit, where it tells a lower one.
    """

    id: UUID
    names: str
    limit: int
    used: int
    breaker: BreakerState = BreakerState.CLOSED
    trips: int = 0
    loses_launches: bool = False
    probe_at: datetime | None = None
    blocked_until: datetime | None = None
    launches_stopped: str | None = None
    stopped_at: datetime | None = None
    resting_workflows: int = 0
    told_limit: int | None = None

    def holds(self, now: datetime) -> frozenset[str]:
        """Return why launches are held, in the words of `HOLDS` or the lane's own; empty when they go."""
        found = {self.launches_stopped} if self.launches_stopped is not None else set()
        if self.breaker is not BreakerState.CLOSED:
            found.add(f"breaker_{self.breaker}")
        if self.blocked_until is not None and self.blocked_until > now:
            found.add("asked_to_wait")
        if self.resting_workflows:
            found.add("workflow_rests")
        return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingSight:
    """A connection whose version of the provider's API will end, as the provider said."""

    name: str
    version: str | None
    sunset_at: datetime | None
    replacement: str | None
    told_at: datetime
    workspace_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsSight:
    """Runs whose results are being stored.

    Args:
        waiting: how many, by what the last try came to: an error's code, or `not_tried`.
        first_loss_at: when the first URL of a file that is not stored dies; past: it has died, a fresh one is asked.
        at_risk: runs of which a URL dies within `AT_RISK_S`; `run_at_risk` is the first of them.
        because: what the last try of that one came to, in words.
        store_says: what the artifact store said when it took nothing.
    """

    waiting: Mapping[str, int]
    first_loss_at: datetime | None = None
    at_risk: int = 0
    run_at_risk: UUID | None = None
    because: str | None = None
    store_says: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtsSight:
    """Launches of which nobody knows whether they arrived: single ones, waves, and all runs in them."""

    singles: int = 0
    waves: int = 0
    runs: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSight:
    """Workers by what is known of them.

    Args:
        silent: they should speak, and do not; nobody has declared them dead.
        dead: declared dead within the last hour.
        dead_lately: those declared within the last ten minutes.
        unburied: dead, and their leases are not given back yet.
        recovery_s: of the dead of the last hour, the longest time from the last heartbeat to the leases' return.
        swept_ago_s: since any worker swept; None: none has ever.
    """

    running: int = 0
    draining: int = 0
    silent: int = 0
    dead: int = 0
    unburied: int = 0
    dead_lately: tuple[UUID, ...] = ()
    recovery_s: float | None = None
    swept_ago_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSight:
    """Open questions of one kind."""

    kind: str
    items: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsSight:
    """A workflow with something to launch: its slots, and when it last launched anything that still holds one."""

    workflow_id: str
    connection: str
    used: int
    limit: int
    launched_at: datetime | None
    workspace_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldSight:
    """All launches are held: the database and its mark outside do not agree."""

    code: str
    because: str
    held_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What the database tells of all workspaces, at one moment of its clock."""

    now: datetime
    due_since: Mapping[str, datetime | None]
    lanes: tuple[LaneSight, ...] = ()
    results: ResultsSight
    doubts: DoubtsSight
    workers: WorkersSight
    inbox: tuple[InboxSight, ...] = ()
    slots: tuple[SlotsSight, ...] = ()
    launch_holds: tuple[HoldSight, ...] = ()
    endings: tuple[EndingSight, ...] = ()
    #: Since the history of any workspace was last signed, the longest of all; None: there is no workspace.
    signed_ago_s: float | None = None
    #: Months of the history that should go, and could not be proven when they were last tried.
    unproven_months: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSight:
    """The volume below a folder."""

    folder: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSights:
    """What a worker process sees of its own place.

    Args:
        clock_ahead_s: how far this clock is before the database's, as far as the way there lets it be known.
        broker_away_s, database_away_s: for how long; None: not at all.
    """

    clock_ahead_s: float | None = None
    disks: tuple[DiskSight, ...] = ()
    broker_away_s: float | None = None
    database_away_s: float | None = None
    database_says: str | None = None
    disks_are_silent: bool = False
