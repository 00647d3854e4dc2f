"""Who may call a silent worker dead: somebody who was heard all along, or comes where somebody was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine.deps import Deps
from orchestrator.storage import workers
from workers.heart import Heart

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.anyio


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_a_worker_alone_must_be_heard_for_as_long_as_silence_takes() -> None:
    heart = Heart(5)
    for second in (0, 5, 10):
        heart.beat(after(second), heard_since=NOON)
    assert heart.unbroken_s == 10


def test_a_worker_that_has_just_begun_may_judge_where_another_was_heard_all_along() -> None:
    heart = Heart(5)
    heart.beat(after(60), heard_since=NOON)
    assert heart.unbroken_s == 60


def test_a_gap_that_everybody_shares_takes_the_right_from_all() -> None:
    heart = Heart(5)
    for second in (0, 5, 10):
        heart.beat(after(second), heard_since=NOON)
    heart.beat(after(70), heard_since=after(70))
    assert heart.unbroken_s == 0


async def change(deps: Deps, statement: str) -> None:
    async def write(connection: AsyncConnection) -> None:
        await connection.execute(text(statement))

    await deps.db.run(write)


async def test_the_pulse_goes_on_from_worker_to_worker_and_breaks_with_a_gap(deps: Deps) -> None:
    async def beat(connection: AsyncConnection) -> datetime:
        return await workers.pulse(connection, gap_s=10.0)

    since = await deps.db.run(beat)
    assert await deps.db.run(beat) == since
    await change(deps, "UPDATE pulse SET last = last - interval '11 s', since = since - interval '1 h'")
    broken = await deps.db.run(beat)
    assert broken > since
    await change(deps, "UPDATE pulse SET last = last + interval '2 h'")
    assert await deps.db.run(beat) > broken, "a clock that went back breaks it too"
