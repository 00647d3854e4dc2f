"""What became of a run's result files means: finished, read again, ask for fresh URLs, or lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from orchestrator.domain import backoff
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, RunError, Timer, TimerKind, Urgency
from orchestrator.domain.file_failures import parted
from orchestrator.domain.statuses import ResultsState
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Gone, OrchestratorError, OutcomeUnknown, Refused, StoreFull, Throttled, Unavailable

#: Fresh URLs that were refused so often, for longer than a URL's hour from the end of the execution: it died truly.
HOPELESS_REFUSALS = 5
HOPELESS_AFTER_S = 4200.0

#: A host that cannot be reached, or never gives a file whole, is tried for so long while fresh URLs can be had.
HOPELESS_TRIES = 12
HOPELESS_TROUBLE_S = 24 * 3600.0

#: The code of a file that came without a byte.
EMPTY = "file_empty"

#: The code of a file that ended with its connection, and of which no second fetch has said the same yet.
UNCONFIRMED = "file_unconfirmed"

#: An empty file may be a host's mistake. It is believed when so many fresh URLs, over so long, gave nothing but it.
EMPTY_REFRESHES = 5
EMPTY_AFTER_S = 120.0

#: A fresh URL is asked for so long before the old one dies.
REFRESH_BEFORE_S = 300.0

#: While a result's hour may run it is tried often; what failed for longer must not take the others' requests.
YOUNG_S = 3600.0
YOUNG_CAP_S = 120.0
OLD_CAP_S = 900.0
REFUSED_CAP_S = 1800.0

#: A host's own Retry-After is obeyed up to so long.
LONGEST_RETRY_AFTER_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of one file: stored with this hash, or why not.

    Args:
        is_framed: its host said where it ends; if not, it may be cut, and a second fetch must give the same.
        failed_before: what is kept of the last try's failure, or None.
    """

    number: int
    filename: str
    sha256: str | None = None
    size_bytes: int | None = None
    store_key: str | None = None
    failure: OrchestratorError | None = None
    is_framed: bool = True
    failed_before: str | None = None

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
        gone_since: the first list in a row that left out a file which was offered before, or None.
    """

    run_id: UUID
    attempt: int
    tries: int
    refreshes: int
    offered_at: datetime
    url_expires_at: datetime
    stored_before: int = 0
    gone_since: datetime | None = None


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
    refused = any(isinstance(o.failure, Refused | Gone) for o in failures)
    if refused and now >= facts.url_expires_at:
        # It died of age, while our disk was full perhaps: that is no refusal of a fresh one.
        return _refresh(facts, stored, now=now, pause_s=_pause_s(facts, unit=unit, cap_s=60), tries=facts.tries)
    if _is_hopeless(facts, refused=refused, now=now):
        return _lost(facts, stored, failures)
    tries = facts.tries + 1
    known_s = (now - facts.offered_at).total_seconds()
    cap_s = YOUNG_CAP_S if known_s < YOUNG_S else REFUSED_CAP_S
    never_renewed = known_s >= HOPELESS_TROUBLE_S and not facts.refreshes
    if refused or never_renewed or any(_is_empty(o) for o in failures):
        return _refresh(facts, stored, now=now, pause_s=_pause_s(facts, unit=unit, cap_s=cap_s), tries=tries)
    if facts.url_expires_at - now < timedelta(seconds=REFRESH_BEFORE_S):
        return _refresh(facts, stored, now=now, pause_s=_pause_s(facts, unit=unit, cap_s=60), tries=tries)
    delay_s = backoff.retry_delay(tries, first_s=1, cap_s=min(cap_s, OLD_CAP_S), unit=unit).total_seconds()
    return _again(facts, stored, now=now, delay_s=max(delay_s, _asked_for_s(failures)), tries=tries)


def checked(facts: DownloadFacts, outcomes: Sequence[FileOutcome], *, now: datetime) -> list[FileOutcome]:
    """Return the outcomes, with what is not believed yet as failures.

    Files that came without a byte, until fresh URLs gave nothing else; files that nothing but the end of the connection
    ended, until two fetches in a row gave the same.
    """
    outcomes = [o if o.failure is not None or o.is_framed or _is_confirmed(o) else _unconfirmed(o) for o in outcomes]
    known_s = (now - facts.offered_at).total_seconds()
    if min(facts.tries, facts.refreshes) >= EMPTY_REFRESHES and known_s >= EMPTY_AFTER_S:
        return list(outcomes)
    return [_empty(o) if o.failure is None and not o.size_bytes else o for o in outcomes]


def _is_confirmed(outcome: FileOutcome) -> bool:
    code, words = parted(outcome.failed_before) if outcome.failed_before is not None else (None, "")
    return code == UNCONFIRMED and outcome.sha256 is not None and words.endswith(outcome.sha256)


def _unconfirmed(outcome: FileOutcome) -> FileOutcome:
    """Return it as a failure that keeps its hash, last in its words: what is stored of it is removed."""
    message = f"nothing but the connection's end ended it: fetched again to compare, sha256 {outcome.sha256}"
    failure = OutcomeUnknown(message, code=UNCONFIRMED)
    return FileOutcome(number=outcome.number, filename=outcome.filename, failure=failure)


def _empty(outcome: FileOutcome) -> FileOutcome:
    failure = OutcomeUnknown("the host sent no byte, and says that the file is empty", code=EMPTY)
    return FileOutcome(number=outcome.number, filename=outcome.filename, failure=failure)


def _is_empty(outcome: FileOutcome) -> bool:
    return outcome.failure is not None and outcome.failure.code == EMPTY


def _pause_s(facts: DownloadFacts, *, unit: float, cap_s: float) -> float:
    """Return how long to wait before fresh URLs are asked for: the first time not at all."""
    if not facts.refreshes:
        return 0.0
    return backoff.retry_delay(facts.refreshes, first_s=2, cap_s=cap_s, unit=unit).total_seconds()


def _asked_for_s(failures: Sequence[FileOutcome]) -> float:
    asked = (o.failure.retry_after_s or 0.0 for o in failures if isinstance(o.failure, Throttled))
    return min(max(asked, default=0.0), LONGEST_RETRY_AFTER_S)


def _finished(facts: DownloadFacts, stored: tuple[NewEvent, ...], *, files: int) -> Change:
    return Change(
        run_id=facts.run_id,
        was=S.DOWNLOADING,
        to=S.FINISHED,
        events=(*stored, NewEvent(type="finished", data={"files": files, "attempt": facts.attempt})),
        results_state=ResultsState.STORED,
        clears_error=True,
    )


def _is_hopeless(facts: DownloadFacts, *, refused: bool, now: datetime) -> bool:
    """Tell whether a result is lost: fresh URLs are refused past its hour, or its bytes did not come for a day.

    Rounds that failed count too, so that a day on a full disk of ours is held against nobody.
    """
    known_s = (now - facts.offered_at).total_seconds()
    if refused:
        return min(facts.tries, facts.refreshes) >= HOPELESS_REFUSALS and known_s >= HOPELESS_AFTER_S
    return facts.tries >= HOPELESS_TRIES and facts.refreshes >= 1 and known_s >= HOPELESS_TROUBLE_S


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


def _refresh(
    facts: DownloadFacts, stored: tuple[NewEvent, ...], *, now: datetime, pause_s: float, tries: int
) -> Change:
    """Ask the provider for fresh URLs: one urgent look."""
    timer = Timer(
        kind=TimerKind.POLL,
        due_at=now + timedelta(seconds=pause_s),
        urgency=Urgency.REFRESH,
        tries=tries,
        gone_since=facts.gone_since,
        deadline_at=facts.url_expires_at,
    )
    return Change(run_id=facts.run_id, was=S.DOWNLOADING, to=S.DOWNLOADING, events=stored, timer=timer)


def _again(facts: DownloadFacts, stored: tuple[NewEvent, ...], *, now: datetime, delay_s: float, tries: int) -> Change:
    timer = Timer(
        kind=TimerKind.DOWNLOAD,
        due_at=now + timedelta(seconds=delay_s),
        tries=tries,
        gone_since=facts.gone_since,
        deadline_at=facts.url_expires_at,
    )
    return Change(run_id=facts.run_id, was=S.DOWNLOADING, to=S.DOWNLOADING, events=stored, timer=timer)
