"""What a way of polling achieved in a world, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.model_provider import Execution, ModelProvider
from benchmarks.world import World

#: A URL lives an hour; whoever has not looked after so long has no time left to fetch the file.
LATE_S = 55 * 60.0

#: From sending a request to having its answer; the provider is asked in the middle.
ROUND_TRIP_S = 0.2

#: The provider's limit for one batch request.
LARGEST_REQUEST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Something that is submitted at a time: the executions of a batch, or one single run.

    Args:
        part: its number among the world's batches and streams.
        width: how many the provider runs side by side; None for a single run.
    """

    at_s: float
    part: int
    executions: tuple[Execution, ...]
    width: int | None
    order: str = "index"


def arrivals(world: World) -> list[Arrival]:
    """Return everything that is submitted in a world, fresh, in the order of time."""
    found = []
    for part, batch in enumerate(world.batches):
        items = tuple(Execution(workflow=batch.workflow, part=part, index=n) for n in range(batch.n))
        found.append(
            Arrival(at_s=batch.arrive_s, part=part, executions=items, width=batch.width, order=batch.order),
        )
    for part, stream in enumerate(world.singles, start=len(world.batches)):
        draw, at_s = Random(f"{world.seed}:arrivals:{part}"), 0.0
        for n in range(stream.n):
            at_s += draw.expovariate(stream.per_min / 60.0)
            one = Execution(workflow=stream.workflow, part=part, index=n)
            found.append(Arrival(at_s=at_s, part=part, executions=(one,), width=None))
    return sorted(found, key=lambda arrival: arrival.at_s)


def bound_s(world: World) -> float:
    """Return the time before which nobody can be done: the provider's own work, or the requests that it takes.

    The provider's work is what it takes if everything is launched when it is submitted. At least one look an execution
    is needed, one request for each single launch, and one for each 10,000 items of a batch.
    """
    provider, submitted = ModelProvider(world), arrivals(world)
    for arrival in submitted:
        width = arrival.width or 1
        provider.launch(arrival.executions, width=width, order=arrival.order, now_s=arrival.at_s)
    while (at_s := provider.next_end_s()) is not None:
        provider.settle(at_s)
    last_end_s = max(e.ended_s or 0.0 for a in submitted for e in a.executions)
    launches = sum(-(-len(a.executions) // LARGEST_REQUEST) for a in submitted)
    return max(last_end_s, (world.executions + launches) * 60.0 / world.rate_per_min)


def score(world: World, executions: Sequence[Execution], *, looks: int, launches: int) -> dict[str, Any]:
    """Return the figures of a run in which everything was seen."""
    lags = sorted(_lag_s(e) for e in executions)
    makespan_s = max(e.seen_s or 0.0 for e in executions)
    dead_after_s = 3600.0 if world.url_hour == "end" else float("inf")
    return {
        "requests_per_execution": round((looks + launches) / len(executions), 3),
        "lag_p50_s": round(_share(lags, 0.50), 2),
        "lag_p95_s": round(_share(lags, 0.95), 2),
        "lag_max_s": round(lags[-1], 2),
        "unseen_after_55min": sum(lag > LATE_S for lag in lags),
        "makespan_over_bound": round(makespan_s / bound_s(world), 4),
        "makespan_s": round(makespan_s, 1),
        "results_dead_when_seen": sum(lag > dead_after_s for lag in lags),
        "looks": looks,
        "launches": launches,
    }


def _lag_s(execution: Execution) -> float:
    assert execution.ended_s is not None, "everything ended"
    assert execution.seen_s is not None, "everything was seen"
    return execution.seen_s - execution.ended_s


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
