"""Measure how the product polls: `python -m benchmarks.polling [--world FILE.json]`, one JSON line a world.

Virtual time: hours of a provider's life take seconds, and the same world gives the same line. The figures of the
product stand first, beside them those of two plain ways of polling on the same provider and the same limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from benchmarks import baselines, product_play, progress
from benchmarks.world import BadWorld, built_in, load
from orchestrator.rehearsal.plain_client import Choice, ExponentialBackoff
from orchestrator.rehearsal.timeline import NeverEnds
from orchestrator.rehearsal.world import World


def main(argv: list[str] | None = None) -> int:
    """Measure one world, or all that come along; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polling", description=__doc__)
    parser.add_argument("--world", type=Path, metavar="FILE.json", help="a world; without it, all of benchmarks/worlds")
    cores = len(psutil.Process().cpu_affinity() or [0])
    parser.add_argument("--jobs", type=int, default=cores, help="worlds at a time (default: one a core, %(default)s)")
    given = parser.parse_args(argv)
    if given.jobs < 1:
        parser.error("--jobs is at least 1")
    try:
        worlds = [load(given.world)] if given.world else built_in()
    except BadWorld as bad:
        sys.stderr.write(f"polling: {bad}\n")
        return 2
    progress.say("polling", f"{len(worlds)} worlds, {min(given.jobs, len(worlds))} at a time")
    for n, line in enumerate(_measured(worlds, jobs=min(given.jobs, len(worlds))), 1):
        print(json.dumps(line), flush=True)
        progress.say("polling", f"{n} of {len(worlds)}: {line['world']}")
    return 0


def _measured(worlds: Sequence[World], *, jobs: int) -> Iterator[dict[str, Any]]:
    """Give the lines in the order of their worlds, however many are measured at a time."""
    if jobs == 1:
        yield from map(measure, worlds)
        return
    # Started anew: a fork would take threads of the caller along.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measure, worlds)


def measure(world: World) -> dict[str, Any]:
    """Return the line of one world."""
    began_at = time.perf_counter()
    product, in_turn = product_play.measure(world), _baseline(world, baselines.RoundRobin())
    if world.batches and "makespan_s" in in_turn:
        # Round robin launches each batch whole, and looks at no more than it must.
        product["makespan_over_one_wave"] = round(product["makespan_s"] / in_turn["makespan_s"], 4)
    return {
        "benchmark": "polling",
        "world": world.name,
        "seed": world.seed,
        "rate_per_min": world.rate_per_min,
        "url_hour": world.url_hour,
        "executions": world.executions,
        **product,
        "round_robin": in_turn,
        "exponential_backoff": _baseline(world, ExponentialBackoff()),
        "took_s": round(time.perf_counter() - began_at, 2),
    }


def _baseline(world: World, choice: Choice) -> dict[str, Any]:
    try:
        return dict(baselines.measure(world, choice))
    except NeverEnds as endless:
        return {"failed": str(endless)}


if __name__ == "__main__":
    sys.exit(main())
