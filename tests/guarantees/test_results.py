"""Promise 4: results are stored before their URLs die, byte for byte; workers are killed while they store them."""

from __future__ import annotations

import signal

import pytest

from orchestrator.faultpoints import Point as P
from tests.guarantees.site import Site, died

pytestmark = pytest.mark.anyio

LARGE = "duration_s=0.1; files=3; size_bytes=400000"


@pytest.mark.parametrize("strike", [f"{P.DOWNLOAD_CHUNK}:9:kill", f"{P.ARTIFACT_STORED}:2:kill"])
async def test_killed_among_several_large_files_all_are_whole(site: Site, strike: str) -> None:
    run = await site.run(LARGE)
    assert died(site.worker(strike)) == -signal.SIGKILL
    assert await site.status(run) == "downloading"
    site.worker()
    await site.until_status(run, "finished")
    await site.all_is_well()
    assert (await site.types(run)).count("result_stored") == 3


async def test_cut_short_wrong_and_refused_files_are_never_stored_as_they_came(site: Site) -> None:
    faults = ("cut_body", "wrong_length", "expired_url", "empty_file", "disconnect_after", "reset_before")
    site.sandbox.faults([{"fault": fault, "kind": "file", "times": 1} for fault in faults])
    runs = [await site.run(LARGE) for _ in range(3)]
    site.worker()
    for run in runs:
        await site.until_status(run, "finished")
    await site.all_is_well()


async def test_urls_that_died_with_their_worker_are_renewed(site: Site) -> None:
    run = await site.run("duration_s=0.1; size_bytes=300")
    assert died(site.worker(f"{P.DOWNLOAD_CLAIMED}:1:kill")) == -signal.SIGKILL
    site.sandbox.advance(2 * 3600)
    site.worker()
    await site.until_status(run, "finished")
    await site.all_is_well()
    assert "results_refreshed" in await site.types(run)
