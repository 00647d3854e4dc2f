"""A provider made of arithmetic: it runs what was launched in its slots, and says how an execution stands when asked.

The k-th execution that a workflow starts takes the k-th duration of its seeded stream, whoever launched it: so every
way of polling meets the same provider.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from orchestrator.domain.answers import RemoteStatus
from orchestrator.rehearsal.world import Pace, World


@dataclass(slots=True, eq=False)
class Execution:
    """One execution. `part` is the batch or stream that it belongs to, `index` its place there."""

    workflow: str
    part: int
    index: int
    started_s: float | None = None
    ended_s: float | None = None
    seen_s: float | None = None


@dataclass(slots=True, eq=False)
class _Request:
    """The executions of one launch request that have not started, and how many of its own may run at once."""

    waiting: deque[Execution]
    width: int
    running: int = 0


@dataclass(slots=True, eq=False)
class _Workflow:
    pace: Pace
    slots: int
    durations: Random
    drawn: Sequence[float] = ()
    started: int = 0
    running: int = 0
    requests: deque[_Request] = field(default_factory=deque)


class ModelProvider:
    """Runs executions through slots: each request as wide as it asked, the workflow as wide as it may be."""

    def __init__(self, world: World) -> None:
        self._seed = world.seed
        self._numbers = itertools.count()
        self._ends: list[tuple[float, int, Execution, _Request]] = []
        self._workflows = {
            name: _Workflow(
                pace=pace,
                slots=max(world.slots(name), *(b.width for b in world.batches if b.workflow == name), 1),
                durations=Random(f"{world.seed}:durations:{name}"),
                drawn=world.drawn.get(name, ()),
            )
            for name, pace in world.workflows.items()
        }

    def launch(self, executions: Sequence[Execution], *, width: int, order: str, now_s: float) -> None:
        """Take one request's executions."""
        self.settle(now_s)
        items = list(executions)
        if order == "random":
            Random(f"{self._seed}:order:{items[0].part}:{items[0].index}").shuffle(items)
        workflow = self._workflows[items[0].workflow]
        workflow.requests.append(_Request(waiting=deque(items), width=width))
        self._fill(workflow, now_s)

    def look(self, execution: Execution, *, now_s: float) -> RemoteStatus:
        """Say how an execution stands now."""
        self.settle(now_s)
        if execution.started_s is None:
            return RemoteStatus.WAITING
        assert execution.ended_s is not None, "an end is known from the start on"
        return RemoteStatus.FINISHED if execution.ended_s <= now_s else RemoteStatus.RUNNING

    def settle(self, now_s: float) -> None:
        """Let everything end that ends by now, each in its turn, and others begin in the freed slots."""
        while self._ends and self._ends[0][0] <= now_s:
            at_s, _, execution, request = heapq.heappop(self._ends)
            workflow = self._workflows[execution.workflow]
            workflow.running -= 1
            request.running -= 1
            self._fill(workflow, at_s)

    def next_end_s(self) -> float | None:
        """Return when the next execution ends."""
        return self._ends[0][0] if self._ends else None

    def _fill(self, workflow: _Workflow, now_s: float) -> None:
        """Give free slots to the oldest requests that may use them."""
        while workflow.requests and not workflow.requests[0].waiting:
            workflow.requests.popleft()
        for request in workflow.requests:
            while request.waiting and request.running < request.width and workflow.running < workflow.slots:
                self._start(workflow, request, now_s)
            if workflow.running >= workflow.slots:
                return

    def _start(self, workflow: _Workflow, request: _Request, now_s: float) -> None:
        execution = request.waiting.popleft()
        workflow.running += 1
        request.running += 1
        execution.started_s = now_s
        execution.ended_s = now_s + _duration(workflow)
        heapq.heappush(self._ends, (execution.ended_s, next(self._numbers), execution, request))


def _duration(workflow: _Workflow) -> float:
    pace, draw = workflow.pace, workflow.durations
    if workflow.started < len(workflow.drawn):
        workflow.started += 1
        return workflow.drawn[workflow.started - 1]
    # Two draws for each, whatever they are used for: one option must not shift the others' stream.
    normal, unit = draw.gauss(0.0, 1.0), draw.random()
    seconds = pace.mean_s * math.exp(pace.sigma * normal - pace.sigma**2 / 2)
    if pace.shift_after_n is not None and workflow.started >= pace.shift_after_n:
        seconds *= pace.shift_factor
    if unit < pace.slow_share:
        seconds *= pace.slow_factor
    workflow.started += 1
    return seconds
