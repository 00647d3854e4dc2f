"""Together: what comes in one by one is written in as few transactions as the database's own pace allows.

While one transaction is on its way, what comes meanwhile gathers and goes with the next (group commit).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: The weight of what one transaction writes: its locks are held for no longer than a claim's.
MOST_TOGETHER = 200


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    """An item that waits to be written. `told`: True, its caller writes now; False, somebody else has written it."""

    item: T
    weight: int
    told: asyncio.Future[bool]


class Together(Generic[T]):
    """Writes items in groups, in the order in which they came, one group at a time.

    Whoever comes while nobody writes, writes; then the pen goes on to the first of those who came meanwhile. So no
    caller writes for the others for ever, and one that is cut off takes none of them with it.

    Args:
        apart_s: groups begin no closer together; what comes after a quiet while is written at once.
    """

    def __init__(self, *, apart_s: float = 0.0) -> None:
        self._apart_s = apart_s
        self._next_at = -math.inf
        self._waiting: list[_Waiting[T]] = []
        self._pen_is_out = False

    async def add(self, item: T, write: Callable[[Sequence[T]], Awaitable[None]], *, weight: int = 1) -> None:
        """Return once the item is written.

        Args:
            write: writes a group. Every caller's does the same; only the pen holder's is called.
            weight: how much the item counts of `MOST_TOGETHER`; one that is heavier goes alone.

        Raises:
            Exception: what `write` raised for the item's group.
        """
        mine = _Waiting(item, weight, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        if self._pen_is_out and not await self._has_pen(mine):
            return
        self._pen_is_out = True
        try:
            await self._write(mine, write)
        finally:
            self._hand_on()

    async def _has_pen(self, mine: _Waiting[T]) -> bool:
        """Wait until the item is written, or is its caller's to write."""
        try:
            return await mine.told
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
                if not mine.told.cancelled():
                    self._hand_on()  # the pen came just as its caller was cut off
            raise

    async def _write(self, mine: _Waiting[T], write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        group = [mine]
        try:
            clock = asyncio.get_running_loop().time
            if (wait_s := self._next_at - clock()) > 0:
                await asyncio.sleep(wait_s)
            self._next_at = clock() + self._apart_s
            self._waiting.remove(mine)
            group += self._company(MOST_TOGETHER - mine.weight)
            await write([one.item for one in group])
        except Exception as failure:
            for one in group[1:]:
                if not one.told.done():
                    one.told.set_exception(failure)
            raise
        except BaseException:
            # Cut off. What was not told is written once more: fences make that harmless, should it have come through.
            self._waiting[:0] = group[1:]
            if mine in self._waiting:
                self._waiting.remove(mine)
            raise
        for one in group[1:]:
            if not one.told.done():
                one.told.set_result(False)

    def _company(self, room: int) -> list[_Waiting[T]]:
        """Take from those who wait, in their order, what there is room for."""
        company: list[_Waiting[T]] = []
        for one in self._waiting:
            room -= one.weight
            if room < 0:
                break
            company.append(one)
        del self._waiting[: len(company)]
        return company

    def _hand_on(self) -> None:
        """Give the pen to the first who waits; to nobody if there is none."""
        for one in self._waiting:
            if not one.told.done():
                one.told.set_result(True)
                return
        self._pen_is_out = False
