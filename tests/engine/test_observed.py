"""Jobs that other programs started: each becomes a run once, tracked to its end, and nothing of ours is among them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain.report.totals import control_totals
from orchestrator.engine import connections, operate, poll, pump, reading, report, submit, sweep, watches
from orchestrator.engine.report_order import ReportOptions
from orchestrator.engine.submit import RunSpec
from orchestrator.errors import BadInput, Conflict
from orchestrator.faultpoints import Point, watched_by
from orchestrator.storage import due_work
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio

POSTS, NOTES = "POST_GENERATION", "KB_INGEST_TEXT"
EARLIER = timedelta(minutes=30)


async def walk(office: Office, hands: Hands) -> None:
    """Let the next walk be due, and take it."""
    await change(office, "UPDATE watches SET due_at = now() WHERE due_at IS NOT NULL")
    await poll.poll_due(office.deps, worker=hands.id)


def started(office: Office, type: str, hints: str) -> str:
    """Start a job as another program of the workspace would."""
    return office.sandbox.add_job(type, input={"options": {"sandbox": hints}})


async def runs(office: Office) -> list[dict[str, Any]]:
    rows = await query(office, "SELECT id FROM runs ORDER BY id")
    return [await reading.get_run(office.deps, office.who, row.id) for row in rows]


async def launch(office: Office, hands: Hands) -> UUID:
    given = json.dumps({"projectId": "p", "source": {"text": "t"}, "options": {"sandbox": "duration_s=0.1"}})
    run = await submit.submit_run(
        office.deps, office.who, RunSpec(connection="scripe", workflow_id=POSTS, input=given.encode())
    )
    await pump.pump(office.deps, "launch", worker=hands.id, should_stop=lambda: False)
    return run.id


@pytest.fixture
async def desk(office: Office) -> Office:
    """A user with a connection whose provider's list is watched since half an hour ago."""
    await office.connect_scripe()
    await watches.watch_connection(office.deps, office.who, "scripe", since=datetime.now(UTC) - EARLIER)
    return office


async def test_what_others_start_becomes_runs_and_is_tracked_to_its_end(desk: Office, hands: Hands) -> None:
    ids = {started(desk, type, "duration_s=0.2") for type in (POSTS, NOTES, NOTES)}
    started(desk, POSTS, "duration_s=0.1; outcome=error")
    for _ in range(3):
        await walk(desk, hands)
    found = await runs(desk)
    assert len(found) == 4, "each once, however often the list shows it"
    assert {run["origin"] for run in found} == {"observed"}
    assert ids < {run["execution_id"] for run in found}

    async def are_over() -> bool:
        return all(run["finished_at"] is not None for run in await runs(desk))

    await hands.work(until=are_over)
    ended = await runs(desk)
    assert sorted(run["status"] for run in ended) == ["error", "finished", "finished", "finished"]
    assert all([file["filename"] for file in run["results"]] == ["result.json"] for run in ended if not run["error"])
    assert {run["workflow_id"] for run in ended} == {POSTS, NOTES}
    history = [event["type"] for event in await events(desk, ended[0])]
    assert history[0] == "observed" and history[-1] in ("finished", "failed_at_provider")
    assert [entry for entry in desk.sandbox.log() if entry["kind"] == "launch"] == []
    assert await query(desk, "SELECT FROM executions") == [], "it takes no slot"


async def events(office: Office, run: dict[str, Any]) -> list[dict[str, Any]]:
    return (await reading.run_events(office.deps, office.who, UUID(str(run["id"]))))[0]


async def test_what_we_launched_is_never_taken_for_anybody_elses(desk: Office, hands: Hands) -> None:
    await launch(desk, hands)
    await walk(desk, hands)
    assert [run["origin"] for run in await runs(desk)] == ["submitted"]


async def test_a_launch_whose_answer_is_lost_and_asked_for_again_is_not_adopted(desk: Office, hands: Hands) -> None:
    desk.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    ours = await launch(desk, hands)
    assert desk.sandbox.truth()["summary"]["jobs"] == 1, "it was started, and we do not know it"
    theirs = started(desk, NOTES, "duration_s=60")
    await walk(desk, hands)
    assert [run["origin"] for run in await runs(desk)] == ["submitted", "observed"], "of another type: nobody's doubt"
    assert (await connections.show_connection(desk.deps, desk.who, "scripe"))["watch"]["held_back"] == 1
    await change(desk, "UPDATE lanes SET breaker = 'closed', blocked_until = NULL")
    await change(desk, "UPDATE timers SET due_at = now() WHERE kind = 'sending'")
    await sweep.sweep(desk.deps, self_id=hands.id)
    await walk(desk, hands)
    known = {run["id"]: run for run in await runs(desk)}
    assert len(known) == 2 and known[str(ours)]["execution_id"] not in (None, theirs)
    assert (await connections.show_connection(desk.deps, desk.who, "scripe"))["watch"]["held_back"] == 0


async def test_what_was_held_back_is_tracked_once_the_launch_is_answered(desk: Office, hands: Hands) -> None:
    desk.sandbox.faults([{"fault": "reset_before", "kind": "launch", "nth": 1}])
    await launch(desk, hands)
    theirs = started(desk, POSTS, "duration_s=60")
    await walk(desk, hands)
    assert [run["origin"] for run in await runs(desk)] == ["submitted"]
    await change(desk, "UPDATE lanes SET breaker = 'closed', blocked_until = NULL, breaker_probe_at = NULL")
    await change(desk, "UPDATE timers SET due_at = now() WHERE kind IN ('sending', 'launch')")
    await sweep.sweep(desk.deps, self_id=hands.id)
    await change(desk, "UPDATE lanes SET launch_due_at = now()")
    await pump.pump(desk.deps, "launch", worker=hands.id, should_stop=lambda: False)
    await walk(desk, hands)
    observed = [run["execution_id"] for run in await runs(desk) if run["origin"] == "observed"]
    assert observed == [theirs]


async def test_a_job_made_by_a_launch_that_is_on_the_wire_is_not_adopted(desk: Office, hands: Hands) -> None:
    async def strike(point: Point) -> None:
        if point is Point.LAUNCH_ANSWERED:
            await walk(desk, hands)

    with watched_by(strike):
        await launch(desk, hands)
    await walk(desk, hands)
    assert [run["origin"] for run in await runs(desk)] == ["submitted"]


async def test_an_answer_that_is_recorded_while_the_list_is_read_makes_the_job_ours(desk: Office, hands: Hands) -> None:
    async def strike(point: Point) -> None:
        if point is Point.WALK_ANSWERED:
            await change(
                desk,
                "UPDATE executions SET remote_id = (SELECT execution_id FROM held), state = 'open' FROM held",
            )

    desk.sandbox.faults([{"fault": "reset_after", "kind": "launch", "nth": 1}])
    await launch(desk, hands)
    (job,) = desk.sandbox.truth()["jobs"]
    await change(desk, f"CREATE TABLE held AS SELECT '{job['id']}' AS execution_id")
    with watched_by(strike):
        await walk(desk, hands)
    assert [run["origin"] for run in await runs(desk)] == ["submitted"]
    assert await query(desk, "SELECT FROM observed") == []


async def test_a_database_that_may_have_been_restored_takes_nothing_for_others(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=60")
    await change(
        desk,
        "INSERT INTO launch_holds (folder, place, code, because, held_at)"
        " VALUES (gen_random_uuid(), 'p', 'older', 'it is older than its mark', now())",
    )
    await walk(desk, hands)
    assert await runs(desk) == []
    await change(desk, "DELETE FROM launch_holds")
    await walk(desk, hands)
    assert len(await runs(desk)) == 1


async def test_only_the_types_and_the_time_that_were_asked_for_are_tracked(office: Office, hands: Hands) -> None:
    await office.connect_scripe()
    started(office, POSTS, "duration_s=60")
    started(office, NOTES, "duration_s=60")
    await watches.watch_connection(
        office.deps, office.who, "scripe", workflow_ids=[NOTES], since=datetime.now(UTC) - EARLIER
    )
    await walk(office, hands)
    assert [run["workflow_id"] for run in await runs(office)] == [NOTES]
    await watches.watch_connection(office.deps, office.who, "scripe", since=datetime.now(UTC) - EARLIER)
    await walk(office, hands)
    assert sorted(run["workflow_id"] for run in await runs(office)) == [NOTES, POSTS]


async def test_a_watch_that_is_stopped_finds_nothing_new_and_tracks_on(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=0.1")
    await walk(desk, hands)
    stopped = await watches.stop_watching(desk.deps, desk.who, "scripe")
    assert not stopped["watch"]["is_on"]
    started(desk, POSTS, "duration_s=0.1")
    await walk(desk, hands)

    async def is_over() -> bool:
        return [run["status"] for run in await runs(desk)] == ["finished"]

    await hands.work(until=is_over)


async def test_an_observed_run_is_not_retried_and_is_cancelled_where_the_provider_can(
    desk: Office, hands: Hands
) -> None:
    desk.sandbox.options(scripe_queued_s=60)
    try:
        started(desk, POSTS, "duration_s=60")
    finally:
        desk.sandbox.options(scripe_queued_s=0.05)
    await walk(desk, hands)
    (run,) = await runs(desk)
    cancelled = await operate.cancel_run(desk.deps, desk.who, UUID(str(run["id"])), reason="not ours")
    assert cancelled["status"] == "cancelled" and desk.sandbox.truth()["jobs"][0]["status"] == "CANCELLED"
    with pytest.raises(Conflict, match="only observed here") as refused:
        await operate.retry_run(desk.deps, desk.who, UUID(str(run["id"])), relaunch=True, reason="again")
    assert refused.value.code == "observed_run"


async def test_a_page_that_breaks_off_is_asked_for_again_and_says_why(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=60")
    desk.sandbox.faults([{"fault": "500", "kind": "list", "nth": 1}])
    await walk(desk, hands)
    watch = (await connections.show_connection(desk.deps, desk.who, "scripe"))["watch"]
    assert watch["failure"] and await runs(desk) == []
    await walk(desk, hands)
    assert len(await runs(desk)) == 1


async def test_more_than_a_turns_pages_are_walked_turn_by_turn(
    desk: Office, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.domain.watching.MOST_PAGES", 1)
    for _ in range(250):
        started(desk, POSTS, "duration_s=60")
    await walk(desk, hands)
    assert len(await query(desk, "SELECT FROM runs")) == 200
    await walk(desk, hands)
    assert len(await query(desk, "SELECT FROM runs")) == 250


async def test_a_removed_connection_is_walked_no_more_and_keeps_no_worker_awake(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=60")
    await connections.remove_connection(desk.deps, desk.who, "scripe")
    await change(desk, "UPDATE watches SET due_at = now() WHERE due_at IS NOT NULL")
    await poll.poll_due(desk.deps, worker=hands.id)
    assert await runs(desk) == [] and lists_asked(desk) == 0
    assert "poll" not in await desk.deps.db.run(due_work.any_due)
    # As one was left that was removed by an older version.
    await change(desk, "UPDATE watches SET due_at = now()")
    assert "poll" not in await desk.deps.db.run(due_work.any_due)
    assert await desk.deps.db.run(lambda connection: due_work.due_in_s(connection, "poll")) is None


async def test_a_connection_that_is_removed_while_its_list_is_read_makes_no_runs(desk: Office, hands: Hands) -> None:
    async def strike(point: Point) -> None:
        if point is Point.WALK_ANSWERED:
            await connections.remove_connection(desk.deps, desk.who, "scripe")

    started(desk, POSTS, "duration_s=60")
    with watched_by(strike):
        await walk(desk, hands)
    assert lists_asked(desk) == 1 and await query(desk, "SELECT FROM runs") == []
    assert await query(desk, "SELECT FROM grants") == []


async def test_a_paused_connection_is_walked_again_when_it_goes_on(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=60")
    await connections.pause_connection(desk.deps, desk.who, "scripe")
    await walk(desk, hands)
    assert lists_asked(desk) == 0 and "poll" not in await desk.deps.db.run(due_work.any_due)
    await connections.resume_connection(desk.deps, desk.who, "scripe")
    await walk(desk, hands)
    assert len(await runs(desk)) == 1


async def test_a_walk_that_breaks_our_code_gives_its_tokens_back(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=60")

    async def strike(point: Point) -> None:
        if point is Point.WALK_RECORDING:
            raise ValueError("as our own code would")

    with watched_by(strike):
        await walk(desk, hands)
    assert await query(desk, "SELECT FROM grants") == []
    (lane,) = await query(desk, "SELECT spent FROM lanes WHERE id = (SELECT lane_id FROM connections c JOIN watches w"
                          " ON w.connection_id = c.id)")  # fmt: skip
    assert lane.spent, "its page was asked for, and counts"


async def test_a_walk_leaves_the_share_of_a_launch_that_comes_back_for_its_token(desk: Office, hands: Hands) -> None:
    await change(
        desk,
        "UPDATE lanes SET launch_due_at = now() + interval '0.9 s', spent = jsonb_build_array(jsonb_build_array("
        "(extract(epoch FROM now() + interval '30 s') * 1000)::bigint, 'look', requests_per_minute * 9 / 10))",
    )
    await walk(desk, hands)
    assert lists_asked(desk) == 0
    await change(desk, "UPDATE lanes SET launch_due_at = NULL")
    await walk(desk, hands)
    assert lists_asked(desk) == 1, "where none waits, what is free is the walk's"


def lists_asked(office: Office) -> int:
    return len([entry for entry in office.sandbox.log() if entry["kind"] == "list" and entry["path"].count("/jobs")])


async def test_a_provider_without_a_list_cannot_be_watched_and_a_bad_time_is_refused(office: Office) -> None:
    with pytest.raises(Conflict, match="no list of its executions") as refused:
        await watches.watch_connection(office.deps, office.who, "main")
    assert refused.value.code == "watch_unsupported"
    await office.connect_scripe()
    for since in (datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(days=1000)):
        with pytest.raises(BadInput):
            await watches.watch_connection(office.deps, office.who, "scripe", since=since)
    with pytest.raises(BadInput):
        await watches.watch_connection(office.deps, office.who, "scripe", workflow_ids=["A,B"])


async def test_a_report_tells_what_was_observed_from_what_was_submitted_and_adds_up(desk: Office, hands: Hands) -> None:
    started(desk, POSTS, "duration_s=0.1")
    await walk(desk, hands)
    ours = await launch(desk, hands)

    async def are_over() -> bool:
        return all(run["finished_at"] is not None for run in await runs(desk))

    await hands.work(until=are_over)
    now, day = datetime.now(UTC), timedelta(days=1)
    made = await report.period_report(desk.deps, desk.who, since=now - day, until=now + day, options=ReportOptions())
    assert made.figures is not None
    intake = made.figures.intake
    assert (made.figures.runs, intake.singles, intake.observed, intake.observed_told) == (2, 1, 1, 1)
    assert [total.verdict for total in control_totals(made.figures) if not total.adds_up] == []
    assert "observed" in b"".join([chunk async for chunk in made.chunks()]).decode()
    (observed,) = [run["id"] for run in await runs(desk) if run["id"] != str(ours)]
    dossier = await report.run_dossier(desk.deps, desk.who, UUID(observed), ReportOptions())
    assert "its input was never here" in b"".join([chunk async for chunk in dossier.chunks()]).decode()
