"""News of runs and batches for readers who wait: one question every half second for all of a process's readers.

A reader holds no database connection while it waits, and a thousand of them cost what one costs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import batch_status
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError, Unavailable
from orchestrator.storage import batches, runs
from orchestrator.telemetry import get_logger

log = get_logger(__name__)

EVERY_S = 0.5

#: Asking may take this share of the time: the counts of many large batches are not read twice a second.
SHARE = 0.1

#: Readers of one process; the server takes a thousand connections.
MAX_READERS = 500


class Kind(StrEnum):
    """What can be waited for."""

    RUN = "run"
    BATCH = "batch"


@dataclass(eq=False, slots=True, kw_only=True)
class _Reader:
    kind: Kind
    id: UUID
    state: str
    told: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def state_of_run(view: Mapping[str, Any]) -> str:
    """Return what is news of a run when it changes: every event of its history is."""
    return _run_state(view["status"], view["event_seq"])


def state_of_batch(view: Mapping[str, Any]) -> str:
    """Return what is news of a batch when it changes: its status, or any of its counts."""
    return _batch_state(view["status"], view["counts"])


class News:
    """Wakes the readers of one process. Make it inside the event loop that uses it."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._readers: set[_Reader] = set()
        self._asking: asyncio.Task[None] | None = None
        self._is_over = False

    async def wait(self, kind: Kind, id: UUID, state: str, *, wait_s: float) -> None:
        """Return when the state is another one, when the time is over, or when the server stops.

        Raises:
            Unavailable: too many wait already.
        """
        if self._is_over:
            return
        if len(self._readers) >= MAX_READERS:
            raise Unavailable(f"{MAX_READERS} readers wait for news here already", code="too_many_waiting")
        reader = _Reader(kind=kind, id=id, state=state)
        self._readers.add(reader)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            await asyncio.wait({reader.told}, timeout=wait_s)
        finally:
            self._readers.discard(reader)

    async def aclose(self) -> None:
        """Let every reader go at once, and wait for no news any more: the server stops."""
        self._is_over = True
        for reader in self._readers:
            _tell(reader)
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self) -> None:
        pause_s = EVERY_S
        while self._readers:
            await asyncio.sleep(pause_s)
            began_s = self._deps.sources.monotonic()
            try:
                states = await self._states()
            except OrchestratorError as error:
                # Readers find out by themselves, at the end of their time.
                log.warning("there is no news while the database is away", code=error.code, why=error.message)
                continue
            pause_s = max(EVERY_S, (self._deps.sources.monotonic() - began_s) / SHARE)
            for reader in self._readers:
                if states.get(reader.id, reader.state) != reader.state:
                    _tell(reader)

    async def _states(self) -> dict[UUID, str]:
        asked = {kind: sorted({r.id for r in self._readers if r.kind is kind}) for kind in Kind}

        async def read(connection: AsyncConnection) -> dict[UUID, str]:
            found = await _of_runs(connection, asked[Kind.RUN]) if asked[Kind.RUN] else {}
            return found | (await _of_batches(connection, asked[Kind.BATCH]) if asked[Kind.BATCH] else {})

        return await self._deps.db.run(read, tries=1)


async def _of_runs(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, str]:
    found = await runs.states(connection, ids)
    return {id: _run_state(status, events) for id, (status, events) in found.items()}


async def _of_batches(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, str]:
    found = {}
    for row in await batches.read_all(connection, ids):
        status = batch_status(row.counts, paused=row.paused_at is not None, cancelled=row.cancelled_at is not None)
        found[row.id] = _batch_state(status, row.counts)
    return found


def _run_state(status: str, events: int) -> str:
    return f"{events}-{status.replace('_', '-')}"


def _batch_state(status: str, counts: Mapping[Any, int]) -> str:
    said = ",".join(f"{name}={count}" for name, count in sorted(counts.items()) if count)
    return hashlib.blake2b(f"{status} {said}".encode(), digest_size=8).hexdigest()


def _tell(reader: _Reader) -> None:
    if not reader.told.done():
        reader.told.set_result(None)
