"""A connection to Postgres is lost at the worst moments: nothing is lost, nothing twice, nothing doubted for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from orchestrator.engine import launch, operate, sweep
from orchestrator.engine.deps import Deps
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, watched_by
from tests.guarantees.outages import Hands, all_ended, hands, launches_seen, proxy, through, through_settings
from tests.guarantees.site import Site
from tests.guarantees.wire_proxy import Act, Fault, WireProxy

pytestmark = pytest.mark.anyio

__all__ = ["hands", "proxy", "through", "through_settings"]

#: The transactions of a batch's life, in the order in which it meets them, each by words that no other holds together.
TRANSACTIONS = {
    "submit a batch": ("COPY inputs",),
    "claim a launch": ("INSERT INTO intents",),
    "record a launch": ("UPDATE intents i SET outcome",),
    "claim looks": ("looked_before", "INSERT INTO grants"),
    "record looks": ("FOR UPDATE OF t", "FROM lanes WHERE id"),
    "claim downloads": ("near AS MATERIALIZED", "FROM artifacts"),
    "record a download": ("FOR UPDATE OF t", "UPDATE artifacts", "UPDATE runs"),
    "settle a batch": ("UPDATE batches SET ended_at = orch_now()",),
}

COUNT = 6


@pytest.fixture
async def stricken(site: Site, through: Deps) -> AsyncIterator[Site]:
    """The site, whose submissions and acts go through the proxy too."""
    yield replace(site, deps=through)


async def a_batch_survives(site: Site, stricken: Site, hands: Hands, faults: dict[str, Fault]) -> None:
    await stricken.batch(COUNT, wave_size=3)
    await hands.work(until=all_ended(site))
    assert {name: fault.hits for name, fault in faults.items()} == dict.fromkeys(faults, 1), "some fault struck nothing"
    found = await site.all_is_well()
    assert {run.status for run in found.runs.values()} == {"finished"}, "a doubt, or worse, for a lost connection"
    assert (len(found.runs), launches_seen(site.sandbox)) == (COUNT, 2)


@pytest.mark.parametrize("act", [Act.LOSE_COMMIT_REPLY, Act.DROP_BEFORE_COMMIT])
async def test_a_commit_that_is_lost_at_every_step_of_a_batch_loses_nothing_and_does_nothing_twice(
    site: Site, stricken: Site, proxy: WireProxy, hands: Hands, act: Act
) -> None:
    faults = {name: proxy.lay(act, *words) for name, words in TRANSACTIONS.items()}
    await a_batch_survives(site, stricken, hands, faults)


@pytest.mark.parametrize("message", [1, 3])
async def test_a_connection_that_is_lost_in_mid_transaction_at_every_step_leaves_no_trace(
    site: Site, stricken: Site, proxy: WireProxy, hands: Hands, message: int
) -> None:
    faults = {name: proxy.lay(Act.DROP_AT_MESSAGE, *words, message=message) for name, words in TRANSACTIONS.items()}
    await a_batch_survives(site, stricken, hands, faults)


async def test_a_launch_whose_intent_may_not_be_committed_is_not_sent(
    site: Site, proxy: WireProxy, hands: Hands
) -> None:
    for act in (Act.LOSE_COMMIT_REPLY, Act.DROP_BEFORE_COMMIT):
        run = await site.run()
        fault = proxy.lay(act, *TRANSACTIONS["claim a launch"])
        with pytest.raises(Unavailable) as told:
            await launch.launch_due(hands.deps, worker=hands.id)
        assert (fault.hits, told.value.code) == (1, "database_unavailable")
        assert (launches_seen(site.sandbox), await site.status(run)) == (0, "queued"), "sent, or left lying"
    await hands.work(until=all_ended(site))
    found = await site.all_is_well()
    assert {run.status for run in found.runs.values()} == {"finished"}
    assert launches_seen(site.sandbox) == 2


async def test_an_answer_is_recorded_from_memory_however_often_its_commit_is_lost(
    site: Site, proxy: WireProxy, hands: Hands
) -> None:
    before = proxy.lay(Act.DROP_BEFORE_COMMIT, *TRANSACTIONS["record a launch"], times=2)
    after = proxy.lay(Act.LOSE_COMMIT_REPLY, *TRANSACTIONS["record a launch"])
    run = await site.run()
    await launch.launch_due(hands.deps, worker=hands.id)
    assert (before.hits, after.hits) == (2, 1)
    assert await site.types(run) == ["accepted", "launching", "launched"]


async def test_an_act_of_a_person_whose_commit_is_lost_is_done_once(
    site: Site, stricken: Site, proxy: WireProxy
) -> None:
    run = await site.run()
    fault = proxy.lay(Act.LOSE_COMMIT_REPLY, "UPDATE runs")
    cancelled = await operate.cancel_run(stricken.deps, stricken.who, run)
    assert (fault.hits, cancelled["status"]) == (1, "cancelled")
    assert await site.types(run) == ["accepted", "cancelled"]


async def test_a_sweep_whose_commits_are_lost_makes_each_doubt_once(site: Site, proxy: WireProxy, hands: Hands) -> None:
    run = await site.run()

    async def die(point: Point) -> None:
        if point is Point.LAUNCH_COMMITTED:
            raise asyncio.CancelledError

    with watched_by(die), pytest.raises(asyncio.CancelledError):
        await launch.launch_due(hands.deps, worker=hands.id)
    words = (("UPDATE workers SET state = 'dead'",), ("DELETE FROM grants WHERE lane_id",), ("UPDATE intents i SET",))
    faults = [proxy.lay(Act.LOSE_COMMIT_REPLY, *each) for each in words]
    for _ in range(3):
        with contextlib.suppress(Unavailable):
            await sweep.sweep(hands.deps, dead=[hands.id])
    assert [fault.hits for fault in faults] == [1, 1, 1]
    assert await site.types(run) == ["accepted", "launching", "in_doubt"]
    assert (await site.all_is_well()).unfinished() == []
