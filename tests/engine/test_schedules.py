"""Schedules: each tick has one row that says what became of it, whoever is there, and however often it is asked."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.artifacts.incoming import Incoming
from orchestrator.engine import fire, schedule_reading, schedules, ticks
from orchestrator.engine.deps import Deps
from orchestrator.engine.schedule_words import BatchOptions, Plan
from orchestrator.errors import BadInput, Conflict, NotFound
from orchestrator.storage import fires
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio

HOUR_S = 3600


@dataclass
class Clerk:
    """Somebody with schedules of an hour, a folder of inputs, and a clock that can be turned."""

    office: Office
    deps: Deps
    folder: Path

    async def schedule(self, name: str = "hourly", **plan: Any) -> dict[str, Any]:
        if "input" not in plan:
            plan.setdefault("template", "rows.jsonl")
        return await schedules.create_schedule(
            self.deps,
            self.office.who,
            name,
            workflow_id=self.office.sandbox.workflows["Free form"],
            connection="main",
            cron=None,
            every="1h",
            zone="Europe/Zurich",
            plan=Plan(**plan),
        )

    async def pass_s(self, seconds: float) -> None:
        """Let time pass for every schedule and fire."""
        await change(
            self.office,
            "UPDATE schedules SET anchor = anchor - make_interval(secs => :s),"
            " next_at = next_at - make_interval(secs => :s),"
            " paused_at = paused_at - make_interval(secs => :s)",
            s=seconds,
        )
        await change(
            self.office,
            "UPDATE fires SET nominal_at = nominal_at - make_interval(secs => :s),"
            " deadline_at = deadline_at - make_interval(secs => :s), due_at = due_at - make_interval(secs => :s)",
            s=seconds,
        )

    def leave(self, text: str, name: str = "rows.jsonl") -> None:
        """Leave a file, written a while ago."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (time.time() - 60, time.time() - 60))

    async def work(self) -> None:
        """Do what a worker's pump does, until nothing is due."""
        while await fire.fire_due(self.deps, worker=self.deps.sources.new_id()):
            pass

    async def ticks(self, name: str = "hourly") -> list[dict[str, Any]]:
        """Return the ticks, oldest first."""
        found, _ = await schedule_reading.list_fires(self.deps, self.office.who, name)
        return found[::-1]

    async def states(self, name: str = "hourly") -> list[str]:
        return [tick["state"] for tick in await self.ticks(name)]

    async def end_batches(self) -> None:
        await change(self.office, "UPDATE batches SET ended_at = now(), final_counts = '{}'")


@pytest.fixture
async def clerk(office: Office, tmp_path: Path) -> Clerk:

    return Clerk(office=office, deps=replace(office.deps, incoming=Incoming(tmp_path)), folder=tmp_path)


async def test_a_tick_submits_its_file_once_however_many_schedulers_there_are(clerk: Clerk) -> None:
    await clerk.schedule()
    clerk.leave('{"n": 1}\n{"n": 2}\n')
    await clerk.pass_s(HOUR_S + 2)
    await asyncio.gather(*(clerk.work() for _ in range(6)))
    (tick,) = await clerk.ticks()
    assert tick["state"] == "fired"
    (batch,) = await query(clerk.office, "SELECT id, total, created_by, name FROM batches")
    assert (str(batch.id), batch.total, batch.created_by) == (tick["batch_id"], 2, "schedule:hourly")
    assert batch.name.startswith("hourly 20")
    assert (await schedule_reading.show_schedule(clerk.deps, clerk.office.who, "hourly"))["last_fire"][
        "state"
    ] == "fired"


async def test_a_fixed_input_submits_one_run_each_time(clerk: Clerk) -> None:
    await clerk.schedule(input=b'{"n":  1}', overlap="allow")
    for _ in range(2):
        await clerk.pass_s(HOUR_S)
        await clerk.work()
    assert await clerk.states() == ["fired", "fired"]
    bodies = await query(clerk.office, "SELECT body FROM inputs")
    assert [bytes(row.body) for row in bodies] == [b'{"n":  1}'] * 2, "the bytes that came"


async def test_a_missing_file_is_waited_for_until_the_deadline(clerk: Clerk) -> None:
    await clerk.schedule(deadline_s=600)
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    (tick,) = await clerk.ticks()
    assert tick["state"] == "waiting"
    assert "rows.jsonl is not there" in tick["why"]
    await clerk.pass_s(30)
    clerk.leave('{"n": 1}\n')
    await clerk.work()
    assert await clerk.states() == ["fired"]


async def test_a_file_that_never_comes_is_a_missed_tick(clerk: Clerk) -> None:
    await clerk.schedule(deadline_s=600)
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    await clerk.pass_s(601)
    await clerk.work()
    (tick,) = await clerk.ticks()
    assert tick["state"] == "missed"
    assert "until the deadline" in tick["why"]


async def test_a_file_that_is_still_being_written_is_not_read(clerk: Clerk) -> None:
    await clerk.schedule()
    (clerk.folder / "rows.jsonl").write_text('{"n": 1}\n{"n"')
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    (tick,) = await clerk.ticks()
    assert (tick["state"], "still being written" in tick["why"]) == ("waiting", True)


async def test_the_same_content_is_refused_unless_it_is_allowed(clerk: Clerk) -> None:
    await clerk.schedule("strict")
    await clerk.schedule("easy", allows_same_content=True)
    clerk.leave('{"n": 1}\n')
    for _ in range(2):
        await clerk.pass_s(HOUR_S)
        await clerk.work()
        await clerk.end_batches()
    assert await clerk.states("easy") == ["fired", "fired"]
    first, second = await clerk.ticks("strict")
    assert (first["state"], second["state"]) == ("fired", "missed")
    assert "the same, byte for byte" in second["why"]


async def test_a_bad_file_is_a_missed_tick_that_names_the_row(clerk: Clerk) -> None:
    await clerk.schedule()
    clerk.leave('{"n": 1}\n{"n": \n')
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    (tick,) = await clerk.ticks()
    assert tick["state"] == "missed"
    assert "row 2" in tick["why"]
    assert await query(clerk.office, "SELECT 1 FROM batches") == []


@pytest.mark.parametrize(("overlap", "second"), [("skip", "skipped"), ("queue", "queued"), ("allow", "fired")])
async def test_overlap_looks_at_what_the_previous_tick_submitted(clerk: Clerk, overlap: str, second: str) -> None:
    await clerk.schedule(overlap=overlap, allows_same_content=True, deadline_s=600)
    clerk.leave('{"n": 1}\n')
    for _ in range(2):
        await clerk.pass_s(HOUR_S)
        await clerk.work()
    assert await clerk.states() == ["fired", second]
    await clerk.end_batches()
    await clerk.pass_s(30)
    await clerk.work()
    assert (await clerk.states())[1] == {"queued": "fired"}.get(second, second)


async def test_what_waits_for_its_turn_for_too_long_is_missed(clerk: Clerk) -> None:
    await clerk.schedule(overlap="queue", allows_same_content=True, deadline_s=600)
    clerk.leave('{"n": 1}\n')
    for _ in range(2):
        await clerk.pass_s(HOUR_S)
        await clerk.work()
    await clerk.pass_s(601)
    await clerk.work()
    (_, tick) = await clerk.ticks()
    assert tick["state"] == "missed"
    assert "has not ended, until the deadline" in tick["why"]


@pytest.mark.parametrize(
    ("catch_up", "states"),
    [
        ("none", ["missed"] * 5),
        ("latest", ["merged"] * 4 + ["fired"]),
        ("all", ["missed"] * 3 + ["fired"] * 2),
    ],
)
async def test_after_an_outage_catch_up_does_what_it_says_and_no_more(
    clerk: Clerk, catch_up: str, states: list[str]
) -> None:
    await clerk.schedule(catch_up=catch_up, max_catch_up=2, overlap="allow", allows_same_content=True)
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(5 * HOUR_S + 600)
    await clerk.work()
    assert await clerk.states() == states
    assert all(tick["why"] for tick in await clerk.ticks() if tick["state"] != "fired")


async def test_a_year_of_absence_has_a_row_for_each_tick(clerk: Clerk) -> None:
    await clerk.schedule(catch_up="latest")
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(3_000 * HOUR_S + 600)
    await clerk.work()
    counts = await query(clerk.office, "SELECT state, count(*) AS n FROM fires GROUP BY state ORDER BY state")
    assert [(row.state, row.n) for row in counts] == [("fired", 1), ("merged", 2_999)]


async def test_pausing_keeps_the_ticks_as_skipped_with_the_note(clerk: Clerk) -> None:
    await clerk.schedule(overlap="allow", allows_same_content=True)
    clerk.leave('{"n": 1}\n')
    await schedules.pause_schedule(clerk.deps, clerk.office.who, "hourly", "the bank is closed")
    await clerk.pass_s(2 * HOUR_S + 600)
    await clerk.work()
    await clerk.pass_s(HOUR_S)
    view = await schedules.resume_schedule(clerk.deps, clerk.office.who, "hourly")
    assert view["status"] == "active"
    await clerk.pass_s(HOUR_S)
    await clerk.work()
    ticks = await clerk.ticks()
    assert [tick["state"] for tick in ticks] == ["skipped"] * 3 + ["fired"]
    assert {tick["why"] for tick in ticks[:3]} == {"the schedule was paused: the bank is closed"}


async def test_a_tick_that_waits_is_skipped_when_its_schedule_is_paused(clerk: Clerk) -> None:
    await clerk.schedule()
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    await schedules.pause_schedule(clerk.deps, clerk.office.who, "hourly", "no")
    clerk.leave('{"n": 1}\n')
    await clerk.work()
    assert await clerk.states() == ["skipped"]


async def test_run_now_fires_a_paused_schedule_and_says_who_asked(clerk: Clerk) -> None:
    await clerk.schedule()
    clerk.leave('{"n": 1}\n')
    await schedules.pause_schedule(clerk.deps, clerk.office.who, "hourly", "no")
    await schedules.run_now(clerk.deps, clerk.office.who, "hourly", reason="the file came late")
    await clerk.work()
    (tick,) = await clerk.ticks()
    assert (tick["state"], tick["asked_by"]) == ("fired", clerk.office.who.actor)
    assert tick["reason"] == "the file came late"


async def test_a_worker_that_comes_late_submits_nothing(clerk: Clerk) -> None:
    await clerk.schedule(deadline_s=600)
    await clerk.pass_s(HOUR_S + 2)
    await ticks.plan_due(clerk.deps)

    async def claim(connection: AsyncConnection) -> list[fires.FireClaim]:
        return await fires.claim(connection, limit=1, lease_s=60)

    (late,) = await clerk.deps.db.run(claim)
    await clerk.pass_s(700)
    await clerk.work()
    assert await clerk.states() == ["missed"]
    clerk.leave('{"n": 1}\n')
    await fire._carry_out(clerk.deps, late)
    assert await clerk.states() == ["missed"]
    assert await query(clerk.office, "SELECT 1 FROM batches") == []


async def test_a_removed_schedule_fires_no_more_and_keeps_its_history(clerk: Clerk) -> None:
    await clerk.schedule()
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    await schedules.remove_schedule(clerk.deps, clerk.office.who, "hourly")
    clerk.leave('{"n": 1}\n')
    await clerk.work()
    rows = await query(clerk.office, "SELECT state, why FROM fires")
    assert [(row.state, row.why) for row in rows] == [("skipped", "the schedule was removed")]
    with pytest.raises(NotFound):
        await schedule_reading.show_schedule(clerk.deps, clerk.office.who, "hourly")
    await clerk.schedule()


async def test_a_change_of_the_rhythm_leaves_ticks_that_came_before_it(clerk: Clerk) -> None:
    await clerk.schedule(overlap="allow", allows_same_content=True)
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(HOUR_S + 2)
    view = await schedules.update_schedule(
        clerk.deps, clerk.office.who, "hourly", cron="0 3 * * *", plan={"overlap": "queue"}
    )
    assert (view["cron"], view["every_s"], view["overlap"], view["catch_up"]) == ("0 3 * * *", None, "queue", "latest")
    await clerk.work()
    assert await clerk.states() == ["fired"]


async def test_a_change_after_a_long_absence_leaves_no_tick_without_a_row(clerk: Clerk) -> None:
    await clerk.schedule(catch_up="none")
    await clerk.pass_s(1_200 * HOUR_S + 600)
    await schedules.update_schedule(clerk.deps, clerk.office.who, "hourly", cron="0 3 * * *", plan={})
    (row,) = await query(clerk.office, "SELECT count(*) AS n FROM fires WHERE state = 'missed'")
    assert row.n == 1_200


async def test_what_makes_no_sense_is_refused_when_the_schedule_is_made(clerk: Clerk) -> None:
    for plan in (
        {"template": "../secret.csv"},
        {"template": "/etc/rows.csv"},
        {"template": "in/{nonsense}.csv"},
        {"template": "rows.txt"},
        {"input": b"[1]"},
        {"input": b"{", "template": None},
        {"overlap": "perhaps"},
        {"catch_up": "some"},
        {"max_catch_up": 0},
        {"deadline_s": -1},
    ):
        with pytest.raises(BadInput):
            await clerk.schedule(**plan)
    with pytest.raises(BadInput):
        await clerk.schedule(options=BatchOptions(max_failures="many"))
    await clerk.schedule()
    with pytest.raises(Conflict):
        await clerk.schedule()


async def test_acts_have_an_actor_and_stand_in_the_history(clerk: Clerk, hands: Hands) -> None:
    await clerk.schedule()
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    rows = await query(
        clerk.office, "SELECT type, actor FROM events WHERE stream = :id ORDER BY seq", id=clerk.office.who.workspace_id
    )
    told = [(row.type, row.actor) for row in rows if "schedule" in row.type or "tick" in row.type]
    assert told == [("schedule_created", clerk.office.who.actor), ("tick_fired", "schedule:hourly")]


async def test_a_schedule_that_breaks_our_code_holds_up_no_other(clerk: Clerk) -> None:
    await clerk.schedule("sound")
    await clerk.schedule("broken")
    clerk.leave('{"n": 1}\n')
    await clerk.pass_s(HOUR_S + 2)
    await change(
        clerk.office,
        "UPDATE schedules SET zone = 'Atlantis/Centre', cron = '0 * * * *', every_s = NULL,"
        " next_at = next_at - interval '1 s' WHERE name = 'broken'",
    )
    await clerk.work()
    assert await clerk.states("sound") == ["fired"]
    (row,) = await query(clerk.office, "SELECT paused_by, paused_note FROM schedules WHERE name = 'broken'")
    assert (row.paused_by, "Atlantis" in row.paused_note) == ("orchestrator", True)


async def test_a_link_that_leads_out_of_the_folder_is_not_followed(clerk: Clerk, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"outside-{UUID(int=0)}.jsonl"
    outside.write_text('{"n": 1}\n')
    os.utime(outside, (time.time() - 60, time.time() - 60))
    (clerk.folder / "rows.jsonl").symlink_to(outside)
    await clerk.schedule()
    await clerk.pass_s(HOUR_S + 2)
    await clerk.work()
    (tick,) = await clerk.ticks()
    assert (tick["state"], "leads out" in tick["why"]) == ("missed", True)
