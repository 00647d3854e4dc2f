"""The sandbox's clock: real time, scaled, and turned forward at will."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate


class Clock:
    """Give the sandbox's time in seconds since the epoch; it never goes back.

    It runs `scale` times as fast as real time (0 holds it still) and jumps by `advance`. Nothing in the sandbox
    waits for it: states are computed from it when they are read, so turning it is exact.
    """

    def __init__(
        self, *, start_s: float | None = None, scale: float = 1.0, real_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._real_s = real_s
        self._base_real_s = real_s()
        self._base_s = time.time() if start_s is None else start_s
        self._scale = scale
        self._date = (-1, "")

    @property
    def scale(self) -> float:
        return self._scale

    def now(self) -> float:
        return self._base_s + (self._real_s() - self._base_real_s) * self._scale

    def advance(self, seconds: float) -> None:
        """Jump forward.

        Raises:
            ValueError: for a negative jump; a provider's clock does not go back.
        """
        if not seconds >= 0:
            raise ValueError("advance_s must be 0 or more: the clock does not go back")
        self._base_s += seconds

    def set_scale(self, scale: float) -> None:
        """Run `scale` times as fast as real time from now on; 0 holds the clock still."""
        if not 0 <= scale <= 1_000_000:
            raise ValueError("scale must be between 0 (still) and 1,000,000")
        self._base_s, self._base_real_s = self.now(), self._real_s()
        self._scale = scale

    def date_header(self) -> str:
        """Return the sandbox's time for the `Date` header, formatted once per second."""
        second = int(self.now())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]


def iso(seconds: float) -> str:
    """Write a time the way the vendor's page does: `2024-01-15T10:30:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_exact(seconds: float | None) -> str | None:
    """Write a time with microseconds, for the control plane, where the truth is told."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> float:
    """Read an ISO 8601 time.

    Raises:
        ValueError: when it is none, or names no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return moment.timestamp()
