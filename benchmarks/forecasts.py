"""Measure how well finishes are foretold: `python -m benchmarks.forecasts [--batches 200] [--seed 1]`, one JSON line.

Each batch runs in virtual time on a workflow of its own pace, of which the product knows what it learned from an
earlier batch there. The forecast is the one that stands on every live batch: made when the batch begins, and again when
half of it was seen to end. What counts is in how many the last sight came before P50 and before P90.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from benchmarks import progress
from orchestrator.domain.durations import Durations
from orchestrator.domain.forecast import Bound, Work, forecast
from orchestrator.domain.governor import CallKind
from orchestrator.providers.script import ScriptProvider
from orchestrator.rehearsal.plays import Stage
from orchestrator.rehearsal.rehearse import rehearse
from orchestrator.rehearsal.virtual_launches import VirtualLaunches
from orchestrator.rehearsal.world import Batch, Pace, World

RATE = 100
#: Plays of each batch that is rehearsed.
PLAYS = 5
#: Batches between two words on how far it is.
TELL_EVERY = 20

LEVELS = ("low", "medium", "high", "single")

W = "w"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One batch: what was told of it at its begin and half way, and what came."""

    kind: str
    world: World
    begin: Work
    half: Work
    took_s: float
    took_from_half_s: float
    requests: int


def main(argv: list[str] | None = None) -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts", description=__doc__)
    parser.add_argument("--batches", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all chance (default: %(default)s)")
    parser.add_argument("--rehearsed", type=int, default=0, help="rehearse so many of them (default: none)")
    given = parser.parse_args(argv)
    print(json.dumps(measure(given.batches, given.seed, rehearsed=given.rehearsed)), flush=True)
    return 0


def measure(batches: int, seed: int, *, rehearsed: int) -> dict[str, Any]:
    """Return the line of so many batches; the first of them are rehearsed besides."""
    began_at, cpu_before_s = time.perf_counter(), time.process_time()
    told = []
    for n in range(batches):
        if n % TELL_EVERY == 0:
            progress.say("forecasts", f"{n} of {batches} batches")
        told.append(play(n, seed))
    if rehearsed:
        progress.say("forecasts", f"rehearsing {rehearsed} of them")
    begin = [(forecast(t.begin), t.took_s) for t in told]
    spent = [t.requests / f.requests for t, (f, _) in zip(told, begin, strict=True)]
    return {
        "benchmark": "forecasts",
        "seed": seed,
        "batches": batches,
        "begin": figures([(f.p50_s, f.p90_s, took_s) for f, took_s in begin]),
        "half": figures([(f.p50_s, f.p90_s, t.took_from_half_s) for t in told for f in [forecast(t.half)]]),
        "rehearsed": figures([rehearsed_ends(t) for t in told[:rehearsed]]) if rehearsed else None,
        "rehearsed_batches": rehearsed,
        "requests_over_told": round(_middle(spent), 3),
        "bound_by_rate": sum(f.bound_by is Bound.RATE for f, _ in begin),
        "took_s": round(time.perf_counter() - began_at, 2),
        "cpu_s": round(time.process_time() - cpu_before_s, 2),
    }


def figures(ends: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Return in what share of cases the end came before P50 and before P90, and how far off the middle was.

    Args:
        ends: P50, P90, and what came, seconds.
    """
    return {
        "within_p50": round(sum(came_s <= p50_s for p50_s, _, came_s in ends) / len(ends), 3),
        "within_p90": round(sum(came_s <= p90_s for _, p90_s, came_s in ends) / len(ends), 3),
        "error_p50": round(_middle([abs(came_s / p50_s - 1) for p50_s, _, came_s in ends]), 3),
        "p90_over_p50": round(_middle([p90_s / p50_s for p50_s, p90_s, _ in ends]), 3),
    }


def rehearsed_ends(told: Told) -> tuple[float, float, float]:
    """Rehearse a batch with what was known when it began; return P50, P90, and what came."""
    work = told.begin
    stage = Stage(
        runs=work.left,
        width=work.width,
        slot_limit=work.slot_limit,
        wave_size=1 if work.single else None,
        requests_per_minute=work.requests_per_minute,
        durations=work.durations,
        policy=work.policy,
    )
    found = rehearse(stage, plays=PLAYS)
    return found.finish_s(0.5), found.finish_s(0.9), told.took_s


def play(number: int, seed: int) -> Told:
    """Run one batch after an earlier one of its workflow, and compare."""
    draw = Random(f"{seed}:forecasts:{number}")
    pace = Pace(mean_s=_spread(draw, 3, 90), sigma=draw.uniform(0.3, 1.0))
    level = draw.choice(LEVELS)
    n, before = round(_spread(draw, 20, 600)), round(_spread(draw, 10, 60))
    batch = Batch(
        workflow=W,
        n=n,
        width=ScriptProvider.capabilities.wave_widths.get(level, 1),
        wave_size=1 if level == "single" else None,
    )
    earlier = World(
        workflows={W: pace}, rate_per_min=RATE, seed=seed * 10_000 + number, batches=(replace(batch, n=before),)
    )
    world = replace(earlier, seed=earlier.seed + 5_000, batches=(batch,), known={W: _known(earlier)})
    return _told(level, world, batch)


def _known(world: World) -> Durations:
    """Return what the product learns from a batch's looks."""
    engine = VirtualLaunches(world)
    engine.lane.time.run(until=lambda: engine.lane.left == 0)
    return engine.lane.workflows[W].durations


def _told(kind: str, world: World, batch: Batch) -> Told:
    engine = VirtualLaunches(world)
    lane = engine.lane
    begin = work(engine, batch)
    lane.time.run(until=lambda: lane.left <= batch.n // 2)
    half_s, half = lane.time.now_s, work(engine, batch)
    lane.time.run(until=lambda: lane.left == 0)
    took_s = lane.time.now_s
    return Told(
        kind=kind,
        world=world,
        begin=begin,
        half=half,
        took_s=took_s,
        took_from_half_s=took_s - half_s,
        requests=lane.sent[CallKind.LOOK] + lane.sent[CallKind.LAUNCH],
    )


def work(engine: VirtualLaunches, batch: Batch) -> Work:
    """Return what is left of the only batch, as the engine reads it from its tables."""
    lane = engine.lane
    workflow = lane.workflows[W]
    queued = sum(len(s.queued) for s in workflow.subjects) if workflow.subjects else 0
    if lane.time.now_s == 0.0:
        queued = batch.n
    single = batch.wave_size == 1
    return Work(
        queued=queued,
        running=lane.left - queued,
        width=workflow.slot_limit if single else batch.width,
        slot_limit=workflow.slot_limit,
        single=single,
        durations=workflow.durations,
        requests_per_minute=RATE,
        free=lane.lock().budget.free(lane.time.now),
        policy=lane.deps.poll_policy(workflow.poll),
    )


def _spread(draw: Random, low: float, high: float) -> float:
    """Draw a figure of any size between two alike."""
    return math.exp(draw.uniform(math.log(low), math.log(high)))


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    sys.exit(main())
