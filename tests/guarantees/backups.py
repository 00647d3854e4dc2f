"""Copies of a database, and the way back to them: what a restore, or a failover that lost its tail, does to us."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import launch, pump, reading, restore, unrecorded
from orchestrator.engine.deps import Deps
from orchestrator.storage import workers
from tests.guarantees.site import Site

LONG = "duration_s=600; size_bytes=300"
ACTOR = "cli:local"

_numbers = itertools.count()

DEAD_LEASES = text("UPDATE timers SET due_at = orch_now() WHERE kind = 'sending'")
NOW_DUE = text("UPDATE lanes SET launch_due_at = orch_now() WHERE launch_due_at IS NOT NULL")
TOLD = text("SELECT type, actor, data FROM events WHERE type LIKE 'launches_%' ORDER BY seq")


@dataclass
class Backups:
    """Takes copies of the test's database, and puts them in its place."""

    postgres: EmbeddedPostgres
    deps: Deps
    made: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.deps.settings.require_database_url().partition("?")[0].rpartition("/")[2]

    async def take(self) -> str:
        """Copy the database as it stands; nobody may be in it."""
        await self.deps.db.close()
        copy = f"backup_{next(_numbers)}"
        self.postgres.create_database(copy, template=self.name)
        self.made.append(copy)
        return copy

    async def put_back(self, copy: str) -> None:
        """Put a copy in the database's place, whoever is in it."""
        await self.deps.db.close()
        self.postgres.drop_database(self.name)
        self.postgres.create_database(self.name, template=copy)

    def drop(self) -> None:
        """Remove the copies."""
        for copy in self.made:
            self.postgres.drop_database(copy)


@dataclass
class Hands:
    """What a worker does, step by step."""

    site: Site
    deps: Deps
    id: UUID

    @classmethod
    async def of(cls, site: Site, deps: Deps) -> Hands:
        """Register a worker of a process's own."""
        hands = cls(site=site, deps=deps, id=deps.sources.new_id())

        async def register(connection: AsyncConnection) -> None:
            await workers.register(connection, id=hands.id, place="test", pid=1, version="test")

        await deps.db.run(register)
        return hands

    async def launch(self) -> None:
        """Launch what is due, as often as it takes: a held lane is asked once."""
        await now_due(self.deps)
        await pump.pump(self.deps, "launch", worker=self.id, should_stop=lambda: False)

    async def launch_one_turn(self) -> None:
        """Launch what one lane has due, and do nothing beside."""
        await now_due(self.deps)
        await launch.launch_due(self.deps, worker=self.id)

    async def watch(self) -> None:
        """Look and download once."""
        for kind in ("poll", "download"):
            await pump.pump(self.deps, kind, worker=self.id, should_stop=lambda: False)

    async def work_until(self, run_id: UUID, *wanted: str) -> None:
        """Do everything that a worker does until a run is in one of some statuses."""

        async def is_there() -> bool:
            await self.launch()
            await self.watch()
            return await self.site.status(run_id) in wanted

        await self.site.until(is_there)

    async def doubt_what_is_launching(self) -> None:
        """Let the launches of dead workers become doubts."""

        async def void(connection: AsyncConnection) -> None:
            await connection.execute(DEAD_LEASES)

        await self.deps.db.run(void)
        await unrecorded.doubt_all(self.deps)


async def now_due(deps: Deps) -> None:
    """Let no lane wait for its next time."""

    async def pull(connection: AsyncConnection) -> None:
        await connection.execute(NOW_DUE)

    await deps.db.run(pull)


async def fates(deps: Deps) -> dict[tuple[str, str | None], str]:
    """Return what is launched and unknown: by run and execution, what a release does with it."""
    held = await restore.held(deps)
    return {(one["run_id"], one["execution_id"]): one["fate"] for one in held["launches"]}


async def told(deps: Deps) -> list[Any]:
    """Return what the workspace's history says of holds and releases."""

    async def read(connection: AsyncConnection) -> list[Any]:
        return list((await connection.execute(TOLD)).all())

    return await deps.db.run(read)


def launched(site: Site) -> int:
    """Return how many launches the provider saw."""
    return sum(entry["method"] == "POST" for entry in site.sandbox.log())


def executed_twice(site: Site) -> list[Any]:
    """Return what the provider executed twice."""
    found: list[Any] = site.sandbox.truth()["summary"]["inputs_executed_twice"]
    return found


async def execution(site: Site, run_id: UUID) -> str:
    """Return a run's execution."""
    found: str = (await reading.get_run(site.deps, site.who, run_id))["execution_id"]
    return found


async def three_generations(site: Site, hands: Hands, backup: Backups) -> tuple[str, dict[str, UUID], dict[str, str]]:
    """Launch one run before a backup, and two after it: one that the backup holds as queued, one that it never saw."""
    before = await site.run(LONG)
    await hands.launch()
    queued = await site.run(LONG)
    copy = await backup.take()
    await hands.launch()
    unseen = await site.run(LONG)
    await hands.launch()
    runs = {"before": before, "queued": queued, "unseen": unseen}
    return copy, runs, {name: await execution(site, run) for name, run in runs.items()}
