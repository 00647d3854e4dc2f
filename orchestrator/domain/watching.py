"""Which executions that a provider lists were started by others, and are to be tracked as runs.

The list does not say who started one. What we know the id of is ours; what was made while a launch of ours had no
answer may be: it is held back until that launch has one, however long that takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domain.answers import Listed
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.listing import LIST_SHARE
from orchestrator.domain.operator_decisions import RunFacts
from orchestrator.errors import Conflict

#: By so much the provider's clock may differ from ours where it decides whose an execution is.
SKEW = timedelta(minutes=5)

#: What was made so long before the newest that a walk has seen is walked once more: lists may show some late.
OVERLAP = timedelta(minutes=2)

#: Walks are so far apart, seconds; a walk that failed is tried again after so long.
EVERY_S = 30.0

#: Pages of one turn: more of them are the next turn's.
MOST_PAGES = 10


class Origin(StrEnum):
    """Where a run comes from: it was submitted to us, or seen at the provider, where another program started it."""

    SUBMITTED = "submitted"
    OBSERVED = "observed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An execution as a list shows it.

    Args:
        made_at: by the provider's clock.
    """

    execution_id: str
    workflow_id: str
    made_at: datetime
    word: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A launch of ours, or several alike, whose execution we do not know, if there is one.

    Args:
        sent_at: before it was sent.
        settled_at: when nothing more was sent of it; None: it may be on the wire, or be sent again.
    """

    workflow_id: str
    sent_at: datetime
    settled_at: datetime | None


def made(listed: Iterable[Listed], *, since: datetime, workflow_ids: Sequence[str]) -> list[Made]:
    """Return what of a list is to be judged, each once: nothing older, or of another workflow, or of no known age."""
    # A list may show times in whole seconds.
    since = since.replace(microsecond=0)
    found: dict[str, Made] = {}
    for one in listed:
        if one.created_at is None or one.created_at < since or not one.workflow_id:
            continue
        if not workflow_ids or one.workflow_id in workflow_ids:
            found.setdefault(
                one.execution_id,
                Made(
                    execution_id=one.execution_id,
                    workflow_id=one.workflow_id,
                    made_at=one.created_at,
                    word=one.seen.word,
                ),
            )
    return list(found.values())


def may_be_ours(one: Made, unanswered: Sequence[Unanswered]) -> bool:
    """Return whether a launch whose answer is unknown can have made this execution."""
    return any(
        launch.workflow_id == one.workflow_id
        and one.made_at >= launch.sent_at - SKEW
        and (launch.settled_at is None or one.made_at <= launch.settled_at + SKEW)
        for launch in unanswered
    )


def observed(one: Made) -> NewEvent:
    """Return the first event of a run that was not submitted."""
    data = {
        "origin": str(Origin.OBSERVED),
        "execution_id": one.execution_id,
        "workflow_id": one.workflow_id,
        "made_at": one.made_at.isoformat(),
    }
    return NewEvent(type="observed", data=data)


def refuse_observed(run: RunFacts) -> RunFacts:
    """Return the run, if it was submitted here.

    Raises:
        Conflict: another program started it, so there is no input to launch it with.
    """
    if run.is_observed:
        raise Conflict(
            "the run was started by another program, and only observed here: its input is not held",
            code="observed_run",
            hint="start it again where it was started, or submit a run of your own",
        )
    return run


def next_turn_s(pages: int, *, limit: int, is_over: bool) -> float:
    """Return how long after a turn the walk goes on, or the next one begins, seconds.

    Args:
        limit: the lane's requests in a minute; walks take no larger share of them than lists do.
    """
    by_budget_s = pages * 60.0 / (limit * LIST_SHARE)
    return max(by_budget_s, EVERY_S) if is_over else by_budget_s
