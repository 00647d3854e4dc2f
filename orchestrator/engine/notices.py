"""Notices: tells webhooks of what becomes true by time alone, which no change of a row would tell."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.storage import notices, outbox
from orchestrator.storage.database import now as transaction_now

#: How often batches are asked whether they stand still, seconds: it reads all runs of those that live.
BATCHES_EVERY_S = 300.0


class Notices:
    """The notices of one worker, and when it last asked about batches."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._asked_at: float | None = None

    async def look(self) -> None:
        """Look once, and write what is to be told."""
        now_s = self._deps.sources.monotonic()
        asks_batches = self._asked_at is None or now_s - self._asked_at >= BATCHES_EVERY_S

        async def tell(connection: AsyncConnection) -> bool:
            if not await notices.anybody(connection):
                return False
            found = await notices.results_at_risk(connection)
            if asks_batches:
                found += await notices.standing_batches(connection)
            await outbox.write(connection, found, at=await transaction_now(connection))
            return True

        if await self._deps.db.run(tell, tries=1) and asks_batches:
            self._asked_at = now_s
