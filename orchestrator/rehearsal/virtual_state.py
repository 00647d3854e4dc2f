"""What the product keeps in its tables, kept in memory: runs with their timers, waves, workflows, whose turn it is."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from orchestrator.domain.backoff import OwnFigures
from orchestrator.domain.changes import Urgency
from orchestrator.domain.durations import Durations
from orchestrator.domain.look_timing import WaveClock
from orchestrator.domain.windows import WaveState
from orchestrator.rehearsal.model_provider import Execution

URGENCIES = (Urgency.REFRESH, Urgency.ASKED, Urgency.NORMAL)


@dataclass(slots=True, eq=False)
class Run:
    """A run with its timer. `version` changes with the timer, so that what was planned before is void.

    Args:
        subject: the batch that it belongs to; None for a single run.
    """

    id: UUID
    execution: Execution
    workflow: Workflow
    subject: Subject | None = None
    wave: Wave | None = None
    position: int | None = None
    word: str = "initial"
    launched_at: datetime | None = None
    due_at: datetime | None = None
    urgency: int = Urgency.NORMAL
    entered_at: datetime | None = None
    looked_at: datetime | None = None
    tries: int = 0
    stage: int = 0
    is_leased: bool = False
    late_s: float = 0.0
    has_ended: bool = False
    version: int = 0


@dataclass(slots=True, eq=False)
class Wave:
    """A wave: the planner's small row, and its runs by position."""

    id: UUID
    runs: list[Run]
    plan: WaveState
    order: str
    launched_at: datetime | None = None
    #: Sampled ahead of the window and not begun: asleep until it reaches them.
    slept: set[int] = field(default_factory=set)

    @property
    def clock(self) -> WaveClock:
        return WaveClock(width=self.plan.width, remaining=self.plan.remaining, in_order=self.plan.in_order)

    @property
    def is_over(self) -> bool:
        return self.plan.ended >= self.plan.size


@dataclass(slots=True, eq=False)
class Subject:
    """Whose turn it is to launch: a batch with what of it is queued, or (`width` None) a single run.

    `wave_size`: as its owner asked for it; 1 launches each run by itself.
    `waits_since`: when a batch began to wait for slots.
    """

    queued: deque[Run]
    due_at: datetime
    width: int | None
    order: str = "index"
    wave_size: int | None = None
    waves: list[Wave] = field(default_factory=list)
    waits_since: datetime | None = None


@dataclass(slots=True, eq=False)
class Workflow:
    """A workflow: what is known of its durations, its slots, and what of it waits for its turn."""

    id: UUID
    slot_limit: int
    durations: Durations = field(default_factory=Durations)
    poll: OwnFigures = (None, None, None, None, None)
    in_order: bool = True
    singles_open: int = 0
    waves: list[Wave] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)
    last_turn_at: datetime | None = None

    def due(self, now: datetime) -> Iterator[Subject]:
        """Return those whose turn it is: all batches, and the singles that came first."""
        return (s for s in self.subjects if s.due_at <= now)

    @property
    def slots_used(self) -> int:
        """Slots that are taken, by all who use the workflow."""
        self.waves = [w for w in self.waves if not w.is_over]
        return self.singles_open + sum(w.plan.slots for w in self.waves)


class Timers:
    """The due looks of a lane: for each urgency the earliest first."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._heaps: dict[int, list[tuple[datetime, int, int, Run]]] = {urgency: [] for urgency in URGENCIES}

    def set(self, run: Run, due_at: datetime | None, urgency: int = Urgency.NORMAL) -> None:
        """Set a run's timer; None puts it to sleep."""
        run.version += 1
        run.due_at, run.urgency, run.is_leased = due_at, urgency, False
        if due_at is not None:
            heapq.heappush(self._heaps[urgency], (due_at, next(self._numbers), run.version, run))

    def take(self, limit: int, *, now: datetime, lease: timedelta) -> list[Run]:
        """Claim the most urgent runs that are due; a claim moves them to the lease's end."""
        found = list(itertools.islice(self._due(now), limit))
        for run in found:
            assert run.due_at is not None, "it was due"
            run.late_s = (now - run.due_at).total_seconds()
            self.set(run, now + lease, run.urgency)
            run.is_leased = True
        return found

    def void_leases(self, now: datetime) -> None:
        """Make everything due that somebody held."""
        held = [run for heap in self._heaps.values() for _, _, version, run in heap if version == run.version]
        for run in held:
            if run.is_leased:
                self.set(run, now, run.urgency)

    def next_due(self) -> datetime | None:
        """Return when the next look is due."""
        return min((entry[0] for heap in self._heaps.values() if (entry := _top(heap))), default=None)

    def _due(self, now: datetime) -> Iterator[Run]:
        for urgency in URGENCIES:
            heap = self._heaps[urgency]
            while (entry := _top(heap)) is not None and entry[0] <= now:
                heapq.heappop(heap)
                yield entry[3]


def _top(heap: list[tuple[datetime, int, int, Run]]) -> tuple[datetime, int, int, Run] | None:
    while heap and heap[0][3].version != heap[0][2]:
        heapq.heappop(heap)
    return heap[0] if heap else None
