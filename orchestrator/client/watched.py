"""One run or batch, looked at again and again: what it was like stays known, and the server is asked for news only."""

from __future__ import annotations

import time
from typing import Any, Generic, TypeVar, cast

from orchestrator.client.wire import Wire

T = TypeVar("T")

#: What one request waits at most; the server takes up to a minute.
LONGEST_WAIT_S = 30
#: Where nothing may be waited for by the whole second, and between two answers.
PAUSE_S = 0.2


class Watched(Generic[T]):
    """Remembers what something looked like, and its ETag."""

    def __init__(self, wire: Wire, path: str) -> None:
        self._wire = wire
        self._path = path
        self._tag: str | None = None
        self._last: Any = None

    def look(self, *, wait_s: int = 0) -> T:
        """Return what it is like now.

        Args:
            wait_s: wait at the server until its status, or one of a batch's counts, is another than at the last look:
                whole seconds, up to 60.
        """
        found, tag = self._wire.news(self._path, self._tag, wait_s=wait_s)
        if found is not None:
            self._last, self._tag = found, tag
        return cast(T, self._last)

    def until_end(self, *, timeout_s: float | None = None) -> T:
        """Return what it is like at its end, or when the time is over."""
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        found: Any = self.look()
        while found["finished_at"] is None:
            left_s = LONGEST_WAIT_S if ends_at is None else ends_at - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(PAUSE_S, left_s))
            found = self.look(wait_s=int(min(left_s, LONGEST_WAIT_S)))
        return cast(T, found)
