"""Erasing that is cut off: never half; files follow when they can; what comes late goes too."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.artifacts.leftovers import Leftovers
from orchestrator.artifacts.local import LocalStore
from orchestrator.engine import download, erase, operate, pump, removal, sweep
from orchestrator.engine.deps import Deps
from orchestrator.errors import Conflict, Unavailable
from orchestrator.faultpoints import Point, watched_by
from orchestrator.storage import erased_files
from tests.engine.conftest import Hands, Office
from tests.engine.test_erasing import MARKER, WHY, erased, finished, plant, told
from tests.engine.test_launching import single, status
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.traces import broken, in_files, in_samples, in_tables, store_root, traces

pytestmark = pytest.mark.anyio


class Killed(BaseException):
    """The process died here."""


async def killed_at(point: Point, office: Office, run_id: UUID) -> None:
    async def die(reached: Point) -> None:
        if reached is point:
            raise Killed

    with pytest.raises(Killed), watched_by(die):
        await erased(office, run_id)


async def due(office: Office) -> None:
    """Let the time pass until what is still to be removed is due again."""
    await change(office, "UPDATE erasures SET due_at = orch_now() - interval '1 second'")


async def test_killed_before_its_commit_it_has_taken_nothing(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await plant(office, run_id)
    before = await traces(office.deps, MARKER)
    await killed_at(Point.ACT_WRITTEN, office, run_id)
    await sweep.sweep(office.deps)
    assert await traces(office.deps, MARKER) == before
    assert await told(office, run_id) == []
    assert (await erased(office, run_id))["erased_before"] is False


async def test_killed_after_its_commit_the_sweep_removes_the_files(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await plant(office, run_id)
    await killed_at(Point.ACT_COMMITTED, office, run_id)
    assert await in_tables(office.deps, MARKER) == []
    assert len(in_files(store_root(office.deps), MARKER)) == 3
    assert len(await query(office, "SELECT FROM artifacts WHERE store_key IS NOT NULL")) == 2
    await sweep.sweep(office.deps)
    assert await traces(office.deps, MARKER) == []
    assert await query(office, "SELECT FROM artifacts WHERE store_key IS NOT NULL") == []
    assert await broken(office.deps, run_id) is None


class Moody(LocalStore):
    """A local store that cannot remove the first so many files."""

    fails = 0

    async def delete(self, key: str) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("the artifact store is away")
        await super().delete(key)


async def test_a_store_that_fails_once_makes_it_wait_and_the_sweep_finishes(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await plant(office, run_id)
    store = Moody(store_root(office.deps))
    store.fails = 1
    deps = replace(office.deps, store=store, leftovers=Leftovers(store))
    done = await erase.erase_run(deps, office.who, run_id, reason=WHY)
    assert (done["erased_at"] is not None, done["files_left"]) == (True, 2)
    assert await in_tables(deps, MARKER) == []
    await sweep.sweep(deps)
    assert len(await query(office, "SELECT FROM artifacts WHERE store_key IS NOT NULL")) == 2, "not asked at once again"
    await due(office)
    await sweep.sweep(deps)
    assert await traces(deps, MARKER) == []
    assert (await erased(office, run_id))["files_left"] == 0


async def test_killed_between_two_files_the_next_sweep_goes_on(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await plant(office, run_id)

    class Dying(LocalStore):
        async def delete(self, key: str) -> None:
            await super().delete(key)
            raise Killed

    store = Dying(store_root(office.deps))
    with pytest.raises(Killed):
        await erase.erase_run(replace(office.deps, store=store), office.who, run_id, reason=WHY)
    assert len(await query(office, "SELECT FROM artifacts WHERE store_key IS NOT NULL")) == 2
    await due(office)
    await sweep.sweep(office.deps)
    assert await traces(office.deps, MARKER) == []


async def test_a_volume_that_is_not_mounted_is_not_taken_for_an_empty_one(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await plant(office, run_id)
    root = store_root(office.deps)
    aside = root.rename(root.with_name("elsewhere"))
    root.mkdir()
    done = await erased(office, run_id)
    assert done["files_left"] == 2
    root.rmdir()
    aside.rename(root)
    await due(office)
    await sweep.sweep(office.deps)
    assert await traces(office.deps, MARKER) == []


async def test_what_was_on_its_way_is_removed_by_a_later_look_and_then_it_is_over(office: Office, hands: Hands) -> None:
    run_id = await finished(office, hands)
    await erased(office, run_id)
    late = store_root(office.deps) / str(office.who.workspace_id) / str(run_id) / "1" / "0.99"
    late.parent.mkdir(parents=True)
    late.write_bytes(MARKER.encode())
    await sweep.sweep(office.deps)
    assert late.exists()
    (left,) = await query(office, "SELECT is_late_look, due_at - orch_now() AS wait FROM erasures")
    assert left.is_late_look
    assert 3_600 < left.wait.total_seconds() <= erased_files.LATE_LOOK_S
    await due(office)
    await sweep.sweep(office.deps)
    assert await traces(office.deps, MARKER) == []
    assert await query(office, "SELECT FROM erasures") == []


async def test_the_planners_samples_of_the_database_hold_nothing_of_it_either(office: Office, hands: Hands) -> None:
    run_ids = [await finished(office, hands, name) for name in ("a", "b")]
    batch = await office.submit([{"name": MARKER, "sandbox": "duration_s=0.05"}], name=MARKER, external_id=MARKER)
    assert batch.id is not None
    await operate.cancel_batch(office.deps, office.who, batch.id)
    await change(office, "ANALYZE")
    assert await in_samples(office.deps, MARKER) == ["runs.external_id"]
    for run_id in run_ids:
        await erased(office, run_id)
    await erase.erase_batch(office.deps, office.who, batch.id, reason=WHY)
    await due(office)
    await sweep.sweep(office.deps)
    assert await in_samples(office.deps, MARKER) == []


async def test_a_worker_that_downloads_for_a_run_that_was_erased_leaves_no_file(office: Office, hands: Hands) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')
    await until_downloading(office, hands, run_id)

    async def meanwhile(reached: Point) -> None:
        if reached is Point.ARTIFACT_WRITTEN and await status(office, run_id) == "downloading":
            await operate.abandon_run(office.deps, office.who, run_id, reason="no more")
            await erased(office, run_id)

    with watched_by(meanwhile):
        await download.download_due(office.deps, worker=hands.id)
    assert (await status(office, run_id), len(await told(office, run_id))) == ("abandoned", 1)
    assert [path for path in store_root(office.deps).rglob("*") if path.is_file()] == []


async def until_downloading(office: Office, hands: Hands, run_id: UUID) -> None:
    async with asyncio.timeout(10):
        while await status(office, run_id) != "downloading":
            for kind in ("launch", "poll"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.02)


@contextmanager
def losing_one_answer(office: Office, point: Point, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commit the transaction in which a point is first reached, and report it as failed."""
    opened, reached_in, lost = office.deps.db.transaction, False, False

    async def notice(reached: Point) -> None:
        nonlocal reached_in
        reached_in = reached is point

    @asynccontextmanager
    async def transaction() -> AsyncIterator[AsyncConnection]:
        nonlocal lost
        async with opened() as connection:
            yield connection
        if reached_in and not lost:
            lost = True
            raise Unavailable("the commit's answer was lost")

    with monkeypatch.context() as patched, watched_by(notice):
        patched.setattr(office.deps.db, "transaction", transaction)
        yield
    assert lost, "an answer was lost"


async def test_a_stored_file_stays_when_only_the_answer_to_its_record_was_lost(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')
    await until_downloading(office, hands, run_id)
    with losing_one_answer(office, Point.DOWNLOAD_RECORDING, monkeypatch):
        await download.download_due(office.deps, worker=hands.id)
    assert await status(office, run_id) == "finished"
    (row,) = await query(office, "SELECT store_key, size_bytes FROM artifacts")
    assert await office.deps.store.size(row.store_key) == row.size_bytes


async def test_an_erasing_whose_commit_was_reported_as_failed_is_told_as_done_once(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await finished(office, hands)
    with losing_one_answer(office, Point.ACT_WRITTEN, monkeypatch):
        done = await erased(office, run_id)
    assert (done["erased_before"], done["runs"], done["files"], done["files_left"]) == (False, 1, 2, 0)
    assert len(await told(office, run_id)) == 1


async def test_an_erasing_and_a_retry_at_the_same_time_leave_one_of_the_two(office: Office) -> None:
    for n in range(8):
        run_id = await single(office, external_id=str(n))
        await operate.cancel_run(office.deps, office.who, run_id)
        retry = operate.retry_run(office.deps, office.who, run_id)
        both = await asyncio.gather(erased(office, run_id), retry, return_exceptions=True)
        assert [type(one) for one in both].count(Conflict) == 1
        was_erased = not isinstance(both[0], Conflict)
        assert await status(office, run_id) == ("cancelled" if was_erased else "queued")
        assert len(await query(office, "SELECT FROM inputs WHERE run_id = :run", run=run_id)) == (not was_erased)


async def test_a_retry_of_the_whole_batch_that_comes_into_an_erasing_leaves_the_erased_run_out(office: Office) -> None:
    batch = await office.submit([{"n": n} for n in range(3)])
    assert batch.id is not None
    await operate.cancel_batch(office.deps, office.who, batch.id)
    (run,) = await query(office, "SELECT id FROM runs WHERE index = 1")
    retries: list[asyncio.Task[Any]] = []

    async def meanwhile(reached: Point) -> None:
        if reached is Point.ACT_WRITTEN and not retries:
            # A task of its own has no transaction open, and begins while the erasing's is.
            retry = operate.retry_failed(office.deps, office.who, batch.id or run.id)
            retries.append(asyncio.create_task(retry, context=contextvars.Context()))
            await asyncio.sleep(0.5)

    with watched_by(meanwhile):
        await erased(office, run.id)
        retried = await retries[0]
    assert (retried["counts"]["queued"], retried["counts"]["cancelled"]) == (2, 1)
    assert await status(office, run.id) == "cancelled"


async def test_a_large_batch_is_removed_in_parts_and_each_part_is_recorded(
    office: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "RUNS_AT_ONCE", 2)
    batch = await office.submit([{"n": n, "sandbox": f"duration_s=0.05; filename={MARKER}"} for n in range(5)])
    assert batch.id is not None

    async def over() -> bool:
        return (await office.batch(batch.id))["finished_at"] is not None

    await hands.work(until=over)
    deps: Deps = office.deps
    done = await erase.erase_batch(deps, office.who, batch.id, reason=WHY)
    assert (done["runs"], done["files"], done["files_left"]) == (5, 5, 0)
    assert await traces(deps, MARKER) == []
