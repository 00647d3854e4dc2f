"""The provider's own count of requests: what it tells is kept, and nothing is refused for it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from orchestrator.cli import doctor
from orchestrator.engine import connections, pump
from sandbox.control import Sandbox
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_two_providers import launch_once, launched

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def limited(sandbox: Sandbox) -> Any:
    """The workspace takes twenty requests in a minute."""
    sandbox.options(scripe_requests_per_minute=20)
    yield
    sandbox.options(scripe_requests_per_minute=6000)


async def look_at_all(office: Office, hands: Hands) -> None:
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    await pump.pump(office.deps, "poll", worker=hands.id, should_stop=lambda: False)


def refused(office: Office) -> int:
    return len([entry for entry in office.sandbox.log() if entry["status"] == 429])


async def shown(office: Office, name: str = "scripe") -> dict[str, Any]:
    return await connections.show_connection(office.deps, office.who, name)


async def test_a_lower_limit_is_kept_and_told_until_ours_is_no_higher(office: Office, hands: Hands) -> None:
    await office.connect_scripe(requests_per_minute=600)
    for n in range(30):
        await launched(office, n, hints="duration_s=600")
    for _ in range(8):
        await launch_once(office, hands)
        await look_at_all(office, hands)
    assert refused(office) == 0 and 15 <= len(office.sandbox.log()) <= 20, "thirty are launched as the limit lets them"
    connection = await shown(office)
    assert (connection["told_limit"], connection["requests_per_minute"]) == (20, 600)
    assert connection["budget"]["free_now"] <= 5
    check = doctor._providers(office.deps.settings.require_database_url())
    assert check.level == "warn" and "takes 20 requests" in check.found and "20" in check.do


async def test_what_others_spend_of_the_workspaces_limit_is_not_spent_again(office: Office, hands: Hands) -> None:
    await office.connect_scripe(requests_per_minute=20)
    for _ in range(14):
        headers = {"Authorization": f"Bearer {office.sandbox.scripe_key}"}
        assert httpx.get(f"{office.sandbox.scripe_url}/jobs", headers=headers, trust_env=False).status_code == 200
    for n in range(3):
        await launched(office, n, hints="duration_s=600")
    for _ in range(6):
        await launch_once(office, hands)
        await look_at_all(office, hands)
    assert refused(office) == 0 and len(office.sandbox.log()) <= 20
    assert (await shown(office))["told_limit"] is None
    (lane,) = await query(office, "SELECT spent_elsewhere FROM lanes WHERE spent_elsewhere IS NOT NULL")
    assert 12 <= lane.spent_elsewhere[0] <= 14


async def test_a_higher_limit_is_not_taken(office: Office) -> None:
    await office.connect_scripe(requests_per_minute=7)
    await connections.test_connection(office.deps, office.who, "scripe")
    assert (await shown(office))["told_limit"] is None and (await shown(office))["budget"]["free_now"] == 6


async def test_a_declared_limit_that_is_set_to_the_told_one_is_no_news_any_more(office: Office) -> None:
    await office.connect_scripe(requests_per_minute=600)
    for rate, told in ((600, 20), (20, None)):
        await connections.set_connection(office.deps, office.who, "scripe", requests_per_minute=rate)
        await connections.test_connection(office.deps, office.who, "scripe")
        assert (await shown(office))["told_limit"] == told


async def test_connections_of_one_limit_group_hear_for_each_other(office: Office) -> None:
    for name in ("one", "two"):
        await office.connect_scripe(name, requests_per_minute=600, limit_group="workspace")
    await connections.test_connection(office.deps, office.who, "one")
    assert (await shown(office, "two"))["budget"]["free_now"] == 19
