"""What a submission is told about its way: how it goes out, and how long it takes at least."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.domain import planner
from orchestrator.domain.durations import Durations
from orchestrator.engine.deps import Deps
from orchestrator.storage.connections import ConnectionRow
from orchestrator.storage.workflows import WorkflowRow


def forecast(
    deps: Deps, found: ConnectionRow, row: WorkflowRow, *, concurrency: str, wave_size: int | None, count: int
) -> dict[str, Any]:
    """Say how the batch will go out, and about how long it takes at least."""
    widths = deps.provider(found.provider).capabilities.wave_widths
    single = wave_size == 1 or not widths
    width = min(found.max_concurrent, count) if single else widths[concurrency]
    known = Durations(count=row.durations_count, log_mean=row.durations_log_mean, log_var=row.durations_log_var)
    launches = count if single else math.ceil(count / (wave_size or planner.LARGEST_WAVE))
    by_slots_s = count * known.mean_s / max(width, 1)
    by_rate_s = (count + launches) * 60 / found.requests_per_minute
    return {
        "runs": count,
        "mode": "single launches" if single else "waves",
        "side_by_side": width,
        "requests_at_least": count + launches,
        "seconds_at_least": round(max(by_slots_s, by_rate_s), 1),
        "bound_by": "slots" if by_slots_s >= by_rate_s else "rate",
        "mean_s": round(known.mean_s, 2),
        "mean_is_a_guess": known.count == 0,
    }
