"""Why a run waits, and until when: in words for a person and a code for a program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain import file_failures
from orchestrator.domain.statuses import RunStatus as S


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All around a run that can make it wait. Times that are past do not.

    Args:
        due_at: when it is next looked at, launched or fetched; None when nothing is planned for it by itself.
        held_because: all launches are held, because the database may have been restored.
        in_hand: a worker holds it now.
        loses_launches: the provider answered reads, and the launches after them were lost.
        slots_used, slot_limit: of its workflow, None where nobody counted.
        free_at: when the lane has a request to spare; None: now.
        last_failure: what the last try of a result file came to, its code first (`file_failures`).
        tries: how often its files were tried in vain.
        asks_fresh_urls: the URLs are dead or dying, and the next step is a look that renews them.
        results_expire_at: when the first URL of a file dies that is not stored.
    """

    status: S
    now: datetime
    held_because: str | None = None
    due_at: datetime | None = None
    in_hand: bool = False
    of_batch: bool = False
    looked_at: datetime | None = None
    batch_paused_because: str | None = None
    connection_is_paused: bool = False
    launches_stopped: str | None = None
    breaker_until: datetime | None = None
    breaker_is_open: bool = False
    loses_launches: bool = False
    workflow_blocked_until: datetime | None = None
    workflow_blocked_because: str | None = None
    lane_blocked_until: datetime | None = None
    slots_used: int | None = None
    slot_limit: int | None = None
    free_at: datetime | None = None
    last_failure: str | None = None
    tries: int = 0
    asks_fresh_urls: bool = False
    files_stored: int = 0
    files_total: int = 0
    results_expire_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something waits. `until` is when it should move by itself, None when a person or another run moves it."""

    code: str
    message: str
    until: datetime | None = None


_STOPPED = {
    "key_refused": "the provider refuses the connection's key; test or rotate it",
    "version_unsupported": "the provider does not take the API version that is asked for; connection set --api-version",
}


def why(s: Surroundings) -> Reason | None:
    """Return why a run waits; None for one that has ended."""
    match s.status:
        case S.QUEUED:
            return _queued(s)
        case S.LAUNCHING:
            return Reason(code="lease", message="its launch is on the wire", until=s.due_at)
        case S.IN_DOUBT:
            return Reason(code="doubt", message="it is not known whether its launch arrived; a person decides")
        case S.HUMAN_IN_THE_LOOP:
            message = "a person must approve it in the provider's own console; we look again by ourselves"
            return Reason(code="human", message=message, until=s.due_at)
        case S.PROCESSING:
            return _processing(s)
        case S.DOWNLOADING:
            return _downloading(s)
        case _:
            return None


def _queued(s: Surroundings) -> Reason:
    if s.held_because is not None:
        message = f"launches are held: {s.held_because}; an operator releases them: orchestrator admin held"
        return Reason(code="held", message=message)
    if s.batch_paused_because is not None:
        return Reason(code="pause", message=f"its batch is paused: {s.batch_paused_because}")
    if s.connection_is_paused:
        return Reason(code="pause", message="its connection is paused")
    if s.launches_stopped is not None:
        return Reason(code="stopped", message=_STOPPED.get(s.launches_stopped, s.launches_stopped))
    if s.breaker_is_open and s.loses_launches:
        message = (
            "the provider answers reads, but launches are lost, and doubted; one is tried at a time, ever more rarely: "
            "when it is mended, orchestrator connection test tries at once"
        )
        return Reason(code="provider", message=message, until=s.breaker_until)
    if s.breaker_is_open:
        message = "the provider is in trouble; it is probed before anything is launched"
        return Reason(code="provider", message=message, until=s.breaker_until)
    if s.workflow_blocked_until is not None and s.workflow_blocked_until > s.now:
        message = f"the workflow's launches rest: {s.workflow_blocked_because or 'the provider asked for it'}"
        return Reason(code="slots", message=message, until=s.workflow_blocked_until)
    if s.lane_blocked_until is not None and s.lane_blocked_until > s.now:
        return Reason(code="rate", message="the provider asked for a pause", until=s.lane_blocked_until)
    if s.slots_used is not None and s.slot_limit is not None and s.slots_used >= s.slot_limit:
        message = f"all {s.slot_limit} slots of its workflow are used; it goes when one is free"
        return Reason(code="slots", message=message, until=s.due_at)
    if s.free_at is not None and s.free_at > s.now:
        return Reason(code="rate", message="the request budget is used up for the moment", until=s.free_at)
    if s.of_batch:
        return Reason(code="wave", message="it goes with one of the next waves of its batch", until=s.due_at)
    return Reason(code="lease", message="a worker takes it next", until=s.due_at or s.now)


def _processing(s: Surroundings) -> Reason:
    if s.in_hand:
        return Reason(code="lease", message="a worker is looking at it now", until=s.due_at)
    if s.lane_blocked_until is not None and s.lane_blocked_until > s.now:
        return Reason(code="rate", message="the provider asked for a pause", until=s.lane_blocked_until)
    if s.due_at is None:
        message = "the provider has it; items before it in its wave are watched first"
        return Reason(code="provider", message=message)
    if s.due_at <= s.now and s.free_at is not None and s.free_at > s.now:
        message = "the provider has it; the request budget is used up for the moment"
        return Reason(code="rate", message=message, until=s.free_at)
    return Reason(code="provider", message="the provider has it, and is asked again", until=s.due_at)


def _downloading(s: Surroundings) -> Reason:
    clock = _result_clock(s)
    if s.in_hand and not s.asks_fresh_urls:
        return Reason(code="lease", message=f"its results are being fetched now{clock}", until=s.due_at)
    code, words = file_failures.parted(s.last_failure) if s.last_failure is not None else (None, "")
    if code == "store_full":
        message = f"the artifact store is full or read-only: {words}; tried again and again, resumes by itself"
        return Reason(code="store", message=message + clock, until=s.due_at)
    if code == "unavailable":
        message = f"the artifact store is away: {words}; tried again and again, resumes by itself"
        return Reason(code="store", message=message + clock, until=s.due_at)
    return Reason(code="results", message=_next_try(s, code, words) + clock, until=s.due_at)


def _next_try(s: Surroundings, code: str | None, words: str) -> str:
    """Say what the next step is, and why the last one came to nothing."""
    if s.last_failure is None:
        return "the provider is asked for fresh URLs" if s.asks_fresh_urls else "its results are fetched next"
    tried = f", tried {s.tries} time{'s' * (s.tries != 1)}" if s.tries else ""
    at = f", next try at {s.due_at:%H:%M:%S}Z" if s.due_at is not None and s.due_at > s.now else ""
    what = f"the file's host cannot be reached ({words})" if code == "not_sent" else words
    if s.asks_fresh_urls:
        return f"the provider is asked for fresh URLs: {what}{tried}{at}"
    return f"{what}{tried}{at}" if code == "not_sent" else f"to be fetched again: {what}{tried}{at}"


def _result_clock(s: Surroundings) -> str:
    """Say how much of a run's results is stored, and how long the rest can be had."""
    parts = [f"{s.files_stored} of {s.files_total} files stored"] if s.files_total > 1 else []
    if s.results_expire_at is not None:
        left_s = (s.results_expire_at - s.now).total_seconds()
        first = "the first URL" if s.files_total - s.files_stored > 1 else "the URL"
        parts.append(f"{first} dies in {_in_words(left_s)}" if left_s > 0 else f"{first} has died")
    return "".join(f"; {part}" for part in parts)


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
