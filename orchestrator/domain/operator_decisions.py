"""What a person may do to a run, and what that means. Every act has an actor and a reason; each may be refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change, ExecutionState, InboxKind, RunError, Timer, TimerKind, Urgency
from orchestrator.domain.statuses import ResultsState
from orchestrator.domain.statuses import RunStatus as S
from orchestrator.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run as it stands, locked."""

    run_id: UUID
    status: S
    attempt: int
    of_batch: bool
    execution_id: str | None
    is_erased: bool = False
    is_observed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who (`token:<name>`, `policy:<name>`), why, in which bulk operation, and what of it they were shown before."""

    actor: str
    reason: str
    operation: str | None = None
    seen: dict[str, object] = field(default_factory=dict)

    def event(self, type: str, **data: object) -> NewEvent:
        """Return the act as an event of the run's stream."""
        told = {k: v for k, v in {"operation": self.operation, **data, **self.seen}.items() if v is not None}
        return NewEvent(type=type, actor=self.actor, data=told | {"reason": self.reason})


class Resolution(StrEnum):
    """How a person settles a doubt."""

    ADOPT = "adopt"
    NOT_STARTED = "not_started"
    RELAUNCH = "relaunch"
    ABANDON = "abandon"


def cancel(run: RunFacts, act: Act, *, why_late: str = "the provider has no cancel") -> Change | None:
    """Cancel what was not sent. A launch on the wire is marked, to be cancelled if it falls back.

    Returns None when the run is cancelled already.
    """
    match run.status:
        case S.CANCELLED:
            return None
        case S.QUEUED:
            return Change(
                run_id=run.run_id,
                was=S.QUEUED,
                to=S.CANCELLED,
                events=(act.event("cancelled", attempt=run.attempt),),
            )
        case S.LAUNCHING:
            return Change(
                run_id=run.run_id,
                was=S.LAUNCHING,
                to=S.LAUNCHING,
                keeps_timer=True,
                asks_cancel=True,
                events=(act.event("cancel_requested", attempt=run.attempt),),
            )
        case S.PROCESSING | S.HUMAN_IN_THE_LOOP | S.DOWNLOADING | S.IN_DOUBT:
            raise Conflict(
                f"too late, still running: the run is {run.status} and {why_late}",
                code="too_late",
                hint="abandon it to stop watching; it may still act at the provider",
            )
        case _:
            raise Conflict(f"the run has ended already: {run.status}", code="run_ended")


def abandon(run: RunFacts, act: Act) -> Change:
    """Stop watching. The execution may still act at the provider, and the run says so."""
    if run.status not in {S.IN_DOUBT, S.PROCESSING, S.HUMAN_IN_THE_LOOP, S.DOWNLOADING}:
        raise Conflict(
            f"only what the provider has, or may have, can be abandoned; the run is {run.status}",
            code="not_abandonable",
            hint="cancel it instead" if run.status is S.QUEUED else None,
        )
    return Change(
        run_id=run.run_id,
        was=run.status,
        to=S.ABANDONED,
        events=(act.event("abandoned", attempt=run.attempt, may_still_act=run.status is not S.DOWNLOADING),),
        error=RunError(code="abandoned", message=act.reason),
        # What is being downloaded has ended at the provider, and stays so.
        execution=ExecutionState.LEFT if run.status is not S.DOWNLOADING else None,
        closes="abandoned",
    )


def retry(run: RunFacts, act: Act, *, relaunch: bool, now: datetime) -> Change:
    """Queue the run again as attempt n+1, with the same input.

    Args:
        relaunch: also where the last attempt may have acted: after `result_lost` and `abandoned`.
    """
    safe = {S.ERROR, S.CANCELLED}
    risky = {S.RESULT_LOST, S.ABANDONED}
    if run.status in risky and not relaunch:
        raise Conflict(
            f"the run is {run.status}: its execution acted, or may have acted, at the provider",
            code="needs_relaunch",
            hint="say --relaunch if a second execution is wanted",
        )
    if run.status not in safe | risky:
        raise Conflict(f"only a run that ended badly can be retried; it is {run.status}", code="not_retryable")
    # The attempt of a run that was cancelled before its launch is still unused; the provider's cancel used it up.
    is_unused = run.status is S.CANCELLED and run.execution_id is None
    attempt = run.attempt if is_unused else run.attempt + 1
    return Change(
        run_id=run.run_id,
        was=run.status,
        to=S.QUEUED,
        events=(act.event("reopened", was=str(run.status), attempt=attempt),),
        timer=_launch_timer(run, now=now),
        attempt=attempt,
        clears_error=True,
        results_state=ResultsState.NONE,
    )


def refetch(run: RunFacts, act: Act, *, now: datetime) -> Change:
    """Ask for the results once more: of a lost result, or of an abandoned run (watch it again)."""
    if run.execution_id is None or run.status not in {S.RESULT_LOST, S.ABANDONED}:
        raise Conflict(f"there is nothing to fetch again: the run is {run.status}", code="not_refetchable")
    to = S.DOWNLOADING if run.status is S.RESULT_LOST else S.PROCESSING
    return Change(
        run_id=run.run_id,
        was=run.status,
        to=to,
        events=(act.event("reopened", was=str(run.status), attempt=run.attempt),),
        timer=Timer(kind=TimerKind.POLL, due_at=now, urgency=Urgency.REFRESH),
        clears_error=True,
        results_state=ResultsState.OFFERED if to is S.DOWNLOADING else ResultsState.NONE,
        # What was lost had ended at the provider; what was abandoned may still run there.
        execution=ExecutionState.OPEN if to is S.PROCESSING else None,
    )


def resolve(run: RunFacts, act: Act, how: Resolution, *, execution_id: str | None, now: datetime) -> Change:
    """Settle a doubt as a person decides.

    Args:
        execution_id: the provider's id of the execution, for `ADOPT`.
    """
    if run.status is not S.IN_DOUBT:
        raise Conflict(f"the run is not in doubt any more: it is {run.status}", code="not_in_doubt")
    match how:
        case Resolution.ADOPT:
            assert execution_id is not None, "the caller checks that an adopted run has an id"
            return adopted(run, execution_id, now=now, event=act.event("adopted", execution_id=execution_id))
        case Resolution.NOT_STARTED:
            return Change(
                run_id=run.run_id,
                was=S.IN_DOUBT,
                to=S.QUEUED,
                events=(act.event("doubt_resolved", how=str(how), attempt=run.attempt),),
                timer=_launch_timer(run, now=now),
                execution=ExecutionState.NOT_SENT,
                closes="not started",
            )
        case Resolution.RELAUNCH:
            return Change(
                run_id=run.run_id,
                was=S.IN_DOUBT,
                to=S.QUEUED,
                events=(act.event("doubt_resolved", how=str(how), attempt=run.attempt + 1),),
                timer=_launch_timer(run, now=now),
                attempt=run.attempt + 1,
                execution=ExecutionState.LEFT,
                closes="launched again",
            )
        case Resolution.ABANDON:
            return abandon(run, act)


def adopted(run: RunFacts, execution_id: str, *, now: datetime, event: NewEvent) -> Change:
    """Attach an execution to the attempt that launched it: a person found it, or its answer came late after all.

    A run that was queued again, because it was said not to have started, goes back the way that it would have gone.
    """
    return Change(
        run_id=run.run_id,
        was=run.status,
        via=(S.LAUNCHING,) if run.status is S.QUEUED else (),
        to=S.PROCESSING,
        events=(event,),
        timer=Timer(kind=TimerKind.POLL, due_at=now, urgency=Urgency.ASKED),
        provider_status="initial",
        execution_id=execution_id,
        execution=ExecutionState.OPEN,
        was_launched=True,
        closes="adopted",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFacts:
    """An attempt whose answer came after somebody had decided about it, and its run as it stands now, locked.

    Args:
        attempt: the one that the answer is about; the run may be at a later one.
        is_its_own: whether the attempt is still that launch's; False when it was launched once more under its number.
    """

    run: RunFacts
    attempt: int
    is_its_own: bool


def after_late_answer(late: LateFacts, execution_id: str, *, now: datetime) -> Change:
    """Decide about an id that came late: attach it where nothing else runs for the run, else write it down.

    Where somebody had said that a second execution is fine, the history's word is enough; where somebody was wrong
    about it, a person is told.
    """
    run = late.run
    told = NewEvent(type="late_answer", data={"attempt": late.attempt, "execution_id": execution_id})
    is_current = late.is_its_own and run.attempt == late.attempt
    if is_current and run.status in {S.IN_DOUBT, S.QUEUED}:
        return adopted(run, execution_id, now=now, event=told)
    other = run.execution_id if is_current and run.execution_id != execution_id else None
    title = None
    if not late.is_its_own or other is not None:
        told = NewEvent(type="second_execution", data={"attempt": late.attempt, "execution_id": execution_id})
        taken = f"{other} was adopted" if other is not None else "its launch was taken for not started"
        title = f"Two executions exist: {taken}, and it had started as {execution_id}"
    elif is_current and run.status in {S.ERROR, S.CANCELLED}:
        title = f"It is {run.status}, but was started all the same, as {execution_id}: look there before a retry"
    return Change(
        run_id=run.run_id,
        was=run.status,
        to=run.status,
        keeps_timer=True,
        events=(told,),
        execution_id=execution_id if is_current and other is None else None,
        # So that it can be watched, if a person asks for it.
        was_launched=is_current and other is None,
        opens=InboxKind.DOUBT if title else None,
        title=title,
    )


def nothing_started(late: LateFacts, code: str, *, was_sent: bool, now: datetime) -> Change | None:
    """Lift a doubt whose own worker says, late, that nothing was started: nobody else can know it.

    Also for good refusals it goes back to the queue: the next launch is refused in its turn, and ends the run.

    Args:
        was_sent: the provider turned it away; False when it was never written.

    Returns None where a person or a policy has decided meanwhile.
    """
    run = late.run
    if not late.is_its_own or run.attempt != late.attempt or run.status is not S.IN_DOUBT:
        return None
    told = {"attempt": late.attempt, "code": code} | ({"how": "turned_away"} if was_sent else {})
    return Change(
        run_id=run.run_id,
        was=S.IN_DOUBT,
        to=S.QUEUED,
        events=(NewEvent(type="never_sent", data=told),),
        timer=_launch_timer(run, now=now),
        execution=ExecutionState.NOT_SENT,
        closes="the provider turned it away" if was_sent else "its worker says that it was never sent",
    )


def acknowledge(run: RunFacts, act: Act) -> Change:
    """Close the question that a late answer put about a run: a person has seen it, and leaves things as they are."""
    return Change(
        run_id=run.run_id,
        was=run.status,
        to=run.status,
        keeps_timer=True,
        events=(act.event("doubt_resolved", how=str(Resolution.ABANDON), attempt=run.attempt),),
        closes="a person has seen it",
    )


def _launch_timer(run: RunFacts, *, now: datetime) -> Timer | None:
    # A batch launches its own queued runs; a single run has its own timer.
    return None if run.of_batch else Timer(kind=TimerKind.LAUNCH, due_at=now)
