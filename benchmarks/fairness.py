"""Whether those that share a key are served alike, and how soon looks find their measure again: figures of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from orchestrator.rehearsal.model_provider import Execution
from orchestrator.rehearsal.world import World

#: A kill or an outage may be felt for so long after it.
RECOVERED_S = 120.0

#: Looks should have found their measure after so many completions; so many after them are measured.
LEARNED_AFTER = 200
MEASURED = 1000


def figures(world: World, executions: Sequence[Execution]) -> dict[str, Any]:
    """Return the figures of a run that say something in this world."""
    found: dict[str, Any] = {}
    if len(world.batches) > 1:
        found["jain_least"] = round(least_jain(world, executions), 4)
    if world.singles and world.batches:
        found["singles_lag_p95_s"] = _p95([e for e in executions if e.part >= len(world.batches)])
    if world.kills is not None or world.outages:
        found["calm_lag_p95_s"] = _p95([e for e in executions if _is_calm(world, e.ended_s or 0.0)])
    if len(world.workflows) == 1 and len(executions) >= 3 * MEASURED:
        found |= _learning(world, executions)
    return found


def least_jain(world: World, executions: Sequence[Execution]) -> float:
    """Return the least fair tenth of the time: Jain's index of completions seen, of batches with unseen work in it."""
    seen: dict[int, list[float]] = defaultdict(list)
    for execution in executions:
        if execution.part < len(world.batches):
            seen[execution.part].append(execution.seen_s or 0.0)
    tenth_s = max(max(times) for times in seen.values()) / 10
    least = 1.0
    for number in range(10):
        begin_s, end_s = number * tenth_s, (number + 1) * tenth_s
        counts = [
            sum(begin_s < at_s <= end_s for at_s in times)
            for part, times in seen.items()
            if world.batches[part].arrive_s <= begin_s and max(times) >= end_s
        ]
        if len(counts) > 1 and any(counts):
            least = min(least, sum(counts) ** 2 / (len(counts) * sum(n * n for n in counts)))
    return least


def _learning(world: World, executions: Sequence[Execution]) -> dict[str, Any]:
    """Compare the lags soon after the beginning, or after a shift of pace, with those of the end."""
    (pace,) = world.workflows.values()
    first = (pace.shift_after_n or 0) + LEARNED_AFTER
    in_order = sorted(executions, key=lambda e: e.ended_s or 0.0)
    return {
        "lag_p95_after_200_s": _p95(in_order[first : first + MEASURED]),
        "lag_p95_settled_s": _p95(in_order[-2 * MEASURED :]),
    }


def _is_calm(world: World, at_s: float) -> bool:
    kills = world.kills
    if kills is not None and at_s >= kills.every_s and at_s % kills.every_s <= RECOVERED_S:
        return False
    return not any(o.from_s <= at_s <= o.from_s + o.lasts_s + RECOVERED_S for o in world.outages)


def _p95(executions: Sequence[Execution]) -> float:
    lags = sorted((e.seen_s or 0.0) - (e.ended_s or 0.0) for e in executions)
    return round(lags[int(0.95 * len(lags))], 2) if lags else 0.0
