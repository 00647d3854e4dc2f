"""The monkey: kill -9 of whatever it fancies, at any moment; whoever died is replaced after a while."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.chaos.installation import Installation
from tests.guarantees.nursery import Child

#: What is killed how often. A `backend` is one of Postgres' own processes.
WEIGHTS = {"worker": 68, "api": 16, "postgres": 8, "backend": 8}
#: A worker that was killed is replaced after up to so long, seconds.
ABSENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A worker that was killed: which process, when, and whether others could see its process go."""

    pid: int
    at: datetime
    is_here: bool


def death_of(victim: Child) -> Death:
    """kill -9 a worker."""
    victim.kill()
    return Death(pid=victim.pid, at=datetime.now(UTC), is_here=not victim.is_elsewhere)


@dataclass(kw_only=True)
class Monkey:
    """Kills so many times, so far apart, all of it drawn from a seed."""

    installation: Installation
    chance: random.Random
    kills: int
    pause_s: float
    done: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    _replacing: set[asyncio.Task[None]] = field(default_factory=set)

    async def rage(self) -> None:
        """Kill until the number is reached."""
        while self.done.total() < self.kills:
            await asyncio.sleep(self.chance.uniform(0.2, 1.8) * self.pause_s)
            await self._kill(self.chance.choices([*WEIGHTS], weights=[*WEIGHTS.values()])[0])
        await asyncio.gather(*self._replacing)

    async def _kill(self, what: str) -> None:
        there = self.installation
        match what:
            case "worker" if there.workers:
                victim = there.workers.pop(self.chance.randrange(len(there.workers)))
                self._kill_worker(victim)
            case "api" if there.api is not None:
                there.api.kill()
                there.start_api()
            case "postgres":
                await there.kill_postgres()
            case "backend" if there.kill_backend(self.chance.random()):
                pass
            case _:
                return
        self.done[what] += 1

    def _kill_worker(self, victim: Child) -> None:
        self.deaths.append(death_of(victim))
        task = asyncio.create_task(self._replace(self.chance.uniform(0, ABSENCE_S)))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _replace(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.installation.start_worker()
