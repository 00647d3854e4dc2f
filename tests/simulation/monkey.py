"""What goes wrong in a simulated world beside single messages: deaths, frozen processes, outages of whole parts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from random import Random
from typing import TYPE_CHECKING

from orchestrator.faultpoints import Point
from tests.simulation.plan import Outage
from tests.simulation.postgres import Killed
from tests.simulation.worker import SimWorker

if TYPE_CHECKING:
    from tests.simulation.world import World

#: A process that died is started again within so long, seconds.
RESTART_S = (0.5, 20.0)

#: How long a process is frozen at a fault point, seconds: short of its lease, past its send deadline, long past both.
FREEZES_S = (2.0, 16.0, 30.0, 600.0)

#: Moments that a world reaches seldom, beside looks and downloads: struck so many times as often.
_SELDOM = frozenset(Point) - {point for point in Point if point.split(".")[0] in ("poll", "download", "artifact")}
_SELDOM_MORE_OFTEN = 5


class Monkey:
    """Kills and starves. Everything is drawn from the seed; `heal` ends it."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng
        self._database_back_at = 0.0
        self._is_on = True
        #: When a worker was killed or frozen, by the loop's time: what it held is out until it is taken for dead.
        self.struck_at_s: list[float] = []

    @property
    def database_is_away(self) -> bool:
        """Nobody reaches the database now."""
        return self._is_on and self._world.loop.time() < self._database_back_at

    def heal(self) -> None:
        """Stop."""
        self._is_on = False

    def doings(self) -> list[Awaitable[None]]:
        """Return everything that is planned, to be awaited together."""
        plan = self._world.plan
        return [
            *(self._kill_one(at_s) for at_s in plan.kills_at_s),
            *(self._stop_one(at_s) for at_s in plan.stops_at_s),
            *(self._freeze_one(outage) for outage in plan.freezes),
            *(self._take_database_away(outage) for outage in plan.database_away),
            *(self._take_provider_away(outage) for outage in plan.provider_away),
        ]

    async def at_point(self, worker: SimWorker, point: Point) -> None:
        """Kill or freeze a process at a fault point, now and then."""
        rate = self._world.plan.point_rate * (_SELDOM_MORE_OFTEN if point in _SELDOM else 1)
        if not self._is_on or not self._world.faults.is_on or self._rng.random() >= rate:
            return
        if self._rng.random() < 0.25:
            self._world.faults.count(point, "frozen")
            worker.freeze(self._rng.choice(FREEZES_S))
            await worker.gate()
            return
        self._world.faults.count(point, "killed")
        self._die(worker)
        raise Killed

    def keep_some_alive(self) -> None:
        """Start workers when none is left."""
        if not self._world.living:
            self._world.start_worker()

    def _die(self, worker: SimWorker) -> None:
        worker.kill()
        self.struck_at_s.append(self._world.loop.time())
        if worker in self._world.workers:
            delay_s = self._rng.uniform(*RESTART_S)
            self._world.loop.call_later(delay_s, self._start_again)

    def _start_again(self) -> None:
        if len(self._world.living) < self._world.plan.workers:
            self._world.start_worker()

    def _one(self) -> SimWorker | None:
        living = [w for w in self._world.living if not w.is_frozen and not w.is_draining]
        return self._rng.choice(living) if living else None

    async def _kill_one(self, at_s: float) -> None:
        await self._world.at(at_s)
        worker = self._one()
        if worker is not None:
            self._world.faults.count("process", "killed")
            self._die(worker)

    async def _stop_one(self, at_s: float) -> None:
        await self._world.at(at_s)
        worker = self._one()
        if worker is not None:
            self._world.faults.count("process", "stopped")
            await worker.stop()
            await asyncio.sleep(self._rng.uniform(*RESTART_S))
            self._start_again()

    async def _freeze_one(self, outage: Outage) -> None:
        await self._world.at(outage.at_s)
        worker = self._one()
        if worker is not None:
            self._world.faults.count("process", "frozen")
            worker.freeze(outage.seconds)

    async def _take_database_away(self, outage: Outage) -> None:
        await self._world.at(outage.at_s)
        self._world.faults.count("database", "away")
        self._database_back_at = self._world.loop.time() + outage.seconds
        for process in [*self._world.living, self._world.api]:
            for connection in tuple(process.client.connections):
                connection.cut()

    async def _take_provider_away(self, outage: Outage) -> None:
        await self._world.at(outage.at_s)
        self._world.faults.count("provider", "away")
        for listener in self._world.provider.service.listeners.values():
            listener.close_for(outage.seconds)
