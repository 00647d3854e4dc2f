"""Bulk operations: what may be done to many runs at once, and which of them it can be done to as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orchestrator.domain import operator_decisions
from orchestrator.domain.cancelling import AT_PROVIDER
from orchestrator.domain.erasure import refuse_erased
from orchestrator.domain.operator_decisions import Act, Resolution, RunFacts
from orchestrator.domain.watching import refuse_observed
from orchestrator.errors import BadInput, Conflict

#: One operation takes so many runs at most.
MAX_RUNS = 100_000


class BulkVerb(StrEnum):
    """What is done to each run."""

    RETRY = "retry"
    CANCEL = "cancel"
    RESOLVE = "resolve"


class ItemState(StrEnum):
    """What became of one run of an operation."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OperationStatus(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FINISHED = "finished"


#: To adopt, each run's execution must be named: that is no act for many.
BULK_RESOLUTIONS = (Resolution.NOT_STARTED, Resolution.RELAUNCH, Resolution.ABANDON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intention:
    """What an operation does to each of its runs.

    Args:
        relaunch: for `retry`: also where the last attempt may have acted.
        how: for `resolve`.
    """

    verb: BulkVerb
    relaunch: bool = False
    how: Resolution | None = None

    def __post_init__(self) -> None:
        if (self.verb is BulkVerb.RESOLVE) != (self.how is not None):
            raise BadInput("`how` goes with resolve, and resolve needs it", code="field.value")
        if self.how is not None and self.how not in BULK_RESOLUTIONS:
            raise BadInput(f"many doubts are resolved by {', '.join(BULK_RESOLUTIONS)}", code="field.value")
        if self.relaunch and self.verb is not BulkVerb.RETRY:
            raise BadInput("`relaunch` goes with retry", code="field.value")


def refusal(intention: Intention, run: RunFacts, *, now: datetime, provider_cancels: bool = False) -> Conflict | None:
    """Return why a run is not eligible as it stands, None when it is: the very decision of the single act."""
    act = Act(actor="nobody", reason="asked, not done")
    try:
        match intention.verb:
            case BulkVerb.RETRY:
                operator_decisions.retry(refuse_observed(refuse_erased(run)), act, relaunch=intention.relaunch, now=now)
            case BulkVerb.CANCEL:
                if provider_cancels and run.status in AT_PROVIDER:
                    return None  # the provider says
                if operator_decisions.cancel(run, act) is None:
                    return Conflict("it is cancelled already", code="already_cancelled")
            case BulkVerb.RESOLVE:
                assert intention.how is not None, "checked when it was made"
                operator_decisions.resolve(run, act, intention.how, execution_id=None, now=now)
    except Conflict as refused:
        return refused
    return None


def status_of(*, is_finished: bool, is_cancelled: bool) -> OperationStatus:
    """Return where an operation stands."""
    if is_finished:
        return OperationStatus.CANCELLED if is_cancelled else OperationStatus.FINISHED
    return OperationStatus.CANCELLING if is_cancelled else OperationStatus.RUNNING
