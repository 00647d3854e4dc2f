"""The breaker of a lane's launches: a provider in trouble is probed, not bombarded with launches that end in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0

#: The pause has long reached its longest by then; doubling on would leave the floats after a day and a half.
DOUBLINGS = 16


class BreakerState(StrEnum):
    """`open`: nothing is launched, a harmless read probes. `half_open`: one launch may go, alone."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """A lane's breaker as its row knows it. `probe_at` is when an open one may be probed; `trips` counts in a row."""

    state: BreakerState = BreakerState.CLOSED
    probe_at: datetime | None = None
    trips: int = 0

    def trip(self, *, now: datetime) -> Breaker:
        """Return the breaker after a launch whose outcome is unknown, a foreign answer, or a probe that failed."""
        trips = self.trips + 1
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(trips - 1, DOUBLINGS), LONGEST_PAUSE_S)
        return Breaker(state=BreakerState.OPEN, probe_at=now + timedelta(seconds=pause_s), trips=trips)

    def probed_well(self) -> Breaker:
        """Return the breaker after the provider answered a harmless read: one launch may try."""
        return Breaker(state=BreakerState.HALF_OPEN, trips=self.trips)

    def launched_well(self) -> Breaker:
        """Return the breaker after the provider gave a launch a clear answer."""
        return self if self.state is BreakerState.OPEN else Breaker()

    @property
    def launches_allowed(self) -> int | None:
        """How many launches may be on the wire: none, one, or (None) as many as the lane allows."""
        return {BreakerState.OPEN: 0, BreakerState.HALF_OPEN: 1, BreakerState.CLOSED: None}[self.state]
