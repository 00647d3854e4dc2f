"""What a workflow's executions have taken so far, learned from those that were seen to end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.domain.pace import Lognormal

#: Of the past, about this many executions count: a workflow that changed its pace is relearned within as many.
MEMORY = 200

#: What is assumed of a workflow of which nothing is known: the mean, and how far durations lie apart.
UNKNOWN_MEAN_S = 20.0
UNKNOWN_LOG_SD = 1.0

#: The assumption weighs as much as so many executions, until so many were seen: looks that tell nothing must leave
#: what is known where it is, and would draw it to the assumption for ever.
DOUBT = 5
KNOWN = 20

#: Deviations of ln(seconds) that are believed: none is exact, and a few odd ones must not make everything possible.
LEAST_LOG_SD, MOST_LOG_SD = 0.15, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """A running estimate of how long executions take: moments of the logarithm, forgetting slowly.

    Shape: `count` is capped at `MEMORY`; `log_mean` and `log_var` are of ln(seconds).
    """

    count: int = 0
    log_mean: float = 0.0
    log_var: float = 0.0

    @property
    def mean_s(self) -> float:
        """The expected duration in seconds, by the lognormal's own formula; bounded against wild variances."""
        if self.count == 0:
            return UNKNOWN_MEAN_S
        return math.exp(self.log_mean + min(self.log_var, 4.0) / 2)

    @property
    def pace(self) -> Lognormal:
        """What is expected of the next execution: what was learned, and while that is little, what is assumed."""
        return _pace(self)

    def learn(self, seconds: float) -> Durations:
        """Return the estimate after one more execution was seen to end after so long."""
        return self._with(math.log(max(seconds, 0.05)), 0.0)

    def learn_between(self, after_s: float, by_s: float) -> Durations:
        """Return the estimate after one more was seen to have ended between two looks, at these ages.

        It counts with what is expected of such a one by all that is known so far. The middle between the looks would
        not do: where looks are rare it says how rare they are, and not how long executions take.
        """
        value, variance = self.pace.log_moments(after_s, by_s)
        return self._with(max(value, math.log(0.05)), variance)

    def _with(self, value: float, variance: float) -> Durations:
        count = min(self.count + 1, MEMORY)
        delta = value - self.log_mean
        mean = self.log_mean + delta / count
        var = self.log_var + (delta * (value - mean) + variance - self.log_var) / count
        return Durations(count=count, log_mean=mean, log_var=max(var, 0.0))


@lru_cache(maxsize=256)
def _pace(learned: Durations) -> Lognormal:
    """Return what is expected of the next execution. Remembered: every look asks for it several times over."""
    known = 1.0 if learned.count >= KNOWN else learned.count / (learned.count + DOUBT)
    assumed_sd2 = UNKNOWN_LOG_SD**2
    assumed = math.log(UNKNOWN_MEAN_S) - assumed_sd2 / 2
    log_sd = math.sqrt(known * learned.log_var + (1 - known) * assumed_sd2)
    return Lognormal(
        log_mean=known * learned.log_mean + (1 - known) * assumed,
        log_sd=min(max(log_sd, LEAST_LOG_SD), MOST_LOG_SD),
    )
