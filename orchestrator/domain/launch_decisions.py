"""What the answer to a launch means: for its runs, its intent, its lane, its workflow and its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from orchestrator.domain import backoff
from orchestrator.domain.answers import Accepted, WaveAccepted
from orchestrator.domain.breaker import Breaker
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, ExecutionState, InboxKind, RunError, Timer, TimerKind
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Gone, KeyRefused, Misbehaved, NotSent, ProviderError, Refused, Throttled


class OnDoubt(StrEnum):
    """What a workflow's owner wants when it cannot be known whether a launch arrived."""

    HOLD = "hold"
    RELAUNCH = "relaunch"
    FAIL = "fail"


#: Why *we* sent nothing: the deadline passed, or the intent's own commit was in question.
TOO_LATE = "too_late"
COMMIT_IN_QUESTION = "commit_in_question"

#: It says nothing about the provider, so its breaker does not open.
OUR_OWN = frozenset({TOO_LATE, COMMIT_IN_QUESTION})


class IntentOutcome(StrEnum):
    """What came of one launch request."""

    ACCEPTED = "accepted"
    PARTLY_ACCEPTED = "partly_accepted"
    NOT_SENT = "not_sent"
    REFUSED = "refused"
    #: Not written down: the intent stays open, and its request is sent again.
    UNANSWERED = "unanswered"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchingRun:
    """A run that stands in an intent. `position` is its place in the request, 0 for a single launch."""

    run_id: UUID
    attempt: int
    position: int
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFacts:
    """An intent whose answer is known.

    Args:
        is_wave: sent as one provider batch request.
        of_batch: the runs belong to a batch, whose own timer launches them again if they fall back.
        looks_first_s: when to look for the first time, seconds.
        looks_apart_s: how far apart the first looks at the items of a wave are.
        window: positions of a wave that are looked at first.
    """

    runs: Sequence[LaunchingRun]
    is_wave: bool
    of_batch: bool
    on_doubt: OnDoubt
    looks_first_s: float
    window: int
    tries: int = 0
    looks_apart_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchDecision:
    """Everything that follows from the answer to a launch; None leaves a thing as it is."""

    outcome: IntentOutcome
    changes: tuple[Change, ...]
    breaker: Breaker | None = None
    lane_blocked_until: datetime | None = None
    lane_launches_stopped: str | None = None
    workflow_blocked_until: datetime | None = None
    workflow_blocked_because: str | None = None
    wave_cap: int | None = None
    again_at: datetime | None = None


def after_launch(
    facts: LaunchFacts,
    answer: Accepted | WaveAccepted | ProviderError,
    *,
    breaker: Breaker,
    now: datetime,
    unit: float,
) -> LaunchDecision:
    """Decide what an answer means. The table of error classes stands in `_after_error`.

    Args:
        unit: a number in [0, 1), the caller's randomness.
    """
    match answer:
        case Accepted(execution_id=execution_id):
            ids, word = {0: execution_id}, answer.word
        case WaveAccepted(execution_ids=execution_ids):
            ids, word = dict(execution_ids), "initial"
        case _:
            return _after_error(facts, answer, breaker=breaker, now=now, unit=unit)
    named = sorted((run for run in facts.runs if run.position in ids), key=lambda run: run.position)
    missing = [run for run in facts.runs if run.position not in ids]
    doubted = tuple(_in_doubt(facts, run, "the provider's answer does not name this item", now=now) for run in missing)
    if not named:
        # An answer that names none of them tells nothing about them, however good its status.
        return LaunchDecision(
            outcome=IntentOutcome.IN_DOUBT,
            changes=doubted,
            breaker=breaker.lost(now=now),
            wave_cap=_halved(facts),
        )
    # The first look falls on the first that were accepted: were all of the window missing, nobody would ever look.
    accepted = [_accepted(facts, run, (ids[run.position], word), rank=rank, now=now) for rank, run in enumerate(named)]
    if missing:
        # An answer that leaves items out may do so again: the next wave waits for a probe, and has less to doubt.
        return LaunchDecision(
            outcome=IntentOutcome.PARTLY_ACCEPTED,
            changes=(*accepted, *doubted),
            breaker=breaker.trip(now=now),
            wave_cap=_halved(facts),
        )
    return LaunchDecision(outcome=IntentOutcome.ACCEPTED, changes=tuple(accepted), breaker=breaker.launched_well())


def _after_error(
    facts: LaunchFacts, error: ProviderError, *, breaker: Breaker, now: datetime, unit: float
) -> LaunchDecision:
    match error:
        case NotSent(code=code) if code in OUR_OWN:
            return _back(facts, error, now=now, unit=unit)
        case NotSent():
            return _back(facts, error, now=now, unit=unit, breaker=breaker.trip(now=now))
        case Throttled(retry_after_s=None):
            pause = backoff.retry_delay(facts.tries + 1, first_s=10, cap_s=120, unit=unit)
            decision = _back(facts, error, now=now, unit=unit, breaker=breaker.launched_well())
            return replace(decision, workflow_blocked_until=now + pause, workflow_blocked_because="no free slot")
        case Throttled(retry_after_s=wait_s):
            decision = _back(facts, error, now=now, unit=unit, breaker=breaker.launched_well())
            return replace(decision, lane_blocked_until=now + timedelta(seconds=wait_s or 0))
        case KeyRefused():
            return replace(_back(facts, error, now=now, unit=unit), lane_launches_stopped=error.code)
        case Gone():
            decision = _back(facts, error, now=now, unit=unit, breaker=breaker.launched_well())
            pause = timedelta(minutes=10)
            return replace(decision, workflow_blocked_until=now + pause, workflow_blocked_because="workflow not found")
        case Refused():
            return _refused(facts, error, breaker=breaker, now=now, unit=unit)
        case Misbehaved():
            # A 4xx that is not in the provider's own shape: a proxy's page. It acted on nothing, and is never final.
            return _back(facts, error, now=now, unit=unit, breaker=breaker.trip(now=now))
        case _:
            return unknown_outcome(facts, error, breaker=breaker, now=now)


def unknown_outcome(
    facts: LaunchFacts, error: ProviderError | None, *, breaker: Breaker, now: datetime, because: str | None = None
) -> LaunchDecision:
    """Decide for a launch of which nobody knows whether it arrived. Without an error its worker died, or `because`."""
    reason = error.message if error else because or "the worker died while the request may have been on the wire"
    return LaunchDecision(
        outcome=IntentOutcome.IN_DOUBT,
        changes=tuple(_in_doubt(facts, run, reason, now=now) for run in facts.runs),
        # What no answer tells says nothing about the provider, nor about how large a wave it takes.
        breaker=breaker.lost(now=now) if error is not None else None,
        wave_cap=_halved(facts) if error is not None else None,
        # A 503 that says when to come back is believed, though not what came of the launch.
        lane_blocked_until=now + timedelta(seconds=error.retry_after_s) if error and error.retry_after_s else None,
    )


def _halved(facts: LaunchFacts) -> int | None:
    """Return how large the batch's next waves may be: a lost answer shall have less to doubt.

    One item is not lost for its size, so it says nothing about it.
    """
    return len(facts.runs) // 2 if facts.is_wave and len(facts.runs) > 1 else None


def _accepted(facts: LaunchFacts, run: LaunchingRun, told: tuple[str, str], *, rank: int, now: datetime) -> Change:
    execution_id, word = told
    # Beyond a wave's window a timer sleeps without a due time, until the planner reaches its position.
    is_first = rank < facts.window or not facts.is_wave
    first_s = facts.looks_first_s + rank * facts.looks_apart_s
    return Change(
        run_id=run.run_id,
        was=S.LAUNCHING,
        to=S.PROCESSING,
        events=(NewEvent(type="launched", data={"attempt": run.attempt, "execution_id": execution_id}),),
        timer=Timer(kind=TimerKind.POLL, due_at=now + timedelta(seconds=first_s) if is_first else None),
        provider_status=word,
        execution_id=execution_id,
        execution=ExecutionState.OPEN,
        was_launched=True,
    )


def _back(
    facts: LaunchFacts, error: ProviderError, *, now: datetime, unit: float, breaker: Breaker | None = None
) -> LaunchDecision:
    """Put the runs back: nothing was started. A cancel that came meanwhile is applied now."""
    pause = backoff.retry_delay(facts.tries + 1, first_s=2, cap_s=60, unit=unit)
    timer = None if facts.of_batch else Timer(kind=TimerKind.LAUNCH, due_at=now + pause, tries=facts.tries + 1)
    changes = []
    for run in facts.runs:
        # The history holds our own words only: what a provider says may hold personal data.
        told = NewEvent(type="not_sent", data={"attempt": run.attempt, "code": error.code})
        if run.cancel_requested:
            changes.append(
                Change(
                    run_id=run.run_id,
                    was=S.LAUNCHING,
                    via=(S.QUEUED,),
                    to=S.CANCELLED,
                    events=(told, NewEvent(type="cancelled", data={"attempt": run.attempt})),
                    execution=ExecutionState.NOT_SENT,
                )
            )
        else:
            changes.append(
                Change(
                    run_id=run.run_id,
                    was=S.LAUNCHING,
                    to=S.QUEUED,
                    events=(told,),
                    timer=timer,
                    execution=ExecutionState.NOT_SENT,
                )
            )
    return LaunchDecision(outcome=IntentOutcome.NOT_SENT, changes=tuple(changes), breaker=breaker)


def _refused(facts: LaunchFacts, error: Refused, *, breaker: Breaker, now: datetime, unit: float) -> LaunchDecision:
    """End a refused launch. A refused wave is halved instead: one bad item must not fail its neighbours."""
    if len(facts.runs) > 1:
        decision = _back(facts, error, now=now, unit=unit, breaker=breaker.launched_well())
        return replace(decision, outcome=IntentOutcome.REFUSED, wave_cap=len(facts.runs) // 2)
    (run,) = facts.runs
    change = Change(
        run_id=run.run_id,
        was=S.LAUNCHING,
        to=S.ERROR,
        events=(NewEvent(type="refused", data={"attempt": run.attempt, "http_status": error.http_status}),),
        error=RunError(code="launch_refused", message=error.message),
        execution=ExecutionState.REFUSED,
    )
    return LaunchDecision(outcome=IntentOutcome.REFUSED, changes=(change,), breaker=breaker.launched_well())


def _in_doubt(facts: LaunchFacts, run: LaunchingRun, reason: str, *, now: datetime) -> Change:
    doubted = NewEvent(type="in_doubt", data={"attempt": run.attempt, "reason": reason})
    # Whoever asked to cancel must not get a second launch: the policy's place is taken by a person.
    is_cancelled_relaunch = run.cancel_requested and facts.on_doubt is OnDoubt.RELAUNCH
    match OnDoubt.HOLD if is_cancelled_relaunch else facts.on_doubt:
        case OnDoubt.HOLD:
            return Change(
                run_id=run.run_id,
                was=S.LAUNCHING,
                to=S.IN_DOUBT,
                events=(doubted,),
                execution=ExecutionState.IN_DOUBT,
                # A wave's doubts are one question, put by the storage of the wave.
                opens=None if facts.is_wave else InboxKind.DOUBT,
                title=f"It is not known whether this launch arrived: {reason}",
            )
        case OnDoubt.FAIL:
            return Change(
                run_id=run.run_id,
                was=S.LAUNCHING,
                via=(S.IN_DOUBT,),
                to=S.ERROR,
                events=(doubted, NewEvent(type="failed_by_policy", actor="policy:on_doubt=fail")),
                error=RunError(code="launch_unknown", message=f"It is not known whether the launch arrived: {reason}"),
                execution=ExecutionState.LEFT,
            )
        case OnDoubt.RELAUNCH:
            timer = None if facts.of_batch else Timer(kind=TimerKind.LAUNCH, due_at=now)
            return Change(
                run_id=run.run_id,
                was=S.LAUNCHING,
                via=(S.IN_DOUBT,),
                to=S.QUEUED,
                events=(doubted, NewEvent(type="relaunched", actor="policy:on_doubt=relaunch")),
                timer=timer,
                attempt=run.attempt + 1,
                execution=ExecutionState.LEFT,
            )
