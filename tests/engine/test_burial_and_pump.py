"""Who is taken for dead, and what one slow turn may hold up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.domain.governor import CallKind
from orchestrator.engine import pump, sweep
from orchestrator.storage import grants, lanes, workers
from orchestrator.storage.database import Database
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import single, status
from workers.heart import Heart
from workers.in_hand import LEFT_OVER_AT_MOST, InHand
from workers.process import WorkerProcess
from workers.ringer import PATIENCE_S, Ringer
from workers.ticker import Ticker

pytestmark = pytest.mark.anyio


@pytest.fixture
async def process(office: Office) -> AsyncIterator[WorkerProcess]:
    """A worker's inside, without Celery: its loop, its row, its work."""
    made = WorkerProcess(office.deps.settings)
    made.start()
    yield made
    await asyncio.to_thread(made.stop)


async def silence(office: Office, seconds: float, *, of: UUID | None = None) -> None:
    """Make workers look as if nobody had heard them for so long."""

    async def write(connection: Any) -> None:
        await connection.execute(
            text("""UPDATE workers SET heartbeat_at = orch_now() - make_interval(secs => :s)
                WHERE CAST(:of AS uuid) IS NULL OR id = :of"""),
            {"s": seconds, "of": of},
        )

    await office.deps.db.run(write)


async def state_of(office: Office, worker: UUID) -> tuple[str, bool]:
    async def read(connection: Any) -> Any:
        found = await connection.execute(text("SELECT state, buried_at FROM workers WHERE id = :w"), {"w": worker})
        return found.one()

    row = await office.deps.db.run(read)
    return row.state, row.buried_at is not None


async def beat(office: Office, worker: UUID) -> None:
    async def write(connection: Any) -> None:
        await workers.heartbeat(connection, worker, draining=False, tasks=0, ticker=0)

    await office.deps.db.run(write)


async def until_downloading(office: Office, hands: Hands, run_id: UUID) -> None:
    async with asyncio.timeout(15):
        while await status(office, run_id) != "downloading":
            for kind in ("launch", "poll"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.02)


async def test_workers_that_live_are_not_buried_after_an_outage_of_the_database(
    office: Office, hands: Hands, process: WorkerProcess
) -> None:
    await asyncio.to_thread(process.register)
    # 30 s without a database: nobody could say that they live.
    await silence(office, 30)
    await asyncio.to_thread(process.work, "sweep", in_task=True)
    assert await state_of(office, hands.id) != ("dead", True), "it lives, as the sweeper does"
    assert (await state_of(office, process.id))[0] == "running"


async def test_a_sweeper_that_was_not_heard_itself_judges_nobody_and_never_itself(office: Office, hands: Hands) -> None:
    other = office.deps.sources.new_id()

    async def register(connection: Any) -> None:
        await workers.register(connection, id=other, place="elsewhere", pid=1, version="test")

    await office.deps.db.run(register)
    await silence(office, 30)
    await sweep.sweep(office.deps, may_judge_silence=False, self_id=hands.id)
    await sweep.sweep(office.deps, self_id=hands.id)  # it thinks that it was heard; the database knows better
    assert [(await state_of(office, w))[0] for w in (hands.id, other)] == ["running", "running"]
    await silence(office, 0, of=hands.id)
    await sweep.sweep(office.deps, dead=[hands.id], self_id=hands.id)
    assert [(await state_of(office, w))[0] for w in (hands.id, other)] == ["running", "dead"]


async def test_a_worker_that_beats_again_while_it_is_buried_keeps_what_it_has_claimed_since(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=60"}')
    async with asyncio.timeout(10):
        while await status(office, run_id) != "processing":
            await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)

    async def hold(connection: Any) -> None:
        await connection.execute(
            text("UPDATE timers SET worker_id = :w, fence = 77, due_at = orch_now() + interval '1 minute'"),
            {"w": hands.id},
        )

    await office.deps.db.run(hold)
    await silence(office, 30)
    real_run, units = Database.run, 0

    async def run(self: Database, work: Any, **given: Any) -> Any:
        nonlocal units
        answer = await real_run(self, work, **given)
        units += 1
        if units == 1:  # it was declared dead; before its lanes are cleared, it speaks
            await beat(office, hands.id)
        return answer

    monkeypatch.setattr(Database, "run", run)
    await sweep.bury_dead_workers(office.deps)
    monkeypatch.undo()

    async def read(connection: Any) -> Any:
        return (await connection.execute(text("SELECT worker_id, fence FROM timers"))).one()

    assert tuple(await office.deps.db.run(read)) == (hands.id, 77)
    assert await state_of(office, hands.id) == ("running", False), "buried while it lives, it would never be again"


def test_a_missed_or_late_beat_starts_the_count_of_unbroken_ones_anew() -> None:
    heart, at = Heart(5.0), datetime(2026, 1, 1, tzinfo=UTC)
    assert heart.unbroken_s == 0
    for _ in range(5):
        heart.beat(at)
        at += timedelta(seconds=5)
    assert heart.unbroken_s == 20
    heart.beat(at + timedelta(seconds=30))
    assert heart.unbroken_s == 0, "it slept, and so may have all others"
    heart.beat(at + timedelta(seconds=35))
    heart.miss()
    heart.beat(at + timedelta(seconds=40))
    assert heart.unbroken_s == 0


async def test_one_slow_download_does_not_keep_a_process_from_other_downloads(
    office: Office, hands: Hands, process: WorkerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "PUMP_S", 0.5)
    slow = await single(office, b'{"sandbox": {"size_bytes": 60000, "tag": "slow"}}')
    office.sandbox.faults([{"fault": "slow_drip", "kind": "file", "times": 1, "bytes_per_s": 15000}])
    await until_downloading(office, hands, slow)
    first = asyncio.create_task(asyncio.to_thread(process.work, "download", in_task=True))
    await asyncio.sleep(0.2)
    quick = await single(office, b'{"n": 2}')
    await until_downloading(office, hands, quick)
    await asyncio.wait_for(first, 2)  # the task of the slow one ends
    await asyncio.to_thread(process.work, "download", in_task=True)
    assert (await status(office, quick), await status(office, slow)) == ("finished", "downloading")
    await asyncio.to_thread(process.drain, limit_s=20, is_hurried=lambda: False)
    assert await status(office, slow) == "finished", "a stop waits for turns that outlived their pumps"
    assert process.units_in_tasks == 2


async def test_a_stop_with_endless_work_in_hand_is_bounded_and_leaves_no_thread_waiting(
    office: Office, hands: Hands, process: WorkerProcess
) -> None:
    run_id = await single(office, b'{"sandbox": {"size_bytes": 60000}}')
    office.sandbox.faults([{"fault": "slow_drip", "kind": "file", "times": 1, "bytes_per_s": 100}])
    await until_downloading(office, hands, run_id)
    working = threading.Thread(target=process.work, args=("download",), kwargs={"in_task": True}, daemon=True)
    working.start()
    async with asyncio.timeout(5):
        while not process.in_hand.has_task("download"):
            await asyncio.sleep(0.01)
    began_at = time.monotonic()
    await asyncio.to_thread(process.drain, limit_s=0.3, is_hurried=lambda: False)
    process.loop.cut_off()
    await asyncio.to_thread(working.join, 5)
    assert not working.is_alive()
    assert time.monotonic() - began_at < 5


async def test_a_process_sweeps_itself_when_nobody_answers_the_doorbells_that_the_broker_takes(office: Office) -> None:
    process = WorkerProcess(office.deps.settings.model_copy(update={"sweep_interval_s": 0.1}))
    process.start()
    rung: list[str] = []

    def takes(kind: str) -> bool:
        rung.append(kind)
        return True

    ticker = Ticker(process, ring=takes, busy=process.in_hand.has_task)
    ticker.start()
    try:
        async with asyncio.timeout(10):
            while "sweep" not in rung:
                await asyncio.sleep(0.05)
            swept_at, seen = process.swept_at, 0
            while seen < 3:
                await asyncio.sleep(0.05)
                seen += process.swept_at != swept_at
                swept_at = process.swept_at
    finally:
        await asyncio.to_thread(process.drain, limit_s=5, is_hurried=lambda: False)
        await asyncio.to_thread(ticker.stop)
        await asyncio.to_thread(process.stop)


async def test_a_pump_keeps_its_turns_when_too_many_of_their_kind_are_left_over() -> None:
    in_hand = InHand(is_closed=lambda: False)
    turns = [asyncio.create_task(asyncio.sleep(60, result=1)) for _ in range(LEFT_OVER_AT_MOST + 1)]
    assert in_hand.keep("download", set(turns[1:]))
    assert not in_hand.keep("download", {turns[0]})
    assert in_hand.keep("poll", {turns[0]})
    in_hand.let_go("download", turns[1])
    assert in_hand.keep("download", {turns[0]})
    for turn in turns:
        turn.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await turn


def test_a_broker_that_hangs_is_said_to_be_away_once(capfd: pytest.CaptureFixture[str]) -> None:
    sent = threading.Event()

    def send(_: str) -> None:
        sent.wait(10)

    ringer = Ringer(send)
    assert ringer.ring("poll")
    ends_at = time.monotonic() + PATIENCE_S + 2
    while ringer.ring("poll") and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert not ringer.ring("poll")
    sent.set()
    while not ringer.ring("poll") and time.monotonic() < ends_at:
        time.sleep(0.02)
    assert ringer.ring("poll"), "it took the doorbell: it is back"
    said = "".join(capfd.readouterr())
    assert said.count("the broker is away") == 1


async def test_what_a_dead_worker_had_in_flight_counts_as_spent(office: Office, hands: Hands) -> None:
    async def lane_of_all(connection: Any) -> lanes.Lane:
        found = await connection.execute(text("SELECT id FROM lanes"))
        return await lanes.lock(connection, found.scalar_one())

    async def take(connection: Any) -> None:
        lane = await lane_of_all(connection)
        id = office.deps.sources.new_id()
        await grants.grant(connection, lane, id=id, worker=hands.id, kind=CallKind.LOOK, count=7)

    async def used(connection: Any) -> int:
        lane = await lane_of_all(connection)
        return lane.budget.used(CallKind.LOOK, lane.now)

    await single(office)
    await office.deps.db.run(take)
    assert await office.deps.db.run(used) == 7
    await sweep.sweep(office.deps, dead=[hands.id])
    assert await office.deps.db.run(used) == 7, "its requests may have arrived, all of them, a moment ago"
