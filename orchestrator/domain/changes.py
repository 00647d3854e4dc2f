"""What an act means for one run, as a value: the facts to write, the events to add, when it is next due.

Decisions make changes, storage applies them in bulk. Nothing else writes a run, but an erasing, which moves none.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orchestrator.domain.answers import OfferedFile
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.statuses import ResultsState, RunStatus, may_become


class TimerKind(StrEnum):
    """What a timer's row is due for. `SENDING` belongs to an intent: it comes due only if its worker died."""

    LAUNCH = "launch"
    SENDING = "sending"
    POLL = "poll"
    DOWNLOAD = "download"


class Urgency:
    """The order in which due looks are taken. Most urgent: what would lose a result."""

    REFRESH = 0
    ASKED = 1
    NORMAL = 2


class OverdueStage:
    """How long a run has been `processing` beyond what the provider allows."""

    NONE = 0
    SLOWER = 1
    TOLD_A_PERSON = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """When a run next needs a worker, and for what.

    Args:
        due_at: None means: not in the wave's window yet.
        tries: failures in a row of what it is due for; for looks also `look_decisions.NO_LIST` for each answer that
            lacked the list of results.
        gone_since: the first 404 in a row, or the first list in a row without a file that was offered once; or None.
        deadline_at: when a result's URL may die, or None; the first that is told of a result stays.
    """

    kind: TimerKind
    due_at: datetime | None
    urgency: int = Urgency.NORMAL
    tries: int = 0
    gone_since: datetime | None = None
    stage: int = OverdueStage.NONE
    deadline_at: datetime | None = None


class ExecutionState(StrEnum):
    """Where one attempt stands at the provider. `OPEN` is alive there and holds a slot; `LEFT` is watched no more.

    A unique index allows a run one attempt that is launching, open or in doubt.
    """

    LAUNCHING = "launching"
    OPEN = "open"
    IN_DOUBT = "in_doubt"
    NOT_SENT = "not_sent"
    REFUSED = "refused"
    ENDED = "ended"
    LEFT = "left"


class InboxKind(StrEnum):
    """A question for a person."""

    HUMAN = "human"
    DOUBT = "doubt"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunError:
    """Why a run ended badly. `code` is ours and stable, `message` is for people and may be the provider's."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One act upon one run.

    Args:
        was: the status that the decision was made from; if the run has another by now, the change is void.
        to: the status afterwards; `via` are those it passed through in the same act, each a legal move.
        timer: the run's timer afterwards, None to drop it.
        keeps_timer: leave the timer alone, whatever `timer` says.
        attempt: the number of the attempt that is now authorised, or None to leave it.
        error: why it ended badly; `clears_error` removes what an earlier ending left.
        offered: the files that the provider offers now, with fresh URLs.
        url_expires_at: when those URLs die at the earliest, as far as is known.
        opens: the question to put to a person; `title` says it. `closes`: why open questions are settled now.
    """

    run_id: UUID
    was: RunStatus
    to: RunStatus
    via: tuple[RunStatus, ...] = ()
    events: tuple[NewEvent, ...] = ()
    timer: Timer | None = None
    keeps_timer: bool = False
    provider_status: str | None = None
    results_state: ResultsState | None = None
    error: RunError | None = None
    clears_error: bool = False
    attempt: int | None = None
    execution_id: str | None = None
    execution: ExecutionState | None = None
    was_launched: bool = False
    asks_cancel: bool = False
    offered: tuple[OfferedFile, ...] | None = None
    url_expires_at: datetime | None = None
    opens: InboxKind | None = None
    title: str | None = None
    closes: str | None = None

    def __post_init__(self) -> None:
        """Refuse an illegal move where it is made, not where it is written."""
        path = (self.was, *self.via, self.to)
        for old, new in itertools.pairwise(path):
            assert old == new or may_become(old, new), f"{old} may not become {new}"

    @property
    def touches_run(self) -> bool:
        """Whether anything but the timer changes. Most looks change nothing, and then the run's row is left alone."""
        return bool(
            self.events
            or self.was != self.to
            or self.provider_status is not None
            or self.results_state is not None
            or self.error is not None
            or self.clears_error
            or self.attempt is not None
            or self.execution_id is not None
            or self.execution is not None
            or self.was_launched
            or self.offered is not None
            or self.opens
            or self.closes
            or self.asks_cancel
        )
