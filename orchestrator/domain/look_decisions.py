"""What one look at an execution means for its run."""

from __future__ import annotations

from datetime import datetime, timedelta

from orchestrator.domain import backoff, lost_results, offered_files
from orchestrator.domain.answers import Observation, RemoteStatus
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import (
    Change,
    ExecutionState,
    InboxKind,
    OverdueStage,
    RunError,
    Timer,
    TimerKind,
    Urgency,
)
from orchestrator.domain.look_facts import LookFacts
from orchestrator.domain.overdue import (
    OVERDUE_LOOKS_S,
    OVERDUE_TELL_AFTER_S,
    OVERDUE_TITLE,
    overdue,
    question,
)
from orchestrator.domain.statuses import ResultsState
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Gone, KeyRefused, ProviderError, Throttled

#: While the provider waits for a person, looks slow down to at most this far apart.
HUMAN_FIRST_S = 60.0
HUMAN_LONGEST_S = 45 * 60.0 * 0.9

#: `finished` without any list of results is asked again so often before it is believed to have none.
NO_LIST_TRIES = 3
#: Each such answer counts for so much in `tries`: looks that failed in between must not pass for answers.
NO_LIST = 1_000


def after_look(facts: LookFacts, seen: Observation | ProviderError, *, now: datetime, unit: float) -> Change:
    """Decide what a look means. `unit` is a number in [0, 1), the caller's randomness."""
    if isinstance(seen, ProviderError):
        return _after_failed_look(facts, seen, now=now, unit=unit)
    match seen.status:
        case RemoteStatus.FINISHED:
            return _finished(facts, seen, now=now, unit=unit)
        case _ if facts.status is S.DOWNLOADING:
            return lost_results.went_back(facts, seen, now=now, unit=unit)
        case RemoteStatus.FAILED:
            return _failed(facts, seen)
        case RemoteStatus.CANCELLED:
            return _cancelled(facts, seen)
        case RemoteStatus.HUMAN:
            return _human(facts, seen, now=now)
        case _:
            return _still(facts, seen, now=now, unit=unit)


def _finished(facts: LookFacts, seen: Observation, *, now: datetime, unit: float) -> Change:
    refreshed = facts.status is S.DOWNLOADING
    if not seen.files:
        if refreshed:
            return lost_results.withdrawn(facts, now=now, unit=unit)
        asked = facts.tries // NO_LIST
        if seen.files is None and asked < NO_LIST_TRIES:
            return _ask_for_list(facts, seen, asked=asked, now=now, unit=unit)
        return _finished_empty(facts, seen)
    names = [file.filename for file in seen.files]
    missing = offered_files.left_out(facts.files, names)
    if missing and offered_files.has_nothing_to_store(facts.files, names):
        lost = lost_results.partly_withdrawn(facts, missing=missing, now=now)
        if lost is not None:
            return lost
    data = {"files": len(seen.files)} | ({"left_out": missing} if missing else {})
    told = NewEvent(type="results_refreshed" if refreshed else "finished_at_provider", data=data)
    dies_at = (now if refreshed else _may_have_ended_at(facts, now=now)) + timedelta(seconds=facts.url_life_s)
    asked_a_person = facts.status is S.HUMAN_IN_THE_LOOP or facts.stage == OverdueStage.TOLD_A_PERSON
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=S.DOWNLOADING,
        events=(told,),
        timer=Timer(
            kind=TimerKind.DOWNLOAD,
            due_at=now,
            deadline_at=dies_at,
            tries=facts.tries if refreshed else 0,
            gone_since=(facts.gone_since or now) if missing else None,
        ),
        provider_status=seen.word,
        results_state=ResultsState.OFFERED,
        execution=ExecutionState.ENDED,
        offered=seen.files,
        url_expires_at=dies_at,
        closes="the provider went on" if asked_a_person else None,
    )


def _may_have_ended_at(facts: LookFacts, *, now: datetime) -> datetime:
    """Return the earliest moment at which the execution can have ended, by all that is known.

    The hour of its URLs may run from there, and not from the look that gives them. Only what is done first, and when a
    person is warned, follows from it: a result is lost when fresh URLs were refused in vain, never by this clock.
    """
    return min(now, max(facts.launched_at, facts.seen_alive_at or facts.launched_at))


def _ask_for_list(facts: LookFacts, seen: Observation, *, asked: int, now: datetime, unit: float) -> Change:
    """Look again at an execution that has finished without any list of results: it may still be on its way."""
    due_at = now + backoff.retry_delay(asked + 1, first_s=5, cap_s=30, unit=unit)
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=facts.status,
        timer=Timer(kind=TimerKind.POLL, due_at=due_at, tries=(asked + 1) * NO_LIST, stage=facts.stage),
        provider_status=seen.word if seen.word != facts.provider_status else None,
    )


def _finished_empty(facts: LookFacts, seen: Observation) -> Change:
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        via=(S.DOWNLOADING,),
        to=S.FINISHED,
        events=(NewEvent(type="no_results"), NewEvent(type="finished", data={"files": 0, "attempt": facts.attempt})),
        provider_status=seen.word,
        results_state=ResultsState.EMPTY,
        execution=ExecutionState.ENDED,
        closes="the provider went on",
    )


def _failed(facts: LookFacts, seen: Observation) -> Change:
    message = seen.error_message or "the provider says that the execution failed"
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=S.ERROR,
        events=(NewEvent(type="failed_at_provider", data={"attempt": facts.attempt}),),
        provider_status=seen.word,
        error=RunError(code="provider_error", message=message),
        execution=ExecutionState.ENDED,
        closes="the provider says error",
    )


def _cancelled(facts: LookFacts, seen: Observation) -> Change:
    via = (S.PROCESSING,) if facts.status is S.HUMAN_IN_THE_LOOP else ()
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        via=via,
        to=S.CANCELLED,
        events=(NewEvent(type="cancelled_at_provider", data={"attempt": facts.attempt}),),
        provider_status=seen.word,
        execution=ExecutionState.ENDED,
        closes="the provider cancelled it",
    )


def _human(facts: LookFacts, seen: Observation, *, now: datetime) -> Change:
    waited_s = (now - facts.human_since).total_seconds() if facts.human_since else 0.0
    next_s = min(max(HUMAN_FIRST_S, waited_s / 2), HUMAN_LONGEST_S)
    timer = Timer(kind=TimerKind.POLL, due_at=now + timedelta(seconds=next_s))
    if facts.status is S.HUMAN_IN_THE_LOOP:
        return _wait(facts, timer)
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=S.HUMAN_IN_THE_LOOP,
        events=(NewEvent(type="waits_for_human", data={"attempt": facts.attempt}),),
        timer=timer,
        provider_status=seen.word,
        opens=InboxKind.HUMAN,
        title="The provider waits for a person to approve this execution, in its own console",
        closes="the provider waits for a person" if facts.stage == OverdueStage.TOLD_A_PERSON else None,
    )


def _still(facts: LookFacts, seen: Observation, *, now: datetime, unit: float) -> Change:
    """Decide for a run that the provider still has, in whatever words."""
    events: list[NewEvent] = []
    resumed = facts.status is S.HUMAN_IN_THE_LOOP
    if resumed:
        events.append(NewEvent(type="human_done", data={"attempt": facts.attempt}))
    if seen.status is RemoteStatus.UNKNOWN and seen.word != facts.provider_status:
        events.append(NewEvent(type="unknown_status", data={"word": seen.word}))
    stage, news = _overdue(facts, now=now, waits=seen.status is RemoteStatus.WAITING)
    events += news
    delay = _next_look(facts, seen, now=now, unit=unit)
    if stage >= OverdueStage.SLOWER:
        delay = max(delay, timedelta(seconds=OVERDUE_LOOKS_S))
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=S.PROCESSING,
        events=tuple(events),
        timer=Timer(kind=TimerKind.POLL, due_at=now + delay, stage=stage),
        provider_status=seen.word if seen.word != facts.provider_status else None,
        opens=question(facts.stage, stage),
        title=OVERDUE_TITLE,
        closes="the provider went on" if resumed else None,
    )


def _next_look(facts: LookFacts, seen: Observation, *, now: datetime, unit: float) -> timedelta:
    age_s = (now - facts.began_at).total_seconds()
    if facts.timing is None:
        return facts.policy.delay(age_s=age_s, unit=unit)
    waits = seen.status is RemoteStatus.WAITING
    return timedelta(seconds=facts.timing.next_s(age_s, waits=waits, unit=unit))


def _overdue(facts: LookFacts, *, now: datetime, waits: bool = False) -> tuple[int, list[NewEvent]]:
    if facts.status is S.HUMAN_IN_THE_LOOP:
        return OverdueStage.NONE, []
    if waits and facts.position is not None:
        # It waits for its turn in a wave, which may take hours; that it never came is told after a day.
        age_s = (now - facts.launched_at).total_seconds()
        return overdue(facts.stage, age_s=age_s) if age_s > OVERDUE_TELL_AFTER_S else (facts.stage, [])
    # Time spent waiting for a person, or for a turn in a wave, is not the provider's delay.
    return overdue(facts.stage, age_s=(now - max(facts.began_at, facts.launched_at)).total_seconds())


def _after_failed_look(facts: LookFacts, error: ProviderError, *, now: datetime, unit: float) -> Change:
    refresh = facts.status is S.DOWNLOADING
    urgency = Urgency.REFRESH if refresh else Urgency.NORMAL
    # Only an answer that shows the execution ends the ten minutes of a 404: a failed look shows nothing.
    gone_since = facts.gone_since or (now if isinstance(error, Gone) else None)
    if (
        isinstance(error, Gone)
        and gone_since is not None
        and (now - gone_since).total_seconds() >= lost_results.LOST_AFTER_S
    ):
        return lost_results.provider_lost(facts)
    # A throttled or refused key is the lane's trouble: the look itself is due again at once when the lane is free.
    is_lanes = isinstance(error, Throttled | KeyRefused)
    asked, failed = divmod(facts.tries, NO_LIST)
    delay = backoff.retry_delay(failed + 1, first_s=2, cap_s=60, unit=unit)
    # A run that cannot be looked at is overdue like any other.
    is_running = facts.status is S.PROCESSING
    stage, news = _overdue(facts, now=now) if is_running else (facts.stage, [])
    if is_running and stage >= OverdueStage.SLOWER:
        delay = max(delay, timedelta(seconds=OVERDUE_LOOKS_S))
    timer = Timer(
        kind=TimerKind.POLL,
        due_at=now if is_lanes else now + delay,
        urgency=urgency,
        tries=facts.tries if is_lanes else asked * NO_LIST + min(failed + 1, NO_LIST - 1),
        gone_since=gone_since,
        stage=stage,
    )
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=facts.status,
        timer=timer,
        events=tuple(news),
        opens=question(facts.stage, stage),
        title=OVERDUE_TITLE,
    )


def _wait(facts: LookFacts, timer: Timer) -> Change:
    return Change(run_id=facts.run_id, was=facts.status, to=facts.status, timer=timer)
