"""What a seed means: one world's size, its provider's habits, its load, and everything that goes wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

#: Of so many seeds one, with this rest, is a world of waves: elsewhere launches of whole waves are few.
WAVE_WORLDS_EVERY = 4
WAVE_WORLDS_REST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """A batch to submit. `wave_size` 1 launches singly."""

    at_s: float
    items: int
    level: str
    wave_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Something that is away from `at_s` on, for `seconds`."""

    at_s: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One world. Times are seconds from its beginning.

    Args:
        strain: how many faults a lifecycle meets on average, about.
        point_rate: the chance of a worker to die, or to be frozen, at each fault point that it reaches.
        interleave: the chance of a transaction to let others run between its statements.
        share_under_fire: of the runs, that are to end before the faults stop.
    """

    seed: int
    workers: int
    requests_per_minute: int
    max_concurrent: int
    options: Mapping[str, Any]
    on_doubt: str
    batches: tuple[BatchPlan, ...]
    singles_at_s: tuple[float, ...]
    latency_s: float
    interleave: float
    rates: Mapping[str, float]
    provider_rate: float
    spells_every_s: float
    point_rate: float
    kills_at_s: tuple[float, ...]
    stops_at_s: tuple[float, ...]
    freezes: tuple[Outage, ...]
    database_away: tuple[Outage, ...]
    provider_away: tuple[Outage, ...]
    acts_every_s: float
    share_under_fire: float = 0.0

    @property
    def lifecycles(self) -> int:
        """How many runs there will be."""
        return sum(b.items for b in self.batches) + len(self.singles_at_s)


def plan_of(seed: int, *, size: int = 300, strain: float = 3.0, hot: bool = False) -> Plan:
    """Return the world that a seed means.

    Args:
        size: about how many runs.
        strain: faults per run that are aimed at; 0 for a world without any.
        hot: strike the database and the processes several times as often, and what is outside no more than usual.
    """
    plan = _mixed(seed, size=size, strain=strain)
    plan = _hotter(plan) if hot else plan
    return _of_waves(plan, size=size, hot=hot) if seed % WAVE_WORLDS_EVERY == WAVE_WORLDS_REST else plan


def _hotter(plan: Plan) -> Plan:
    """Return the same world with more faults inside.

    Where most launches are lost the breaker stays open, and a world under fire stands still instead of burning; what
    fails inside is met with every statement.
    """
    heat = plan.provider_rate / 0.18
    outside = min(heat, 1.0)
    rates = {
        **{where: rate / heat * outside if where.startswith("net.") else rate for where, rate in plan.rates.items()},
        "db.connect": min(0.02 * heat, 0.3),
        "db.statement": 0.008 * heat,
        "db.commit": 0.03 * heat,
    }
    return replace(plan, rates=rates, provider_rate=0.18 * outside, point_rate=0.004 * heat)


def _mixed(seed: int, *, size: int, strain: float) -> Plan:
    """Return a world with a little of everything."""
    rng = Random(f"plan:{seed}")
    rate = rng.choice((100, 300, 600, 600))
    singles = rng.randrange(size // 5, size // 3 + 1)
    length_s = rng.choice((120.0, 300.0, 900.0))
    heat = strain / 3.0 * rng.choice((0.7, 1.0, 1.3, 2.0))
    return Plan(
        seed=seed,
        workers=rng.choice((1, 2, 2, 3, 3, 4, 8)),
        requests_per_minute=rate,
        # A doubt keeps its slot for a quarter of an hour: with few of them a world under fire soon stands still.
        max_concurrent=rng.choice((100, 30, 10, 3)),
        options=_options(rng),
        on_doubt=rng.choice(("hold", "hold", "hold", "relaunch", "fail")),
        batches=_batches(rng, size - singles, length_s),
        singles_at_s=tuple(sorted(rng.uniform(0, length_s) for _ in range(singles))),
        latency_s=rng.choice((0.05, 0.2, 1.0)),
        interleave=rng.choice((0.0, 0.02, 0.1)),
        rates={
            # There are many statements for each request, and most are of workers that look for work.
            "db.connect": min(0.01 * heat, 0.3),
            "db.statement": 0.002 * heat,
            "db.commit": 0.01 * heat,
            "net.resolve": 0.02 * heat,
            "net.connect": 0.05 * heat,
            "net.request": 0.04 * heat,
            "net.answer": 0.05 * heat,
            "store.put": 0.20 * heat,
        },
        provider_rate=0.18 * heat,
        spells_every_s=rng.choice((0.0, 120.0, 600.0)) if heat else 0.0,
        point_rate=0.003 * heat,
        kills_at_s=_moments(rng, length_s, 2.0 * heat),
        stops_at_s=_moments(rng, length_s, 1.0 * heat),
        freezes=_outages(rng, length_s, 1.0 * heat, (3.0, 14.0, 25.0, 60.0, 600.0)),
        database_away=_outages(rng, length_s, 1.5 * heat, (0.5, 3.0, 20.0, 90.0)),
        provider_away=_outages(rng, length_s, 0.7 * heat, (2.0, 30.0, 300.0, 2_700.0)),
        acts_every_s=rng.choice((20.0, 60.0, 1_000_000.0)),
        share_under_fire=rng.choice((0.8, 0.9, 1.0)) if heat else 0.0,
    )


def _of_waves(plan: Plan, *, size: int, hot: bool) -> Plan:
    """Return the same world with many small waves and little else, so that every fault of theirs meets some."""
    rng = Random(f"waves:{plan.seed}")
    batches: list[BatchPlan] = []
    while (left := size - sum(b.items for b in batches)) > 0:
        items, wave_size = min(left, rng.choice((12, 24))), rng.choice((2, 2, 3, 4))
        batches.append(BatchPlan(at_s=rng.uniform(0, 300), items=items, level="medium", wave_size=wave_size))
    return replace(
        plan,
        # What a doubt holds is missing to the next wave; a wave that is launched again is one more.
        max_concurrent=100,
        on_doubt=rng.choice(("relaunch", "relaunch", "hold")),
        options={**plan.options, "duration_s": 2.0, "human_share": 0.0},
        batches=tuple(sorted(batches, key=lambda b: b.at_s)),
        singles_at_s=(),
        # A launch that does not get as far as the provider is struck by none of its faults.
        rates={where: rate / (2 if hot and where.startswith("db.") else 5) for where, rate in plan.rates.items()},
        provider_away=(),
        spells_every_s=0.0,
        acts_every_s=20.0,
    )


def _options(rng: Random) -> dict[str, Any]:
    """Choose the provider's habits, among them every reading of what its page leaves open."""
    return {
        "duration_s": rng.choice((2.0, 10.0, 60.0)),
        "duration_sigma": rng.choice((0.0, 0.5, 1.0)),
        "error_share": rng.choice((0.0, 0.1)),
        "human_share": rng.choice((0.0, 0.0, 0.1)),
        "approve_after_s": rng.choice((30.0, 900.0)),
        "over_concurrent": rng.choice(("queue", "refuse")),
        "high_width": rng.choice(("capped", "exceeds")),
        "batch_order": rng.choice(("index", "index", "random")),
        "url_hour": rng.choice(("look", "look", "end")),
        "refused_count": rng.choice((False, True)),
        "downloads_count": False,
        "retry_after": rng.choice(("none", "seconds", "date")),
        "rate_window": "sliding",
        "results_before_end": rng.choice(("null", "absent")),
        "extra_fields": rng.choice((False, True)),
        "human_holds_slot": rng.choice((False, True)),
    }


def _batches(rng: Random, items: int, length_s: float) -> tuple[BatchPlan, ...]:
    batches: list[BatchPlan] = []
    while items > 0:
        count = min(items, rng.choice((3, 12, 40, 80)))
        items -= count
        batches.append(
            BatchPlan(
                at_s=rng.uniform(0, length_s / 2),
                items=count,
                level=rng.choice(("low", "medium", "medium", "high")),
                wave_size=rng.choice((None, None, 1, 5)),
            )
        )
    return tuple(sorted(batches, key=lambda b: b.at_s))


def _moments(rng: Random, length_s: float, mean: float) -> tuple[float, ...]:
    """Return about so many moments of the world's busy time."""
    count = int(mean) + (rng.random() < mean - int(mean))
    return tuple(sorted(rng.uniform(0, length_s * 1.5) for _ in range(count)))


def _outages(rng: Random, length_s: float, mean: float, lengths_s: tuple[float, ...]) -> tuple[Outage, ...]:
    return tuple(Outage(at_s=at_s, seconds=rng.choice(lengths_s)) for at_s in _moments(rng, length_s, mean))
