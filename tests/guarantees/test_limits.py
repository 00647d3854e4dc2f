"""Promise 5: the provider's limits are never broken, however many workers there are and however they die."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.control import Sandbox
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio

RATE = 20
SLOTS = 100


@pytest.fixture
def limits() -> dict[str, Any]:
    """The connection's declared limits, for `site`."""
    return {"requests_per_minute": RATE, "max_concurrent": SLOTS}


@pytest.fixture
def slow(provider: Sandbox) -> Iterator[None]:
    """A provider that answers late: whoever dies has requests on the wire, and tokens out for them."""
    provider.options(answer_delay_s=1.5)
    yield
    provider.options(answer_delay_s=0.0)


@pytest.mark.usefixtures("slow")
async def test_no_more_requests_arrive_than_declared_though_workers_die_with_tokens_out(site: Site) -> None:
    # One request launches them all, and five looks at a time follow, each for a token.
    await site.batch(20, "duration_s=600")
    workers = [site.worker() for _ in range(2)]
    await site.until_all_are("processing")
    for _ in range(8):
        if not await site.more_arrived(than=site.arrived()):
            break  # the budget is spent
        await site.until_still(0.3)
        workers.pop(0).kill()
        workers.append(site.worker())
    used = site.sandbox.limits()["keys"][site.sandbox.key]
    assert used["max_in_60_s"] <= RATE
    assert used["answered_429"] == 0
    # What the dead had in hand counts as spent, so that not all of it arrives; but work waits, so that much does.
    assert used["requests"] >= RATE / 2
    await site.all_is_well()
