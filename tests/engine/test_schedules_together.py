"""Schedules at the same minute, and ticks side by side: no worker stands in another's way, nothing comes twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.cli import doctor
from orchestrator.engine import fire, schedule_reading, schedules, ticks
from orchestrator.engine import schedule_words as words
from orchestrator.errors import Conflict, Unavailable
from orchestrator.storage import schedules as schedule_rows
from orchestrator.storage.database import Database
from tests.engine.test_health import scraped
from tests.engine.test_nothing_is_stranded import change, query
from tests.engine.test_schedules import HOUR_S, Clerk, clerk

pytestmark = pytest.mark.anyio
__all__ = ["clerk"]

SCHEDULES = 16
WORKERS = 4


async def test_schedules_of_the_same_minute_fire_side_by_side(clerk: Clerk) -> None:
    for n in range(SCHEDULES):
        await clerk.schedule(f"s{n}", template=f"rows{n}.jsonl")
        clerk.leave("".join(f'{{"n": {row * 100 + n}}}\n' for row in range(300)), f"rows{n}.jsonl")
    await clerk.pass_s(HOUR_S + 2)
    await asyncio.gather(*(clerk.work() for _ in range(WORKERS)))
    fires = await query(clerk.office, "SELECT state, why, tries FROM fires")
    assert [(fire.state, fire.tries) for fire in fires] == [("fired", 1)] * SCHEDULES, fires


async def test_ticks_side_by_side_submit_the_same_content_once(clerk: Clerk) -> None:
    await clerk.schedule(overlap="allow", catch_up="all", max_catch_up=10)
    clerk.leave('{"n": 1}\n{"n": 2}\n')
    await clerk.pass_s(8 * HOUR_S + 200)
    await asyncio.gather(*(clerk.work() for _ in range(WORKERS)))
    found = await clerk.ticks()
    assert [tick["state"] for tick in found].count("fired") == 1, [tick["why"] for tick in found]
    assert all("the same, byte for byte" in tick["why"] for tick in found if tick["state"] != "fired")


@pytest.mark.parametrize(("act", "why"), [("pause", "the schedule was paused: no"), ("remove", "was removed")])
async def test_a_person_who_comes_while_the_file_is_read_comes_first(clerk: Clerk, act: str, why: str) -> None:
    await clerk.schedule()
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(HOUR_S + 2)
    incoming = clerk.deps.incoming
    who = clerk.office.who

    class Slow:
        async def read(self, name: str, *, max_bytes: int) -> bytes:
            if act == "pause":
                await schedules.pause_schedule(clerk.deps, who, "hourly", "no")
            else:
                await schedules.remove_schedule(clerk.deps, who, "hourly")
            assert incoming is not None
            return await incoming.read(name, max_bytes=max_bytes)

    slow = replace(clerk.deps, incoming=Slow())
    await fire.fire_due(slow, worker=slow.sources.new_id())
    await fire.fire_due(slow, worker=slow.sources.new_id())
    (row,) = await query(clerk.office, "SELECT state, why FROM fires")
    assert (row.state, why in row.why) == ("skipped", True)
    assert await query(clerk.office, "SELECT 1 FROM batches") == []


@pytest.mark.parametrize(("overlap", "second"), [("skip", "fired"), ("queue", "queued"), ("allow", "fired")])
async def test_a_tick_that_waits_for_its_file_holds_later_ones_up_only_in_a_queue(
    clerk: Clerk, overlap: str, second: str
) -> None:
    await clerk.schedule(overlap=overlap, template="in-{hour}{minute}.jsonl", deadline_s=3 * HOUR_S)
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    assert await clerk.states() == ["waiting"]
    first_path = (await clerk.ticks())[0]["path"]
    await clerk.pass_s(HOUR_S)
    await ticks.plan_due(clerk.deps)
    nominal = (await clerk.ticks())[1]["nominal_at"]
    local = datetime.fromisoformat(nominal).astimezone(ZoneInfo("Europe/Zurich"))
    clerk.leave('{"n": 2}\n', f"in-{local:%H%M}.jsonl")
    await clerk.work()
    assert (await clerk.states())[1] == second
    assert first_path is not None


async def test_a_late_file_goes_not_beside_what_a_later_tick_submitted(clerk: Clerk) -> None:
    await clerk.schedule(overlap="skip", allows_same_content=True)
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    # As if an earlier tick had waited all the while, and its file came only now.
    await change(
        clerk.office,
        "INSERT INTO fires (id, schedule_id, workspace_id, nominal_at, state, due_at, deadline_at)"
        " SELECT gen_random_uuid(), schedule_id, workspace_id, nominal_at - interval '1 h', 'waiting', now(),"
        " now() + interval '1 h' FROM fires",
    )
    await clerk.work()
    late, _ = await clerk.ticks()
    assert (late["state"], "has not ended (overlap: skip)" in late["why"]) == ("skipped", True)


async def told(clerk: Clerk) -> list[tuple[str, dict[str, Any]]]:
    """Return what the history says of ticks."""
    rows = await query(
        clerk.office, "SELECT type, data::jsonb AS data FROM events WHERE type LIKE 'tick%' ORDER BY seq"
    )
    return [(row.type, row.data) for row in rows]


async def test_ticks_that_are_decided_at_once_stand_in_the_history_together(clerk: Clerk) -> None:
    await clerk.schedule(catch_up="latest")
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(5 * HOUR_S + 600)
    await clerk.work()
    *merged, _ = await clerk.ticks()
    (type, data), (last, _) = await told(clerk)
    assert (type, last) == ("ticks_merged", "tick_fired")
    lines = "".join(f"{tick['nominal_at'][:19]}Z\n" for tick in merged)
    assert data["ticks_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert (data["ticks"], data["schedule"]) == (4, "hourly")
    assert (data["first"], data["last"]) == tuple(f"{merged[n]['nominal_at'][:19]}Z" for n in (0, -1))


async def test_a_long_absence_has_a_few_events_and_a_row_for_each_tick(clerk: Clerk) -> None:
    await clerk.schedule(catch_up="none")
    await clerk.pass_s(1_200 * HOUR_S + 600)
    await clerk.work()
    assert [(type, data["ticks"]) for type, data in await told(clerk)] == [
        ("ticks_missed", 500), ("ticks_missed", 500), ("ticks_missed", 200),
    ]  # fmt: skip


async def test_a_missed_tick_is_alarmed_when_it_is_committed_and_not_before(clerk: Clerk) -> None:
    await clerk.schedule(catch_up="none")
    await clerk.pass_s(HOUR_S + 600)

    class Broken(Exception):
        pass

    async def plan(connection: AsyncConnection) -> None:
        row = await schedule_rows.lock_due(connection)
        assert row is not None
        planned = await ticks.plan_schedule(clerk.deps, connection, row, until=row.now)
        assert [tick.state for tick in planned] == ["missed"]
        raise Broken

    with structlog.testing.capture_logs() as lines:
        with pytest.raises(Broken):
            await clerk.deps.db.run(plan)
        assert lines == [], "nothing has happened"
        await clerk.work()
    assert [line["code"] for line in lines if line.get("code")] == ["tick_missed"]


async def test_missed_ticks_of_a_day_are_counted_and_the_doctor_names_their_schedules(clerk: Clerk) -> None:
    url = clerk.deps.settings.require_database_url()
    await clerk.schedule(catch_up="none")
    assert doctor._schedules(url).found == "1; no tick missed in the last 24 h"
    await clerk.pass_s(3 * HOUR_S + 600)
    await clerk.work()
    seen = await scraped(clerk.deps)
    assert (seen["orch_ticks", "missed"], seen["orch_ticks", "fired"]) == (3, 0)
    check = doctor._schedules(url)
    assert (check.level, check.found) == ("warn", "3 ticks missed in the last 24 h: hourly")
    await clerk.pass_s(48 * HOUR_S)
    assert doctor._schedules(url).level == "ok"


async def test_a_tick_says_how_late_it_fired_and_one_by_hand_does_not(clerk: Clerk) -> None:
    await clerk.schedule(allows_same_content=True, overlap="allow")
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(HOUR_S + 40)
    await clerk.work()
    await schedules.run_now(clerk.deps, clerk.office.who, "hourly", reason=None)
    await clerk.work()
    tick, by_hand = await clerk.ticks()
    assert tick["late_s"] >= 39, "it was met so late"
    assert by_hand["late_s"] is None


async def test_a_change_whose_commits_answer_was_lost_is_not_taken_for_anothers(
    clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clerk.schedule()
    deps, who = clerk.deps, clerk.office.who
    seen = {words.revision(await schedule_reading.show_schedule(deps, who, "hourly"))}
    whole, lost = Database.transaction, [True]

    @asynccontextmanager
    async def losing(database: Database) -> AsyncIterator[AsyncConnection]:
        async with whole(database) as connection:
            yield connection
        if lost and lost.pop():
            raise Unavailable("the answer was lost", code="unavailable")

    monkeypatch.setattr(Database, "transaction", losing)
    view = await schedules.update_schedule(deps, who, "hourly", plan={"deadline_s": 900}, seen=seen)
    assert (view["deadline_s"], lost) == (900, [])
    with pytest.raises(Conflict) as refused:
        await schedules.update_schedule(deps, who, "hourly", plan={"deadline_s": 60}, seen=seen)
    assert refused.value.code == "changed_meanwhile"
