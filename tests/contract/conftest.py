"""Every provider with a world behind it that can be turned: what the suite needs to know of each, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from orchestrator.domain.answers import Access
from orchestrator.engine.ports import Provider
from orchestrator.providers.http import Timeouts
from orchestrator.providers.scripe import ScripeProvider
from orchestrator.providers.script import ScriptProvider
from sandbox.control import Sandbox
from tests.contract.made_up import ROUTE, ParcelProvider

TIMEOUTS = Timeouts(connect_s=2, read_s=2, write_s=2, pool_s=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A provider under test.

    Args:
        item: an input that it takes; `bad_item` one that it refuses.
        lose: the next launch is taken, and its answer lost.
        pass_time: what was launched has ended afterwards.
        executions: how many it has.
    """

    make: Callable[[], Provider]
    access: Access
    workflow: str
    item: bytes
    bad_item: bytes
    lose: Callable[[], object]
    pass_time: Callable[[], object]
    executions: Callable[[], int]


@pytest.fixture(scope="session")
def still_sandbox() -> Iterator[Sandbox]:
    """Both remote APIs, with a clock that only the test turns."""
    unlimited = {"requests_per_minute": 0, "scripe_requests_per_minute": 0}
    with Sandbox(time_scale=0, options={"duration_s": 1, "duration_sigma": 0, **unlimited}) as running:
        yield running


def script(sandbox: Sandbox) -> Case:
    return Case(
        make=lambda: ScriptProvider(timeouts=TIMEOUTS, allow_private_networks=True),
        access=Access(connection_id="c", base_url=sandbox.api_url, api_key=sandbox.key),
        workflow=sandbox.workflows["Free form"],
        item=b'{ "note" : "n" }',
        bad_item=b'{"sandbox": "nonsense=1"}',
        lose=lambda: sandbox.faults([{"fault": "reset_after", "kind": ["launch", "batch"], "nth": 1}]),
        pass_time=lambda: sandbox.advance(10),
        executions=lambda: int(sandbox.truth()["summary"]["executions"]),
    )


def scripe(sandbox: Sandbox) -> Case:
    return Case(
        make=lambda: ScripeProvider(timeouts=TIMEOUTS, allow_private_networks=True),
        access=Access(connection_id="c", base_url=sandbox.scripe_url, api_key=sandbox.scripe_key),
        workflow="POST_GENERATION",
        item=b'{ "projectId" : "p", "source": {"text": "t"} }',
        bad_item=b'{"projectId": "p", "source": {}}',
        lose=lambda: sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}]),
        pass_time=lambda: sandbox.advance(10),
        executions=lambda: int(sandbox.truth()["summary"]["jobs"]),
    )


def parcels(_sandbox: Sandbox) -> Case:
    provider = ParcelProvider()
    provider.has_arrived = False
    return Case(
        make=lambda: provider,
        access=Access(connection_id="c", base_url="https://parcels.example", api_key="key"),
        workflow=ROUTE,
        item=b'{ "to" : "x" }',
        bad_item=b'{"what": "forbidden"}',
        lose=lambda: setattr(provider, "loses", 1),
        pass_time=lambda: setattr(provider, "has_arrived", True),
        executions=lambda: len(provider.parcels),
    )


@pytest.fixture(params=[script, scripe, parcels], ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest, still_sandbox: Sandbox) -> Case:
    """One provider after the other, each with an empty world."""
    still_sandbox.reset()
    made: Case = request.param(still_sandbox)
    return made
