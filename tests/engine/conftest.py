"""A provider to speak to, and a worker's hands without Celery."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import connections, pump, reading, submit, sweep
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec, SubmittedBatch
from orchestrator.engine.who import Who
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, watched_by
from orchestrator.storage import database, workers
from sandbox.control import Sandbox

#: A provider's clock is turned forward only, so one that is off by more is put away.
SAME_TIME_S = 2.0


@pytest.fixture(scope="session")
def providers() -> Iterator[list[Sandbox]]:
    """The sandbox of the session, if there is one yet."""
    running: list[Sandbox] = []
    yield running
    for one in running:
        one.stop()


@pytest.fixture
def provider(providers: list[Sandbox]) -> Sandbox:
    """A sandbox whose clock nobody has turned yet: that of the test before, where it left it alone."""
    if providers and abs(providers[0].now_s() - time.time()) > SAME_TIME_S:
        providers.pop().stop()
    if not providers:
        fast = {"requests_per_minute": 6000, "scripe_requests_per_minute": 6000, "scripe_queued_s": 0.05}
        providers.append(Sandbox(options={"duration_s": 0.2, **fast}))
    return providers[0]


@pytest.fixture
def sandbox(provider: Sandbox) -> Sandbox:
    """A provider with quick executions and the documented limits, but for the rate; it is empty."""
    provider.clear_faults()
    provider.reset()
    _wait_for(provider.api_url, is_open=True)
    return provider


def shut_door(provider: Sandbox, seconds: float) -> None:
    """Make the provider refuse connections for so long, from now on."""
    provider.close_listener(seconds)
    _wait_for(provider.api_url, is_open=False)


def _wait_for(url: str, *, is_open: bool) -> None:
    """Wait until the provider's door is open, or shut: it moves a moment after it was asked to."""
    address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    for _ in range(500):
        try:
            socket.create_connection(address, timeout=1).close()
            found = True
        except OSError:
            found = False
        if found is is_open:
            return
        time.sleep(0.02)
    raise AssertionError(f"the door at {url} did not move")


@contextmanager
def away_after(deps: Deps, point: Point) -> Iterator[None]:
    """Take the database away at a point, for twenty attempts; and see that they were made."""
    transaction, refusals = deps.db.transaction, 0

    @asynccontextmanager
    async def away(*_: Any) -> AsyncIterator[AsyncConnection]:
        nonlocal refusals
        if 0 < refusals <= 20:
            refusals += 1
            raise Unavailable("the database is away")
        async with transaction() as connection:
            yield connection

    async def goes_away(reached: Point) -> None:
        nonlocal refusals
        refusals = refusals or int(reached is point)

    with pytest.MonkeyPatch.context() as patched, watched_by(goes_away):
        patched.setattr(database, "LONGEST_PAUSE_S", 0.01)
        patched.setattr(deps.db, "transaction", away)
        yield
    assert refusals == 21, "it was tried again and again"


@dataclass
class Hands:
    """What a worker does, driven by the test."""

    deps: Deps
    id: UUID

    async def work(self, *, until: Any, limit_s: float = 30.0) -> None:
        """Pump every kind until a condition holds."""
        async with asyncio.timeout(limit_s):
            while not await until():
                for kind in ("launch", "poll", "download"):
                    await pump.pump(self.deps, kind, worker=self.id, should_stop=lambda: False)
                await sweep.sweep(self.deps, self_id=self.id)
                await asyncio.sleep(0.02)


@pytest.fixture
async def hands(deps: Deps) -> Hands:
    """A registered worker."""
    worker = deps.sources.new_id()

    async def register(connection: Any) -> None:
        await workers.register(connection, id=worker, place="test", pid=1, version="test")

    await deps.db.run(register)
    return Hands(deps=deps, id=worker)


@dataclass
class Office:
    """A user's view: submits, and asks how it stands."""

    deps: Deps
    who: Who
    sandbox: Sandbox

    async def connect(self, name: str = "main", **limits: Any) -> dict[str, Any]:
        """Add a connection to the sandbox."""
        return await connections.add_connection(
            self.deps,
            self.who,
            name=name,
            provider="script",
            base_url=self.sandbox.api_url,
            api_key=self.sandbox.key,
            console_url=self.sandbox.console_url,
            **limits,
        )

    async def connect_scripe(self, name: str = "scripe", **limits: Any) -> dict[str, Any]:
        """Add a connection to the sandbox's other API."""
        return await connections.add_connection(
            self.deps,
            self.who,
            name=name,
            provider="scripe",
            base_url=self.sandbox.scripe_url,
            api_key=self.sandbox.scripe_key,
            **limits,
        )

    async def submit(self, rows: list[dict[str, Any]], *, workflow: str = "Free form", **spec: Any) -> SubmittedBatch:
        """Submit rows as JSONL."""
        import json

        data = b"\n".join(json.dumps(row).encode() for row in rows)
        workflow_id = self.sandbox.workflows[workflow]
        batch = BatchSpec(connection="main", workflow_id=workflow_id, format="jsonl", **spec)
        return await submit.submit_batch(self.deps, self.who, batch, data)

    async def batch(self, batch_id: UUID | None) -> dict[str, Any]:
        """Return how a batch stands."""
        assert batch_id is not None, "it was stored"
        return await reading.get_batch(self.deps, self.who, batch_id)


@pytest.fixture
async def office(deps: Deps, who: Who, sandbox: Sandbox) -> Office:
    """A user with a connection."""
    desk = Office(deps=deps, who=who, sandbox=sandbox)
    await desk.connect()
    return desk
