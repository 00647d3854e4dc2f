"""One play of a batch in virtual time: the product's own way through it, or plain backoff's, and what came of it.

How long executions take is drawn from what was learned of the workflow. A play stands for one share of all that may
come: the mean duration is that share's, the single ones lie around it as evenly as they can. So a few plays tell as
much of the middle and the bad end as a hundred that are left to chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.forecast import Rival, Work, expected_pace
from orchestrator.domain.pace import Lognormal
from orchestrator.rehearsal.arrivals import LATE_S
from orchestrator.rehearsal.model_provider import Execution
from orchestrator.rehearsal.plain_client import ExponentialBackoff, PlainClient
from orchestrator.rehearsal.virtual_launches import VirtualLaunches
from orchestrator.rehearsal.world import Batch, Outage, Pace, World

#: The workflow that is rehearsed, and the place of its batch among those of the world.
OURS, OUR_PART = "ours", 0

#: A result's URL lives so long from the end of its execution on, in the harder of the two readings of its page.
URL_LIFE_S = 3600.0

#: What is assumed of other work on the key, of which only the mean is told.
OTHERS_SIGMA, OTHERS_WIDTH = 0.6, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a batch meets: the same figures that its forecast is made of, and outages besides.

    Args:
        wave_size: as asked for; 1 launches each run by itself.
        outages: seconds from the start.
    """

    runs: int
    width: int
    slot_limit: int
    wave_size: int | None
    requests_per_minute: int
    durations: Durations
    policy: PollPolicy
    rivals: tuple[Rival, ...] = ()
    outages: tuple[Outage, ...] = ()
    seed: int = 1

    @property
    def work(self) -> Work:
        """The batch as its forecast takes it."""
        return Work(
            queued=self.runs,
            width=self.width,
            slot_limit=self.slot_limit,
            single=self.wave_size == 1,
            durations=self.durations,
            requests_per_minute=self.requests_per_minute,
            policy=self.policy,
            rivals=self.rivals,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What came of a play. `delays_s`: from each end to its sight, in order of size."""

    finish_s: float
    looks: int
    launches: int
    delays_s: tuple[float, ...]
    executions: tuple[Execution, ...]

    @property
    def at_risk(self) -> int:
        """Results that were seen so late that hardly any time was left to fetch them."""
        return sum(delay_s > LATE_S for delay_s in self.delays_s)

    @property
    def dead(self) -> int:
        """Results whose URL may have died before anybody saw them."""
        return sum(delay_s > URL_LIFE_S for delay_s in self.delays_s)


def world_of(stage: Stage, *, share: float) -> World:
    """Return the world of a play.

    Args:
        share: in (0, 1): how many of all worlds that may come take less work than this one.
    """
    others = {f"other{n}": rival for n, rival in enumerate(stage.rivals) if not rival.shares_slots}
    ours = sum(rival.runs for rival in stage.rivals if rival.shares_slots) + stage.runs
    pace, error = expected_pace(stage.durations)
    luck = math.sqrt(math.expm1(pace.log_sd**2) / ours)
    mean_s = pace.mean_s * math.exp(NormalDist().inv_cdf(share) * math.hypot(error, luck))
    batches = [Batch(workflow=OURS, n=stage.runs, width=stage.width, wave_size=stage.wave_size)]
    batches += [Batch(workflow=OURS, n=r.runs, width=OTHERS_WIDTH) for r in stage.rivals if r.shares_slots]
    batches += [Batch(workflow=name, n=r.runs, width=OTHERS_WIDTH) for name, r in others.items()]
    return World(
        workflows={OURS: Pace(mean_s=mean_s, sigma=pace.log_sd)}
        | {name: Pace(mean_s=r.mean_s, sigma=OTHERS_SIGMA) for name, r in others.items()},
        rate_per_min=stage.requests_per_minute,
        seed=stage.seed,
        batches=tuple(batches),
        outages=stage.outages,
        known={OURS: stage.durations} | {name: _known(r.mean_s) for name, r in others.items()},
        polls={OURS: stage.policy},
        drawn={OURS: _drawn(pace, mean_s, ours, Random(f"{stage.seed}:drawn:{share}"))},
        max_concurrent={OURS: stage.slot_limit},
    )


def play(world: World) -> Play:
    """Play the product's way."""
    engine = VirtualLaunches(world)
    lane = engine.lane
    ours = _ours(a.executions for a in engine.submitted if a.part == OUR_PART)
    lane.time.run(until=_all_seen(ours))
    return _play(ours, looks=lane.looked[OUR_PART], launches=lane.launched[OUR_PART])


def play_backoff(world: World) -> Play:
    """Play what plain exponential backoff would have done in the same world, outages too.

    Raises:
        NeverEnds: it was not done in months.
    """
    client = PlainClient(world, ExponentialBackoff(), outages=world.outages)
    ours = _ours(a.executions for a in client.submitted if a.part == OUR_PART)
    client.run(until=_all_seen(ours))
    return _play(ours, looks=client.looked[OUR_PART], launches=client.launched[OUR_PART])


def _ours(found: Iterable[tuple[Execution, ...]]) -> tuple[Execution, ...]:
    return next(iter(found))


def _all_seen(executions: Sequence[Execution]) -> Callable[[], bool]:
    """Return what tells whether all were seen; each is asked until it was, and then no more."""
    waiting = list(executions)

    def are_seen() -> bool:
        while waiting and waiting[-1].seen_s is not None:
            waiting.pop()
        return not waiting

    return are_seen


def _play(ours: tuple[Execution, ...], *, looks: int, launches: int) -> Play:
    return Play(
        finish_s=max(e.seen_s or 0.0 for e in ours),
        looks=looks,
        launches=launches,
        delays_s=tuple(sorted((e.seen_s or 0.0) - (e.ended_s or 0.0) for e in ours)),
        executions=ours,
    )


def _drawn(pace: Lognormal, mean_s: float, count: int, draw: Random) -> tuple[float, ...]:
    """Return durations that lie as evenly as they can, in an order of chance, and have this very mean."""
    normal = NormalDist()
    found = [math.exp(pace.log_sd * normal.inv_cdf((n + draw.random()) / count)) for n in range(count)]
    draw.shuffle(found)
    scale = mean_s * count / sum(found)
    return tuple(scale * one for one in found)


def _known(mean_s: float) -> Durations:
    """Return what the product knows of other work: it has run for a while."""
    return Durations(count=50, log_mean=math.log(mean_s) - OTHERS_SIGMA**2 / 2, log_var=OTHERS_SIGMA**2)
