"""A simulated worker process: the real verbs on a virtual clock, to be killed, frozen and stopped at any moment.

It does what `workers/` does with threads and Celery: it asks what is due, pumps each kind of work, beats its heart and
sweeps. A doorbell may be lost freely, so here there are none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import pump, sweep
from orchestrator.engine.deps import Deps
from orchestrator.errors import OrchestratorError
from orchestrator.storage import due_work, workers
from tests.simulation.postgres import Client, Killed
from workers.heart import Heart

#: Whose code runs now; fault points and the network ask it.
current: ContextVar[SimWorker | None] = ContextVar("current", default=None)

#: While something is due a worker asks so often, seconds. Coarser than the product's: it is most of a world's work.
TICK_S = 1.0

#: While nothing is due it asks less and less often, down to this, seconds.
LONGEST_IDLE_S = 12.0

KINDS = ("launch", "poll", "download", "fire")


class Witness(Protocol):
    """Hears what goes wrong in a worker without being a fault of the world."""

    def bug(self, where: str, error: BaseException) -> None: ...
    def stepped(self) -> None: ...


@dataclass
class SimWorker:
    """One process. `client` is its database driver, `deps` what its verbs are handed."""

    name: str
    deps: Deps
    client: Client
    rng: Random
    witness: Witness
    id: UUID = field(init=False)
    is_draining: bool = False
    was_killed_at: float | None = None
    #: How long to sleep when nothing is due, given the sleep before. Seconds.
    idle: Callable[[float], float] = lambda before_s: min(before_s * 1.5, LONGEST_IDLE_S)
    #: In the order in which they began: a set's order would differ from replay to replay.
    _tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    _busy: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    #: Turns that outlive their pumps.
    _left_over: set[asyncio.Task[Any]] = field(default_factory=set)
    _thawed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.id = self.deps.sources.new_id()
        self.heart = Heart(self.deps.settings.heartbeat_s)
        self._thawed.set()

    @property
    def is_alive(self) -> bool:
        """It runs, or is frozen."""
        return not self.client.is_dead

    def start(self) -> None:
        """Begin to live."""
        for duty in (self._beat_for_ever(), self._tick_for_ever(), self._sweep_for_ever()):
            self._spawn(duty)

    def kill(self) -> None:
        """kill -9."""
        if self.client.is_dead:
            return
        self.was_killed_at = asyncio.get_running_loop().time()
        self.client.kill()
        self._thawed.set()
        for task in tuple(self._tasks):
            task.cancel()

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later. An open transaction does not outlive its idle timeout."""
        self._thawed.clear()
        for connection in tuple(self.client.connections):
            if connection.is_in_transaction:
                connection.cut()
        asyncio.get_running_loop().call_later(seconds, self._thawed.set)

    @property
    def is_frozen(self) -> bool:
        """It is stopped by a signal."""
        return not self._thawed.is_set()

    async def gate(self) -> None:
        """Wait while frozen; die if dead."""
        while self.is_frozen:
            await self._thawed.wait()
        if self.client.is_dead:
            raise Killed

    async def stop(self) -> None:
        """SIGTERM: begin nothing more, wait for what is in hand, say goodbye."""
        self.is_draining = True
        while busy := [task for task in (*self._busy.values(), *self._left_over) if not task.done()]:
            await asyncio.wait(busy)

        async def end(connection: AsyncConnection) -> None:
            await workers.end(connection, self.id)

        with suppress(OrchestratorError, Killed):  # then its silence says it
            await self.deps.db.run(end, tries=2)
        self.kill()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        # A process has a context of its own: whoever starts it may be in the middle of a transaction.
        task = asyncio.get_running_loop().create_task(self._live(work), context=Context())
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    async def _live(self, work: Coroutine[Any, Any, Any]) -> Any:
        current.set(self)
        try:
            return await work
        except Killed:
            return None
        except asyncio.CancelledError:
            if self.is_alive:
                raise
            return None
        except Exception as error:
            self.witness.bug(self.name, error)
            return None

    async def _tick_for_ever(self) -> None:
        idle_s = TICK_S
        while self.is_alive and not self.is_draining:
            await asyncio.sleep(idle_s * self.rng.uniform(0.8, 1.2))
            await self.gate()
            try:
                due = await self.deps.db.run(due_work.any_due, tries=1)
            except OrchestratorError:
                await asyncio.sleep(1.0)
                continue
            idle_s = TICK_S if due else self.idle(idle_s)
            for kind in KINDS:
                at_work = self._busy.get(kind)
                if kind in due and (at_work is None or at_work.done()):
                    self._busy[kind] = self._spawn(self._pump(kind))

    async def _pump(self, kind: str) -> None:
        try:
            await pump.pump(self.deps, kind, worker=self.id, should_stop=self._should_stop, hand_over=self._keep)
        except OrchestratorError:
            await asyncio.sleep(0.5)
        self.witness.stepped()

    def _should_stop(self) -> bool:
        return self.is_draining or self.client.is_dead

    def _keep(self, turns: set[asyncio.Task[int | None]]) -> bool:
        """Take turns that outlive their pump."""
        for turn in sorted(turns, key=lambda turn: int(turn.get_name().removeprefix("Task-"))):
            self._tasks[turn] = None
            self._left_over.add(turn)
            turn.add_done_callback(self._turn_ended)
        return True

    def _turn_ended(self, turn: asyncio.Task[int | None]) -> None:
        self._forget(turn)
        self._left_over.discard(turn)
        error = None if turn.cancelled() else turn.exception()
        if error is not None and not isinstance(error, OrchestratorError | Killed):
            self.witness.bug(self.name, error)

    def _carry_on(self, kind: str, work: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """Start what a sweep leads to, unless the one before is still at it."""
        at_work = self._busy.get(kind)
        if at_work is None or at_work.done():
            self._busy[kind] = self._spawn(self._beside(work))

    async def _beside(self, work: Callable[[], Coroutine[Any, Any, int]]) -> None:
        with suppress(OrchestratorError):
            await work()
        self.witness.stepped()

    async def _beat_for_ever(self) -> None:
        is_registered = False
        while self.is_alive:
            await self.gate()
            try:
                at, heard_since = await self.deps.db.run(self._beat if is_registered else self._first_beat, tries=1)
                self.heart.beat(at, heard_since=heard_since)
                is_registered = True
            except OrchestratorError:
                self.heart.miss()
            await asyncio.sleep(self.deps.settings.heartbeat_s)

    async def _register(self, connection: AsyncConnection) -> datetime:
        return await workers.register(connection, id=self.id, place="simulation", pid=1, version="simulation")

    async def _first_beat(self, connection: AsyncConnection) -> tuple[datetime, datetime]:
        return await self._register(connection), await workers.pulse(connection, gap_s=self.heart.gap_s)

    async def _beat(self, connection: AsyncConnection) -> tuple[datetime, datetime]:
        at = await workers.heartbeat(connection, self.id, draining=self.is_draining, tasks=0, ticker=0)
        return at or await self._register(connection), await workers.pulse(connection, gap_s=self.heart.gap_s)

    async def _sweep_for_ever(self) -> None:
        while self.is_alive and not self.is_draining:
            await asyncio.sleep(self.deps.settings.sweep_interval_s * self.rng.uniform(0.8, 1.2))
            await self.gate()
            judges = self.heart.unbroken_s >= self.deps.settings.dead_after_s
            try:
                await sweep.sweep(self.deps, may_judge_silence=judges, self_id=self.id, beside=self._carry_on)
            except OrchestratorError:
                continue
            except Exception as error:
                self.witness.bug(self.name, error)
            self.witness.stepped()
