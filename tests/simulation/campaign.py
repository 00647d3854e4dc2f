"""Many worlds, side by side in processes, added up: what the guarantees' figures are made of."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.simulation.faults import BOUNDARIES
from tests.simulation.ground import Ground, ground
from tests.simulation.outcome import Outcome, live_through, silence
from tests.simulation.plan import Plan, plan_of
from tests.simulation.pressure import Pressure, press, pressure_plan
from tests.simulation.provider_faults import boundaries as provider_boundaries

_base: Ground | None = None

#: What has a boundary of its own; every other fault strikes a process, at a fault point or anywhere.
_FAMILIES = ("db", "database", "net", "store", "provider")


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What to run.

    Args:
        seeds: these first; then one after the other from `first_seed` on, until one of the limits is reached.
        lifecycles: so many runs at least; 0: no such limit.
        budget_s: no world is begun after so many real seconds; None: no such limit.
    """

    seeds: Sequence[int] = ()
    first_seed: int | None = None
    lifecycles: int = 0
    budget_s: float | None = None
    jobs: int = 1
    size: int = 300
    strain: float = 3.0
    hot: bool = False
    stops_at_breach: bool = False

    def plan(self, seed: int) -> Plan:
        """Return the world of a seed."""
        return plan_of(seed, size=self.size, strain=self.strain, hot=self.hot)


@dataclass
class Tally:
    """The sum of many worlds."""

    worlds: int = 0
    lifecycles: int = 0
    requests: int = 0
    doubts: int = 0
    virtual_s: float = 0.0
    took_s: float = 0.0
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    requests_before_heal: int = 0
    ended_before_heal: int = 0
    faults_before_heal: int = 0
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one world."""
        self.worlds += 1
        self.lifecycles += outcome.lifecycles
        self.requests += outcome.requests
        self.doubts += outcome.doubts
        self.virtual_s += outcome.virtual_s
        self.took_s += outcome.took_s
        self.hits += outcome.hits
        self.requests_before_heal += outcome.requests_before_heal
        self.ended_before_heal += outcome.ended_before_heal
        self.faults_before_heal += outcome.faults_before_heal
        self.statuses += Counter(outcome.statuses)
        if not outcome.is_well:
            self.failed.append(outcome)

    def as_document(self) -> dict[str, Any]:
        """Return the figures."""
        faults = sum(self.hits.values())
        return {
            "worlds": self.worlds,
            "lifecycles": self.lifecycles,
            "faults": faults,
            "faults_per_lifecycle": round(faults / self.lifecycles, 2) if self.lifecycles else 0.0,
            "faults_by_family": dict(families(self.hits).most_common()),
            "faults_before_heal": self.faults_before_heal,
            "requests": self.requests,
            "requests_before_heal": self.requests_before_heal,
            "ended_before_heal": self.ended_before_heal,
            "doubts": self.doubts,
            "virtual_hours": round(self.virtual_s / 3600, 1),
            "cpu_hours": round(self.took_s / 3600, 2),
            "statuses": dict(sorted(self.statuses.items())),
            "failed_seeds": [outcome.seed for outcome in self.failed],
            "cells": len(cells()),
            "cells_hit": sum(self.hits[cell] > 0 for cell in cells()),
        }


def cells() -> list[tuple[str, str]]:
    """Return every fault at every boundary: the cells of the coverage table."""
    from orchestrator.faultpoints import Point

    found = [(boundary, name) for boundary, names in BOUNDARIES.items() for name in names]
    found += [(boundary, name) for boundary, names in provider_boundaries().items() for name in names]
    found += [(str(point), "killed") for point in Point]
    found += [("process", name) for name in ("killed", "stopped", "frozen")]
    return [*found, ("database", "away"), ("provider", "away")]


def families(hits: Counter[tuple[str, str]]) -> Counter[str]:
    """Return how many faults struck the database, the network, the store, the provider, and processes."""
    found: Counter[str] = Counter()
    for (boundary, _), count_ in hits.items():
        family = boundary.partition(".")[0]
        found[family if family in _FAMILIES else "process"] += count_
    return found


def run(campaign: Campaign) -> Iterator[Outcome]:
    """Run the worlds; yield each outcome as it comes."""
    with _standing():
        if campaign.jobs == 1:
            silence()
            for seed in _seeds(campaign):
                yield _live(seed, campaign)
        else:
            yield from _side_by_side(campaign)


#: What the vendor's page says, requests a minute; and the share of it that must be used while work waits.
DOCUMENTED_LIMIT = 100
LEAST_USED = 0.95

#: Requests a minute in a campaign under pressure, world after world.
PRESSURE_LIMITS = (100, 600, 300)


def pressures(seeds: Sequence[int], *, items: int, requests: int, jobs: int) -> Iterator[Pressure]:
    """Press on the limit in one world for each seed, then in further ones until so many requests were counted."""
    with _standing():
        if not requests:
            silence()
            for seed in seeds:
                yield _press(pressure_plan(seed, items=items))
            return
        worlds = -(-requests // (items * 2))
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=silence) as pool:
            # The documented limit in every third three of worlds, one for each latency; a limit turned up makes more
            # requests of an hour.
            limits = (PRESSURE_LIMITS[n // 3 % len(PRESSURE_LIMITS)] for n in range(worlds))
            plans = [pressure_plan(seeds[0] + n, items=items, requests_per_minute=r) for n, r in enumerate(limits)]
            yield from pool.map(_press, plans)


def _side_by_side(campaign: Campaign) -> Iterator[Outcome]:
    context = multiprocessing.get_context("fork")
    seeds = _seeds(campaign)
    with ProcessPoolExecutor(campaign.jobs, mp_context=context, initializer=silence) as pool:
        running: set[Future[Outcome]] = set()
        lifecycles = 0
        is_over = False
        while running or not is_over:
            while not is_over and len(running) < campaign.jobs + 1:
                seed = next(seeds, None)
                is_over = seed is None
                if seed is not None:
                    running.add(pool.submit(_live, seed, campaign))
                    lifecycles += campaign.plan(seed).lifecycles
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


@contextmanager
def _standing() -> Iterator[Ground]:
    """Start the cluster; processes that are forked off find it where their parent left it."""
    global _base
    with ground() as _base:
        yield _base


def _live(seed: int, campaign: Campaign) -> Outcome:
    assert _base is not None, "worlds need ground"
    plan = campaign.plan(seed)
    try:
        return live_through(plan, _base, stops_at_breach=campaign.stops_at_breach)
    except Exception as error:  # one broken world is a finding, and must not cost what the others found
        return Outcome.of_crash(plan, error)


def _press(plan: Plan) -> Pressure:
    assert _base is not None, "worlds need ground"
    return press(plan, _base)


def _seeds(campaign: Campaign) -> Iterator[int]:
    """Yield the seeds in order, until a limit is reached."""
    yield from campaign.seeds
    if campaign.first_seed is None:
        return
    began = time.monotonic()
    lifecycles = sum(campaign.plan(s).lifecycles for s in campaign.seeds)
    for seed in count(campaign.first_seed):
        if campaign.lifecycles and lifecycles >= campaign.lifecycles:
            return
        if campaign.budget_s is not None and time.monotonic() - began > campaign.budget_s:
            return
        lifecycles += campaign.plan(seed).lifecycles
        yield seed


def as_line(outcome: Outcome) -> str:
    """Return one world's outcome in a line."""
    faults = sum(outcome.hits.values())
    verdict = "ok" if outcome.is_well else "BROKEN " + json.dumps(outcome.broken | {"bugs": outcome.bugs})[:1500]
    return (
        f"seed {outcome.seed}: {outcome.lifecycles} runs, {faults} faults, {outcome.doubts} doubts,"
        f" {outcome.requests} requests (most in 60 s: {outcome.max_in_60_s}), {outcome.virtual_s / 60:.0f} virtual min"
        f" (before healing: {outcome.requests_before_heal} requests, {outcome.ended_before_heal} ends,"
        f" {outcome.faults_before_heal} faults of {' '.join(f'{f} {n}' for f, n in families(outcome.hits).items())})"
        f" in {outcome.took_s:.1f} s, digest {outcome.digest}: {verdict}"
    )
