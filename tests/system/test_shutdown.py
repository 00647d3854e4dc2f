"""Stopping a worker: what it has on the wire is recorded, and it ends, soon where it can."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time

import pytest

from orchestrator.engine import reading
from tests.system.conftest import Site

pytestmark = pytest.mark.anyio


async def test_a_worker_that_is_asked_to_stop_records_the_launch_on_the_wire_and_ends(site: Site) -> None:
    site.sandbox.faults([{"fault": "hang_after", "kind": "batch", "times": 1, "seconds": 4}])
    site.fleet.start(1)
    batch_id = await site.submit(5)
    await site.until(batch_id, lambda b: b["counts"]["launching"] == 5)
    await asyncio.sleep(0.5)
    try:
        codes = site.fleet.stop(limit_s=20)
    except subprocess.TimeoutExpired:
        codes = []
    batch = await reading.get_batch(site.deps, site.who, batch_id)
    assert (codes, batch["counts"]["launching"]) == ([0], 0), "its loop was stopped below tasks that still ran on it"


async def test_an_idle_worker_stops_soon(site: Site) -> None:
    site.fleet.start(1)
    await site.until(await site.submit(1), lambda b: b["finished_at"] is not None)
    asked_at = time.monotonic()
    assert site.fleet.stop(limit_s=20) == [0]
    assert time.monotonic() - asked_at < 6, "it has nothing to wait for"


async def test_a_cold_shutdown_does_not_wait_for_the_wire(site: Site) -> None:
    site.sandbox.faults([{"fault": "hang_after", "kind": "batch", "times": 1, "seconds": 25}])
    site.fleet.start(1)
    batch_id = await site.submit(5)
    await site.until(batch_id, lambda b: b["counts"]["launching"] == 5)
    (process,) = site.fleet.processes
    process.terminate()
    await asyncio.sleep(3)
    assert process.poll() is None, "a warm one waits"
    asked_at = time.monotonic()
    os.kill(process.pid, signal.SIGQUIT)
    process.wait(timeout=20)
    assert time.monotonic() - asked_at < 10
