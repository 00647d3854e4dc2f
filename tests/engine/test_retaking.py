"""A tick that submitted nothing is carried out after all: the same tick, its own file, once."""

from __future__ import annotations

import asyncio
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from orchestrator.engine import schedules
from orchestrator.errors import BadInput, Conflict, NotFound
from tests.engine.test_nothing_is_stranded import query
from tests.engine.test_schedules import HOUR_S, Clerk, clerk

pytestmark = pytest.mark.anyio
__all__ = ["clerk"]

ZURICH = ZoneInfo("Europe/Zurich")


async def missed(clerk: Clerk) -> tuple[str, str]:
    """Let a tick miss its file of the hour, and the next one too; return the first one's time, and its file's name."""
    await clerk.schedule(template="in-{date}-{hour}{minute}.jsonl", deadline_s=60, overlap="queue")
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    await clerk.pass_s(61)
    await clerk.work()
    await clerk.pass_s(HOUR_S)
    await clerk.work()
    first = (await clerk.ticks())[0]
    assert first["state"] == "missed"
    local = datetime.fromisoformat(first["nominal_at"]).astimezone(ZURICH)
    return first["nominal_at"], f"in-{local:%Y-%m-%d-%H%M}.jsonl"


@pytest.mark.parametrize("as_said", ["as shown", "on the schedule's clock"])
async def test_a_missed_tick_is_carried_out_with_its_own_file_and_the_history_says_so(
    clerk: Clerk, as_said: str
) -> None:
    at, name = await missed(clerk)
    local = datetime.fromisoformat(at).astimezone(ZURICH)
    said = at if as_said == "as shown" else local.replace(tzinfo=None, microsecond=0).isoformat()
    clerk.leave('{"n": 1}\n', name)
    who = clerk.office.who
    await schedules.run_now(clerk.deps, who, "hourly", reason="it came at noon", nominal_at=said)
    await asyncio.gather(*(clerk.work() for _ in range(3)))
    first, *_ = ticks = await clerk.ticks()
    assert len(ticks) == 2, "it has one row"
    assert (first["state"], first["path"], first["asked_by"], first["reason"]) == (
        "fired", name, who.actor, "it came at noon",
    )  # fmt: skip
    assert len(await query(clerk.office, "SELECT 1 FROM batches")) == 1
    (told,) = await query(clerk.office, "SELECT actor, data::jsonb AS data FROM events WHERE type = 'schedule_run_now'")
    assert (told.actor, told.data["was"], told.data["reason"]) == (who.actor, "missed", "it came at noon")
    assert told.data["fire"] == first["id"]
    with pytest.raises(Conflict, match="it submitted batch"):
        await schedules.run_now(clerk.deps, who, "hourly", reason="again", nominal_at=said)


async def test_a_skipped_tick_of_a_pause_is_carried_out_though_the_pause_goes_on(clerk: Clerk) -> None:
    await clerk.schedule()
    clerk.leave('{"n": 1}\n')
    await schedules.pause_schedule(clerk.deps, clerk.office.who, "hourly", "no")
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    (tick,) = await clerk.ticks()
    await schedules.run_now(clerk.deps, clerk.office.who, "hourly", reason=None, nominal_at=tick["nominal_at"])
    await clerk.work()
    assert await clerk.states() == ["fired"]


async def test_a_tick_that_still_waits_or_never_was_is_refused(clerk: Clerk) -> None:
    await clerk.schedule()
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    (tick,) = await clerk.ticks()
    for nominal, refused in (
        (tick["nominal_at"], Conflict),
        ("2020-01-01T02:30", NotFound),
        ("2100-01-01T02:30:00Z", NotFound),
        ("soon", BadInput),
        ("0001-01-01T00:00", BadInput),
    ):
        with pytest.raises(refused):
            await schedules.run_now(clerk.deps, clerk.office.who, "hourly", reason=None, nominal_at=nominal)
    assert await clerk.states() == ["waiting"]
