"""Promise 2: a run has one open attempt and one ending. Workers are killed at every step after a launch."""

from __future__ import annotations

import signal

import pytest

from orchestrator.faultpoints import Point as P
from tests.guarantees.site import Site, died

pytestmark = pytest.mark.anyio

QUICK = "duration_s=0.1; size_bytes=300"
WHOLE_LIFE = ["accepted", "launching", "launched", "finished_at_provider", "result_stored", "finished"]

#: Every step from the launch's record to the batch's end, and what the run is when its worker dies there.
STEPS = {
    P.LAUNCH_RECORDED: "processing",
    P.POLL_CLAIMED: "processing",
    P.POLL_ANSWERED: "processing",
    P.POLL_RECORDING: "processing",
    P.POLL_RECORDED: "downloading",
    P.DOWNLOAD_CLAIMED: "downloading",
    P.DOWNLOAD_CHUNK: "downloading",
    P.ARTIFACT_WRITTEN: "downloading",
    P.ARTIFACT_STORED: "downloading",
    P.DOWNLOAD_RECORDING: "downloading",
    P.DOWNLOAD_RECORDED: "finished",
    P.SETTLE_WRITTEN: "finished",
    P.SETTLE_COMMITTED: "finished",
}


async def test_a_run_whose_worker_dies_at_every_step_in_turn_ends_once(site: Site) -> None:
    batch = await site.batch(1, QUICK)
    ((run, _),) = (await site.books()).runs.items()
    for point, status in STEPS.items():
        assert died(site.worker(f"{point}:1:kill")) == -signal.SIGKILL, point
        assert await site.status(run) == status, point
    site.worker()
    await site.until_batch_ended(batch)
    books = await site.all_is_well()
    assert books.launches(run) == 1
    assert await site.types(run) == WHOLE_LIFE
    assert [event.type for event in books.streams[batch]] == ["batch_accepted", "batch_finished"]


async def test_a_worker_whose_buriers_die_too_is_buried_once(site: Site) -> None:
    run = await site.run(QUICK)
    for point in (P.LAUNCH_SENT, P.SWEEP_DECLARED, P.SWEEP_CLEARED, P.SWEEP_DOUBTED):
        assert died(site.worker(f"{point}:1:kill")) == -signal.SIGKILL, point
    other = await site.run(QUICK)
    site.worker()
    await site.until_status(other, "finished")
    await site.until_all_buried(4)
    await site.all_is_well()
    assert await site.types(run) == ["accepted", "launching", "in_doubt"]
    assert await site.grants() == 0


@pytest.mark.parametrize("point", [P.POLL_ANSWERED, P.ARTIFACT_STORED])
async def test_a_late_worker_cannot_write_over_the_new_holder(site: Site, point: P) -> None:
    run = await site.run(QUICK)
    paused = site.worker(f"{point}:1:stop")
    await site.until_stopped(paused)
    site.worker()
    await site.until_status(run, "finished")
    paused.signal(signal.SIGCONT)
    await site.until_beating(2)
    other = await site.run(QUICK)
    await site.until_status(other, "finished")
    books = await site.all_is_well()
    assert books.launches(run) == 1
    assert await site.types(run) == WHOLE_LIFE
