"""A retirement that is cut off, held up or has no place loses nothing, and nobody waits for it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import psycopg.conninfo
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import retention
from orchestrator.engine.deps import Deps
from orchestrator.engine.retention_lease import LEASE_S
from orchestrator.engine.who import Who
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, watched_by
from orchestrator.storage import retention as stored
from tests.engine import retiring as ground
from tests.engine.conftest import Office
from tests.engine.retiring import ended_run, fault, judged, later, months, retire
from tests.engine.test_checkpoints import happen

pytestmark = pytest.mark.anyio

settings, who, superuser = ground.settings, ground.who, ground.superuser


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("point", [Point.RETIREMENT_EXPORTED, Point.RETIREMENT_WRITTEN])
async def test_a_death_between_export_and_drop_loses_nothing_and_is_taken_up_again(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path, point: Point
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    before = await months(deps)

    async def die(reached: Point) -> None:
        if reached is point:
            raise Killed

    with watched_by(die), pytest.raises(Killed):
        await retention.retire_next(deps, at_once=True)
    assert await months(deps) == before
    answers, _ = await judged(deps, who, tmp_path / "between")
    assert (answers.ours.problem, answers.ours.retired) == (None, ())
    gone = await retire(deps)
    assert fault(deps, gone) is None
    assert deps.retired is not None
    assert [folder.name for folder in Path(deps.retired.place).iterdir()] == [gone.export]


async def test_the_history_is_written_on_while_a_month_waits_for_a_quiet_moment(
    deps: Deps, office: Office, who: Who, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    monkeypatch.setattr(retention, "TRIES", 8)
    with psycopg.connect(superuser) as reader:
        reader.execute("SELECT count(*) FROM events")  # and the transaction stays open
        trying = asyncio.create_task(retention.retire_next(deps, at_once=True))
        async with asyncio.timeout(5):
            for _ in range(10):
                await happen(deps, who)
        waiting = reader.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        assert waiting == (0,)
        with pytest.raises(Unavailable) as told:
            await trying
        assert told.value.code == "retention_busy"
        reader.rollback()
    assert await retention.retire_next(deps, at_once=True) is not None


async def test_an_export_that_has_no_place_keeps_the_month(
    deps: Deps, office: Office, superuser: str, tmp_path: Path
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    before = await months(deps)
    assert deps.retired is not None
    place = Path(deps.retired.place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file stands in the way")
    with pytest.raises(Unavailable) as told:
        await retention.retire_next(deps, at_once=True)
    assert told.value.code == "retention_no_place"
    assert await months(deps) == before


async def test_a_round_whose_holder_died_is_taken_up_and_a_late_holder_may_not_drop(
    deps: Deps, who: Who, superuser: str
) -> None:
    async def claim(connection: AsyncConnection) -> tuple[datetime, UUID | None] | None:
        return await stored.claim(connection, "history", lease_s=LEASE_S, at_once=True)

    first = await deps.db.run(claim)
    assert first is not None
    assert await deps.db.run(claim) is None, "nobody takes it from one who is at it"
    await later(deps, superuser, days=1)
    second = await deps.db.run(claim)
    assert second is not None
    lease = first[0]

    async def held(connection: AsyncConnection) -> bool:
        return await stored.hold(connection, "history", lease)

    assert not await deps.db.run(held)
