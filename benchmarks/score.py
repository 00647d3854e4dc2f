"""What a way of polling achieved in a world, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import fairness
from orchestrator.rehearsal.arrivals import LARGEST_REQUEST, LATE_S, arrivals
from orchestrator.rehearsal.model_provider import Execution, ModelProvider
from orchestrator.rehearsal.world import World


def launched_whole_s(world: World) -> float:
    """Return when the last execution ends if each batch is launched whole, and each single run, on arrival."""
    provider, submitted = ModelProvider(world), arrivals(world)
    for arrival in submitted:
        width = arrival.width or 1
        provider.launch(arrival.executions, width=width, order=arrival.order, now_s=arrival.at_s)
    while (at_s := provider.next_end_s()) is not None:
        provider.settle(at_s)
    return max(e.ended_s or 0.0 for a in submitted for e in a.executions)


def requests_s(world: World) -> float:
    """Return how long the requests take that are needed at least: a look an execution, a launch a single or 10,000."""
    launches = sum(-(-b.n // LARGEST_REQUEST) for b in world.batches) + sum(s.n for s in world.singles)
    return (world.executions + launches) * 60.0 / world.rate_per_min


def score(world: World, executions: Sequence[Execution], *, looks: int, launches: int) -> dict[str, Any]:
    """Return the figures of a run in which everything was seen.

    The bound is the time before which nobody can be done: the last end at the provider, or the requests needed at the
    limit's rate. Of two last ends the earlier counts, this run's and that of launching everything on arrival: so slow
    launching shows, and overlapping waves, which run wider than one request does, cannot beat the bound.
    """
    last_end_s = max(e.ended_s or 0.0 for e in executions)
    bound_s = max(min(last_end_s, launched_whole_s(world)), requests_s(world))
    lags = sorted(_lag_s(e) for e in executions)
    makespan_s = max(e.seen_s or 0.0 for e in executions)
    dead_after_s = 3600.0 if world.url_hour == "end" else float("inf")
    return {
        "requests_per_execution": round((looks + launches) / len(executions), 3),
        "lag_p50_s": round(_share(lags, 0.50), 2),
        "lag_p95_s": round(_share(lags, 0.95), 2),
        "lag_max_s": round(lags[-1], 2),
        "unseen_after_55min": sum(lag > LATE_S for lag in lags),
        "makespan_over_bound": round(makespan_s / bound_s, 4),
        "budget_used": round((looks + launches) * 60 / world.rate_per_min / makespan_s, 4),
        "makespan_s": round(makespan_s, 1),
        "bound_s": round(bound_s, 1),
        "last_end_s": round(last_end_s, 1),
        "results_dead_when_seen": sum(lag > dead_after_s for lag in lags),
        "looks": looks,
        "launches": launches,
        **fairness.figures(world, executions),
    }


def _lag_s(execution: Execution) -> float:
    assert execution.ended_s is not None, "everything ended"
    assert execution.seen_s is not None, "everything was seen"
    return execution.seen_s - execution.ended_s


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
