"""Plain polling: a client with none of the product's decisions, in its best case.

It launches a batch whole when it arrives (at most 10,000 items a request), and a single run as soon as a slot is known
to be free. Launches go before looks, all paced evenly and always within the limit. Which execution is looked at next is
a choice of its own; exponential backoff is what most people would write.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from orchestrator.domain.answers import RemoteStatus
from orchestrator.rehearsal.arrivals import LARGEST_REQUEST, ROUND_TRIP_S, Arrival, arrivals
from orchestrator.rehearsal.model_provider import Execution, ModelProvider
from orchestrator.rehearsal.timeline import Timeline
from orchestrator.rehearsal.world import Outage, World


class Choice(Protocol):
    """Which execution to look at next."""

    def launched(self, arrival: Arrival, executions: list[Execution], *, now_s: float) -> None:
        """Hear that these were launched in one request."""

    def next(self, *, now_s: float) -> Execution | None:
        """Return the execution to look at now, or None."""

    def seen(self, execution: Execution, *, ended: bool, now_s: float) -> None:
        """Hear what the look saw."""


class ExponentialBackoff:
    """Look at each by itself: 2 s after its launch, then doubling the wait up to 60 s; oldest due first."""

    FIRST_S, LONGEST_S = 2.0, 60.0

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Execution]] = []
        self._delays: dict[int, float] = {}

    def launched(self, arrival: Arrival, executions: list[Execution], *, now_s: float) -> None:
        for execution in executions:
            self._plan(execution, self.FIRST_S, now_s)

    def next(self, *, now_s: float) -> Execution | None:
        return heapq.heappop(self._due)[2] if self._due and self._due[0][0] <= now_s else None

    def seen(self, execution: Execution, *, ended: bool, now_s: float) -> None:
        delay_s = self._delays.pop(id(execution))
        if not ended:
            self._plan(execution, min(2 * delay_s, self.LONGEST_S), now_s)

    def _plan(self, execution: Execution, delay_s: float, now_s: float) -> None:
        self._delays[id(execution)] = delay_s
        heapq.heappush(self._due, (now_s + delay_s, next(self._numbers), execution))


class PlainClient:
    """Sends one request after the other, evenly: a token is back 60 s after its answer, so this breaks no limit."""

    def __init__(self, world: World, choice: Choice, *, outages: Sequence[Outage] = ()) -> None:
        self.time = Timeline()
        self.provider = ModelProvider(world)
        self.choice = choice
        self.submitted = arrivals(world)
        self.every_s = (60.0 + ROUND_TRIP_S) / world.rate_per_min
        self.left = world.executions
        #: Looks and launches by the batch or stream that they were for.
        self.looked: Counter[int] = Counter()
        self.launched: Counter[int] = Counter()
        self._batches: deque[tuple[Arrival, list[Execution]]] = deque()
        self._singles: dict[str, deque[Arrival]] = {}
        self._slots = {name: world.slots(name) for name in world.workflows}
        self._single_parts = {a.part for a in self.submitted if a.is_launched_singly}
        self._outages = outages
        for arrival in self.submitted:
            self.time.at(arrival.at_s, lambda arrival=arrival: self._arrive(arrival))  # type: ignore[misc]

    def run(self, *, until: Callable[[], bool] | None = None) -> None:
        """Launch everything, and look until all of it was seen to end, or something else holds."""
        self.time.at(0.0, self._send)
        self.time.run(until=until or (lambda: self.left == 0))

    def _arrive(self, arrival: Arrival) -> None:
        if arrival.is_launched_singly:
            each = (replace(arrival, executions=(one,), width=None) for one in arrival.executions)
            self._singles.setdefault(arrival.executions[0].workflow, deque()).extend(each)
            return
        for first in range(0, len(arrival.executions), LARGEST_REQUEST):
            self._batches.append((arrival, list(arrival.executions[first : first + LARGEST_REQUEST])))

    def _send(self) -> None:
        """Send what is next in turn, and come back one step later."""
        now_s = self.time.now_s
        self.time.at(now_s + self.every_s, self._send)
        launch = None if self._is_out() else self._next_launch()
        if launch is not None:
            self.launched[launch[0].part] += 1
            self._exchange(lambda: self._launch(*launch), lambda: self._launched(*launch))
        elif (execution := self.choice.next(now_s=now_s)) is not None:
            self.looked[execution.part] += 1
            self._look(execution)

    def _is_out(self) -> bool:
        """Tell whether the provider answers nobody now: nothing is launched then, and looks see nothing."""
        return any(o.from_s <= self.time.now_s < o.from_s + o.lasts_s for o in self._outages)

    def _next_launch(self) -> tuple[Arrival, list[Execution]] | None:
        if self._batches:
            return self._batches.popleft()
        for workflow, waiting in self._singles.items():
            if waiting and self._slots[workflow] > 0:
                self._slots[workflow] -= 1
                arrival = waiting.popleft()
                return arrival, list(arrival.executions)
        return None

    def _exchange(self, arrives: Callable[[], None], answered: Callable[[], None]) -> None:
        self.time.at(self.time.now_s + ROUND_TRIP_S / 2, arrives)
        self.time.at(self.time.now_s + ROUND_TRIP_S, answered)

    def _launch(self, arrival: Arrival, executions: list[Execution]) -> None:
        self.provider.launch(executions, width=arrival.width or 1, order=arrival.order, now_s=self.time.now_s)

    def _launched(self, arrival: Arrival, executions: list[Execution]) -> None:
        self.choice.launched(arrival, executions, now_s=self.time.now_s)

    def _look(self, execution: Execution) -> None:
        found: list[RemoteStatus] = []
        self._exchange(
            lambda: None if self._is_out() else found.append(self.provider.look(execution, now_s=self.time.now_s)),
            lambda: self._looked(execution, ended=found == [RemoteStatus.FINISHED]),
        )

    def _looked(self, execution: Execution, *, ended: bool) -> None:
        if ended:
            execution.seen_s = self.time.now_s
            self.left -= 1
            if execution.part in self._single_parts:
                self._slots[execution.workflow] += 1
        self.choice.seen(execution, ended=ended, now_s=self.time.now_s)
