"""The steps of time on the charts: the bounds of the histogram, and how finely a span is cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.domain.report.figures import Slice
from orchestrator.domain.statuses import RunStatus

#: Upper bounds of the histogram's buckets, seconds; a bucket holds what took less than its bound, and at least the
#: one before.
BOUNDS_S: tuple[float, ...] = (
    *(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800),
    *(3600, 7200, 14400, 28800, 43200, 86400, 172800, 345600, 604800),
)
assert list(BOUNDS_S) == sorted(set(BOUNDS_S)), "bounds only grow"

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
#: Lengths of a step, seconds; the last stretches as far as needed.
STEPS_S = (MINUTE_S, 5 * MINUTE_S, 15 * MINUTE_S, HOUR_S, 3 * HOUR_S, DAY_S, 7 * DAY_S, 28 * DAY_S)
MAX_STEPS = 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One step of time, and the runs in it by status."""

    at: datetime
    counts: Mapping[RunStatus, int]


def step_for(span_s: float, *, least_s: int = MINUTE_S) -> int:
    """Return the shortest step, in seconds, that cuts a span into at most `MAX_STEPS`."""
    for step_s in STEPS_S:
        if step_s >= least_s and span_s / step_s < MAX_STEPS - 1:
            return step_s
    return STEPS_S[-1]


def bars(slices: Sequence[Slice], step_s: int) -> list[Bar]:
    """Return the steps from the first to the last, those in which nothing was included."""
    if not slices or not step_s:
        return []
    counts: dict[datetime, dict[RunStatus, int]] = {}
    for entry in slices:
        step = counts.setdefault(entry.at, {})
        step[entry.status] = step.get(entry.status, 0) + entry.runs
    first, last = min(counts), max(counts)
    # A span that is longer than planned (a clock was turned) shows its steps without the gaps.
    if (last - first).total_seconds() / step_s > 2 * MAX_STEPS:
        return [Bar(at=at, counts=counts[at]) for at in sorted(counts)]
    found, at = [], first
    while at <= last:
        found.append(Bar(at=at, counts=counts.get(at, {})))
        at += timedelta(seconds=step_s)
    return found


def histogram(durations: Mapping[float | None, int]) -> list[tuple[float | None, int]]:
    """Return the buckets from the first to the last that holds a run; None is beyond the last bound."""
    every: list[float | None] = [*BOUNDS_S, None]
    held = [n for n, bound in enumerate(every) if durations.get(bound)]
    if not held:
        return []
    return [(bound, durations.get(bound, 0)) for bound in every[held[0] : held[-1] + 1]]


def span(seconds: float) -> str:
    """Return a length of time in two units at most: `850 ms`, `4.2 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit_s, unit, below_s, below in ((DAY_S, "d", HOUR_S, "h"), (HOUR_S, "h", MINUTE_S, "min")):
        if whole >= unit_s:
            rest = whole % unit_s // below_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {below}" if rest else "")
    rest = whole % MINUTE_S
    return f"{whole // MINUTE_S} min" + (f" {rest} s" if rest else "")
