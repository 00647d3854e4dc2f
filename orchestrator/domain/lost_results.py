"""Results that were offered and cannot be had, executions that are known no more: bounded asking, then the truth."""

from __future__ import annotations

from datetime import datetime

from orchestrator.domain import backoff
from orchestrator.domain.answers import Observation
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, ExecutionState, RunError, Timer, TimerKind, Urgency
from orchestrator.domain.look_facts import LookFacts
from orchestrator.domain.statuses import ResultsState
from orchestrator.domain.statuses import RunStatus as S

#: A known execution that the provider does not know any more, or whose results it withdrew, has so long to come back.
LOST_AFTER_S = 600.0

#: A word that goes back on `finished` is given so long to come round: longer than an execution may take.
WENT_BACK_LOST_AFTER_S = 3600.0


def withdrawn(facts: LookFacts, *, now: datetime, unit: float) -> Change:
    """Decide for files that were offered and are offered no more: given time to come back, then lost, never "none"."""
    gone_since = facts.gone_since or now
    if (now - gone_since).total_seconds() >= LOST_AFTER_S:
        return _result_lost(facts, "the provider offered results, and has offered none for 10 minutes")
    timer = _ask_again(facts, gone_since=gone_since, now=now, unit=unit)
    return Change(run_id=facts.run_id, was=facts.status, to=facts.status, timer=timer)


def partly_withdrawn(facts: LookFacts, *, missing: int, now: datetime) -> Change | None:
    """Decide for a list that has nothing new to store and leaves out files that were offered before.

    Returns None while they may come back: until then their old URLs are tried on.
    """
    if facts.gone_since is None or (now - facts.gone_since).total_seconds() < LOST_AFTER_S:
        return None
    return _result_lost(facts, f"the provider offered {missing} more file(s), and has not offered them for 10 minutes")


def went_back(facts: LookFacts, seen: Observation, *, now: datetime, unit: float) -> Change:
    """Decide for another word after `finished`: the end stays the end, but its results may never be had."""
    gone_since = facts.gone_since or now
    if (now - gone_since).total_seconds() >= WENT_BACK_LOST_AFTER_S:
        return _result_lost(facts, f"the provider said finished, then for an hour something else ({seen.status})")
    # Told when it begins, not with each look.
    told = NewEvent(type="status_went_back", data={"attempt": facts.attempt, "seen": str(seen.status)})
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=facts.status,
        events=() if facts.gone_since else (told,),
        timer=_ask_again(facts, gone_since=gone_since, now=now, unit=unit),
    )


def provider_lost(facts: LookFacts) -> Change:
    """End a run whose execution the provider does not know any more."""
    message = "the provider has not known this execution for 10 minutes (404)"
    lost = NewEvent(type="provider_lost", data={"attempt": facts.attempt})
    to = S.RESULT_LOST if facts.status is S.DOWNLOADING else S.ERROR
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=to,
        events=(lost,),
        results_state=ResultsState.LOST if to is S.RESULT_LOST else None,
        error=RunError(code="provider_lost", message=message),
        execution=ExecutionState.ENDED,
        closes="the provider lost it",
    )


def _ask_again(facts: LookFacts, *, gone_since: datetime, now: datetime, unit: float) -> Timer:
    due_at = now + backoff.retry_delay(facts.tries + 1, first_s=5, cap_s=60, unit=unit)
    return Timer(
        kind=TimerKind.POLL, due_at=due_at, urgency=Urgency.REFRESH, tries=facts.tries + 1, gone_since=gone_since
    )


def _result_lost(facts: LookFacts, reason: str) -> Change:
    return Change(
        run_id=facts.run_id,
        was=facts.status,
        to=S.RESULT_LOST,
        events=(NewEvent(type="result_lost", data={"reason": reason}),),
        results_state=ResultsState.LOST,
        error=RunError(code="result_lost", message=reason),
    )
