"""What a workflow's executions have taken so far, learned from those that were seen to end."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Of the past, about this many executions count: a workflow that changed its pace is relearned within as many.
MEMORY = 200

#: What is assumed of a workflow of which nothing is known.
UNKNOWN_MEAN_S = 20.0


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

    def learn(self, seconds: float) -> Durations:
        """Return the estimate after one more execution was seen to end after so long."""
        value = math.log(max(seconds, 0.05))
        count = min(self.count + 1, MEMORY)
        delta = value - self.log_mean
        mean = self.log_mean + delta / count
        var = self.log_var + (delta * (value - mean) - self.log_var) / count
        return Durations(count=count, log_mean=mean, log_var=max(var, 0.0))
