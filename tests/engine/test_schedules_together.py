"""Schedules at the same minute, and ticks side by side: no worker stands in another's way, nothing comes twice."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.test_nothing_is_stranded import query
from tests.engine.test_schedules import HOUR_S, Clerk, clerk

pytestmark = pytest.mark.anyio
__all__ = ["clerk"]

SCHEDULES = 16
WORKERS = 4


async def test_schedules_of_the_same_minute_fire_side_by_side(clerk: Clerk) -> None:
    for n in range(SCHEDULES):
        await clerk.schedule(f"s{n}", template=f"rows{n}.jsonl")
        clerk.leave("".join(f'{{"n": {row * 100 + n}}}\n' for row in range(300)), f"rows{n}.jsonl")
    await clerk.pass_s(HOUR_S + 2)
    await asyncio.gather(*(clerk.work() for _ in range(WORKERS)))
    fires = await query(clerk.office, "SELECT state, why, tries FROM fires")
    assert [(fire.state, fire.tries) for fire in fires] == [("fired", 1)] * SCHEDULES, fires
