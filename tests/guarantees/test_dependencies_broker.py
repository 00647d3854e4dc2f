"""The broker is wiped, purged, or gone: messages are doorbells, so only latency may change. Nobody elects a leader."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage import workers
from tests.guarantees.outages import all_ended
from tests.guarantees.site import Site
from workers.broker import QUEUES

pytestmark = pytest.mark.anyio

PURGE = text("SELECT pgmq.purge_queue(:queue)")


@dataclass
class Redis:
    """A Redis of the test's own, that keeps nothing."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it takes connections."""
        told = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        program = shutil.which("redis-server")
        assert program is not None
        self.process = subprocess.Popen([program, *told], cwd=self.folder, stdout=subprocess.DEVNULL)
        ends_at = time.monotonic() + 10
        while True:
            try:
                self.ask(b"PING")
            except OSError:
                assert time.monotonic() < ends_at, "Redis does not start"
                time.sleep(0.02)
            else:
                return

    def ask(self, command: bytes) -> bytes:
        """Send one inline command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as talk:
            talk.sendall(command + b"\r\n")
            return talk.recv(100)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that runs."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server on this machine")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Redis(port=port, folder=tmp_path)
    made.start()
    yield made
    made.kill()


async def shares(site: Site) -> tuple[int, int]:
    """Return how much work ran in tasks, and how much in tickers."""

    async def read(connection: AsyncConnection) -> tuple[int, int]:
        return await workers.share(connection)

    return await site.deps.db.run(read)


async def count_workers(connection: AsyncConnection) -> int:
    return len(await workers.alive(connection, dead_after_s=60))


async def all_is_done(site: Site, count: int) -> None:
    await site.until(all_ended(site), limit_s=40)
    found = await site.all_is_well()
    assert [run.status for run in found.runs.values()] == ["finished"] * count


async def test_a_broker_that_is_wiped_again_and_again_loses_no_work(site: Site, redis: Redis) -> None:
    site.worker(ORCH_BROKER_URL=redis.url)
    await site.batch(30, wave_size=5)
    for _ in range(10):
        await asyncio.sleep(0.2)
        assert redis.ask(b"FLUSHALL") == b"+OK\r\n"
    await all_is_done(site, 30)


async def test_queues_in_postgres_that_are_purged_again_and_again_lose_no_work(site: Site) -> None:
    async def purge(connection: AsyncConnection) -> None:
        for queue in QUEUES:
            await connection.execute(PURGE, {"queue": queue})

    site.worker()
    await site.batch(30, wave_size=5)
    for _ in range(10):
        await asyncio.sleep(0.2)
        await site.deps.db.run(purge)
    await all_is_done(site, 30)


async def test_work_goes_on_in_tickers_while_the_broker_is_gone_and_returns_to_tasks_with_it(
    site: Site, redis: Redis
) -> None:
    site.worker(ORCH_BROKER_URL=redis.url)
    await site.batch(20, wave_size=4)

    async def some_are_done() -> bool:
        return (await site.statuses()).get("finished", 0) > 2

    await site.until(some_are_done)
    redis.kill()
    await site.batch(20, wave_size=4)
    await all_is_done(site, 40)
    assert (await shares(site))[1] > 0
    redis.start()

    async def are_tasks_at_work() -> bool:
        before = (await shares(site))[0]
        await site.run()
        await asyncio.sleep(1)
        return (await shares(site))[0] > before

    await site.until(are_tasks_at_work, limit_s=30)


async def test_ten_workers_that_start_at_once_on_an_empty_broker_all_live_and_do_the_work_once(site: Site) -> None:
    async def empty(connection: AsyncConnection) -> Any:
        return await connection.execute(text("DROP SCHEMA pgmq CASCADE"))

    await site.deps.db.run(empty)
    started = [site.worker() for _ in range(10)]
    await site.batch(12, wave_size=2)

    async def all_are_registered() -> bool:
        return await site.deps.db.run(count_workers) == 10

    await site.until(all_are_registered, limit_s=40)
    await all_is_done(site, 12)
    assert [worker.poll() for worker in started] == [None] * 10, site.said()[-4000:]
