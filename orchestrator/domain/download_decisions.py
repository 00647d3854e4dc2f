"""What became of a run's result files means: finished, read again, ask for fresh URLs, or lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from orchestrator.domain import backoff
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, RunError, Timer, TimerKind, Urgency
from orchestrator.domain.statuses import ResultsState
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Gone, NotSent, OrchestratorError, Refused, StoreFull, Unavailable

#: A file whose fresh URL was refused so often, over so long a time, cannot be had.
HOPELESS_REFUSALS = 5
HOPELESS_AFTER_S = 120.0

#: A file that can be reached but not read whole is tried until its URL and a fresh one have died, at least so often.
HOPELESS_TRIES = 12

#: A fresh URL is asked for so long before the old one dies.
REFRESH_BEFORE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of one file: stored with this hash, or why not."""

    number: int
    filename: str
    sha256: str | None = None
    size_bytes: int | None = None
    store_key: str | None = None
    failure: OrchestratorError | None = None

    def __post_init__(self) -> None:
        """Refuse an outcome that is neither: a file that is not stored and did not fail would count as had."""
        assert (self.sha256 is None) != (self.failure is None), "a file was stored, or it failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadFacts:
    """A run whose files were fetched, as it stood when it was claimed.

    Args:
        offered_at: when the first look saw the results.
        url_expires_at: when the present URLs die, as far as is known.
        stored_before: files of this attempt that were stored earlier.
    """

    run_id: UUID
    attempt: int
    tries: int
    refreshes: int
    offered_at: datetime
    url_expires_at: datetime
    stored_before: int = 0


def after_download(facts: DownloadFacts, outcomes: Sequence[FileOutcome], *, now: datetime, unit: float) -> Change:
    """Decide what a round of downloads means for the run. `unit` is a number in [0, 1)."""
    stored = tuple(
        NewEvent(type="result_stored", data={"n": o.number, "sha256": o.sha256, "size_bytes": o.size_bytes})
        for o in outcomes
        if o.sha256 is not None
    )
    failures = [o for o in outcomes if o.failure is not None]
    if not failures:
        return _finished(facts, stored, files=facts.stored_before + len(stored))
    if any(isinstance(o.failure, StoreFull | Unavailable) for o in failures):
        # Nothing is wrong with the result, our store is full or away: wait, as long as it takes.
        return _again(facts, stored, now=now, delay_s=15.0, tries=facts.tries)
    if _is_hopeless(facts, failures, now=now):
        return _lost(facts, stored, failures)
    refused = any(isinstance(o.failure, Refused | Gone) for o in failures)
    expiring = facts.url_expires_at - now < timedelta(seconds=REFRESH_BEFORE_S)
    if refused or expiring:
        return _refresh(facts, stored, now=now, unit=unit)
    delay = backoff.retry_delay(facts.tries + 1, first_s=1, cap_s=60, unit=unit).total_seconds()
    return _again(facts, stored, now=now, delay_s=delay, tries=facts.tries + 1)


def _finished(facts: DownloadFacts, stored: tuple[NewEvent, ...], *, files: int) -> Change:
    return Change(
        run_id=facts.run_id,
        was=S.DOWNLOADING,
        to=S.FINISHED,
        events=(*stored, NewEvent(type="finished", data={"files": files, "attempt": facts.attempt})),
        results_state=ResultsState.STORED,
        clears_error=True,
    )


def _is_hopeless(facts: DownloadFacts, failures: Sequence[FileOutcome], *, now: datetime) -> bool:
    """Tell whether a result is lost: fresh URLs are refused, or its bytes never came whole though its hour is over."""
    known_s = (now - facts.offered_at).total_seconds()
    if any(isinstance(o.failure, Refused | Gone) for o in failures):
        if now >= facts.url_expires_at:
            return False  # it died of age, while our disk was full perhaps: that is no refusal of a fresh one
        return facts.refreshes >= HOPELESS_REFUSALS and known_s >= HOPELESS_AFTER_S
    if all(isinstance(o.failure, NotSent) for o in failures):
        # The host cannot be reached. That says nothing about the file: give it a day.
        return known_s >= 24 * 3600
    return facts.tries >= HOPELESS_TRIES and facts.refreshes >= 1 and known_s >= 3600


def _lost(facts: DownloadFacts, stored: tuple[NewEvent, ...], failures: Sequence[FileOutcome]) -> Change:
    first = failures[0]
    reason = first.failure.message if first.failure else "unknown"
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return Change(
        run_id=facts.run_id,
        was=S.DOWNLOADING,
        to=S.RESULT_LOST,
        events=(*stored, NewEvent(type="result_lost", data={"n": [o.number for o in failures], "reason": reason})),
        results_state=ResultsState.LOST,
        error=RunError(code="result_lost", message=f"file {first.number}{more} could not be had: {reason}"),
    )


def _refresh(facts: DownloadFacts, stored: tuple[NewEvent, ...], *, now: datetime, unit: float) -> Change:
    """Ask the provider for fresh URLs: one urgent look."""
    pause = backoff.retry_delay(facts.refreshes, first_s=2, cap_s=60, unit=unit) if facts.refreshes else timedelta(0)
    timer = Timer(
        kind=TimerKind.POLL,
        due_at=now + pause,
        urgency=Urgency.REFRESH,
        tries=facts.tries + 1,
        deadline_at=facts.url_expires_at,
    )
    return Change(run_id=facts.run_id, was=S.DOWNLOADING, to=S.DOWNLOADING, events=stored, timer=timer)


def _again(facts: DownloadFacts, stored: tuple[NewEvent, ...], *, now: datetime, delay_s: float, tries: int) -> Change:
    timer = Timer(
        kind=TimerKind.DOWNLOAD,
        due_at=now + timedelta(seconds=delay_s),
        tries=tries,
        deadline_at=facts.url_expires_at,
    )
    return Change(run_id=facts.run_id, was=S.DOWNLOADING, to=S.DOWNLOADING, events=stored, timer=timer)
