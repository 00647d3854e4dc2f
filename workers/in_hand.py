"""What a worker process has in hand: counted, so that nothing is closed below work that still runs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable

Turns = set[asyncio.Task[int | None]]

#: Turns of one kind that may outlive their pumps; with so many, a pump waits for its own.
LEFT_OVER_AT_MOST = 16

#: While a stop waits, it looks so often whether it is hurried, seconds.
LOOK_S = 0.2


class InHand:
    """Counts pieces of work and left-over turns; any thread may call it.

    Args:
        is_closed: once it says so, nothing more begins.
    """

    def __init__(self, *, is_closed: Callable[[], bool]) -> None:
        self._is_closed = is_closed
        self._changed = threading.Condition()
        self._tasks: Counter[str] = Counter()
        self._pieces = 0
        self._left_over: dict[str, Turns] = {}

    def begin(self, kind: str, *, in_task: bool) -> bool:
        """Note that work begins. False, and it must not, when the process stops or a task of that kind is at work."""
        with self._changed:
            # One pump of a kind keeps a process busy; a second ring while it runs adds nothing.
            if self._is_closed() or (in_task and self._tasks[kind] > 0):
                return False
            self._tasks[kind] += in_task
            self._pieces += 1
            return True

    def end(self, kind: str, *, in_task: bool) -> None:
        """Note that work ended."""
        with self._changed:
            self._tasks[kind] -= in_task
            self._pieces -= 1
            self._changed.notify_all()

    def has_task(self, kind: str) -> bool:
        """Tell whether a task of a kind is at work."""
        with self._changed:
            return self._tasks[kind] > 0

    def keep(self, kind: str, turns: Turns) -> bool:
        """Take over turns that outlive their pump, all or none. False when there are too many of that kind."""
        with self._changed:
            kept = self._left_over.setdefault(kind, set())
            if len(kept) + len(turns) > LEFT_OVER_AT_MOST:
                return False
            kept |= turns
            return True

    def has_left_over(self, kind: str) -> bool:
        """Tell whether a turn of a kind has outlived what began it."""
        with self._changed:
            return bool(self._left_over.get(kind))

    def let_go(self, kind: str, turn: asyncio.Task[int | None]) -> None:
        """Note that a left-over turn ended."""
        with self._changed:
            self._left_over[kind].discard(turn)
            self._changed.notify_all()

    def wait_until_empty(self, *, limit_s: float, is_hurried: Callable[[], bool]) -> bool:
        """Wait until nothing is at work. False when time was up first, or somebody was in a hurry."""
        ends_at = time.monotonic() + limit_s
        with self._changed:
            while self._pieces or any(self._left_over.values()):
                if is_hurried() or time.monotonic() >= ends_at:
                    return False
                self._changed.wait(LOOK_S)
        return True
