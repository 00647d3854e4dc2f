"""Months that cannot be retired: they stay, are told of, and stand in nobody's way."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.artifacts.export_folder import ExportFolder
from orchestrator.domain import audit_export
from orchestrator.domain.alarms import shared
from orchestrator.domain.sights import Sights
from orchestrator.engine import retention, retention_export, retention_lease, retention_plan
from orchestrator.engine.deps import Deps
from orchestrator.engine.retention_lease import Lease
from orchestrator.errors import Conflict
from orchestrator.storage import health
from orchestrator.storage.database import now
from tests.engine import retiring as ground
from tests.engine.conftest import Office
from tests.engine.retiring import ended_run, later, months, retire, turn_ids
from workers import process as worker

pytestmark = pytest.mark.anyio

settings, who, superuser = ground.settings, ground.who, ground.superuser


def tamper(superuser: str, stream: UUID, *, was: str = "a test", becomes: str = "a jest") -> None:
    """Change the history of a run in its partition, as only the database's owner can."""
    with psycopg.connect(superuser) as connection:
        found = connection.execute("SELECT tableoid::regclass FROM events WHERE stream = %s", (stream,)).fetchone()
        assert found is not None
        connection.execute(f"ALTER TABLE {found[0]} DISABLE TRIGGER no_change".encode())
        changed = "UPDATE events SET data = replace(data, %s, %s) WHERE stream = %s AND strpos(data, %s) > 0"
        assert connection.execute(changed, (was, becomes, stream, was)).rowcount > 0
        connection.execute(f"ALTER TABLE {found[0]} ENABLE ALWAYS TRIGGER no_change".encode())


def due_in_s(superuser: str) -> float:
    """Return in how many seconds the next look for a month is due."""
    with psycopg.connect(superuser) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM due_at - orch_now()) FROM retention_rounds WHERE kind = 'history'"
        ).fetchone()
    assert row is not None
    return float(row[0])


async def alarms(deps: Deps) -> list[object]:
    """Return the months of which each alarm tells that they cannot be proven."""

    async def read(connection: AsyncConnection) -> Sights:
        return await health.sights(connection, await now(connection), dead_after_s=20)

    found = shared(await deps.db.run(read), sweep_interval_s=15)
    return [alarm.facts["months"] for alarm in found if alarm.code == "retention_unproven"]


async def test_a_month_that_cannot_be_proven_is_not_tried_again_at_once(
    deps: Deps, office: Office, superuser: str
) -> None:
    run = await ended_run(office)
    await later(deps, superuser)
    tamper(superuser, run)
    before = await months(deps)
    with pytest.raises(Conflict) as told:
        await retention.retire_next(deps, at_once=True)
    assert told.value.code == "retention_unproven"
    assert await months(deps) == before
    # The round goes on after it, and the next one begins when it is time for another look.
    assert await retention.retire_next(deps, at_once=True) is None
    assert due_in_s(superuser) == retention.LOOK_S
    assert await retention.retire_next(deps) is None


async def test_a_month_that_cannot_be_proven_stays_with_an_alarm_and_later_ones_go(
    deps: Deps, office: Office, superuser: str
) -> None:
    run = await ended_run(office)
    turn_ids(deps, days=31)
    await later(deps, superuser, days=31)
    second = await ended_run(office, "a-2")
    await later(deps, superuser)
    tamper(superuser, run)
    first, *_ = [name for name, month in (await months(deps)).items() if month.first.int <= run.int < month.until.int]
    with pytest.raises(Conflict):
        await retention.retire_next(deps, at_once=True)
    gone = await retire(deps)
    assert gone.holds(second)
    assert first in await months(deps)
    assert await alarms(deps) == [[first]]
    # An operator's command says so, and goes through all of it.
    done = await retention_plan.carry_out(deps)
    assert (done["months"], [first in why for why in done["unproven"]]) == ([], [True])
    planned = (await retention_plan.plan(deps))["months"]
    assert [month["partition"] for month in planned if month["is_unproven"]] == [first]
    # What makes its streams not whole besides does not end the alarm: the month stays for another reason then.
    with psycopg.connect(superuser) as connection:
        connection.execute("UPDATE runs SET event_seq = event_seq + 1 WHERE id = %s", (run,))
    assert await retention.retire_next(deps, at_once=True, anew=True) is None
    assert await alarms(deps) == [[first]]
    with psycopg.connect(superuser) as connection:
        connection.execute("UPDATE runs SET event_seq = event_seq - 1 WHERE id = %s", (run,))
    # Once it is as it was signed, it goes, and the alarm ends.
    tamper(superuser, run, was="a jest", becomes="a test")
    assert [month["partition"] for month in (await retention_plan.carry_out(deps))["months"]] == [first]
    assert await alarms(deps) == []


async def test_an_export_holds_no_event_loop(
    deps: Deps, office: Office, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await ended_run(office)
    await later(deps, superuser)
    assert deps.retired is not None
    [name] = [name for name, month in (await months(deps)).items() if month.first.int <= run.int < month.until.int]
    (Path(deps.retired.place) / f"{name}-of-an-earlier-try").mkdir(parents=True)
    here, seen = threading.get_ident(), dict[str, set[bool]]()

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*given: Any, **named: Any) -> Any:
            seen.setdefault(work.__name__, set()).add(threading.get_ident() == here)
            return work(*given, **named)

        return noting

    slow = [(os, "fsync"), (shutil, "rmtree"), (ExportFolder, "write"), (audit_export, "event_line")]
    for owner, act in [*slow, (audit_export, "checkpoint_line"), (audit_export, "read_event")]:
        monkeypatch.setattr(owner, act, watched(getattr(owner, act)))
    await retire(deps)
    assert len(seen) == 6, seen
    assert all(on_loop == {False} for on_loop in seen.values()), seen


class Endless:
    """Reads an export for ever, and gets on."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, _: object, *, on_line: Callable[[], None], **__: object) -> None:
        self.begun.set()
        try:
            while True:
                on_line()
                time.sleep(0.001)
        finally:
            self.ended.set()


async def test_whoever_loses_the_turn_stops_and_the_next_one_begins_anew(
    deps: Deps, office: Office, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await ended_run(office)
    await later(deps, superuser)
    endless = Endless()
    with monkeypatch.context() as patched:
        patched.setattr(retention_lease, "RENEW_S", 0.01)
        patched.setattr(retention_export, "prove", endless)
        trying = asyncio.create_task(retention.retire_next(deps, at_once=True))
        assert await asyncio.to_thread(endless.begun.wait, 20)
        with psycopg.connect(superuser, autocommit=True) as thief:
            # It is renewed while the work gets on; then somebody else takes it, and dies.
            renewed = "SELECT xmin::text FROM retention_rounds WHERE kind = 'history'"
            before = thief.execute(renewed).fetchone()
            async with asyncio.timeout(20):
                while thief.execute(renewed).fetchone() == before:
                    await asyncio.sleep(0.01)
            thief.execute("UPDATE retention_rounds SET due_at = orch_now() - interval '1 s' WHERE kind = 'history'")
        with pytest.raises(Conflict) as told:
            await trying
        assert told.value.code == "retention_late"
        assert endless.ended.is_set(), "the thread has ended when the task has"
    gone = await retire(deps)
    assert gone.holds(run)
    assert deps.retired is not None
    assert [folder.name for folder in Path(deps.retired.place).iterdir()] == [gone.export]


async def test_work_that_stands_still_is_ended_with_its_turn(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention_lease, "RENEW_S", 0.01)
    monkeypatch.setattr(retention_lease, "LEASE_S", 0.2)
    lease = await Lease.take(deps, at_once=True)
    assert lease is not None
    with pytest.raises(Conflict) as told:
        async with asyncio.timeout(20), lease.kept():
            await asyncio.Event().wait()
    assert told.value.code == "retention_late"
    async with asyncio.timeout(20):  # the database's clock comes to its end a moment later, and somebody takes it up
        while await Lease.take(deps, at_once=False) is None:
            await asyncio.sleep(0.01)


async def test_a_worker_cancels_what_takes_too_long(
    deps: Deps, office: Office, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    endless = Endless()
    monkeypatch.setattr(retention_export, "prove", endless)
    monkeypatch.setattr(worker, "RETIRE_LIMIT_S", 1.0)
    process = worker.WorkerProcess(deps.settings)
    process.start()
    try:
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(process.retire)
    finally:
        await asyncio.to_thread(process.stop)
    assert endless.ended.is_set() == endless.begun.is_set(), "nothing of it goes on"
    assert due_in_s(superuser) == retention.AGAIN_S, "and its turn is given back"
