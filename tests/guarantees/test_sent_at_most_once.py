"""Promise 3: a launch is sent at most once, or is flagged. Workers are killed at every step of a launch."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from orchestrator.engine import workflows
from orchestrator.faultpoints import Point as P
from tests.guarantees.nursery import Child
from tests.guarantees.site import Site, died

pytestmark = pytest.mark.anyio

QUICK = "duration_s=0.1; size_bytes=300"

#: The intent is committed, its outcome is not: nobody can know. How often the provider has it: at least, at most.
NOBODY_KNOWS = {
    P.LAUNCH_COMMITTED: (0, 0),
    P.LAUNCH_CONNECTED: (0, 0),
    P.LAUNCH_SENT: (0, 1),
    P.LAUNCH_ANSWERED: (1, 1),
    P.LAUNCH_RECORDING: (1, 1),
}


async def test_killed_before_the_intent_is_committed_a_run_is_queued_and_no_doubt_is_made(site: Site) -> None:
    run = await site.run(QUICK)
    assert died(site.worker(f"{P.LAUNCH_WRITTEN}:1:kill")) == -signal.SIGKILL
    assert await site.status(run) == "queued"
    assert site.sandbox.truth()["executions"] == []
    site.worker()
    await site.until_quiet()
    books = await site.all_is_well()
    assert (books.launches(run), await site.status(run)) == (1, "finished")
    assert (await site.types(run))[:3] == ["accepted", "launching", "launched"]


async def test_killed_after_the_intent_is_committed_a_run_is_in_doubt_and_stays_so(site: Site) -> None:
    runs = {}
    for point in NOBODY_KNOWS:
        # Those that are in doubt, or will be, are nobody's to launch: each worker meets its own run only.
        run = runs[point] = await site.run(QUICK)
        assert died(site.worker(f"{point}:1:kill")) == -signal.SIGKILL, point
        assert await site.status(run) == "launching", point
    other = await site.run(QUICK)
    site.worker()
    await site.until_status(other, "finished")
    await site.until_quiet()
    books = await site.all_is_well()
    for point, (least, most) in NOBODY_KNOWS.items():
        run = runs[point]
        assert least <= books.launches(run) <= most, point
        assert books.runs[run].is_asked_about, point
        assert await site.types(run) == ["accepted", "launching", "in_doubt"], point


@pytest.mark.parametrize("point", [P.LAUNCH_SENT, P.LAUNCH_RECORDING])
async def test_killed_while_a_wave_is_on_the_wire_all_of_it_is_in_doubt_by_one_question(site: Site, point: P) -> None:
    batch = await site.batch(8, QUICK)
    assert died(site.worker(f"{point}:1:kill")) == -signal.SIGKILL
    other = await site.run(QUICK)
    site.worker()
    await site.until_status(other, "finished")
    await site.until_quiet()
    books = await site.all_is_well()
    assert len(books.doubts()) == 8
    assert await site.questions() == 1
    assert await site.batch_status(batch) == "waiting"


async def test_a_run_whose_owner_chose_relaunch_says_that_it_may_run_twice(site: Site) -> None:
    run = await site.run(QUICK)
    await workflows.set_workflow(site.deps, site.who, "main", site.sandbox.workflows["Free form"], on_doubt="relaunch")
    assert died(site.worker(f"{P.LAUNCH_ANSWERED}:1:kill")) == -signal.SIGKILL
    site.worker()
    await site.until_status(run, "finished")
    books = await site.all_is_well()
    assert books.launches(run) == 2
    assert (await site.types(run))[:5] == ["accepted", "launching", "in_doubt", "relaunched", "launching"]


async def test_killed_while_a_provider_in_trouble_is_probed_the_lane_goes_on(site: Site) -> None:
    site.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    first = await site.run(QUICK)
    probing = site.worker(f"{P.PROBE_ANSWERED}:1:kill")
    await site.until_status(first, "in_doubt")
    second = await site.run(QUICK)
    assert died(probing) == -signal.SIGKILL
    assert await site.status(second) == "queued"
    site.worker()
    await site.until_status(second, "finished")
    books = await site.all_is_well()
    assert [books.launches(run) for run in (first, second)] == [1, 1]


async def settled_worker(site: Site, fault: str, **settings: str) -> Child:
    """Start a worker and wait until it has nothing to do, so that it is not paused in the middle of something else."""
    worker = site.worker(fault, **settings)
    await site.until_beating(1)
    await asyncio.sleep(1.0)
    return worker


async def test_a_worker_that_was_paused_and_taken_for_dead_settles_its_own_doubt_by_its_answer(site: Site) -> None:
    paused = await settled_worker(site, f"{P.LAUNCH_COMMITTED}:1:stop", ORCH_SWEEP_INTERVAL_S="60")
    run = await site.run(QUICK)
    await site.until_stopped(paused)
    site.worker()
    await site.until_status(run, "in_doubt")
    paused.signal(signal.SIGCONT)
    await site.until_status(run, "finished")
    books = await site.all_is_well()
    assert books.launches(run) == 1
    assert "late_answer" in await site.types(run)


async def test_at_default_times_workers_that_were_paused_are_found_within_45_s_and_send_nothing_when_resumed(
    site: Site,
) -> None:
    """Slow, about 30 s: the times are the point. Silence is noticed after 20 s, a launch may be sent for 15 s."""
    default = {"ORCH_HEARTBEAT_S": "", "ORCH_SWEEP_INTERVAL_S": "", "ORCH_LEASE_S": ""}
    between = await settled_worker(site, f"{P.LAUNCH_COMMITTED}:1:stop", **default)
    unsent = await site.run(QUICK)
    await site.until_stopped(between)
    # This one holds the lane's lock and an answer that nobody else knows.
    within = site.worker(f"{P.LAUNCH_RECORDING}:1:stop", **default)
    sent = await site.run(QUICK)
    await site.until_stopped(within)
    paused_at = time.monotonic()
    site.worker(**default)
    for run in (unsent, sent):
        await site.until_status(run, "in_doubt", limit_s=45)
    assert time.monotonic() - paused_at < 45
    for worker in (between, within):
        worker.signal(signal.SIGCONT)
    await site.until_said(between, "launch answered", "NotSent")
    # Its own word lifts the doubt, so that somebody else launches it: once.
    for run in (unsent, sent):
        await site.until_status(run, "finished")
    books = await site.all_is_well()
    assert (books.launches(unsent), books.launches(sent)) == (1, 1)
    assert "never_sent" in await site.types(unsent)
