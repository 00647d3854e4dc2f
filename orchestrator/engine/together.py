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
MOST_TOGETHER = 200


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
                group = self._waiting[:MOST_TOGETHER]
                # As a value: a failure belongs to those of this group, and the writer goes on with the next.
                (failure,) = await asyncio.gather(self._write([item for item, _ in group]), return_exceptions=True)
                del self._waiting[: len(group)]
                _tell([written for _, written in group], failure)
        finally:
            self._is_writing = False
            # Left only where the writer itself was cut off: those who wait for it end with it.
            for _, written in self._waiting:
                written.cancel()
            self._waiting.clear()


def _tell(group: Sequence[asyncio.Future[None]], failure: BaseException | None) -> None:
    """Let those go on who wait for a group that was written, or could not be; some were cut off meanwhile."""
    for written in group:
        if written.done():
            continue
        if failure is None:
            written.set_result(None)
        else:
            written.set_exception(failure)
