"""How likely an execution has ended by a time, and what a look at it is worth: the arithmetic behind every look.

What a look is *worth* is a price in seconds: the delay that one look must save to be made now. It grows from nothing
with the time since the last look, each kind of execution at its own speed: what has just begun rarely ends, what has
run long ends late. Looking where it is highest sees ends soonest for a number of looks. It comes from the condition
that the best row of inspections meets (Barlow, Hunter and Proschan 1963): for looks at t' and t, and a gap g after,

    price + g = (F(t) − F(t')) / f(t)

where the gap itself is √(2 · price / hazard), as where ends come steadily. Solved for the price, it needs no search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

#: A wait is found in at most so many steps, and no more finely than this share of it.
STEPS = 12
EXACT = 1e-3

_ROOT_2 = math.sqrt(2.0)
_ROOT_TAU = math.sqrt(2.0 * math.pi)


class Pace(Protocol):
    """How a kind of execution comes to its end."""

    def worth_s(self, alive_at_s: float, elapsed_s: float) -> float:
        """Return what a look is worth, so long after one that saw the execution alive at this age, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """Executions whose durations are lognormal: mean and deviation of ln(seconds)."""

    log_mean: float
    log_sd: float

    @property
    def mean_s(self) -> float:
        """The expected duration."""
        return math.exp(self.log_mean + self.log_sd**2 / 2)

    @property
    def nearly_all_s(self) -> float:
        """The age by which nine in ten have ended."""
        return math.exp(self.log_mean + 1.28 * self.log_sd)

    def worth_s(self, alive_at_s: float, elapsed_s: float) -> float:
        if elapsed_s <= 0.0:
            return 0.0
        begin_s = max(alive_at_s, 0.0)
        age_s = begin_s + elapsed_s
        z = self._z(age_s)
        alive, density = _normal(-z), _density(z) / (age_s * self.log_sd)
        if alive < 1e-9 or density < 1e-12:
            # Far from all that was known: as of something that has run so long and may go on for as long again.
            return Steady(rate_per_s=1.0 / age_s).worth_s(0.0, elapsed_s)
        ended = (_normal(z) - (self.ended(begin_s) if begin_s else 0.0)) / density
        root = math.sqrt(2.0 * alive / density)
        return min(((math.sqrt(root**2 + 4.0 * max(ended, 0.0)) - root) / 2.0) ** 2, elapsed_s)

    def expected_end_s(self, after_s: float, by_s: float) -> float:
        """Return the expected duration of one that ended between two ages."""
        after_s, by_s = max(after_s, 0.0), max(by_s, after_s, 0.0)
        ended = self.ended(by_s) - self.ended(after_s)
        if ended < 1e-9:
            return (after_s + by_s) / 2
        return min(max((self._ended_sum_s(by_s) - self._ended_sum_s(after_s)) / ended, after_s), by_s)

    def log_moments(self, after_s: float, by_s: float) -> tuple[float, float]:
        """Return mean and variance of the logarithm of a duration that lies between two ages."""
        low, high = self._z(after_s), self._z(by_s)
        share = _normal(high) - _normal(low)
        if share < 1e-6:
            # What was seen contradicts what is known: it is taken as it is.
            return math.log(max((after_s + by_s) / 2, 0.05)), 0.0
        shift = (_density(low) - _density(high)) / share
        spread = (_times_density(low) - _times_density(high)) / share
        return self.log_mean + self.log_sd * shift, self.log_sd**2 * max(1.0 + spread - shift**2, 0.0)

    def ended(self, age_s: float) -> float:
        """Return the share that has ended by an age."""
        return _normal(self._z(age_s))

    def left_ended(self, for_s: float) -> float:
        """Return the share of those that run at any one moment that will have ended so much later."""
        return min((for_s * (1.0 - self.ended(for_s)) + self._ended_sum_s(for_s)) / self.mean_s, 1.0)

    @property
    def mean_left_s(self) -> float:
        """How long those that run at any one moment have still to go, in the mean."""
        return self.mean_s * math.exp(self.log_sd**2) / 2

    def _z(self, age_s: float) -> float:
        return (math.log(age_s) - self.log_mean) / self.log_sd if age_s > 0.0 else -math.inf

    def _ended_sum_s(self, age_s: float) -> float:
        """Return what those that end before an age add to the mean."""
        return self.mean_s * _normal(self._z(age_s) - self.log_sd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Executions that end at a steady rate, whatever their age: for those of which it is not known when they began."""

    rate_per_s: float

    def worth_s(self, alive_at_s: float, elapsed_s: float) -> float:
        elapsed_s = max(elapsed_s, 0.0)
        worth_s = math.expm1(min(self.rate_per_s * elapsed_s, 50.0)) / self.rate_per_s - elapsed_s
        return min(max(worth_s, 0.0), elapsed_s)


def wait_s(pace: Pace, *, alive_at_s: float, worth_s: float, longest_s: float) -> float:
    """Return after how long a look is worth so much, seconds; at most `longest_s`.

    By false position, on the root of the worth: that is nearly straight, so few steps do.
    """
    target = math.sqrt(max(worth_s, 0.0))
    low_s, low = 0.0, -target
    high_s, high = longest_s, math.sqrt(pace.worth_s(alive_at_s, longest_s)) - target
    if high <= 0.0:
        return longest_s
    for _ in range(STEPS):
        middle_s = low_s - low * (high_s - low_s) / (high - low)
        middle = math.sqrt(pace.worth_s(alive_at_s, middle_s)) - target
        if abs(middle) <= EXACT * target:
            return middle_s
        if middle < 0.0:
            low_s, low, high = middle_s, middle, high / 2
        else:
            high_s, high, low = middle_s, middle, low / 2
    return high_s


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / _ROOT_2)


def _density(z: float) -> float:
    return 0.0 if math.isinf(z) else math.exp(-z * z / 2) / _ROOT_TAU


def _times_density(z: float) -> float:
    return 0.0 if math.isinf(z) else z * _density(z)
