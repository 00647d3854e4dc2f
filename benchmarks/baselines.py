"""Two plain ways of polling to compare with: round robin here, exponential backoff in the product's rehearsals."""

from __future__ import annotations

import itertools
from collections import deque

from benchmarks.score import score
from orchestrator.rehearsal.arrivals import Arrival
from orchestrator.rehearsal.model_provider import Execution
from orchestrator.rehearsal.plain_client import Choice, PlainClient
from orchestrator.rehearsal.world import World


class RoundRobin:
    """Look in turn at those that can be running: of each request the first `width` that were not seen to end."""

    def __init__(self) -> None:
        self._requests: dict[int, tuple[deque[Execution], int]] = {}
        self._numbers = itertools.count()
        self._places: dict[int, int] = {}
        self._ring: deque[Execution] = deque()

    def launched(self, arrival: Arrival, executions: list[Execution], *, now_s: float) -> None:
        number = next(self._numbers)
        width = arrival.width or 1
        self._ring.extend(executions[:width])
        self._requests[number] = (deque(executions[width:]), width)
        self._places.update((id(e), number) for e in executions)

    def next(self, *, now_s: float) -> Execution | None:
        return self._ring.popleft() if self._ring else None

    def seen(self, execution: Execution, *, ended: bool, now_s: float) -> None:
        if not ended:
            self._ring.append(execution)
            return
        waiting, _ = self._requests[self._places.pop(id(execution))]
        if waiting:
            self._ring.append(waiting.popleft())


def measure(world: World, choice: Choice) -> dict[str, object]:
    """Run a baseline through a world; return its figures."""
    client = PlainClient(world, choice)
    client.run()
    executions = [e for a in client.submitted for e in a.executions]
    return score(world, executions, looks=client.looked.total(), launches=client.launched.total())
