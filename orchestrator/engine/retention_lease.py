"""Whose turn it is at the history's months: a lease, renewed while the work gets on, and ended when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.errors import Conflict, OrchestratorError
from orchestrator.storage import retention
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

#: So long after a death, or after work that has stood still, another worker takes it up. No one statement of an export,
#: and no one file of it, takes as long.
LEASE_S = 900.0
#: How often it is renewed, if anything was done since.
RENEW_S = 60.0

LATE = "retention_late"


class Lease:
    """A turn at the months. Its end is the row's due time: who comes later makes it another one.

    Args:
        reached: how far the round has come.
        ends_at: when it ends by the loop's clock, which never goes back; counted from before it was asked for.
    """

    def __init__(self, deps: Deps, until: datetime, reached: UUID | None, *, ends_at: float) -> None:
        self.reached = reached
        self._deps = deps
        self._until = until
        self._ends_at = ends_at
        self._steps = 0
        #: Held while the row is asked for by its due time, which a renewal changes.
        self._asking = asyncio.Lock()

    @classmethod
    async def take(cls, deps: Deps, *, at_once: bool) -> Lease | None:
        """Take the turn; None: it is not due, or somebody has it."""
        asked_at = asyncio.get_running_loop().time()

        async def claim(connection: AsyncConnection) -> tuple[datetime, UUID | None] | None:
            return await retention.claim(connection, "history", lease_s=LEASE_S, at_once=at_once)

        claimed = await deps.db.run(claim)
        return None if claimed is None else cls(deps, *claimed, ends_at=asked_at + LEASE_S)

    def get_on(self) -> None:
        """Say that something was done. Any thread may."""
        self._steps += 1

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew it while the block gets on; cancel the block when it is lost, or has stood still for its length.

        Raises:
            Conflict: it was cancelled. Whoever has the turn now begins anew.
        """
        limit = asyncio.timeout_at(self._ends_at)
        try:
            async with limit:
                renewing = asyncio.create_task(self._renew_for_ever(limit))
                try:
                    yield
                finally:
                    async with self._asking:  # not in the midst of a renewal: its answer is the lease's new end
                        renewing.cancel()
                    await asyncio.wait({renewing})
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._late() from None

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Keep it as it is for a moment, in which `holds` is asked."""
        async with self._asking:
            yield

    async def holds(self, connection: AsyncConnection) -> None:
        """See that it is still ours, and keep it so to the end of the transaction; within `asking`.

        Raises:
            Conflict: it is not.
        """
        if not await retention.hold(connection, "history", self._until):
            raise self._late()

    async def leave(self, connection: AsyncConnection, *, wait_s: float, reached: UUID | None) -> None:
        """Give it back, if it is ours."""
        await retention.leave(connection, "history", self._until, wait_s=wait_s, reached=reached)

    async def note_unproven(self, connection: AsyncConnection, found: list[str], *, but: list[str]) -> None:
        """Keep which months could not be proven, but for those that were, if it is ours."""
        await retention.note_unproven(connection, self._until, found, but=but)

    def _late(self) -> Conflict:
        return Conflict("somebody else took the history's months up meanwhile, or it took too long", code=LATE)

    async def _renew_for_ever(self, limit: asyncio.Timeout) -> None:
        seen = self._steps
        while True:
            await asyncio.sleep(RENEW_S)
            if self._steps == seen:
                continue  # it ends by itself, and another one may have more luck
            seen, asked_at = self._steps, asyncio.get_running_loop().time()
            try:
                is_ours = await self._renew()
            except OrchestratorError as error:
                log.warning("the turn at the history's months was not renewed", code=error.code, why=error.message)
                continue
            self._ends_at = asked_at + LEASE_S if is_ours else asked_at
            limit.reschedule(self._ends_at)
            if not is_ours:
                return

    async def _renew(self) -> bool:
        async def renew(connection: AsyncConnection) -> datetime | None:
            return await retention.renew(connection, "history", self._until, lease_s=LEASE_S)

        async with self._asking:
            until = await self._deps.db.run(renew)
            self._until = until or self._until
        return until is not None
