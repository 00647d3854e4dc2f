"""Real worker processes on a real Postgres and a real broker, to be stopped and killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import connections, reading, submit
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec
from orchestrator.engine.who import Who
from orchestrator.settings import Settings
from orchestrator.storage import workers
from sandbox.control import Sandbox
from workers import broker

CHECKOUT = Path(__file__).parents[2]


@dataclass
class Fleet:
    """Worker processes that the test starts and ends."""

    environment: dict[str, str]
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, count: int, **settings: str) -> None:
        """Start workers, as `orchestrator worker` does."""
        for _ in range(count):
            log = (self.folder / f"worker-{len(self.processes)}.log").open("wb")
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "orchestrator.cli", "worker"],
                    env={**os.environ, **self.environment, **settings},
                    cwd=CHECKOUT,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def kill(self) -> None:
        """kill -9 every worker."""
        for process in self._living():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self, *, limit_s: float = 40.0) -> list[int]:
        """Ask every worker to stop, as a deployment does; return their exit codes."""
        living = self._living()
        for process in living:
            process.terminate()
        return [process.wait(timeout=limit_s) for process in living]

    def _living(self) -> list[subprocess.Popen[bytes]]:
        return [p for p in self.processes if p.poll() is None]

    def logs(self) -> str:
        """Return what the workers wrote."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))


@dataclass
class Site:
    """An installation with workers, and a provider."""

    deps: Deps
    who: Who
    sandbox: Sandbox
    fleet: Fleet

    async def submit(self, count: int, **spec: Any) -> UUID:
        """Submit a batch of quick items."""
        data = b"\n".join(json.dumps({"n": n, "sandbox": "size_bytes=300"}).encode() for n in range(count))
        workflow_id = self.sandbox.workflows["Free form"]
        batch = BatchSpec(connection="main", workflow_id=workflow_id, format="jsonl", **spec)
        stored = await submit.submit_batch(self.deps, self.who, batch, data)
        assert stored.id is not None
        return stored.id

    async def until(self, batch_id: UUID, condition: Callable[[dict[str, Any]], bool], *, limit_s: float = 60) -> Any:
        """Wait until a batch looks so; return it."""
        ends_at = time.monotonic() + limit_s
        while True:
            batch = await reading.get_batch(self.deps, self.who, batch_id)
            if condition(batch):
                return batch
            assert time.monotonic() < ends_at, f"{batch}\n{self.fleet.logs()[-5000:]}"
            await asyncio.sleep(0.2)

    async def until_registered(self, count: int, *, limit_s: float = 60) -> None:
        """Wait until so many workers have begun: one that is stopped while it starts dies of the signal."""
        ends_at = time.monotonic() + limit_s
        while True:
            async with self.deps.db.transaction() as connection:
                found = await connection.execute(text("SELECT count(*) FROM workers WHERE state = 'running'"))
            if found.scalar_one() >= count:
                return
            assert time.monotonic() < ends_at, self.fleet.logs()[-5000:]
            await asyncio.sleep(0.2)

    async def share_in_tasks(self) -> tuple[int, int]:
        """Return how much work ran in tasks, and how much in tickers."""

        async def read(connection: AsyncConnection) -> tuple[int, int]:
            return await workers.share(connection)

        return await self.deps.db.run(read)


@pytest.fixture(scope="session")
def provider() -> Iterator[Sandbox]:
    """One sandbox for the session; each test finds it empty."""
    with Sandbox(options={"duration_s": 0.4, "requests_per_minute": 6000}) as running:
        yield running


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Iterator[Fleet]:
    """No workers yet. Whatever the test left running is killed at its end."""
    broker.prepare(settings)
    environment = {
        "ORCH_DATABASE_URL": settings.require_database_url(),
        "ORCH_DATA_DIR": str(settings.data_dir),
        "ORCH_ALLOW_PRIVATE_NETWORKS": "true",
        "ORCH_POLL_MIN_INTERVAL_S": "0.2",
        "ORCH_LOG_LEVEL": "info",
    }
    made = Fleet(environment=environment, folder=tmp_path)
    yield made
    made.kill()


@pytest.fixture
async def site(deps: Deps, who: Who, provider: Sandbox, fleet: Fleet) -> AsyncIterator[Site]:
    """An installation with one connection and no workers yet."""
    provider.clear_faults()
    provider.reset()
    await connections.add_connection(
        deps,
        who,
        name="main",
        provider="script",
        base_url=provider.api_url,
        api_key=provider.key,
        requests_per_minute=6000,
    )
    yield Site(deps=deps, who=who, sandbox=provider, fleet=fleet)
