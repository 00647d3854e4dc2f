"""A database that is older than the world launches nothing until an operator releases it, and nothing twice then."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.domain.highwater import Mark
from orchestrator.engine import health, highwater, operate, reading, restore
from orchestrator.engine.deps import Deps
from orchestrator.errors import Unavailable
from orchestrator.faultpoints import Point, watched_by
from tests.guarantees.backups import (
    ACTOR,
    LONG,
    Backups,
    Hands,
    executed_twice,
    execution,
    fates,
    launched,
    three_generations,
    told,
)
from tests.guarantees.site import Site

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("is_restarted", [False, True], ids=["under running workers", "while they were stopped"])
@pytest.mark.parametrize("is_marked", [False, True], ids=["between two marks", "after a mark"])
async def test_nothing_is_launched_and_the_list_names_exactly_what_is_unknown_here(
    site: Site, hands: Hands, backup: Backups, later: Deps, is_restarted: bool, is_marked: bool
) -> None:
    copy, runs, executions = await three_generations(site, hands, backup)
    if is_marked:
        assert await highwater.keep_mark(site.deps)
    await backup.put_back(copy)
    worker = await Hands.of(site, later if is_restarted else site.deps)
    for _ in range(3):
        await worker.launch()
        await highwater.keep_mark(worker.deps)
    assert launched(site) == 3
    assert await site.status(runs["queued"]) == "queued"
    assert await fates(worker.deps) == {
        (str(runs["queued"]), executions["queued"]): "adopt",
        (str(runs["unseen"]), executions["unseen"]): "list",
    }


async def test_what_was_launched_is_watched_and_stored_while_launches_are_held(
    site: Site, hands: Hands, backup: Backups
) -> None:
    copy, runs, _ = await three_generations(site, hands, backup)
    await backup.put_back(copy)
    site.sandbox.advance(3600)
    await hands.work_until(runs["before"], "finished")
    assert await site.status(runs["queued"]) == "queued"
    accepted = await site.run()
    await hands.launch()
    assert await site.status(accepted) == "queued"
    assert launched(site) == 3


async def test_a_release_adopts_what_runs_and_launches_the_rest_once(site: Site, hands: Hands, backup: Backups) -> None:
    copy, runs, executions = await three_generations(site, hands, backup)
    await backup.put_back(copy)
    fresh = await site.run()
    await hands.launch()
    report = await restore.release(site.deps, actor=ACTOR, reason="restored on purpose")
    assert (report["held"], report["adopted"], report["in_doubt"], report["listed"]) == (False, 1, 0, 1)
    assert await execution(site, runs["queued"]) == executions["queued"]
    assert await site.types(runs["queued"]) == ["accepted", "launching", "adopted"]
    await hands.work_until(fresh, "finished")
    site.sandbox.advance(3600)
    await hands.work_until(runs["queued"], "finished")
    assert launched(site) == 4
    assert executed_twice(site) == []


async def test_a_release_is_told_in_the_history_with_actor_reason_and_what_is_unknown(
    site: Site, hands: Hands, backup: Backups
) -> None:
    copy, runs, executions = await three_generations(site, hands, backup)
    await backup.put_back(copy)
    await hands.launch()
    await hands.launch()
    await restore.release(site.deps, actor=ACTOR, reason="the disk died")
    (first, second) = await told(site.deps)
    assert (first.type, second.type, second.actor) == ("launches_held", "launches_released", ACTOR)
    facts = json.loads(second.data)
    assert facts["reason"] == "the disk died"
    (unknown,) = facts["unknown_launches"]
    assert (unknown["run_id"], unknown["execution_id"]) == (str(runs["unseen"]), executions["unseen"])
    assert unknown["workflow_id"] == site.sandbox.workflows["Free form"]
    events, _ = await reading.run_events(site.deps, site.who, runs["queued"], after=0, limit=10)
    assert {(e["actor"], e["data"]["reason"]) for e in events[1:]} == {(ACTOR, "the disk died")}


async def test_a_release_that_is_cut_before_its_end_has_told_what_is_unknown_and_may_be_asked_for_again(
    site: Site, hands: Hands, backup: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, runs, executions = await three_generations(site, hands, backup)
    await backup.put_back(copy)
    await hands.launch()
    outside, run = site.deps.outside, site.deps.db.run
    assert outside is not None
    take_over, is_cut = outside.take_over, False

    async def then_cut(mark: Mark) -> None:
        nonlocal is_cut
        await take_over(mark)
        is_cut = True

    async def cut(work: Any, **how: Any) -> Any:
        if is_cut:
            raise Unavailable("the database is away")
        return await run(work, **how)

    with monkeypatch.context() as patched, pytest.raises(Unavailable):
        patched.setattr(outside, "take_over", then_cut)
        patched.setattr(site.deps.db, "run", cut)
        await restore.release(site.deps, actor=ACTOR, reason="cut")
    assert (await restore.held(site.deps))["held"], "nothing is launched before its end"
    report = await restore.release(site.deps, actor=ACTOR, reason="asked again")
    assert not report["held"]
    first = json.loads((await told(site.deps))[1].data)
    (unknown,) = first["unknown_launches"]
    assert (unknown["run_id"], unknown["execution_id"]) == (str(runs["unseen"]), executions["unseen"])
    site.sandbox.advance(3600)
    await hands.work_until(runs["queued"], "finished")
    assert executed_twice(site) == []


async def test_a_launch_whose_answer_is_written_nowhere_becomes_a_doubt_and_a_question(
    site: Site, hands: Hands, backup: Backups
) -> None:
    run = await site.run(LONG)
    copy = await backup.take()
    site.sandbox.faults([{"fault": "reset_after", "kind": "launch", "times": 1}])
    await hands.launch()
    await backup.put_back(copy)
    await hands.launch()
    await hands.launch()
    assert await fates(site.deps) == {(str(run), None): "doubt"}
    report = await restore.release(site.deps, actor=ACTOR, reason="tried")
    assert report["in_doubt"] == 1
    assert await site.status(run) == "in_doubt"
    assert await site.questions() == 1
    await hands.launch()
    assert launched(site) == 1


async def test_what_the_provider_did_not_start_is_launched_after_the_release(
    site: Site, hands: Hands, backup: Backups
) -> None:
    run = await site.run()
    copy = await backup.take()
    site.sandbox.faults([{"fault": "429", "kind": "launch", "times": 1, "retry_after_s": 1}])
    await hands.launch()
    assert await site.status(run) == "queued"
    await backup.put_back(copy)
    await hands.launch()
    await hands.launch()
    assert await fates(site.deps) == {}
    await restore.release(site.deps, actor=ACTOR, reason="tried")
    await hands.work_until(run, "finished")
    assert executed_twice(site) == []


async def test_a_wave_is_adopted_item_by_item_and_watched_to_its_end(site: Site, hands: Hands, backup: Backups) -> None:
    batch = await site.batch(6)
    copy = await backup.take()
    site.sandbox.faults([{"fault": "partial_batch", "kind": "batch", "times": 1}])
    await hands.launch()
    await backup.put_back(copy)
    await hands.launch()
    await hands.launch()
    report = await restore.release(site.deps, actor=ACTOR, reason="tried")
    doubts = 6 - report["adopted"]
    assert report["adopted"] > 0
    assert (report["in_doubt"], report["listed"]) == (doubts, 0)
    assert doubts > 0

    async def is_settled() -> bool:
        await hands.launch()
        await hands.watch()
        return await site.batch_status(batch) == "waiting"

    await site.until(is_settled)
    assert await site.statuses() == {"finished": report["adopted"], "in_doubt": doubts}
    assert await site.questions() == 1
    assert launched(site) == 1


async def test_a_doubt_that_the_backup_held_is_settled_by_the_journal(
    site: Site, hands: Hands, backup: Backups
) -> None:
    copies: list[str] = []

    async def copy_on_the_wire(point: Point) -> None:
        if point is Point.LAUNCH_ANSWERED and not copies:
            copies.append(await backup.take())

    run = await site.run()
    with watched_by(copy_on_the_wire):
        await hands.launch_one_turn()
    after = await site.run()
    await hands.launch()
    found = await execution(site, run)
    await backup.put_back(copies[0])
    await hands.launch()
    await hands.doubt_what_is_launching()
    assert await site.status(run) == "in_doubt"
    assert (await fates(site.deps))[str(run), found] == "settle_doubt"
    report = await restore.release(site.deps, actor=ACTOR, reason="tried")
    assert (report["adopted"], report["listed"]) == (1, 1)
    assert str(after) in {one["run_id"] for one in report["launches"]}
    await hands.work_until(run, "finished")
    assert await site.questions() == 0
    assert executed_twice(site) == []


async def test_only_the_last_attempt_of_a_run_is_adopted(site: Site, hands: Hands, backup: Backups) -> None:
    run = await site.run("outcome=error; fault_times=1; duration_s=0.1")
    copy = await backup.take()
    await hands.work_until(run, "error")
    await operate.retry_run(site.deps, site.who, run, reason="again")
    await hands.launch()
    second = await execution(site, run)
    await backup.put_back(copy)
    await hands.launch()
    await hands.launch()
    assert sorted((await fates(site.deps)).values()) == ["adopt", "list"]
    await restore.release(site.deps, actor=ACTOR, reason="tried")
    assert await execution(site, run) == second
    view = await reading.get_run(site.deps, site.who, run)
    assert view["attempts"] == 2
    await hands.launch()
    assert launched(site) == 2


async def test_looking_at_the_hold_changes_nothing(site: Site, hands: Hands, backup: Backups, later: Deps) -> None:
    copy, runs, _ = await three_generations(site, hands, backup)
    await backup.put_back(copy)
    before = await fates(later)
    assert len(before) == 2
    assert await fates(later) == before
    assert await told(later) == []
    assert await site.status(runs["queued"]) == "queued"


async def test_whoever_asks_is_told_that_launches_are_held(site: Site, hands: Hands, backup: Backups) -> None:
    copy, runs, _ = await three_generations(site, hands, backup)
    assert (await health.readiness(site.deps))["launches_held"] is None
    await backup.put_back(copy)
    await hands.launch()
    await hands.launch()
    ready = await health.readiness(site.deps)
    assert "restored" in ready["launches_held"]
    run = await reading.get_run(site.deps, site.who, runs["queued"])
    assert run["waiting_because"]["code"] == "held"
    assert "the database was restored" in run["waiting_because"]["message"]
    await restore.release(site.deps, actor=ACTOR, reason="tried")
    assert (await health.readiness(site.deps))["launches_held"] is None


async def test_a_second_restore_is_noticed_as_the_first(site: Site, hands: Hands, backup: Backups) -> None:
    copy, runs, _ = await three_generations(site, hands, backup)
    for _ in range(2):
        await backup.put_back(copy)
        await hands.launch()
        await hands.launch()
        assert await site.status(runs["queued"]) == "queued"
        assert (await restore.held(site.deps))["held"]
        await restore.release(site.deps, actor=ACTOR, reason="tried")
        assert await highwater.keep_mark(site.deps)
    assert launched(site) == 3
