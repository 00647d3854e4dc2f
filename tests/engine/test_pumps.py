"""One claim at a time, the next as soon as it found something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import pump
from orchestrator.engine.deps import Deps
from orchestrator.engine.ports import Claimed
from orchestrator.runtime import TICK_S
from tests.engine.conftest import Office
from tests.engine.test_launching import single, status
from workers.process import WorkerProcess
from workers.ticker import Ticker

pytestmark = pytest.mark.anyio

NOBODY = UUID(int=7)


@dataclass
class Work:
    """Turns that a test lets go on: what is due, and what each claim of it came to."""

    due: int
    begun: int = 0
    in_claim: int = 0
    most_in_claim: int = 0
    out: int = 0
    most_out: int = 0
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def turn(self, deps: Deps, *, worker: UUID, claimed: Claimed) -> int | None:
        self.begun += 1
        self.in_claim += 1
        self.most_in_claim = max(self.most_in_claim, self.in_claim)
        await asyncio.sleep(0.01)
        self.in_claim -= 1
        if not self.due:
            return None
        self.due -= 1
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        claimed(True)
        await self.may_end.wait()
        self.out -= 1
        return 1


def put_in(monkeypatch: pytest.MonkeyPatch, work: Callable[..., Any]) -> None:
    monkeypatch.setattr(pump, "TURNS", {**pump.TURNS, "poll": work})


async def test_claims_are_made_one_after_the_other_and_their_work_is_done_side_by_side(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(due=5)
    put_in(monkeypatch, work.turn)
    pumping = asyncio.create_task(pump.pump(deps, "poll", worker=NOBODY, should_stop=lambda: False))
    async with asyncio.timeout(5):
        while work.out < 5:
            await asyncio.sleep(0.01)
    work.may_end.set()
    assert await pumping == 5
    assert (work.most_out, work.most_in_claim) == (5, 1)


async def test_a_pump_whose_turns_are_out_looks_for_more_now_and_then(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(due=1)
    put_in(monkeypatch, work.turn)
    pumping = asyncio.create_task(pump.pump(deps, "poll", worker=NOBODY, should_stop=lambda: False))
    async with asyncio.timeout(5):
        while work.begun < 2:
            await asyncio.sleep(0.01)
        work.due = 1
        while work.out < 2:
            await asyncio.sleep(0.01)
    work.may_end.set()
    assert await pumping == 2


async def test_a_failed_claim_ends_the_pump_once_its_turns_have_ended(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(deps: Deps, *, worker: UUID, claimed: Claimed) -> int | None:
        raise ArithmeticError

    put_in(monkeypatch, breaks)
    with pytest.raises(ArithmeticError):
        await pump.pump(deps, "poll", worker=NOBODY, should_stop=lambda: False)


async def test_a_worker_stays_for_what_is_due_in_a_moment(office: Office) -> None:
    process = WorkerProcess(office.deps.settings)
    process.start()
    try:
        run_id = await single(office, b'{"n": 1}')
        await asyncio.to_thread(process.work, "launch", in_task=True)
        assert await status(office, run_id) == "processing"
        # Its first look is due a moment later: one ring is enough.
        await asyncio.to_thread(process.work, "poll", in_task=True)
        assert await status(office, run_id) != "processing"
    finally:
        await asyncio.to_thread(process.stop)


async def test_a_process_that_is_at_work_rings_for_nobody(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    process = WorkerProcess(office.deps.settings)
    monkeypatch.setattr(process, "due", lambda: frozenset({"poll", "launch"}))
    rung: list[str] = []

    def ring(kind: str) -> bool:
        rung.append(kind)
        return True

    process.start()
    ticker = Ticker(process, ring=ring, busy=lambda kind: kind == "poll")
    ticker.start()
    try:
        async with asyncio.timeout(10):
            while rung.count("launch") < 2:
                await asyncio.sleep(TICK_S)
    finally:
        await asyncio.to_thread(process.drain, limit_s=5, is_hurried=lambda: False)
        await asyncio.to_thread(ticker.stop)
        await asyncio.to_thread(process.stop)
    assert "poll" not in rung
