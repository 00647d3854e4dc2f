"""An installation of real processes that a test may kill, with a provider that remembers everything."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import ENDINGS
from orchestrator.engine import connections, reading, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.engine.who import Who
from sandbox.control import Sandbox
from tests.guarantees import books
from tests.guarantees.books import Books
from tests.guarantees.nursery import Child, Nursery

LOOK_S = 0.02

STATUSES = text("SELECT status, count(*) AS n FROM runs GROUP BY status")
QUESTIONS = text("SELECT count(*) FROM inbox WHERE closed_at IS NULL")
GRANTS = text("SELECT count(*) FROM grants")
BURIED = text("SELECT count(*) FROM workers WHERE buried_at IS NOT NULL")
BEATING = text("""
    SELECT count(*) FROM workers WHERE state = 'running' AND heartbeat_at > orch_now() - interval '6 s'""")


@dataclass
class Site:
    """Starts the product's processes, submits work, and waits for what becomes of it."""

    deps: Deps
    who: Who
    sandbox: Sandbox
    nursery: Nursery
    environment: Mapping[str, str]
    folder: Path
    children: list[Child] = field(default_factory=list)
    _items: itertools.count[int] = field(default_factory=itertools.count)

    # -- processes -----------------------------------------------------------------------------------------------

    def worker(self, fault: str = "", **settings: str) -> Child:
        """Start a worker, struck as `fault` says (`point:nth:action`)."""
        return self._start("worker", fault, settings)

    def api(self, fault: str = "", **settings: str) -> tuple[Child, str]:
        """Start an API; return it and its address."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        return self._start("serve", fault, {"ORCH_PORT": str(port), **settings}), f"http://127.0.0.1:{port}"

    def kill_all(self) -> None:
        """kill -9 whatever lives."""
        for child in self.children:
            child.kill()

    def _start(self, command: str, fault: str, settings: Mapping[str, str]) -> Child:
        log = self.folder / f"{len(self.children):03d}-{command}.log"
        child = self.nursery.start([command], {**self.environment, "FAULT": fault, **settings}, log=log)
        self.children.append(child)
        return child

    # -- work ----------------------------------------------------------------------------------------------------

    def input(self, hints: str = "size_bytes=300") -> bytes:
        """Return a new input, with an item of its own."""
        return json.dumps({"item": f"item-{next(self._items)}", "sandbox": hints}).encode()

    async def run(self, hints: str = "size_bytes=300", *, workflow: str = "Free form") -> UUID:
        """Submit a single run."""
        workflow_id = self.sandbox.workflows[workflow]
        spec = RunSpec(connection="main", workflow_id=workflow_id, input=self.input(hints))
        return (await submit.submit_run(self.deps, self.who, spec)).id

    async def batch(self, count: int, hints: str = "size_bytes=300", **spec: Any) -> UUID:
        """Submit a batch."""
        rows = b"\n".join(self.input(hints) for _ in range(count))
        workflow_id = self.sandbox.workflows["Free form"]
        asked = BatchSpec(connection="main", workflow_id=workflow_id, format="jsonl", **spec)
        stored = await submit.submit_batch(self.deps, self.who, asked, rows)
        assert stored.id is not None
        return stored.id

    # -- what became of it ---------------------------------------------------------------------------------------

    async def status(self, run_id: UUID) -> str:
        """Return a run's status."""
        found: str = (await reading.get_run(self.deps, self.who, run_id))["status"]
        return found

    async def statuses(self) -> dict[str, int]:
        """Return how many runs have each status."""

        async def count(connection: AsyncConnection) -> dict[str, int]:
            return {row.status: row.n for row in await connection.execute(STATUSES)}

        return await self.deps.db.run(count)

    async def questions(self) -> int:
        """Return how many questions wait in the inbox."""
        return await self._number(QUESTIONS)

    async def grants(self) -> int:
        """Return how many grants are out."""
        return await self._number(GRANTS)

    async def _number(self, query: TextClause) -> int:
        async def read(connection: AsyncConnection) -> int:
            found: int = (await connection.execute(query)).scalar_one()
            return found

        return await self.deps.db.run(read)

    async def batch_status(self, batch_id: UUID) -> str:
        """Return a batch's status."""
        found: str = (await reading.get_batch(self.deps, self.who, batch_id))["status"]
        return found

    def arrived(self) -> int:
        """Return how many requests the provider has counted."""
        used = self.sandbox.limits()["keys"].get(self.sandbox.key)
        return used["requests"] if used else 0

    async def types(self, run_id: UUID) -> list[str]:
        """Return the types of a run's events, in order."""
        events, _ = await reading.run_events(self.deps, self.who, run_id, after=0, limit=200)
        return [event["type"] for event in events]

    async def until(self, condition: Callable[[], Awaitable[bool]], *, limit_s: float = 30.0) -> float:
        """Wait until a condition holds; return how long that took."""
        began_at = time.monotonic()
        while not await condition():
            if time.monotonic() - began_at > limit_s:
                raise AssertionError(f"after {limit_s} s: {await self.statuses()}\n{self.said()[-6000:]}")
            await asyncio.sleep(LOOK_S)
        return time.monotonic() - began_at

    async def until_status(self, run_id: UUID, *wanted: str, limit_s: float = 30.0) -> float:
        """Wait until a run is in one of some statuses."""

        async def is_there() -> bool:
            return await self.status(run_id) in wanted

        return await self.until(is_there, limit_s=limit_s)

    async def until_batch_ended(self, batch_id: UUID) -> None:
        """Wait until a batch is settled."""

        async def has_ended() -> bool:
            return (await reading.get_batch(self.deps, self.who, batch_id))["finished_at"] is not None

        await self.until(has_ended)

    async def until_all_buried(self, count: int) -> None:
        """Wait until so many workers' leases were given back."""

        async def is_done() -> bool:
            return await self._number(BURIED) == count

        await self.until(is_done)

    async def until_beating(self, count: int) -> None:
        """Wait until so many workers are heard."""

        async def is_heard() -> bool:
            return await self._number(BEATING) == count

        await self.until(is_heard)

    async def until_stopped(self, child: Child) -> None:
        """Wait until a fault has stopped a process."""

        async def is_stopped() -> bool:
            return child.is_stopped()

        await self.until(is_stopped)

    async def until_said(self, child: Child, *words: str) -> None:
        """Wait until a process has written one line with all the words."""

        async def has_said() -> bool:
            return any(all(word in line for word in words) for line in child.said().splitlines())

        await self.until(has_said)

    async def until_answers(self, url: str) -> None:
        """Wait until an API answers."""

        async def answers() -> bool:
            try:
                return httpx.get(f"{url}/healthz", trust_env=False, verify=False).status_code == 200
            except httpx.TransportError:
                return False

        await self.until(answers)

    async def more_arrived(self, *, than: int, within_s: float = 6.0) -> bool:
        """Wait until more requests have arrived; False if none did."""
        ends_at = time.monotonic() + within_s

        async def is_over() -> bool:
            return self.arrived() > than or time.monotonic() > ends_at

        await self.until(is_over)
        return self.arrived() > than

    async def until_still(self, still_s: float, *, limit_s: float = 30.0) -> None:
        """Wait until no request has arrived for so long."""
        arrived, since = self.arrived(), time.monotonic()

        async def is_still() -> bool:
            nonlocal arrived, since
            now = self.arrived()
            if now != arrived:
                arrived, since = now, time.monotonic()
            return time.monotonic() - since >= still_s

        await self.until(is_still, limit_s=limit_s)

    async def until_all_are(self, status: str) -> None:
        """Wait until every run is in one status."""

        async def are_there() -> bool:
            return {*await self.statuses()} == {status}

        await self.until(are_there)

    async def until_quiet(self, *, limit_s: float = 120.0) -> Books:
        """Wait until every run has ended or is in doubt; return the books."""

        async def is_quiet() -> bool:
            return not {*await self.statuses()} - {*ENDINGS, "in_doubt"}

        await self.until(is_quiet, limit_s=limit_s)
        return await self.books()

    async def books(self) -> Books:
        """Read the books of both sides."""
        return await books.read(self.deps, [self.sandbox])

    async def all_is_well(self) -> Books:
        """Assert that no promise is broken; return the books."""
        found = await self.books()
        assert found.complaints() == []
        assert await books.damaged_files(self.deps, found) == []
        return found

    def said(self) -> str:
        """Return what every process wrote."""
        return "\n".join(f"--- {child.log.name}\n{child.said()}" for child in self.children)


async def connect(deps: Deps, who: Who, sandbox: Sandbox, *, name: str = "main", **limits: Any) -> None:
    """Add a connection to a sandbox."""
    await connections.add_connection(
        deps, who, name=name, provider="script", base_url=sandbox.api_url, api_key=sandbox.key, **limits
    )


def died(child: Child, *, limit_s: float = 20.0) -> int:
    """Wait until a fault has killed a process; return its exit code."""
    return child.wait(limit_s=limit_s)
