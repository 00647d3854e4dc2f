"""The rate limit of a key, and the sandbox's own exact count of what arrived."""

from collections import deque
from dataclasses import dataclass

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Limit:
    """How much is admitted. `window` is `sliding` or `fixed`; 0 per minute is no limit."""

    per_minute: int
    window: str
    refused_count: bool


class Meter:
    """Count one key's requests: what the limit refuses, and, apart from that, every arrival there was."""

    def __init__(self) -> None:
        self._counted: deque[float] = deque()
        self._arrivals: deque[float] = deque()
        self.requests = 0
        self.max_arrivals = 0
        self.refused_by_rate = 0
        self.refused_by_slots = 0
        self.answered_429 = 0

    def admit(self, now: float, limit: Limit) -> float | None:
        """Count an arrival; return None if it is within the limit, else the seconds until one would be."""
        self.requests += 1
        self._arrivals.append(now)
        _forget(self._arrivals, now - WINDOW_S)
        self.max_arrivals = max(self.max_arrivals, len(self._arrivals))
        if not limit.per_minute:
            return None
        window_began_at = now - now % WINDOW_S if limit.window == "fixed" else None
        if window_began_at is None:
            _forget(self._counted, now - WINDOW_S)
        else:
            while self._counted and self._counted[0] < window_began_at:
                self._counted.popleft()
        wait_s = self._wait_s(now, limit.per_minute, window_began_at)
        if wait_s is None or limit.refused_count:
            self._counted.append(now)
        if wait_s is not None:
            self.refused_by_rate += 1
        return wait_s

    def left(self, now: float, limit: Limit) -> tuple[int, float]:
        """Return how many more would be admitted now, and the seconds until one that was admitted is forgotten."""
        _forget(self._counted, now - WINDOW_S)
        reset_s = self._counted[0] + WINDOW_S - now if self._counted else 0.0
        return max(0, limit.per_minute - len(self._counted)), reset_s

    def _wait_s(self, now: float, limit: int, window_began_at: float | None) -> float | None:
        if len(self._counted) < limit:
            return None
        if window_began_at is not None:
            return window_began_at + WINDOW_S - now
        return self._counted[-limit] + WINDOW_S - now


def _forget(moments: deque[float], until: float) -> None:
    """Drop what is 60 s old or older: a window holds (now - 60 s, now]."""
    while moments and moments[0] <= until:
        moments.popleft()
