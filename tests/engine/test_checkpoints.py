"""The history is signed when it is due, by one worker, over all that moved; and what was signed is kept outside."""

from __future__ import annotations

import asyncio
import io
import json
from contextvars import Context
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import psycopg.conninfo
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.artifacts.anchors import FolderAnchors, StdoutAnchors
from orchestrator.domain import checkpoints as rules
from orchestrator.domain.audit_export import read_anchor
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.checkpoints import read_body
from orchestrator.embedded.postgres import EmbeddedPostgres
from orchestrator.engine import checkpoints, tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Unavailable
from orchestrator.storage import checkpoints as stored
from orchestrator.storage import events
from orchestrator.storage.checkpoints import Stored
from orchestrator.storage.database import now
from tests.engine.conftest import Office

pytestmark = pytest.mark.anyio


async def all_of(deps: Deps, who: Who) -> list[Stored]:
    async def read(connection: AsyncConnection) -> list[Stored]:
        return await stored.read(connection, who.workspace_id, limit=1000)

    return await deps.db.run(read)


async def happen(deps: Deps, who: Who, type: str = "noted") -> None:
    """Let something happen in the workspace."""

    async def write(connection: AsyncConnection) -> None:
        new = NewEvent(type=type, actor="token:test")
        await events.append_to_workspace(connection, who.workspace_id, [new], at=await now(connection))

    await deps.db.run(write)


class Clock:
    """The database's clock, moved by hand."""

    def __init__(self, deps: Deps, superuser: str) -> None:
        self._deps = deps
        self._superuser = superuser
        self.at = datetime.fromisoformat("2026-11-22T03:00:00+00:00")

    async def move(self, **by: float) -> None:
        self.at += timedelta(**by)
        with psycopg.connect(self._superuser, autocommit=True) as connection:
            setting = f'ALTER DATABASE "{connection.info.dbname}" SET "orch.now" = \'{self.at.isoformat()}\''
            connection.execute(setting.encode())
        await self._deps.db.close()  # connections that are made from now on see it


@pytest.fixture
def superuser(postgres: EmbeddedPostgres, database_url: str) -> str:
    named = psycopg.conninfo.conninfo_to_dict(database_url.replace("+psycopg", ""))
    return postgres.superuser_libpq(str(named["dbname"]))


@pytest.fixture
async def clock(deps: Deps, superuser: str, who: Who) -> Clock:
    made = Clock(deps, superuser)
    await made.move()
    return made


def anchored(deps: Deps, who: Who) -> list[int]:
    """Return the numbers of the checkpoints that are kept outside."""
    assert isinstance(deps.anchors, FolderAnchors)
    return [read_body(read_anchor(line).body).number for line in deps.anchors.lines(who.workspace_id)]


async def test_what_moved_is_signed_and_kept_outside(deps: Deps, who: Who, office: Office) -> None:
    batch = await office.submit([{"topic": "a"}, {"topic": "b"}])
    assert await checkpoints.keep(deps) == 1
    (only,) = await all_of(deps, who)
    heads = {head.stream for head in only.signed.heads}
    assert who.workspace_id in heads
    assert batch.id in heads
    assert len(heads) == 4, "the workspace, the batch, two runs"
    assert anchored(deps, who) == [1]


async def test_within_a_minute_it_is_signed_once_and_an_hour_of_silence_is_signed_too(
    deps: Deps, who: Who, clock: Clock
) -> None:
    assert await checkpoints.keep(deps) == 1
    await happen(deps, who)
    await clock.move(seconds=59)
    assert await checkpoints.keep(deps) == 0
    await clock.move(seconds=1)
    assert await checkpoints.keep(deps) == 1
    await clock.move(minutes=59)
    assert await checkpoints.keep(deps) == 0, "nothing happened, and the hour is not over"
    await clock.move(minutes=1)
    assert await checkpoints.keep(deps) == 1
    assert [len(each.signed.heads) for each in await all_of(deps, who)] == [0, 1, 0]


async def test_many_at_once_sign_one(deps: Deps, who: Who, office: Office) -> None:
    assert sum(await asyncio.gather(*(checkpoints.keep(deps) for _ in range(8)))) == 1
    assert [each.number for each in await all_of(deps, who)] == [1]
    assert anchored(deps, who)[0] == 1
    assert set(anchored(deps, who)) == {1}


async def test_more_than_one_checkpoint_holds_comes_with_the_next_at_once(
    deps: Deps, who: Who, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_HEADS", 3)
    await office.submit([{"topic": str(n)} for n in range(8)])
    assert await checkpoints.keep(deps) == 4
    found = await all_of(deps, who)
    assert [len(each.signed.heads) for each in found] == [3, 3, 3, 1]
    assert len({head.stream for each in found for head in each.signed.heads}) == 10


async def test_what_was_written_before_a_checkpoint_and_committed_after_it_is_in_the_next(
    deps: Deps, who: Who, clock: Clock
) -> None:
    async with deps.db.transaction() as connection:
        new = NewEvent(type="slow", actor="token:test")
        await events.append_to_workspace(connection, who.workspace_id, [new], at=await now(connection))
        # Another process, later: it knows nothing of this transaction, and is done before it.
        await clock.move(seconds=14)
        other = asyncio.create_task(checkpoints.keep(deps), context=Context())
        await asyncio.wait({other}, timeout=10)
    assert other.result() == 1
    await clock.move(seconds=61)
    assert await checkpoints.keep(deps) == 1
    assert [[head.seq for head in each.signed.heads] for each in await all_of(deps, who)] == [[], [1]]


async def test_a_clock_that_went_back_hides_nothing(deps: Deps, who: Who, office: Office, clock: Clock) -> None:
    await checkpoints.keep(deps)
    await clock.move(hours=-3)
    batch = await office.submit([{"topic": "a"}])
    assert await checkpoints.keep(deps) == 1
    first, second = await all_of(deps, who)
    assert batch.id in {head.stream for head in second.signed.heads}
    assert read_body(second.signed.body).at >= read_body(first.signed.body).at, "checkpoints never go back in time"


async def test_a_folder_that_is_away_gets_what_it_missed_when_it_is_back(
    deps: Deps, who: Who, clock: Clock, tmp_path: Path
) -> None:
    assert isinstance(deps.anchors, FolderAnchors)
    folder = deps.anchors.folder
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    with pytest.raises(Unavailable, match="cannot keep checkpoints"):
        await checkpoints.keep(deps)
    assert [each.number for each in await all_of(deps, who)] == [1], "signed all the same"
    folder.unlink()
    await happen(deps, who)
    await clock.move(seconds=61)
    await checkpoints.keep(deps)
    assert anchored(deps, who) == [1, 2]


async def test_a_line_that_was_torn_by_a_death_is_written_again_whole(deps: Deps, who: Who, clock: Clock) -> None:
    await checkpoints.keep(deps)
    assert isinstance(deps.anchors, FolderAnchors)
    (path,) = deps.anchors.folder.iterdir()
    first = path.read_bytes()
    path.write_bytes(first + first[:40])
    await clock.move(hours=1)
    await checkpoints.keep(deps)
    assert anchored(deps, who) == [1, 2]
    assert path.read_bytes().startswith(first)


async def test_another_history_is_anchored_beside_the_old_one_and_told_of(
    deps: Deps, who: Who, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    await checkpoints.keep(deps)
    await clock.move(hours=1)
    await checkpoints.keep(deps)
    assert isinstance(deps.anchors, FolderAnchors)
    kept = (deps.anchors.folder / f"{who.workspace_id}.jsonl").read_bytes()

    async def set_back(connection: AsyncConnection) -> None:
        await connection.execute(text("ALTER TABLE checkpoints DISABLE TRIGGER no_change"))
        await connection.execute(text("DELETE FROM checkpoints WHERE number = 2"))

    await deps.db.run(set_back)
    await happen(deps, who)
    await checkpoints.keep(deps)
    assert (deps.anchors.folder / f"{who.workspace_id}.jsonl").read_bytes() == kept, "what was anchored stays"
    assert anchored(deps, who) == [1, 2, 1, 2]
    said = capsys.readouterr()
    assert "history_diverged" in said.out + said.err


async def test_standard_output_gets_each_checkpoint_once(
    deps: Deps, who: Who, clock: Clock, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    deps = replace(deps, anchors=StdoutAnchors())
    await checkpoints.keep(deps)
    await checkpoints.keep(deps)
    await clock.move(hours=1)
    await checkpoints.keep(deps)
    lines = [line for line in io.BytesIO(capfdbinary.readouterr().out) if b"signature" in line]
    assert [json.loads(read_anchor(line).body)["number"] for line in lines] == [1, 2]


async def test_checkpoints_refuse_every_change_even_by_the_superuser(deps: Deps, who: Who, superuser: str) -> None:
    await checkpoints.keep(deps)
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for change in ("UPDATE checkpoints SET body = ''", "DELETE FROM checkpoints", "TRUNCATE checkpoints"):
            with pytest.raises(psycopg.Error, match="append-only"):
                connection.execute(change.encode())


async def test_nothing_happens_by_nobody(deps: Deps, who: Who) -> None:
    async def write(connection: AsyncConnection) -> None:
        new = NewEvent(type="noted", actor="")
        await events.append_to_workspace(connection, who.workspace_id, [new], at=await now(connection))

    with pytest.raises(Exception, match="events_actor"):
        await deps.db.run(write)


async def test_workspaces_are_signed_apart(deps: Deps, who: Who, office: Office) -> None:
    other: UUID = await tokens.ensure_workspace(deps, "other")
    await office.submit([{"topic": "a"}])
    assert await checkpoints.keep(deps) == 2
    found = await all_of(deps, Who(workspace_id=other, actor="token:other", scopes=frozenset()))
    assert [len(each.signed.heads) for each in found] == [0]
