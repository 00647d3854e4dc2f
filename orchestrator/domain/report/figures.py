"""The shapes of a report's figures: what was counted, by whom it was asked for, and what it covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.report.amounts import AmountSum
from orchestrator.domain.statuses import ENDINGS, RunStatus

#: Groups of acts that a report shows; the list of single acts has them all.
MAX_ACT_GROUPS = 200

#: What a tick of a schedule may have become, the good ones first.
TICK_STATES = ("fired", "merged", "skipped", "missed", "queued", "waiting", "due")


class ReportKind(StrEnum):
    """What a report is about."""

    BATCH = "batch"
    PERIOD = "period"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHead:
    """What the report is about, and who had it made when.

    Args:
        subject: the batch's or run's name, or the workflow; hostile text, like every name.
        facts: further words about the subject, by label, in the order in which they are shown.
        made_at: the moment of the snapshot; every figure is as of then.
        zone: a known zone's name; days and times are shown in it.
    """

    kind: ReportKind
    subject: str
    workspace: str
    made_at: datetime
    made_by: str
    zone: str = "UTC"
    since: datetime | None = None
    until: datetime | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeFigures:
    """What came in: rows of files, and single runs.

    Args:
        file_rows: accepted and refused rows, as the batches' own rows say.
        refused: rows refused at submission, as the history says.
        accepted_told: acceptances that the history tells of.
    """

    batches: int = 0
    file_rows: int = 0
    refused: int = 0
    singles: int = 0
    accepted_told: int = 0
    observed: int = 0
    observed_told: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFigures:
    """What was launched. The intents are the ledger; the executions and the history are what came of them.

    Args:
        intents: launch requests that were committed to be sent; each is one request at most.
        unsent: those of them that are known to have started nothing.
        items: runs that stand in those requests.
        linked: executions with an id at the provider.
        in_doubt: not known whether they began, and still to be settled.
        given_up: doubts that were settled without an id: launched again, failed or abandoned.
        on_the_wire: no answer is recorded yet.
        refused: the provider said no, for good.
        unsent_items: known not to have begun, and not launched again under the same number.
        launched_again: known not to have begun, and launched again under the same number.
    """

    intents: int = 0
    unsent: int = 0
    items: int = 0
    linked: int = 0
    in_doubt: int = 0
    given_up: int = 0
    on_the_wire: int = 0
    refused: int = 0
    unsent_items: int = 0
    launched_again: int = 0
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFigures:
    """What became of the files that the provider offered."""

    offered: int = 0
    stored: int = 0
    lost: int = 0
    given_up: int = 0
    to_come: int = 0
    stored_told: int = 0
    stored_bytes: int = 0


class FirstOutcome(StrEnum):
    """How a run's first attempt ended. `DOUBTED`: nobody knows, and it was launched again."""

    FINISHED = "finished"
    ERROR = "error"
    RESULT_LOST = "result_lost"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    DOUBTED = "doubted"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Runs whose first attempt ended as `first` and that stand at `final`. `first` None: the history does not say."""

    first: FirstOutcome | None
    final: RunStatus
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtFigures:
    """Launches of which nobody knew whether they arrived, and how that was settled.

    Args:
        standing: runs that are in doubt now.
        resolved: how -> how many.
    """

    raised: int = 0
    standing: int = 0
    resolved: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtGroup:
    """Doubts that were raised and settled together: a wave's, or a single launch's.

    Args:
        run: the first of them; `first_index`, `last_index` are their places in the file.
        settled: what settled them, in the words of the control totals; None while nothing has.
    """

    count: int
    run: str
    first_index: int | None
    last_index: int | None
    raised_at: datetime
    why: str | None
    settled: str | None
    actor: str | None
    reason: str | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long something took, in seconds; None where it never happened."""

    name: str
    count: int
    p50_s: float | None
    p95_s: float | None
    max_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Runs that ended badly for one reason."""

    status: RunStatus
    code: str
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Runs of one status in one step of time. `at` is the step's begin, in the report's zone, without a zone."""

    at: datetime
    status: RunStatus
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActGroup:
    """The same act, done once or many times by the same actor for the same reason."""

    type: str
    actor: str
    reason: str | None
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One batch of a period, or its single runs of one workflow."""

    batch: str | None
    name: str | None
    workflow: str
    runs: int
    finished: int
    failed: int
    cancelled: int
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FireFigure:
    """One tick of a schedule, and what became of it: fired, skipped, queued, missed, merged; why."""

    schedule: str
    nominal_at: datetime
    became: str
    why: str | None = None
    batch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The first rows of a list, and how many there are in all."""

    rows: Sequence[Mapping[str, Any]] = ()
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that a report of a batch or a period counts. All of it is as of one moment.

    Args:
        runs: the runs that the report covers.
        erased: those of them whose content was erased since.
        step_s: the length of a step of `slices`; 0 where there are none.
        steps_by: what places a run on that axis.
        durations: upper bound in seconds (None: beyond the last) -> finished runs.
        questions: kind -> open questions for a person.
        submitters: actor -> runs accepted from them.
        ticks: schedule -> what became of its ticks -> how many; all of them, where `fires` may hold the first.
    """

    head: ReportHead
    runs: int
    by_status: Mapping[RunStatus, int]
    erased: int = 0
    intake: IntakeFigures = field(default_factory=IntakeFigures)
    launches: LaunchFigures = field(default_factory=LaunchFigures)
    results: ResultFigures = field(default_factory=ResultFigures)
    doubts: DoubtFigures = field(default_factory=DoubtFigures)
    passes: Sequence[Pass] = ()
    retries: Mapping[str, int] = field(default_factory=dict)
    timings: Sequence[Timing] = ()
    causes: Sequence[Cause] = ()
    slices: Sequence[Slice] = ()
    step_s: int = 0
    steps_by: str = ""
    durations: Mapping[float | None, int] = field(default_factory=dict)
    acts: Sequence[ActGroup] = ()
    doubt_groups: Sequence[DoubtGroup] = ()
    submitters: Mapping[str, int] = field(default_factory=dict)
    questions: Mapping[str, int] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    fires: Sequence[FireFigure] = ()
    ticks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    input_sums: Sequence[AmountSum] = ()
    result_sums: Sequence[AmountSum] = ()

    @property
    def ended(self) -> int:
        """Runs that have ended, however."""
        return sum(n for status, n in self.by_status.items() if status in ENDINGS)

    @property
    def finished(self) -> int:
        """Runs that ended well."""
        return self.by_status.get(RunStatus.FINISHED, 0)
