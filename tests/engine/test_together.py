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
    together = Together[int]()
    await asyncio.gather(*(together.add(n, writer.write) for n in range(5)))
    assert writer.groups == [[0], [1, 2, 3, 4]]
    await together.add(5, writer.write)
    assert writer.groups[-1] == [5]


async def test_a_group_has_a_limit_and_nothing_is_left_out() -> None:
    writer = Writer()
    together = Together[int]()
    await asyncio.gather(*(together.add(n, writer.write) for n in range(2 * MOST_TOGETHER + 5)))
    assert [len(group) for group in writer.groups] == [1, MOST_TOGETHER, MOST_TOGETHER, 4]
    assert sorted(n for group in writer.groups for n in group) == list(range(2 * MOST_TOGETHER + 5))


async def test_a_failure_is_told_to_its_group_alone() -> None:
    writer = Writer(bad=0)
    together = Together[int]()
    told = await asyncio.gather(*(together.add(n, writer.write) for n in range(3)), return_exceptions=True)
    assert [isinstance(one, ValueError) for one in told] == [True, False, False]
    assert writer.groups == [[0], [1, 2]]


async def test_a_heavy_item_goes_with_no_more_than_there_is_room_for() -> None:
    writer = Writer()
    together = Together[int]()
    weights = (1, MOST_TOGETHER - 1, 1, 1, MOST_TOGETHER + 1)
    await asyncio.gather(*(together.add(n, writer.write, weight=weight) for n, weight in enumerate(weights)))
    assert writer.groups == [[0], [1, 2], [3], [4]]


async def test_groups_are_a_moment_apart_and_what_comes_after_a_quiet_while_goes_at_once() -> None:
    writer = Writer()
    together = Together[int](apart_s=0.2)
    first = asyncio.create_task(together.add(0, writer.write))
    for _ in range(5):
        await asyncio.sleep(0)
    assert first.done(), "it waited for company, after a quiet while"
    others = [asyncio.create_task(together.add(n, writer.write)) for n in (1, 2)]
    await asyncio.sleep(0.05)
    await asyncio.gather(*others, together.add(3, writer.write))
    assert writer.groups == [[0], [1, 2, 3]]


async def test_nobody_writes_for_the_others_for_ever() -> None:
    writer = Writer()
    together = Together[int]()
    first = asyncio.create_task(together.add(0, writer.write))
    others = [asyncio.create_task(together.add(n, writer.write)) for n in range(1, 4)]
    await first
    assert not any(other.done() for other in others), "the first waited for what came after it"
    await asyncio.gather(*others)
    assert writer.groups == [[0], [1, 2, 3]]


async def test_who_writes_for_others_and_is_cut_off_leaves_them_their_own_pen() -> None:
    writer = Writer()
    together = Together[int]()
    hanging = asyncio.Event()

    async def hang(items: Sequence[int]) -> None:
        hanging.set()
        await asyncio.sleep(60)

    cut_off = asyncio.create_task(together.add(0, hang))
    others = [asyncio.create_task(together.add(n, writer.write)) for n in range(1, 4)]
    await hanging.wait()
    cut_off.cancel()
    await asyncio.wait_for(asyncio.gather(*others), timeout=5)
    assert cut_off.cancelled() and writer.groups == [[1, 2, 3]]
    await together.add(4, writer.write)
    assert writer.groups[-1] == [4], "the pen was lost"


async def test_what_was_in_a_group_that_was_cut_off_is_written_with_the_next() -> None:
    writer = Writer()
    together = Together[int](apart_s=0.01)
    await together.add(9, writer.write)  # the next ones wait a moment, and go together
    hanging = asyncio.Event()

    async def hang(items: Sequence[int]) -> None:
        assert len(items) == 3
        hanging.set()
        await asyncio.sleep(60)

    cut_off = asyncio.create_task(together.add(0, hang))
    others = [asyncio.create_task(together.add(n, writer.write)) for n in (1, 2)]
    await hanging.wait()
    cut_off.cancel()
    await asyncio.wait_for(asyncio.gather(*others), timeout=5)
    assert writer.groups == [[9], [1, 2]]


async def test_one_that_is_cut_off_while_it_waits_is_not_written() -> None:
    writer = Writer()
    together = Together[int]()
    tasks = [asyncio.create_task(together.add(n, writer.write)) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert writer.groups == [[0], [2]]
