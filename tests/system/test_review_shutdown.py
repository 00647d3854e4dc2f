"""A defect that a review found: what a worker has on the wire when it is asked to stop."""

from __future__ import annotations

import asyncio
import subprocess

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
