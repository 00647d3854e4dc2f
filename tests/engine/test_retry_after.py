"""A provider that says when to come back is obeyed by the whole lane, whatever the answer with which it says so."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.engine import poll, pump
from orchestrator.providers.script import ScriptProvider
from tests.engine.conftest import Hands, Office
from tests.engine.test_doubts import launch_at
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, query
from tests.providers.raw_server import answer, says
from tests.providers.wire_lines import PATIENT, Site, at

pytestmark = pytest.mark.anyio

AWAY = answer(503, b"away", "Retry-After: 300")


async def rests(office: Office) -> timedelta:
    """Return for how long the lane rests."""
    (row,) = await query(
        office,
        "SELECT blocked_until - now() AS left FROM lanes WHERE id = (SELECT lane_id FROM connections LIMIT 1)",
    )
    return row.left or timedelta()


async def turn(office: Office, hands: Hands, site: Site, what: Any) -> None:
    await change(office, "UPDATE connections SET base_url = :url", url=site.url)
    provider = ScriptProvider(timeouts=PATIENT, allow_private_networks=True)
    await what(dataclasses.replace(office.deps, provider=lambda _: provider))
    await provider.aclose()


async def test_a_503_to_a_launch_with_retry_after_rests_the_lane_and_is_a_doubt_all_the_same(
    office: Office, hands: Hands
) -> None:
    run_id = await single(office)
    async with at(says(AWAY))() as site:
        await launch_at(office, hands, site)
    assert await status(office, run_id) == "in_doubt"
    assert timedelta(seconds=280) < await rests(office) <= timedelta(seconds=300)


async def test_a_503_to_a_look_with_retry_after_rests_the_lane(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    await hands.work(until=becomes(office, run_id, "processing"))
    await change(office, "UPDATE timers SET due_at = now()")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    async with at(says(AWAY))() as site:
        await turn(office, hands, site, lambda deps: poll.poll_due(deps, worker=hands.id))
    assert timedelta(seconds=280) < await rests(office) <= timedelta(seconds=300)
    assert await status(office, run_id) == "processing"


async def test_a_503_to_a_probe_with_retry_after_is_waited_for(office: Office, hands: Hands) -> None:
    await single(office)
    await change(
        office, "UPDATE lanes SET breaker = 'open', breaker_trips = 1, breaker_probe_at = now(), launch_due_at = now()"
    )
    async with at(says(AWAY))() as site:
        await turn(
            office,
            hands,
            site,
            lambda deps: pump.pump(deps, "launch", worker=hands.id, should_stop=lambda: False),
        )
    assert timedelta(seconds=280) < await rests(office) <= timedelta(seconds=300)
    (lane,) = await query(office, "SELECT breaker, launch_due_at - now() AS due FROM lanes WHERE breaker <> 'closed'")
    assert lane.breaker == "open"
    assert lane.due > timedelta(seconds=280)
