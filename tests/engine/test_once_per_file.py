"""A file that is to be submitted once is submitted once, also by two who come at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import submit
from orchestrator.engine.submit import BatchSpec, SubmittedBatch
from orchestrator.errors import Conflict
from tests.engine.conftest import Office

pytestmark = pytest.mark.anyio

FILE = b'{"n": 1}\n{"n": 2}'


def spec(office: Office, **how: Any) -> BatchSpec:
    return BatchSpec(connection="main", workflow_id=office.sandbox.workflows["Free form"], format="jsonl", **how)


async def batches(office: Office) -> int:
    async def count(connection: AsyncConnection) -> int:
        return int((await connection.execute(text("SELECT count(*) FROM batches"))).scalar_one())

    return await office.deps.db.run(count)


async def waits_or_is_done(office: Office, task: asyncio.Task[SubmittedBatch]) -> None:
    """Return when a submission stands before the lock, or is over."""

    async def waiting(connection: AsyncConnection) -> int:
        of_here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        found = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND {of_here}"
        return int((await connection.execute(text(found))).scalar_one())

    while not task.done() and not await office.deps.db.run(waiting):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("first_minds", [True, False], ids=["both-mind", "one-minds"])
async def test_who_comes_before_the_first_has_committed_waits_for_it(office: Office, first_minds: bool) -> None:
    is_written, may_commit = asyncio.Event(), asyncio.Event()

    async def lingering(_: AsyncConnection, __: UUID) -> None:
        is_written.set()
        await may_commit.wait()

    how = spec(office, once_per_file=first_minds)
    first = asyncio.create_task(submit.submit_batch(office.deps, office.who, how, FILE, within=lingering))
    await is_written.wait()
    only = spec(office, once_per_file=True)
    second = asyncio.create_task(submit.submit_batch(office.deps, office.who, only, FILE))
    await waits_or_is_done(office, second)
    may_commit.set()
    made = await first
    with pytest.raises(Conflict, match=str(made.id)) as refused:
        await second
    assert refused.value.code == "batch_repeated"
    assert await batches(office) == 1


async def test_of_many_at_once_one_is_made(office: Office) -> None:
    how = spec(office, once_per_file=True)
    tries = (submit.submit_batch(office.deps, office.who, how, FILE) for _ in range(8))
    came = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, SubmittedBatch) for one in came) == 1
    assert [one.code for one in came if isinstance(one, Conflict)] == ["batch_repeated"] * 7
    assert await batches(office) == 1
