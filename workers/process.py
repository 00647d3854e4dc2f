"""What one worker process is: its loop, its row, its heartbeat, and whether it is stopping."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psutil
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator import __version__
from orchestrator.engine import pump, sweep
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError
from orchestrator.runtime import system_sources
from orchestrator.settings import Settings
from orchestrator.storage import lanes, workers
from orchestrator.telemetry import get_logger
from workers.loop import WorkerLoop

log = get_logger(__name__)


class WorkerProcess:
    """One worker process. Tasks and ticker share it; it is made at the worker's start, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id: UUID = system_sources().new_id()
        self.loop = WorkerLoop(settings)
        self.draining = threading.Event()
        self.units_in_tasks = 0
        self.units_in_ticker = 0
        self._counting = threading.Lock()

    @property
    def deps(self) -> Deps:
        """Everything the verbs need; there once `start` has returned."""
        assert self.loop.deps is not None, "the loop was started"
        return self.loop.deps

    def start(self) -> None:
        """Start the loop and register. Work waits for this; a database that is away is waited for by the ticker."""
        self.loop.start()

    def work(self, kind: str, *, in_task: bool) -> int:
        """Do all that is due of one kind, from a task or from the ticker, and count it."""
        if kind == "sweep":
            done = self.loop.run(sweep.sweep(self.deps, dead=self.loop.run(self._gone_here())))
        else:
            done = self.loop.run(pump.pump(self.deps, kind, worker=self.id, should_stop=self.draining.is_set))
        with self._counting:
            if in_task:
                self.units_in_tasks += done
            else:
                self.units_in_ticker += done
        return done

    def due(self) -> frozenset[str]:
        """Return which kinds of work are due anywhere."""
        return self.loop.run(self._due(), timeout_s=60)

    async def _due(self) -> frozenset[str]:
        return await self.deps.db.run(lanes.any_due, tries=1)

    def register(self) -> None:
        """Write the worker's row; declare dead those of this place whose process is gone."""

        async def register(connection: AsyncConnection) -> None:
            await workers.register(connection, id=self.id, place=place(), pid=os.getpid(), version=__version__)

        self.loop.run(self.deps.db.run(register), timeout_s=60)

    def heartbeat(self) -> None:
        """Say that this worker lives. A row that was removed is written anew."""

        async def beat(connection: AsyncConnection) -> None:
            alive = await workers.heartbeat(
                connection,
                self.id,
                draining=self.draining.is_set(),
                tasks=self.units_in_tasks,
                ticker=self.units_in_ticker,
            )
            if not alive:
                await workers.register(connection, id=self.id, place=place(), pid=os.getpid(), version=__version__)

        self.loop.run(self.deps.db.run(beat, tries=1), timeout_s=60)

    def stop(self) -> None:
        """Write that the worker stopped, and close everything."""

        async def end(connection: AsyncConnection) -> None:
            await workers.end(connection, self.id)

        try:
            self.loop.run(self.deps.db.run(end, tries=2), timeout_s=10)
        except (OrchestratorError, TimeoutError) as error:
            log.warning("the worker's end was not written; its silence says it", why=str(error))
        self.loop.stop()

    async def _gone_here(self) -> Sequence[UUID]:
        """Return workers of this very place whose process is gone: no need to wait for their silence."""

        async def read(connection: AsyncConnection) -> list[tuple[UUID, int]]:
            return await workers.alive_here(connection, place())

        found = await self.deps.db.run(read)
        return [worker for worker, pid in found if worker != self.id and not _lives(pid)]


def _lives(pid: int) -> bool:
    """Tell whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def place() -> str:
    """Name where a pid means something: this host, since this boot, in this pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    parts.append(boot.read_text().strip() if boot.exists() else str(int(psutil.boot_time())))
    parts.append(str(space.readlink()) if space.exists() else "")
    return "/".join(parts)
