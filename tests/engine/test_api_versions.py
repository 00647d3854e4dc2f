"""Versions of a provider's API: pinned for each connection and each launch, and their end is told before it comes."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.cli import doctor
from orchestrator.engine import connections, sweep
from orchestrator.errors import BadInput
from orchestrator.storage import health
from orchestrator.storage.database import now as transaction_now
from sandbox.control import Sandbox
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_two_providers import ended, launch_once, launched, make_due, run

pytestmark = pytest.mark.anyio

OLD, NEW = "2026-08-01", "2027-01-15"
SAID = f"{OLD}; sunset=2027-02-01; replacement={NEW}"


@pytest.fixture(autouse=True)
def versions(sandbox: Sandbox) -> Any:
    """The provider takes two versions, until a test says otherwise."""
    sandbox.options(scripe_versions=f"{OLD},{NEW}")
    yield
    sandbox.options(scripe_versions=OLD, scripe_deprecation="")


def asked(office: Office, kind: str) -> list[str | None]:
    return [entry["api_version"] for entry in office.sandbox.log() if entry["kind"] == kind]


async def shown(office: Office) -> dict[str, Any]:
    return await connections.show_connection(office.deps, office.who, "scripe")


async def set_version(office: Office, version: str) -> dict[str, Any]:
    return await connections.set_connection(office.deps, office.who, "scripe", api_version=version)


async def alarms(office: Office) -> list[tuple[str, str | None]]:
    async def read(connection: Any) -> Any:
        return await health.sights(connection, await transaction_now(connection), dead_after_s=20)

    return [(e.name, e.version) for e in (await office.deps.db.run(read)).endings]


async def test_a_connection_asks_for_its_version_and_another_from_when_it_is_set(office: Office, hands: Hands) -> None:
    assert (await office.connect_scripe())["api_version"] == OLD
    await ended(office, hands, await launched(office, 1))
    assert {*asked(office, "launch"), *asked(office, "look")} == {OLD}
    assert (await set_version(office, NEW))["api_version"] == NEW
    office.sandbox.reset()
    await ended(office, hands, await launched(office, 2))
    await connections.test_connection(office.deps, office.who, "scripe")
    assert {*asked(office, "launch"), *asked(office, "look"), *asked(office, "list")} == {NEW}


@pytest.mark.parametrize("version", ["", "latest", "2026-8-1", "2026-13-01", "2026-08-01\n", "20260801"])
async def test_a_version_is_a_date(office: Office, version: str) -> None:
    with pytest.raises(BadInput, match="a date, YYYY-MM-DD"):
        await office.connect_scripe(api_version=version)


async def test_a_provider_without_versions_takes_none(office: Office) -> None:
    with pytest.raises(BadInput, match="no versions"):
        await connections.set_connection(office.deps, office.who, "main", api_version=NEW)
    assert (await connections.show_connection(office.deps, office.who, "main"))["api_version"] is None


async def test_a_lost_launch_is_sent_again_with_the_version_that_it_was_sent_with(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    await launch_once(office, hands)
    await set_version(office, NEW)
    await make_due(office)
    assert (await ended(office, hands, run_id))["status"] == "finished"
    assert asked(office, "launch") == [OLD, OLD] and set(asked(office, "look")) == {NEW}
    assert office.sandbox.truth()["summary"]["jobs"] == 1


async def test_a_lost_launch_whose_version_is_taken_no_more_is_a_doubt_and_stops_nothing(
    office: Office, hands: Hands
) -> None:
    await office.connect_scripe()
    run_id = await launched(office)
    office.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    await launch_once(office, hands)
    office.sandbox.options(scripe_versions=NEW)
    await make_due(office)
    await sweep.sweep(office.deps, self_id=hands.id)
    assert (await run(office, run_id))["status"] == "launching", "its connection may be given another version"
    assert (await shown(office))["status"] == "version_unsupported"
    await set_version(office, NEW)
    await make_due(office)
    await sweep.sweep(office.deps, self_id=hands.id)
    assert (await run(office, run_id))["status"] == "in_doubt"
    assert (await shown(office))["status"] != "version_unsupported"
    assert asked(office, "launch") == [OLD] * 3 and office.sandbox.truth()["summary"]["jobs"] == 1


async def test_an_announced_end_is_shown_until_another_version_is_set(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    office.sandbox.options(scripe_deprecation=SAID)
    await ended(office, hands, await launched(office, 1))
    ending = (await shown(office))["api_version_ending"]
    assert ending | {"told_at": None} == {
        "version": OLD, "sunset_at": "2027-02-01T00:00:00.000Z", "replacement": NEW, "told_at": None}  # fmt: skip
    assert ending["told_at"] is not None and await alarms(office) == [("scripe", OLD)]
    url = office.deps.settings.require_database_url()
    check = doctor._providers(url)
    assert (check.level, check.found) == (
        "warn", "scripe: API version 2026-08-01 will end on 2027-02-01, says the provider")  # fmt: skip
    assert "--api-version" in check.do
    office.sandbox.options(scripe_deprecation="")
    await set_version(office, NEW)
    assert (await shown(office))["api_version_ending"] is None and await alarms(office) == []
    assert doctor._providers(url).level == "ok"


async def test_an_end_that_is_not_told_any_more_is_taken_back_and_telling_it_again_writes_nothing(
    office: Office,
) -> None:
    await office.connect_scripe()

    async def tested() -> Any:
        await connections.test_connection(office.deps, office.who, "scripe")
        return (await shown(office))["api_version_ending"]

    assert await tested() is None
    office.sandbox.options(scripe_deprecation=SAID)
    first = await tested()
    office.sandbox.options(scripe_deprecation=f"{OLD}; sunset=2028-01-01")
    second = await tested()
    assert (second["sunset_at"], second["told_at"]) == ("2028-01-01T00:00:00.000Z", first["told_at"])
    office.sandbox.options(scripe_deprecation="")
    assert await tested() is None


async def test_what_is_told_of_a_version_that_was_left_meanwhile_is_nothing(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    office.sandbox.options(scripe_deprecation=SAID)
    await launched(office)
    await launch_once(office, hands)
    await change(office, f"UPDATE connections SET api_version = '{NEW}', ending_told_at = NULL WHERE name = 'scripe'")
    await hands.work(until=lambda: _never_twice(office))
    rows = await query(office, "SELECT ending_version FROM connections WHERE ending_told_at IS NOT NULL")
    assert [row.ending_version for row in rows] in ([], [OLD])


async def _never_twice(office: Office) -> bool:
    return "look" in {entry["kind"] for entry in office.sandbox.log()}


async def test_a_version_that_is_taken_no_more_fails_the_doctor(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    office.sandbox.options(scripe_versions=NEW)
    await launched(office)
    await launch_once(office, hands)
    check = doctor._providers(office.deps.settings.require_database_url())
    assert check.has_failed and "does not take API version 2026-08-01" in check.found
