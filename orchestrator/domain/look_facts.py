"""What a look decides from: a run that was looked at, as it stood when it was claimed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.changes import OverdueStage
from orchestrator.domain.look_timing import Timing
from orchestrator.domain.offered_files import KnownFile
from orchestrator.domain.statuses import RunStatus as S


@dataclass(frozen=True, slots=True, kw_only=True)
class LookFacts:
    """A run that was looked at, as it stood when it was claimed.

    Args:
        began_at: when the execution could have begun: the launch, or its entry into the wave's window.
        launched_at: when the provider took it.
        seen_alive_at: the last look before this one, if it saw that the execution had not ended; else None.
        human_since: when it began to wait for a person, or None.
        position: its place in its wave; None for a single launch.
        url_life_s: how long the URLs of a look live.
        files: what earlier looks offered, in the order of their numbers.
        timing: what times the next look at what still runs; None: the schedule alone.
    """

    run_id: UUID
    status: S
    attempt: int
    provider_status: str | None
    began_at: datetime
    launched_at: datetime
    policy: PollPolicy
    tries: int = 0
    gone_since: datetime | None = None
    stage: int = OverdueStage.NONE
    seen_alive_at: datetime | None = None
    human_since: datetime | None = None
    position: int | None = None
    url_life_s: float = 3600.0
    files: tuple[KnownFile, ...] = ()
    timing: Timing | None = None
