"""The lookout of an API process: the troubles that no worker can tell of, because none lives."""

from __future__ import annotations

import asyncio

from orchestrator.domain.alarm_words import Code
from orchestrator.domain.alarms import Alarm
from orchestrator.domain.telling import Line, Told, tell
from orchestrator.engine import health, poison, watch
from orchestrator.engine.deps import Deps

#: With the 20 s after which a silent worker is taken for dead, well within a minute.
LOOK_EVERY_S = 10.0
#: Workers that are exchanged for others are away for a moment.
NO_WORKERS_FOR_S = 15.0


class Lookout:
    """What one API process has seen and told. Each of several tells: there may be no other."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._told = Told()

    async def keep(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            seen = await poison.caught(self.look)
            if isinstance(seen, poison.Poisoned):
                poison.tell("lookout", seen)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> list[Line]:
        """Look once; return what was told. A database that is away is told of by whoever meets it."""
        view = await health.readiness(self._deps)
        workers = view["workers"]
        found = []
        if workers is not None and not workers["alive"]:
            found.append(Alarm(code=Code.NO_WORKERS, is_grave=True, patience_s=NO_WORKERS_FOR_S))
        self._told, lines = tell(self._told, found, now_s=self._deps.sources.monotonic())
        for line in lines:
            watch.write(line)
        return lines
