"""The breaker of a lane's launches: a provider in trouble is probed, not bombarded with launches that end in doubt.

The probe is a read, and a provider may answer reads while it loses launches. So a launch that is lost after a good
probe counts for more than anything else: the next one, which may be a doubt too, waits minutes, then up to an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0

#: So often in a row an ordinary trip counts: by then its pause is the longest. What lies above are lost launches.
CALM_TRIPS = 6

#: After a launch that was lost although a read had been answered.
FIRST_LOSS_PAUSE_S = 240.0
LONGEST_LOSS_PAUSE_S = 3600.0
LOSSES = 5

#: Items of a wave that is launched while the breaker is half open: its loss doubts no more than a single launch's.
WAVE_WHILE_HALF_OPEN = 1

assert FIRST_PAUSE_S * 2.0 ** (CALM_TRIPS - 1) >= LONGEST_PAUSE_S, "the ladder's lower part ends at its longest pause"
assert FIRST_LOSS_PAUSE_S * 2.0 ** (LOSSES - 1) >= LONGEST_LOSS_PAUSE_S, "and so does the upper"


class BreakerState(StrEnum):
    """`open`: nothing is launched, a harmless read probes. `half_open`: one launch may go, alone."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A lane's breaker as its row knows it.

    Args:
        probe_at: when an open one may be probed.
        trips: in a row; up to `CALM_TRIPS` of any kind, above that of launches lost after a good probe.
    """

    state: BreakerState = BreakerState.CLOSED
    probe_at: datetime | None = None
    trips: int = 0

    def trip(self, *, now: datetime) -> Breaker:
        """Return the breaker after a launch that was not sent, a foreign answer, or a probe that failed."""
        trips = max(self.trips, min(self.trips + 1, CALM_TRIPS))
        pause_s = min(FIRST_PAUSE_S * 2.0 ** (min(trips, CALM_TRIPS) - 1), LONGEST_PAUSE_S)
        return _opened(trips, pause_s, now=now)

    def lost(self, *, now: datetime) -> Breaker:
        """Return the breaker after a launch whose outcome is unknown: worst when a read had just been answered."""
        if self.state is not BreakerState.HALF_OPEN:
            return self.trip(now=now)
        losses = min(max(self.trips - CALM_TRIPS, 0) + 1, LOSSES)
        pause_s = min(FIRST_LOSS_PAUSE_S * 2.0 ** (losses - 1), LONGEST_LOSS_PAUSE_S)
        return _opened(CALM_TRIPS + losses, pause_s, now=now)

    def probed_well(self) -> Breaker:
        """Return the breaker after the provider answered a harmless read: one launch may try."""
        return Breaker(state=BreakerState.HALF_OPEN, trips=self.trips)

    def launched_well(self) -> Breaker:
        """Return the breaker after the provider gave a launch a clear answer."""
        return self if self.state is BreakerState.OPEN else Breaker()

    def tested(self) -> Breaker:
        """Return the breaker after a person tested the connection: one launch may try, without waiting."""
        return self if self.state is BreakerState.CLOSED else Breaker(state=BreakerState.HALF_OPEN)

    @property
    def loses_launches(self) -> bool:
        """Whether the provider answers reads and loses launches, by all that is known."""
        return self.trips > CALM_TRIPS

    @property
    def wave_limit(self) -> int | None:
        """How many items a wave may have, None for any number."""
        return WAVE_WHILE_HALF_OPEN if self.state is BreakerState.HALF_OPEN else None

    @property
    def launches_allowed(self) -> int | None:
        """How many launches may be on the wire: none, one, or (None) as many as the lane allows."""
        return {BreakerState.OPEN: 0, BreakerState.HALF_OPEN: 1, BreakerState.CLOSED: None}[self.state]


def _opened(trips: int, pause_s: float, *, now: datetime) -> Breaker:
    return Breaker(state=BreakerState.OPEN, probe_at=now + timedelta(seconds=pause_s), trips=trips)
