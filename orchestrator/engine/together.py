"""Together: what comes in one by one is written in as few transactions as the database's own pace allows.

While one transaction is on its way, what comes meanwhile gathers and goes with the next (group commit). Nothing waits
for company: the first to come is written at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

#: Items of one transaction: its locks are held for no longer than a claim's.
MOST_TOGETHER = 100


class Together(Generic[T]):
    """Writes items in groups, in the order in which they came.

    Args:
        write: writes a group. It may be called again while an earlier item's caller still waits, never side by side.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._is_writing = False

    async def add(self, item: T) -> None:
        """Return once the item is written; whoever comes while nobody writes, writes for all who come meanwhile.

        Raises:
            Exception: what `write` raised for the item's group.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, written))
        if not self._is_writing:
            await self._write_all()
        await written

    async def _write_all(self) -> None:
        self._is_writing = True
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                await self._write_group(group)
        finally:
            self._is_writing = False
            # Only where the writer itself was cut off: those who wait for it are with it, and end too.
            for _, written in self._waiting:
                written.cancel()
            self._waiting = []

    async def _write_group(self, group: Sequence[tuple[T, asyncio.Future[None]]]) -> None:
        failure: Exception | None = None
        try:
            await self._write([item for item, _ in group])
        except Exception as error:
            failure = error
        except BaseException:
            for _, written in group:
                written.cancel()
            raise
        for _, written in group:
            if written.done():
                continue  # whoever waited for it was cut off meanwhile
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(failure)
