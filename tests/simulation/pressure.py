"""The limit under pressure: a backlog that uses all of the budget, jittery answers, workers that are killed.

How many requests arrive in any 60 s is counted at the provider; how much of the budget is used while work waits, too.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from orchestrator import runtime
from orchestrator.engine import pump
from tests.simulation import worker
from tests.simulation.ground import Ground
from tests.simulation.loop import VirtualLoop
from tests.simulation.making import make, standing_in
from tests.simulation.outcome import close, coarse_pumps
from tests.simulation.plan import BatchPlan, Plan
from tests.simulation.world import World

#: After a kill so much time is not judged: what the dead worker held is out until it is taken for dead, and a minute
#: more until its tokens are back.
AFTER_A_KILL_S = 120.0

WINDOW_S = 60.0

#: A backlog begins with all tokens at once. Each comes back a window after its answer, so the gaps of the first minute
#: come again and again, until jitter has spread them: in so many windows. What is used from then on hardly depends on
#: the seed; the windows between these two are judged by themselves, for chance has more of a say in them.
BEGUN_AFTER_WINDOWS, SETTLED_AFTER_WINDOWS = 2, 5

#: The product's own: here a token that lies idle counts.
RETRY_S = pump.RETRY_S

#: How long executions last, seconds, and how many may run at once: enough that the budget, not a slot, is short. From
#: one look for each launch to several.
_MIXES = ((1.0, 10), (20.0, 60), (60.0, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """What a world under pressure showed.

    Args:
        worst: the most arrivals in any 60 s.
        used: the share of the budget that was used while work waited, once the beginning was over, outside the two
            minutes after a kill.
        used_before: the same of the windows before that, from the second on.
        judged_s: for how long `used` was judged, virtual seconds.
    """

    seed: int
    workers: int
    latency_s: float
    kills: int
    requests: int
    limit: int
    worst: int
    used: float
    used_before: float
    judged_s: float
    bugs: tuple[str, ...]


def pressure_plan(seed: int, *, items: int, requests_per_minute: int = 100) -> Plan:
    """Return a world with one thing to do: launch singly and look, as fast as the limit lets it."""
    rng = Random(f"pressure:{seed}")
    duration_s, slots = rng.choice(_MIXES)
    minutes = items * 2.4 / requests_per_minute
    kills = max(1, int(minutes / 12))
    return Plan(
        seed=seed,
        workers=1 + seed % 8,
        requests_per_minute=requests_per_minute,
        max_concurrent=slots,
        options={"duration_s": duration_s, "duration_sigma": 0.3, "rate_window": "sliding"},
        on_doubt="hold",
        batches=(BatchPlan(at_s=0.0, items=items, level="medium", wave_size=1),),
        singles_at_s=(),
        # Of each of a request's two or three messages: the slowest makes requests of 0 to 9 s, 1.3 s on average.
        latency_s=(0.05, 0.15, 0.3)[seed % 3],
        interleave=rng.choice((0.0, 0.02)),
        rates={},
        provider_rate=0.0,
        spells_every_s=0.0,
        point_rate=0.0,
        kills_at_s=tuple(sorted(rng.uniform(120, max(minutes * 60, 240)) for _ in range(kills))),
        stops_at_s=(),
        freezes=(),
        database_away=(),
        provider_away=(),
        acts_every_s=1_000_000.0,
    )


def press(plan: Plan, ground: Ground) -> Pressure:
    """Let a world under pressure live, and count."""
    name = f"p{plan.seed}_{os.getpid()}"
    dsn = ground.create(name)
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _, __: None)
    try:
        world = loop.run_until_complete(_live(plan, dsn, loop))
        return _counted(world)
    finally:
        close(loop)
        ground.drop(name)


async def _live(plan: Plan, dsn: str, loop: VirtualLoop) -> World:
    world = await make(plan, dsn, loop)
    try:
        with standing_in(world), coarse_pumps(RETRY_S), brisk_tickers():
            await world.live()
            return world
    finally:
        world.end()


@contextmanager
def brisk_tickers() -> Iterator[None]:
    """Let workers look for work as often as the product's do: elsewhere they are slower, and here a late one counts."""
    before = worker.TICK_S, worker.LONGEST_IDLE_S
    worker.TICK_S = worker.LONGEST_IDLE_S = runtime.TICK_S
    try:
        yield
    finally:
        worker.TICK_S, worker.LONGEST_IDLE_S = before


def _counted(world: World) -> Pressure:
    log = world.provider.service.log.since(0, limit=10_000_000)
    arrivals = [entry.at for entry in log if entry.port == "api" and entry.kind != "other"]
    launches = [entry.at for entry in log if entry.kind == "launch"]
    limit = world.plan.requests_per_minute
    struck = [world.provider.epoch_s(at_s) for at_s in world.monkey.struck_at_s]
    begun, settled = (arrivals[0] + n * WINDOW_S for n in (BEGUN_AFTER_WINDOWS, SETTLED_AFTER_WINDOWS))
    before = _shares(arrivals, since=begun, until=min(settled, launches[-1]), struck=struck, limit=limit)
    after = _shares(arrivals, since=settled, until=launches[-1], struck=struck, limit=limit)
    return Pressure(
        seed=world.plan.seed,
        workers=world.plan.workers,
        latency_s=world.plan.latency_s,
        kills=len(struck),
        requests=len(arrivals),
        limit=limit,
        worst=max(bisect.bisect_left(arrivals, at + WINDOW_S) - n for n, at in enumerate(arrivals)),
        used=_mean(after),
        used_before=_mean(before),
        judged_s=float(len(after)),
        bugs=tuple(dict.fromkeys(world.bugs)),
    )


def _shares(
    arrivals: Sequence[float], *, since: float, until: float, struck: Sequence[float], limit: int
) -> list[float]:
    """Return the share of the budget of each judged window: one begins every second."""
    shares: list[float] = []
    at = since
    while at < until:
        is_judged = not any(kill <= at <= kill + AFTER_A_KILL_S + WINDOW_S for kill in struck)
        if is_judged:
            count = bisect.bisect_left(arrivals, at) - bisect.bisect_left(arrivals, at - WINDOW_S)
            shares.append(count / limit)
        at += 1.0
    return shares


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 0.0
