from __future__ import annotations
import asyncio, time, subprocess
from typing import Any
import pytest
from tests.system.conftest import *  # noqa
from tests.system.conftest import Site
pytestmark = pytest.mark.anyio

async def test_a_worker_that_is_asked_to_stop_waits_for_the_launch_on_the_wire(site: Site) -> None:
    site.sandbox.faults([{"fault": "hang_after", "kind": "batch", "times": 1, "seconds": 6}])
    site.fleet.start(1)
    batch_id = await site.submit(5)
    await site.until(batch_id, lambda b: b["counts"]["launching"] == 5)
    await asyncio.sleep(1)
    t = time.monotonic()
    try:
        codes = site.fleet.stop(limit_s=45)
    except subprocess.TimeoutExpired:
        codes = "never"
    from orchestrator.engine import reading
    b = await reading.get_batch(site.deps, site.who, batch_id)
    print("STOP", codes, time.monotonic()-t, b["counts"])
    print(site.fleet.logs()[-6000:])
    assert codes == [0] and b["counts"]["launching"] == 0
