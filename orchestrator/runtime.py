"""What the process knows about the moment it is in: facts that every room may ask for and none may own."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")

#: True while a database transaction is open in this task. Storage sets it; whoever calls out over a network
#: asserts that it is False, because a transaction that waits for a network holds its locks for as long.
transaction_open: ContextVar[bool] = ContextVar("transaction_open", default=False)

#: No launch lasts longer at default settings, from its connection to its answer's end; each provider asserts it of its
#: largest wave. What a launch brings exists in its worker's memory alone: every wait for a worker is derived from it.
LONGEST_LAUNCH_S = 300.0
#: A worker that is asked to stop waits so long for what it has in hand: the launch, and the writing of its answer.
DRAIN_S = LONGEST_LAUNCH_S + 10.0
#: Whoever asks workers to stop waits so long before it kills them.
STOP_PATIENCE_S = DRAIN_S + 10.0

#: How often a worker asks what is due, seconds; a little random, so that workers do not ask in step.
TICK_S = 0.4

#: Python's own stands still on Linux while the machine is suspended; this one does not.
_SINCE_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def since_boot_s() -> float:
    """Return seconds that only grow, also while the machine sleeps: a deadline passes in its sleep, too."""
    return time.monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)


def uuid7(unix_ms: int, random_bits: int) -> UUID:
    """Return a UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits.

    Args:
        random_bits: at least 74 of them; the caller's source, so that a seed replays.
    """
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (random_bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | random_bits & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where ids, randomness and time come from. A simulation gives its own, and a seed replays.

    Args:
        bits: returns that many random bits.
        unit: returns a number in [0, 1).
        monotonic: seconds that only grow, for local pacing and deadlines. A provider reads the deadline for sending on
            the same clock.
        unix_ms: the wall clock, for ids alone; decisions take their time from the database.
    """

    bits: Callable[[int], int]
    unit: Callable[[], float]
    monotonic: Callable[[], float] = since_boot_s
    unix_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000

    def new_id(self) -> UUID:
        """Return a new UUIDv7."""
        return uuid7(self.unix_ms(), self.bits(74))

    def new_ids(self, count: int) -> list[UUID]:
        """Return new UUIDv7s in ascending order, also within one millisecond."""
        # In bytes, and drawn at once: shifting one large number ten thousand times takes longer than all the rest.
        unix_ms, size = self.unix_ms(), 10
        drawn = self.bits(8 * size * count).to_bytes(size * count)
        each = sorted(drawn[start : start + size] for start in range(0, len(drawn), size))
        return [uuid7(unix_ms, int.from_bytes(random) >> 6) for random in each]

    def utc_now(self) -> datetime:
        """Return the wall clock's time. Only for what is shown; the database's clock decides."""
        return datetime.fromtimestamp(self.unix_ms() / 1000, tz=UTC)


def system_sources() -> Sources:
    """Return the real ones: the kernel's randomness for ids, a fast generator for spreading load."""

    def bits(count: int) -> int:
        return int.from_bytes(os.urandom((count + 7) // 8)) >> (-count % 8)

    return Sources(bits=bits, unit=random.random)


def _nothing() -> None:
    """Leave the work alone."""


async def in_thread(work: Callable[[], T], *, on_cancel: Callable[[], object] = _nothing) -> T:
    """Run work that would hold the event loop on a thread beside it; when cancelled, go only once it has ended.

    Whoever is cancelled cleans up, or lets another begin: the work must not go on behind their backs.

    Args:
        on_cancel: called first when cancelled; makes long work end soon.
    """
    # No task of its own: a loop that is stopped cancels its tasks, and a thread goes on all the same.
    running = asyncio.get_running_loop().run_in_executor(None, copy_context().run, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        on_cancel()
        await asyncio.wait({running})
        if not running.cancelled():  # it is where it had not begun
            running.exception()  # what came of it matters to nobody any more
        raise
