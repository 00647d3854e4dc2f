"""Workers that stand still and come back late: what they hold is void, what they know is evidence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.answers import FileAnswer
from orchestrator.engine import doubts, download, launch, reading, sweep
from orchestrator.engine.deps import Deps
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, watched_by
from orchestrator.providers.script import ScriptProvider
from orchestrator.storage import downloads, workers
from tests.engine.conftest import Hands, Office, away_after
from tests.engine.test_launching import becomes, launches, single, status
from tests.engine.test_nothing_is_stranded import claim_launches, count_is, query

pytestmark = pytest.mark.anyio


class Clock:
    """A monotonic clock that can jump, as it does for a process that was stopped."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s


def turned(deps: Deps, clock: Clock) -> Deps:
    """Return the same outsides, all on this clock."""
    provider = ScriptProvider(allow_private_networks=True, monotonic=clock)
    return replace(deps, sources=replace(deps.sources, monotonic=clock), provider=lambda name: provider)


async def breaker(office: Office) -> str:
    (row,) = await query(office, "SELECT breaker FROM lanes WHERE id = (SELECT lane_id FROM connections LIMIT 1)")
    return str(row.breaker)


@pytest.mark.parametrize("point", [Point.LAUNCH_WRITTEN, Point.LAUNCH_COMMITTED, Point.LAUNCH_CONNECTED])
async def test_a_worker_that_stood_still_for_ten_minutes_before_the_first_byte_sends_nothing(
    office: Office, hands: Hands, point: Point
) -> None:
    run_id = await single(office)
    clock = Clock()

    async def stand_still(reached: Point) -> None:
        if reached is point and not clock.ahead_s:
            clock.ahead_s = 600.0

    with watched_by(stand_still):
        assert await launch.launch_due(turned(office.deps, clock), worker=hands.id) == 1
    assert clock.ahead_s == 600.0
    assert launches(office) == 0
    assert await status(office, run_id) == "queued"
    assert await breaker(office) == "closed", "we were late; the provider is well"
    await hands.work(until=becomes(office, run_id, "finished"), limit_s=15)
    assert launches(office) == 1


async def test_a_commit_whose_answer_was_lost_sends_nothing_and_does_not_accuse_the_provider(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await single(office)
    run = office.deps.db.run

    async def loses_the_answer(work: Callable[[AsyncConnection], Awaitable[Any]], *, tries: int = 5) -> Any:
        done = await run(work, tries=tries)
        if tries == 1:
            raise Unavailable("the commit's answer was lost")
        return done

    with monkeypatch.context() as patched, pytest.raises(Unavailable):
        patched.setattr(office.deps.db, "run", loses_the_answer)
        await launch.launch_due(office.deps, worker=hands.id)
    assert (await status(office, run_id), launches(office)) == ("queued", 0)
    assert await breaker(office) == "closed"
    assert await query(office, "SELECT FROM grants") == []
    await hands.work(until=becomes(office, run_id, "finished"), limit_s=15)
    assert launches(office) == 1


async def test_an_answer_is_kept_for_as_long_as_the_database_is_away(office: Office, hands: Hands) -> None:
    run_id = await single(office)
    with away_after(office.deps, Point.LAUNCH_ANSWERED):
        await launch.launch_due(office.deps, worker=hands.id)
    assert await status(office, run_id) == "processing"
    assert launches(office) == 1


async def test_a_late_answer_settles_the_doubts_of_a_whole_wave(office: Office, hands: Hands) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.1"} for n in range(6)])
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    assert (await office.batch(submitted.id))["counts"]["in_doubt"] == 6
    assert len(await reading.list_inbox(office.deps, office.who)) == 1
    await launch.launch(office.deps, [claimed.orders[0]])
    await hands.work(until=count_is(office, submitted.id, "finished", 6))
    assert launches(office) == 1
    assert await reading.list_inbox(office.deps, office.who) == []


async def test_a_late_worker_that_never_sent_lifts_the_doubt_that_was_made_of_its_silence(
    office: Office, hands: Hands
) -> None:
    run_id = await single(office)
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    assert await status(office, run_id) == "in_doubt"
    clock = Clock()
    clock.ahead_s = 600.0
    await launch.launch(turned(office.deps, clock), [claimed.orders[0]])
    assert await status(office, run_id) == "queued"
    assert await reading.list_inbox(office.deps, office.who) == []
    await hands.work(until=becomes(office, run_id, "finished"), limit_s=15)
    assert launches(office) == 1


async def test_a_late_worker_that_never_sent_lifts_the_doubts_of_its_wave(office: Office, hands: Hands) -> None:
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.1"} for n in range(6)])
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    assert (await office.batch(submitted.id))["counts"]["in_doubt"] == 6
    clock = Clock()
    clock.ahead_s = 600.0
    await launch.launch(turned(office.deps, clock), [claimed.orders[0]])
    assert await reading.list_inbox(office.deps, office.who) == []
    await hands.work(until=count_is(office, submitted.id, "finished", 6))
    assert launches(office) == 1


async def test_a_late_worker_that_never_sent_leaves_alone_what_a_person_has_decided(
    office: Office, hands: Hands
) -> None:
    run_id = await single(office)
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    await doubts.resolve_doubt(office.deps, office.who, run_id, how="abandon", reason="seen in the console")
    clock = Clock()
    clock.ahead_s = 600.0
    await launch.launch(turned(office.deps, clock), [claimed.orders[0]])
    assert await status(office, run_id) == "abandoned"


#: A fault that refuses a launch, what becomes of its run in the end, and what the lane or the workflow is told.
LATE_NOES = [
    ({"fault": "400"}, "error", "SELECT FROM lanes WHERE blocked_until IS NULL AND launches_stopped IS NULL"),
    ({"fault": "401"}, "queued", "SELECT FROM lanes WHERE launches_stopped = 'key_refused'"),
    ({"fault": "403_html"}, "finished", "SELECT FROM lanes WHERE launches_stopped IS NULL AND breaker = 'closed'"),
    ({"fault": "404"}, "queued", "SELECT FROM workflows WHERE launches_blocked_because = 'workflow not found'"),
    (
        {"fault": "429", "retry_after_s": 40},
        "queued",
        "SELECT FROM lanes WHERE blocked_until BETWEEN now() + interval '20 s' AND now() + interval '40 s'",
    ),
    ({"fault": "429"}, "queued", "SELECT FROM workflows WHERE launches_blocked_because = 'no free slot'"),
]


@pytest.mark.parametrize(("fault", "after", "told"), LATE_NOES, ids=lambda part: str(part)[:30])
async def test_a_no_that_comes_after_the_fence_was_taken_lifts_the_doubt_and_is_obeyed(
    office: Office, hands: Hands, fault: dict[str, Any], after: str, told: str
) -> None:
    office.sandbox.faults([{**fault, "kind": "launch", "times": 2 if after == "error" else 1}])
    run_id = await single(office)
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    assert await status(office, run_id) == "in_doubt"
    await launch.launch(office.deps, [claimed.orders[0]])
    assert await status(office, run_id) == "queued", "a 4xx proves that nothing was started"
    assert await reading.list_inbox(office.deps, office.who) == []
    assert len(await query(office, told)) == 1
    if after != "queued":
        await hands.work(until=becomes(office, run_id, after), limit_s=15)


async def test_a_no_to_a_wave_that_comes_late_lifts_its_doubts_and_halves_the_next(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{"fault": "400", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.1"} for n in range(6)])
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    await launch.launch(office.deps, [claimed.orders[0]])
    assert (await office.batch(submitted.id))["counts"]["in_doubt"] == 0
    assert await reading.list_inbox(office.deps, office.who) == []
    assert [row.wave_cap for row in await query(office, "SELECT wave_cap FROM batches")] == [3]
    await hands.work(until=count_is(office, submitted.id, "finished", 6))


async def test_a_5xx_that_comes_after_the_fence_was_taken_changes_nothing(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "503", "kind": "launch", "times": 1}])
    run_id = await single(office)
    claimed = await claim_launches(office, hands)
    await sweep.sweep(office.deps, dead=[hands.id])
    await launch.launch(office.deps, [claimed.orders[0]])
    assert await status(office, run_id) == "in_doubt", "whoever took the fence has decided; no id, no evidence"


async def test_files_that_a_late_worker_stored_are_not_recorded_twice(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')
    held: list[downloads.DownloadClaim] = []

    async def claim(connection: AsyncConnection) -> list[downloads.DownloadClaim]:
        deps = office.deps
        return await downloads.claim(connection, worker=hands.id, limit=9, lease_s=60, sealer=deps.sealer)

    async def is_held() -> bool:
        if await status(office, run_id) == "downloading":
            held.extend(await office.deps.db.run(claim))
        return bool(held)

    async with asyncio.timeout(15):
        while not await is_held():
            await launch.launch_due(office.deps, worker=hands.id)
            await _look(office.deps, hands.id)
    await sweep.sweep(office.deps, dead=[hands.id])
    other = await _another_worker(office.deps)
    assert await download.download_due(office.deps, worker=other) == 1
    await download.download(office.deps, [held[0]])
    events, _ = await reading.run_events(office.deps, office.who, run_id)
    assert [e["type"] for e in events].count("finished") == 1
    assert [e["type"] for e in events].count("result_stored") == 1


async def test_what_a_late_worker_stores_is_not_what_the_run_has(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')
    late: list[downloads.DownloadClaim] = []

    async def claim(connection: AsyncConnection) -> list[downloads.DownloadClaim]:
        deps = office.deps
        return await downloads.claim(connection, worker=hands.id, limit=9, lease_s=60, sealer=deps.sealer)

    async with asyncio.timeout(15):
        while not late:
            await launch.launch_due(office.deps, worker=hands.id)
            await _look(office.deps, hands.id)
            late = await office.deps.db.run(claim)
    await sweep.sweep(office.deps, dead=[hands.id])
    assert await download.download_due(office.deps, worker=await _another_worker(office.deps)) == 1
    whole = await _content(office, run_id)
    assert whole

    await download.download(replace(office.deps, files=EmptyFiles()), [late[0]])
    assert await _content(office, run_id) == whole, "an empty answer that came late was put in the file's place"


class EmptyFiles:
    """A host that says every file is empty."""

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[FileAnswer]:
        async def nothing() -> AsyncIterator[bytes]:
            yield b""

        yield FileAnswer(length_bytes=0, chunks=nothing())

    async def aclose(self) -> None:
        """Nothing is open."""


async def _content(office: Office, run_id: UUID | str) -> bytes:
    opened = await reading.open_result(office.deps, office.who, UUID(str(run_id)), 0)
    return b"".join([block async for block in opened.chunks])


async def _look(deps: Deps, worker: UUID) -> None:
    from orchestrator.engine import poll

    await poll.poll_due(deps, worker=worker)
    await asyncio.sleep(0.02)


async def _another_worker(deps: Deps) -> UUID:
    id = deps.sources.new_id()

    async def register(connection: AsyncConnection) -> None:
        await workers.register(connection, id=id, place="test", pid=2, version="test")

    await deps.db.run(register)
    return id
