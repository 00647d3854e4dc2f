"""What is accepted by the thousand stands in the tables as it came, with a history that proves itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import Event, first_break
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.storage import accepted_rows, events
from orchestrator.storage.accepted_rows import NewRun, Place
from tests.storage.test_run_pages import PLACES

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 20, 12, 34, 56, 789_012, tzinfo=UTC)
ACTOR = 'token:Zo\u00eb \\ "x"'

INPUTS = [b"{}", b'{"a": "\\\\N\\t"}', '{"a":"Caf\u00e9"}'.encode(), b"{" + b" " * 100_000 + b"}"]
NAMES = [None, "\\N", "K\u00f6ln\\1", "\u4e2d'\""]

BATCH = text("""
    INSERT INTO batches (id, workspace_id, connection_id, workflow_id, source_sha256, source_format, total, concurrency,
        created_by) VALUES (:id, :workspace, :connection, :workflow, '', 'jsonl', 4, 'low', 'test')""")
STORED = text("""
    SELECT r.*, i.body FROM runs r JOIN inputs i ON i.run_id = r.id WHERE r.id = ANY(:ids) ORDER BY r.id""")


async def places(connection: AsyncConnection, who: Who) -> list[Place]:
    """Make four workflows on two connections; return each as a place."""
    found = (await connection.execute(PLACES, {"workspace": who.workspace_id})).all()
    (lane,) = set((await connection.execute(text("SELECT lane_id FROM connections"))).scalars())
    return [
        Place(workspace_id=who.workspace_id, connection_id=p.connection_id, workflow_id=p.id, lane_id=lane)
        for p in found
    ]


async def write(deps: Deps, who: Who, ids: list[UUID], *, batch: UUID | None) -> tuple[Place, list[Any], list[Event]]:
    """Store runs; return where, the rows as they are read, and all their events."""

    async def store(connection: AsyncConnection) -> tuple[Place, list[Any], list[Event]]:
        place = (await places(connection, who))[0]
        if batch is not None:
            where = {"workspace": who.workspace_id, "connection": place.connection_id, "workflow": place.workflow_id}
            await connection.execute(BATCH, {"id": batch, **where})
        runs = [
            NewRun(id=id, input=input, index=None if batch is None else n, external_id=name)
            for n, (id, input, name) in enumerate(zip(ids, INPUTS, NAMES, strict=True))
        ]
        await accepted_rows.copy(connection, place, runs, batch_id=batch, actor=ACTOR, now=NOW)
        stored = (await connection.execute(STORED, {"ids": ids})).all()
        return place, list(stored), [event for id in ids for event in await events.read(connection, id)]

    return await deps.db.run(store)


@pytest.fixture(params=[None, "LATIN1"])
def surroundings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process is started in may ask for another encoding."""
    if request.param is not None:
        monkeypatch.setenv("PGCLIENTENCODING", request.param)


@pytest.mark.parametrize("in_batch", [True, False])
async def test_rows_are_stored_as_they_came_whatever_the_surroundings_spell(
    surroundings: None, deps: Deps, who: Who, in_batch: bool
) -> None:
    ids = deps.sources.new_ids(4)
    batch = deps.sources.new_id() if in_batch else None
    place, stored, told = await write(deps, who, ids, batch=batch)
    assert [row.id for row in stored] == ids
    for n, (row, event) in enumerate(zip(stored, told, strict=True)):
        digest = hashlib.sha256(INPUTS[n]).digest()
        assert (row.workspace_id, row.connection_id, row.workflow_id) == (
            who.workspace_id, place.connection_id, place.workflow_id,
        )  # fmt: skip
        assert (row.batch_id, row.index) == (batch, n if in_batch else None)
        assert (row.external_id, row.status, row.created_by) == (NAMES[n], "queued", ACTOR)
        assert (bytes(row.body), bytes(row.input_sha256), row.input_bytes) == (INPUTS[n], digest, len(INPUTS[n]))
        assert row.created_at == row.status_at == event.at == NOW
        assert (row.event_seq, bytes(row.event_hash)) == (1, event.hash)
        assert (event.stream, event.type, event.actor) == (row.id, "accepted", ACTOR)
        assert digest.hex() in event.data
        assert (str(batch) in event.data) is in_batch
        assert first_break([event]) is None


@pytest.mark.parametrize("wrong", ["workspace_id", "connection_id", "workflow_id", "its connection"])
async def test_a_run_belongs_to_its_workflows_own_connection_and_workspace(deps: Deps, who: Who, wrong: str) -> None:
    async def store(connection: AsyncConnection) -> None:
        all_of_them = await places(connection, who)
        place = all_of_them[0]
        other = next(p for p in all_of_them if p.connection_id != place.connection_id)
        changed = {"connection_id": other.connection_id} if wrong == "its connection" else {wrong: UUID(int=7)}
        run = NewRun(id=deps.sources.new_id(), input=b"{}", index=None, external_id=None)
        await accepted_rows.copy(connection, replace(place, **changed), [run], batch_id=None, actor="test", now=NOW)

    with pytest.raises(ForeignKeyViolation, match="runs_workflow"):
        await deps.db.run(store)
