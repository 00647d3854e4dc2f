"""Measure how many live jobs are observed by list: `python -m benchmarks.observing`, one JSON line.

Virtual time, with the product's own decisions (`orchestrator/domain/listing.py`, its budget, what it learns). So many
jobs are alive at any time, each that ends is followed by another at once, and other programs' jobs stand in the same
lists; who launched them, and on what budget, is left out. One by one, each
finished job takes a request at least.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from benchmarks import progress
from orchestrator.domain import listing
from orchestrator.domain.answers import ExecutionPage, ListAsk, Listed, Observation, RemoteStatus, Standing
from orchestrator.domain.durations import Durations
from orchestrator.domain.governor import Budget, CallKind
from orchestrator.domain.listing import Sought, Walk
from orchestrator.rehearsal.timeline import EPOCH, seconds

PAGE_ITEMS = 200
LATENCY_S = 0.3

LIVE = Observation(status=RemoteStatus.RUNNING, word="RUNNING")
DONE = Observation(status=RemoteStatus.FINISHED, word="DONE", files=())


@dataclass(slots=True, kw_only=True)
class Job:
    """A job at the provider; times are seconds of virtual time."""

    id: str
    is_ours: bool
    made_s: float
    ends_s: float
    looked_s: float


class Place:
    """The provider: so many jobs of ours are alive, and beside them those of others."""

    def __init__(self, *, live: int, mean_s: float, sigma: float, others: float, seed: int) -> None:
        self._random = Random(seed)
        self._numbers = itertools.count()
        self._mean_s, self._sigma = mean_s, sigma
        #: The newest last. What ended long ago is forgotten: nobody asks for it any more.
        self.jobs: list[Job] = []
        self.alive: list[Job] = []
        for n in range(round(live * (1 + others))):
            self._make(-self._random.random() * mean_s, is_ours=n < live)

    def turn(self, now_s: float) -> None:
        """Let pass what has happened by now: each job that ends is followed by one of the same owner."""
        while ended := [job for job in self.alive if job.ends_s <= now_s]:
            self.alive = [job for job in self.alive if job.ends_s > now_s]
            for job in ended:
                self._make(job.ends_s, is_ours=job.is_ours)
        self.jobs.sort(key=lambda job: job.made_s)

    def page(self, ask: ListAsk, *, now_s: float) -> ExecutionPage:
        """Answer as the API does: newest first, by a cursor that stands at a job."""
        self.turn(now_s)
        since_s = seconds(ask.since) if ask.since else -math.inf
        until_s = seconds(ask.until) if ask.until else math.inf
        before_s = float(ask.cursor) if ask.cursor is not None else math.inf
        found = (
            job
            for job in reversed(self.jobs)
            if since_s <= job.made_s <= until_s
            and job.made_s < before_s
            and (job.ends_s > now_s) == (ask.standing is Standing.LIVE)
        )
        shown = list(itertools.islice(found, PAGE_ITEMS + 1))
        listed = tuple(
            Listed(execution_id=job.id, workflow_id="w", created_at=None, seen=LIVE if job.ends_s > now_s else DONE)
            for job in shown[:PAGE_ITEMS]
        )
        return ExecutionPage(
            executions=listed, cursor=repr(shown[PAGE_ITEMS - 1].made_s) if len(shown) > PAGE_ITEMS else None
        )

    def forget(self, before_s: float) -> None:
        """Forget what ended before a time."""
        self.jobs = [job for job in self.jobs if job.ends_s >= before_s]

    def _make(self, at_s: float, *, is_ours: bool) -> None:
        mu = math.log(self._mean_s) - self._sigma**2 / 2
        lasts_s = self._random.lognormvariate(mu, self._sigma)
        job = Job(id=f"job_{next(self._numbers)}", is_ours=is_ours, made_s=at_s, ends_s=at_s + lasts_s, looked_s=at_s)
        self.jobs.append(job)
        self.alive.append(job)


@dataclass(slots=True)
class Tally:
    """What observing took, and what it saw."""

    requests: int = 0
    lists: int = 0
    lags: list[float] = field(default_factory=list)


def by_list(place: Place, *, rate: int, finished: int, warm_s: float) -> dict[str, Any]:
    """Observe by list until so many were seen to end."""
    now_s, tally, durations = 0.0, Tally(), Durations()
    budget, began_s = Budget(limit=rate, in_flight={}), warm_s
    known: list[Job] = []
    newest_s = -math.inf
    while len(tally.lags) < finished:
        place.turn(now_s)
        known += [job for job in place.jobs if job.is_ours and job.made_s > newest_s]
        newest_s = place.jobs[-1].made_s
        most = listing.most_requests(len(known), page_items=PAGE_ITEMS, limit=rate)
        now = EPOCH + timedelta(seconds=now_s)
        granted = budget.grant(CallKind.LOOK, most, now=now)
        if granted < listing.least_requests(len(known), page_items=PAGE_ITEMS):
            now_s += 0.2
            continue
        walk = Walk([_sought(job) for job in known], most_requests=granted)
        while walk.ask is not None:
            now_s += LATENCY_S
            walk.take(place.page(walk.ask, now_s=now_s))
        alone = [job for job in known if job.id in walk.alone][: granted - walk.requests]
        now_s += LATENCY_S if alone else 0.0
        seen = {job.id: job.ends_s <= now_s for job in alone}
        seen |= {id: found is DONE for id, found in walk.seen.items()}
        requests = walk.requests + len(alone)
        budget = budget.spend(CallKind.LOOK, [0.0] * requests, now=EPOCH + timedelta(seconds=now_s))
        for job in known:
            if seen.get(job.id):
                durations = durations.learn_between(job.looked_s - job.made_s, now_s - job.made_s)
                if now_s > began_s:
                    tally.lags.append(now_s - job.ends_s)
            elif job.id in seen:
                job.looked_s = now_s
        if now_s > began_s:
            tally.requests += requests
            tally.lists += 1
        known = [job for job in known if not seen.get(job.id)]
        place.forget(min(job.made_s for job in known) - 2 * listing.SKEW.total_seconds())
        now_s += listing.next_list_s(requests, len(known), page_items=PAGE_ITEMS, limit=rate, mean_s=durations.mean_s)
    return _figures(tally, lasted_s=now_s - began_s)


def main(argv: list[str] | None = None) -> int:
    """Measure a world; print its line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.observing", description=__doc__)
    parser.add_argument("--live", type=int, default=1000, help="jobs of ours alive at any time (%(default)s)")
    parser.add_argument("--mean", type=float, default=60.0, help="how long a job lasts, seconds (%(default)s)")
    parser.add_argument("--sigma", type=float, default=0.5, help="deviation of ln(duration) (%(default)s)")
    parser.add_argument("--others", type=float, default=0.1, help="other programs' jobs for each of ours (%(default)s)")
    parser.add_argument("--rate", type=int, default=120, help="requests a minute (%(default)s)")
    parser.add_argument("--finished", type=int, default=10_000, help="jobs to see the end of (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(argv)
    world = {"live": given.live, "mean_s": given.mean, "sigma": given.sigma, "others": given.others, "seed": given.seed}
    asked = {"rate": given.rate, "finished": given.finished, "warm_s": 10 * given.mean}
    progress.say("observing", f"until {given.finished} jobs have ended")
    line = {
        "benchmark": "observing",
        **world,
        "rate_per_min": given.rate,
        **by_list(Place(**world), **asked),
    }
    print(json.dumps(line), flush=True)
    return 0


def _sought(job: Job) -> Sought:
    made_at = EPOCH + timedelta(seconds=job.made_s)
    return Sought(
        execution_id=job.id, workflow_id="w", sent_at=made_at, known_at=made_at + timedelta(seconds=LATENCY_S)
    )


def _figures(tally: Tally, *, lasted_s: float) -> dict[str, Any]:
    lags = sorted(tally.lags)
    return {
        "finished": len(lags),
        "requests_per_finished": round(tally.requests / len(lags), 4),
        "lag_p50_s": round(lags[len(lags) // 2], 1),
        "lag_p95_s": round(lags[int(len(lags) * 0.95)], 1),
        "lag_max_s": round(lags[-1], 1),
        "requests_per_min": round(tally.requests * 60 / lasted_s, 1),
    } | ({"list_every_s": round(lasted_s / tally.lists, 1)} if tally.lists else {})


if __name__ == "__main__":
    sys.exit(main())
