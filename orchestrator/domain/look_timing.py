"""When to look at what is running: as soon as a look is worth its price on the lane.

The price is a market's. Each look pays what it was worth when it was made; the lane remembers about how much that was,
and the next looks are planned for when they are worth a little less. Where requests are short, all looks move apart
together, each kind by its own speed; where they are plenty, the price falls to nothing and the schedule's bounds rule:
no two looks at an execution closer than its first delay, none further apart than its cap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.domain.backoff import PollPolicy
from orchestrator.domain.durations import Durations
from orchestrator.domain.pace import Lognormal, Pace, Steady, wait_s

#: Looks are planned for when they are worth this share of what looks were worth lately: a little early, so that
#: requests are never left over while something could be looked at.
PRESSURE = 0.75

#: The lane's price follows each look by so much.
PRICE_STEP = 0.05

#: Two looks at an execution are at least this share of the mean apart: sooner is no use to anybody.
CLOSEST_SHARE = 1 / 20

#: A polite workflow is looked at first at this share of the mean, then in steps of that share: about three looks an
#: execution. Even steps, because whoever is polite wants no end to wait long, rather than the mean end to wait little.
POLITE_FIRST = 1 / 2
POLITE_STEP = 1 / 3

#: Looks at a single launch are made when they are worth this share of the mean, whatever others pay.
SINGLE_SHARE = 0.1

#: Executions that must have been seen before durations time the looks at single launches.
KNOWN_FROM = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveClock:
    """What a wave tells of when its items begin: how many it runs side by side, and how many are left of it."""

    width: int
    remaining: int
    in_order: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What times the looks at one execution.

    Args:
        policy: the workflow's schedule: it rules where nothing is known, and bounds the rest.
        durations: what was learned of the workflow.
        price_s: what a look must be worth on the lane now.
        late_s: how late its looks come, seconds.
        wave: of an item of a wave; None for a single launch.
    """

    policy: PollPolicy
    durations: Durations
    price_s: float = 0.0
    late_s: float = 0.0
    wave: WaveClock | None = None

    def first_s(self) -> float:
        """Return how long after its beginning to look at an execution for the first time, seconds."""
        if self._keeps_schedule:
            return self.policy.initial_s
        return self._wait_s(self._pace(waits=False), alive_at_s=0.0)

    def next_s(self, age_s: float, *, waits: bool, unit: float) -> float:
        """Return how long after a look to look again, seconds.

        Args:
            age_s: seconds since the execution could have begun, at the look.
            waits: it had not begun.
            unit: a number in [0, 1), the caller's randomness, for the schedule; by worth no two looks march in step.
        """
        if self._keeps_schedule:
            return self.policy.delay(age_s=age_s, unit=unit).total_seconds()
        return self._wait_s(self._pace(waits=waits), alive_at_s=0.0 if waits else age_s)

    def worth_s(self, alive_at_s: float, elapsed_s: float, *, waited: bool) -> float:
        """Return what a look was worth, so long after one that saw the execution alive (or waiting) at an age."""
        return self._pace(waits=waited).worth_s(0.0 if waited else alive_at_s, elapsed_s)

    @property
    def pace(self) -> Lognormal:
        """How long executions take, by all that is known."""
        return self.durations.pace

    @property
    def _keeps_schedule(self) -> bool:
        return self.wave is None and self.durations.count < KNOWN_FROM

    def _pace(self, *, waits: bool) -> Pace:
        if self.wave is None or self.wave.in_order:
            return self.pace
        # Nobody knows when it began: it ends at a steady rate once it runs, and begins at the rate of the wave's ends.
        mean_s = self.pace.mean_s
        runs = Steady(rate_per_s=1 / mean_s)
        return Steady(rate_per_s=self.wave.width / (mean_s * max(self.wave.remaining, 1))) if waits else runs

    def _wait_s(self, pace: Pace, *, alive_at_s: float) -> float:
        policy, mean_s = self.policy, self.pace.mean_s
        polite_s = policy.polite * mean_s * (POLITE_STEP if alive_at_s > 0.0 else POLITE_FIRST)
        closest_s = min(max(policy.initial_s, mean_s * CLOSEST_SHARE, polite_s), policy.cap_s)
        price_s = min(self.price_s * PRESSURE, self._most_s)
        # By then nearly all have ended, whatever a look costs.
        longest_s = min(policy.cap_s, self.pace.nearly_all_s) if alive_at_s <= 0.0 else policy.cap_s
        wait = max(wait_s(pace, alive_at_s=alive_at_s, worth_s=price_s, longest_s=longest_s), closest_s)
        # A single run asks early for what comes late, so that the items of others' waves do not hold it up.
        ahead_s = max(self.late_s - wait / 2, 0.0) if self.wave is None else 0.0
        return max(wait - ahead_s, min(wait, closest_s))

    @property
    def _most_s(self) -> float:
        """What a look at a single run may cost at most: somebody waits for it. Waves wait for each other."""
        return math.inf if self.wave is not None else SINGLE_SHARE * self.pace.mean_s


class Priced(Protocol):
    """Something that was worth a look; None: a look that was not the lane's choice."""

    @property
    def worth_s(self) -> float | None: ...


def asked_price_s(price_s: float, *, free: int, limit: int) -> float:
    """Return what a look must be worth now: less than it was lately where requests are left over."""
    return price_s * (1.0 - min(max(free / limit, 0.0), 1.0))


def late_after(late_s: float, looks_late_s: Sequence[float]) -> float:
    """Return how late a lane's looks come, after some that came so late."""
    for one_s in looks_late_s:
        late_s += PRICE_STEP * (max(one_s, 0.0) - late_s)
    return late_s


def price_after(price_s: float, looks: Sequence[Priced]) -> float:
    """Return a lane's price after some looks."""
    for look in looks:
        if look.worth_s is not None:
            price_s += PRICE_STEP * (min(look.worth_s, 3600.0) - price_s)
    return price_s
