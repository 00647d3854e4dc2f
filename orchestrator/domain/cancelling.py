"""What comes of a cancel at a provider, for the run and for whoever asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, Timer, TimerKind, Urgency
from orchestrator.domain.operator_decisions import Act
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Conflict, NotCancellable, OrchestratorError, ProviderError, Refused, Unavailable

#: The provider has the run, and can be asked to cancel it.
AT_PROVIDER = frozenset({S.PROCESSING, S.HUMAN_IN_THE_LOOP})

_ABANDON = "abandon it to stop watching; it may still act at the provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelFacts:
    """A run that is being cancelled at its provider, and what its next look knew."""

    run_id: UUID
    status: S
    attempt: int
    tries: int
    stage: int
    gone_since: datetime | None


def asked(facts: CancelFacts, act: Act) -> Change:
    """Write down that the provider is asked, before it is."""
    event = act.event("cancel_requested", attempt=facts.attempt, at="provider")
    return Change(run_id=facts.run_id, was=facts.status, to=facts.status, keeps_timer=True, events=(event,))


def told(facts: CancelFacts, no: ProviderError) -> NewEvent:
    """Return what the history says of a cancel that the provider did not confirm."""
    if isinstance(no, NotCancellable):
        return NewEvent(type="not_cancellable", data={"attempt": facts.attempt})
    return NewEvent(type="cancel_failed", data={"attempt": facts.attempt, "code": no.code})


def look_again(facts: CancelFacts, no: ProviderError, *, now: datetime) -> Change:
    """Keep watching a run whose cancel came to nothing that is known: it is looked at soon."""
    timer = Timer(
        kind=TimerKind.POLL,
        due_at=now,
        urgency=Urgency.ASKED,
        tries=facts.tries,
        stage=facts.stage,
        gone_since=facts.gone_since,
    )
    return Change(run_id=facts.run_id, was=facts.status, to=facts.status, timer=timer, events=(told(facts, no),))


def after_second_look(change: Change, facts: CancelFacts, no: NotCancellable) -> Change:
    """Add to what the second look means why there was one."""
    return replace(change, events=(told(facts, no), *change.events))


def refusal(no: ProviderError, *, status: S, provider_status: str | None) -> OrchestratorError:
    """Return what whoever asked is told where nothing was cancelled.

    Args:
        status, provider_status: where the run stands now.
    """
    if isinstance(no, NotCancellable):
        if status in AT_PROVIDER:
            return Conflict(
                f"too late, still running: the provider cancels only what waits, and this is {provider_status}",
                code="too_late",
                hint=_ABANDON,
            )
        return Conflict(f"too late: it had ended at the provider, and the run is {status}", code="too_late")
    if isinstance(no, Refused):
        return Conflict(f"the provider did not cancel it: {no.message}", code=no.code, hint=_ABANDON)
    return Unavailable(
        f"whether the provider cancelled it is not known: {no.message}",
        code="cancel_unanswered",
        hint="it is still watched; cancel it again, which is harmless",
        retry_after_s=no.retry_after_s or 5.0,
    )
