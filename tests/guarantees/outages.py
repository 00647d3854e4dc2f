"""Dependencies that fail: the product behind a wire proxy, with a worker's hands that do not mind an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.bootstrap import build
from orchestrator.domain.statuses import ENDINGS
from orchestrator.engine import pump, sweep
from orchestrator.engine.deps import Deps
from orchestrator.errors import Unavailable
from orchestrator.settings import Settings
from orchestrator.storage import workers
from sandbox.control import Sandbox
from tests.guarantees.site import Site
from tests.guarantees.wire_proxy import WireProxy
from workers.heart import Heart

#: What is not over; one where there is nothing at all.
LEFT = text("""
    SELECT (SELECT count(*) FROM runs WHERE NOT status = ANY(CAST(:endings AS text[])))
        + (SELECT count(*) FROM batches WHERE ended_at IS NULL) + (NOT EXISTS (SELECT FROM runs))::int""")

KINDS = ("launch", "poll", "download")

#: How long a claim holds here: work that an outage tore from its worker comes back so soon.
LEASE_S = 1.0


@dataclass
class Hands:
    """What a worker does, in this process, with its database behind the proxy."""

    deps: Deps
    id: UUID
    heart: Heart = field(default_factory=lambda: Heart(5.0))

    async def work(
        self, *, until: Callable[[], Awaitable[bool]], limit_s: float = 20.0, kinds: Sequence[str] = KINDS
    ) -> int:
        """Work some kinds until a condition holds; return how often the database was away."""
        ends_at = time.monotonic() + limit_s
        away = 0
        while not await until():
            assert time.monotonic() < ends_at, "it did not come about in time"
            for kind in kinds:
                away += await self._try(pump.pump(self.deps, kind, worker=self.id, should_stop=lambda: False))
            away += await self._try(self.deps.db.run(self.beat))
            jumped = self.heart.take_jump()
            away += await self._try(sweep.sweep(self.deps, self_id=self.id, clock_went_back=jumped))
            await asyncio.sleep(0.02)
        return away

    async def _try(self, work: Awaitable[Any]) -> bool:
        try:
            await work
        except Unavailable:
            return True
        return False

    async def beat(self, connection: Any) -> None:
        at = await workers.heartbeat(connection, self.id, draining=False, tasks=0, ticker=0)
        assert at is not None, "it is registered"
        self.heart.beat(at)


@pytest.fixture
def proxy(database_url: str) -> Iterator[WireProxy]:
    """What stands between the product and its Postgres."""
    with WireProxy(database_url) as made:
        yield made


@pytest.fixture
def through_settings(settings: Settings, proxy: WireProxy) -> Settings:
    """The settings of a product that reaches its Postgres through the proxy."""
    return settings.model_copy(update={"database_url": SecretStr(proxy.url), "lease_s": LEASE_S})


@pytest.fixture
async def through(through_settings: Settings) -> AsyncIterator[Deps]:
    """What the verbs need, through the proxy."""
    async with build(through_settings, program="test") as made:
        yield made


@pytest.fixture
async def hands(through: Deps) -> Hands:
    """A registered worker behind the proxy."""
    worker = through.sources.new_id()

    async def register(connection: Any) -> None:
        await workers.register(connection, id=worker, place="test", pid=1, version="test")

    await through.db.run(register)
    return Hands(deps=through, id=worker)


def all_ended(site: Site) -> Callable[[], Awaitable[bool]]:
    """Return what tells that every run has ended, and every batch with its last."""

    async def read(connection: AsyncConnection) -> bool:
        left: int = (await connection.execute(LEFT, {"endings": sorted(ENDINGS)})).scalar_one()
        return left == 0

    async def have_ended() -> bool:
        return await site.deps.db.run(read)

    return have_ended


def launches_seen(sandbox: Sandbox) -> int:
    """Return how many launch requests reached the provider."""
    log = sandbox.log()
    return sum(one["method"] == "POST" and one["path"].startswith("/api/v1/workflows/") for one in log)
