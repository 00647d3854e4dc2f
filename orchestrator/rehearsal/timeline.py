"""Virtual time: what happens when, in order, without waiting for it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

#: No world lasts so long; one that does has something that never ends.
END_OF_TIME_S = 60 * 86_400.0


class NeverEnds(RuntimeError):
    """Time ran out before everything was seen."""


class Timeline:
    """Runs acts in the order of their times; those of one moment in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._numbers = itertools.count()
        self._acts: list[tuple[float, int, Callable[[], None]]] = []

    @property
    def now(self) -> datetime:
        """The moment as the product's pure code takes it."""
        return EPOCH + timedelta(seconds=self.now_s)

    def at(self, at_s: float, act: Callable[[], None]) -> None:
        """Plan an act; one that is late happens now."""
        heapq.heappush(self._acts, (max(at_s, self.now_s), next(self._numbers), act))

    def run(self, *, until: Callable[[], bool]) -> None:
        """Let everything happen until a condition holds.

        Raises:
            NeverEnds: nothing is planned any more, or time ran out, and it does not hold.
        """
        while not until():
            if not self._acts or self._acts[0][0] > END_OF_TIME_S:
                raise NeverEnds(f"after {self.now_s:,.0f} s of virtual time something was still not seen")
            self.now_s, _, act = heapq.heappop(self._acts)
            act()


def seconds(moment: datetime) -> float:
    """Return a moment of the product's as seconds of virtual time."""
    return (moment - EPOCH).total_seconds()
