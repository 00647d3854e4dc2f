"""What one worker process is: its loop, its row, its heartbeat, and whether it is stopping."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from datetime import datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import psutil
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator import __version__
from orchestrator.engine import checkpoints, content_retention, highwater, pump, retention, sweep
from orchestrator.engine.deps import Deps
from orchestrator.engine.watch import Watch
from orchestrator.errors import OrchestratorError
from orchestrator.runtime import system_sources
from orchestrator.settings import Settings
from orchestrator.storage import due_work, workers
from orchestrator.telemetry import get_logger
from workers.beside import Beside
from workers.heart import Heart
from workers.in_hand import InHand, Turns
from workers.loop import WorkerLoop

log = get_logger(__name__)

#: How often a sweep reads every timer to see whether a clock went back while nobody was there, seconds.
LOOK_FAR_S = 60.0

#: A month that takes longer, seconds, is given up, and another worker tries.
RETIRE_LIMIT_S = 4 * 3600.0


class WorkerProcess:
    """One worker process. Tasks and ticker share it; it is made at the worker's start, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id: UUID = system_sources().new_id()
        self.loop = WorkerLoop(settings)
        self.draining = threading.Event()
        self.in_hand = InHand(is_closed=self.draining.is_set)
        self._beside = Beside(self.in_hand)
        self.heart = Heart(settings.heartbeat_s)
        self.swept_at = time.monotonic()
        self._looked_far_at: float | None = None
        self.units_in_tasks = 0
        self.units_in_ticker = 0
        self._counting = threading.Lock()
        self._watch: Watch | None = None

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
        if not self.in_hand.begin(kind, in_task=in_task):
            return 0
        try:
            done = self.loop.run(self._sweep() if kind == "sweep" else self._pump(kind, in_task=in_task))
        except CancelledError:
            log.warning("work was cut off: the worker had to stop", kind=kind)
            return 0
        finally:
            self.in_hand.end(kind, in_task=in_task)
        if kind != "sweep":
            # The first sweep of a worker is its own, before any doorbell; the share is of launches, looks, downloads.
            self._count(done, in_task=in_task)
        return done

    async def _sweep(self) -> int:
        done = await sweep.sweep(
            self.deps,
            dead=await self._gone_here(),
            may_judge_silence=self.heart.unbroken_s >= self.settings.dead_after_s,
            self_id=self.id,
            clock_went_back=self.heart.take_jump(),
            looks_far=self._is_time_to_look_far(),
            beside=self._beside.start,
        )
        self.swept_at = time.monotonic()
        return done

    def _is_time_to_look_far(self) -> bool:
        now = time.monotonic()
        if self._looked_far_at is not None and now - self._looked_far_at < LOOK_FAR_S:
            return False
        self._looked_far_at = now
        return True

    async def _pump(self, kind: str, *, in_task: bool) -> int:
        def hand_over(turns: Turns) -> bool:
            if not self.in_hand.keep(kind, turns):
                return False
            for turn in turns:
                turn.add_done_callback(partial(self._turn_ended, kind, in_task))
            return True

        return await pump.pump_on(
            self.deps, kind, worker=self.id, should_stop=self.draining.is_set, hand_over=hand_over
        )

    def _turn_ended(self, kind: str, in_task: bool, turn: asyncio.Task[int | None]) -> None:
        """Count a turn that outlived its pump, or log why it failed: nobody else waits for it."""
        self.in_hand.let_go(kind, turn)
        error = None if turn.cancelled() else turn.exception()
        if isinstance(error, OrchestratorError):
            log.warning("work waits", kind=kind, code=error.code, why=error.message)
        elif error is not None:
            log.error("work failed", kind=kind, exc_info=error)
        elif not turn.cancelled() and turn.result():
            self._count(1, in_task=in_task)

    def _count(self, done: int, *, in_task: bool) -> None:
        with self._counting:
            if in_task:
                self.units_in_tasks += done
            else:
                self.units_in_ticker += done

    def due(self) -> frozenset[str]:
        """Return which kinds of work are due anywhere."""
        return self.loop.run(self._due(), timeout_s=60)

    async def _due(self) -> frozenset[str]:
        return await self.deps.db.run(due_work.any_due, tries=1)

    def watch(self, *, broker_away_s: float | None) -> None:
        """Look around once, and tell of what is wrong."""
        self.loop.run(self._look(broker_away_s), timeout_s=60)

    async def _look(self, broker_away_s: float | None) -> None:
        if self._watch is None:
            self._watch = Watch(self.deps, worker=self.id, place=place())
        await self._watch.look(broker_away_s=broker_away_s)

    def keep_mark(self) -> None:
        """Compare the database with the places outside, and move the mark on."""
        self.loop.run(highwater.keep_mark(self.deps), timeout_s=60)

    def keep_checkpoints(self) -> None:
        """Sign the history where that is due, and bring out what was signed."""
        # The first checkpoint of a long history reads all of it.
        self.loop.run(checkpoints.keep(self.deps), timeout_s=900)

    def retire(self) -> None:
        """Let go what is older than the operator wants to keep it: a step of each kind that is due."""
        self.loop.run(self._retire())

    async def _retire(self) -> None:
        for kind in ("batches", "runs"):
            await content_retention.step(self.deps, kind)
        # Within the loop: what merely is not waited for any more goes on.
        async with asyncio.timeout(RETIRE_LIMIT_S):
            await retention.retire_next(self.deps)

    def register(self) -> None:
        """Write the worker's row."""
        self._beat(self._register)

    def heartbeat(self) -> None:
        """Say that this worker lives. A row that was removed is written anew."""

        async def beat(connection: AsyncConnection) -> datetime:
            at = await workers.heartbeat(
                connection,
                self.id,
                draining=self.draining.is_set(),
                tasks=self.units_in_tasks,
                ticker=self.units_in_ticker,
            )
            return at or await self._register(connection)

        self._beat(beat)

    def _beat(self, write: Callable[[AsyncConnection], Awaitable[datetime]]) -> None:
        async def beat(connection: AsyncConnection) -> tuple[datetime, datetime]:
            return await write(connection), await workers.pulse(connection, gap_s=self.heart.gap_s)

        try:
            at, heard_since = self.loop.run(self.deps.db.run(beat, tries=1), timeout_s=60)
            self.heart.beat(at, heard_since=heard_since)
        except BaseException:
            self.heart.miss()
            raise

    async def _register(self, connection: AsyncConnection) -> datetime:
        return await workers.register(connection, id=self.id, place=place(), pid=os.getpid(), version=__version__)

    def drain(self, *, limit_s: float, is_hurried: Callable[[], bool]) -> None:
        """Begin nothing more, and wait for what is in hand: the answers of launches are in this memory alone."""
        self.draining.set()
        if not self.in_hand.wait_until_empty(limit_s=limit_s, is_hurried=is_hurried):
            log.warning("the worker stops with work in hand; others take it up")

    def stop(self) -> None:
        """Cut off what is still at work, write that the worker stopped, and close everything."""

        async def end(connection: AsyncConnection) -> None:
            await workers.end(connection, self.id)

        try:
            self.loop.cut_off()
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
