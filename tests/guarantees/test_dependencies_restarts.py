"""Postgres is restarted again and again below real workers: everything ends, and nothing is doubted for it."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from orchestrator.embedded.postgres import EmbeddedPostgres
from tests.guarantees.outages import all_ended
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio

RESTARTS = 4
EVERY_S = 2.0


def restart(postgres: EmbeddedPostgres) -> None:
    """End the server at once (`immediate`), and start it again: it recovers from its log."""
    pid = postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    ends_at = time.monotonic() + 10
    while postgres.pid is not None:
        assert time.monotonic() < ends_at, "Postgres does not end"
        time.sleep(0.02)
    postgres.start()


async def test_a_batch_ends_without_a_doubt_though_postgres_is_restarted_every_two_seconds(
    site: Site, postgres: EmbeddedPostgres
) -> None:
    site.sandbox.faults([{"fault": "hang_after", "kind": "batch", "every": 2, "times": 100, "seconds": 1.0}])
    workers = [site.worker(), site.worker()]
    await site.batch(30, wave_size=5)
    for _ in range(RESTARTS):
        await asyncio.sleep(EVERY_S)
        await asyncio.to_thread(restart, postgres)
    await site.until(all_ended(site), limit_s=60)
    found = await site.all_is_well()
    assert {run.status for run in found.runs.values()} == {"finished"}
    assert [worker.poll() for worker in workers] == [None, None], "a worker died of it"
