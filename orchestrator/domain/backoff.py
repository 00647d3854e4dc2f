"""When to look again at one execution, and when to try again what failed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta

#: A workflow's own figures of its schedule, in the order of `PollPolicy`; None: the default.
OwnFigures = tuple[float | None, float | None, float | None, float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """A workflow's visible backoff schedule for looks: `initial=2,factor=1.5,cap=30,jitter=0.1`.

    Args:
        initial_s: the first delay, seconds, above 0.
        factor: growth of the delay from look to look, at least 1.
        cap_s: the longest delay, at least `initial_s`.
        jitter: the share of a delay that is drawn at random, 0..0.5, so that looks do not march in step.
        polite: how much a look must save to be made where requests are left over: 0 for as little as there is, 1 for
            about three looks an execution.
    """

    initial_s: float = 2.0
    factor: float = 1.5
    cap_s: float = 30.0
    jitter: float = 0.1
    polite: float = 0.0

    def bounded(self, *, min_s: float, max_s: float) -> PollPolicy:
        """Return the schedule within an installation's own bounds."""
        initial = min(max(self.initial_s, min_s), max_s)
        cap = max(initial, min(self.cap_s, max_s))
        return replace(self, initial_s=initial, cap_s=cap)

    def delay(self, *, age_s: float, unit: float) -> timedelta:
        """Return how long to wait before the next look.

        The delay follows the execution's age, not the number of looks: a worker that was away for an hour must not
        resume at the two-second step of an hour-old execution, nor a lane with many runs at the sixtieth.

        Args:
            age_s: seconds since the execution could have begun.
            unit: a number in [0, 1), the caller's randomness, so that a test can fix it.
        """
        assert 0.0 <= unit < 1.0, "unit is a random number in [0, 1)"
        base = min(self._step(max(age_s, 0.0)), self.cap_s)
        return timedelta(seconds=base * (1.0 - self.jitter / 2 + self.jitter * unit))

    def _step(self, age_s: float) -> float:
        """Return the delay of the geometric schedule initial, initial·f, initial·f² … that is in force at an age."""
        if self.factor <= 1.0 or age_s <= 0.0:
            return self.initial_s
        # The sum of the first k delays is initial·(f^k − 1)/(f − 1); solve for k at this age.
        k = math.floor(math.log1p(age_s * (self.factor - 1) / self.initial_s) / math.log(self.factor))
        # f^k is at most 1 + age·(f − 1)/initial, so it needs no bound of its own.
        return self.initial_s * float(self.factor**k)


def retry_delay(tries: int, *, first_s: float, cap_s: float, unit: float) -> timedelta:
    """Return the wait before try `tries + 1` of something that failed: doubling, capped, half of it random."""
    base = min(cap_s, first_s * 2.0 ** min(max(tries - 1, 0), 32))
    return timedelta(seconds=base * (0.5 + unit / 2))
