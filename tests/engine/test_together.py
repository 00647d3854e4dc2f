"""Group commit: what comes while one group is written goes together with the next, and a failure stays in its group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.engine.together import MOST_TOGETHER, Together

pytestmark = pytest.mark.anyio


class Writer:
    """Remembers the groups; each takes one turn of the loop, and those that hold `bad` fail."""

    def __init__(self, bad: object = None) -> None:
        self.groups: list[list[int]] = []
        self.is_busy = False
        self.bad = bad

    async def write(self, items: Sequence[int]) -> None:
        assert not self.is_busy, "groups are written one after the other"
        self.is_busy = True
        await asyncio.sleep(0)
        self.is_busy = False
        self.groups.append(list(items))
        if self.bad in items:
            raise ValueError(f"{self.bad} is bad")


async def test_the_first_is_written_at_once_and_those_that_come_meanwhile_together() -> None:
    writer = Writer()
    together = Together(writer.write)
    await asyncio.gather(*(together.add(n) for n in range(5)))
    assert writer.groups == [[0], [1, 2, 3, 4]]
    await together.add(5)
    assert writer.groups[-1] == [5]


async def test_a_group_has_a_limit_and_nothing_is_left_out() -> None:
    writer = Writer()
    together = Together(writer.write)
    await asyncio.gather(*(together.add(n) for n in range(2 * MOST_TOGETHER + 5)))
    assert [len(group) for group in writer.groups] == [1, MOST_TOGETHER, MOST_TOGETHER, 4]
    assert sorted(n for group in writer.groups for n in group) == list(range(2 * MOST_TOGETHER + 5))


async def test_a_failure_is_told_to_its_group_alone() -> None:
    writer = Writer(bad=0)
    together = Together(writer.write)
    told = await asyncio.gather(*(together.add(n) for n in range(3)), return_exceptions=True)
    assert [isinstance(one, ValueError) for one in told] == [True, False, False]
    assert writer.groups == [[0], [1, 2]]


async def test_who_writes_for_others_and_is_cut_off_leaves_nobody_waiting() -> None:
    together: Together[int] = Together(lambda items: asyncio.sleep(60))
    tasks = [asyncio.create_task(together.add(n)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=5)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended)
