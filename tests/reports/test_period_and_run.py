"""A period's report, a run's dossier, sums of results, and that a report disturbs nobody."""

from __future__ import annotations

import asyncio
import contextvars
import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain.report.totals import control_totals
from orchestrator.engine import doubts, report
from orchestrator.engine.report_order import Report, ReportFormat, ReportOptions
from orchestrator.errors import BadInput, NotFound, Unavailable
from orchestrator.storage import reports
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single
from tests.engine.test_nothing_is_stranded import change, count_is, ended, query
from tests.engine.test_schedules import Clerk, clerk
from tests.reports.conftest import ACCEPTED, HOSTILE_REASON, REFUSED, Story, of_batch, text_of
from tests.reports.test_pages import harmless

pytestmark = pytest.mark.anyio
__all__ = ["clerk"]


async def of_period(office: Office, format: str = "html", *, workflow: str | None = None, **options: Any) -> Report:
    now = datetime.now(UTC)
    wanted = ReportOptions(format=ReportFormat(format), **options)
    day = timedelta(days=1)
    return await report.period_report(
        office.deps, office.who, since=now - day, until=now + day, workflow=workflow, options=wanted
    )


async def of_run(office: Office, run_id: UUID, format: str = "html", **options: Any) -> Report:
    wanted = ReportOptions(format=ReportFormat(format), **options)
    return await report.run_dossier(office.deps, office.who, run_id, wanted)


async def test_a_period_holds_its_batches_and_single_runs_and_adds_up(story: Story) -> None:
    office = story.office
    run_id = await single(office, b'{"n": 1, "sandbox": "duration_s=0.05"}', external_id="alone")
    await story.hands.work(until=becomes(office, run_id, "finished"))
    made = await of_period(office, zone="Europe/Berlin")
    assert made.figures is not None
    figures = made.figures
    assert [t.verdict for t in control_totals(figures) if not t.adds_up] == []
    assert (figures.runs, figures.intake.batches, figures.intake.singles) == (ACCEPTED + 1, 1, 1)
    assert figures.intake.file_rows == ACCEPTED + REFUSED
    assert {(p.batch is None, p.runs, p.finished, p.failed) for p in figures.parts} == {
        (False, ACCEPTED, ACCEPTED - 2, 2), (True, 1, 1, 0),
    }  # fmt: skip
    assert {a.type for a in figures.acts} >= {"connection_added", "batch_accepted", "accepted", "reopened"}
    assert figures.launches.linked == len(office.sandbox.truth()["executions"])
    harmless(await text_of(made))


async def test_a_period_without_runs_is_a_report_too(office: Office) -> None:
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    made = await report.period_report(
        office.deps, office.who, since=long_ago, until=long_ago + timedelta(days=1), options=ReportOptions()
    )
    assert (made.adds_up, made.headline) == (True, "No run was accepted")
    harmless(await text_of(made))


async def test_a_period_of_one_workflow_leaves_out_the_others(story: Story) -> None:
    office = story.office
    other = office.sandbox.workflows["Score customer"]
    await change(office, "UPDATE workflows SET remote_id = :other", other=other)
    made = await of_period(office, "json", workflow=other)
    assert made.figures is not None
    assert (made.adds_up, made.figures.runs) == (True, ACCEPTED)
    made.close()
    with pytest.raises(NotFound):
        await of_period(office, workflow="no-such")


async def test_a_period_that_is_none_is_refused(office: Office) -> None:
    now = datetime.now(UTC)
    for since, until in ((now, now), (now, now - timedelta(1)), (now.replace(tzinfo=None), now)):
        with pytest.raises(BadInput):
            await report.period_report(
                office.deps, office.who, since=since, until=until, options=ReportOptions()
            )  # fmt: skip


async def put_results(office: Office, batch_id: UUID, documents: dict[int, bytes]) -> None:
    """Replace stored results, as if the provider had sent these."""

    async def chunks(content: bytes) -> Any:
        yield content

    for index, content in documents.items():
        (row,) = await query(
            office,
            "SELECT a.run_id, a.n, a.store_key FROM artifacts a JOIN runs r ON r.id = a.run_id"
            " WHERE r.attempt = a.attempt AND r.batch_id = :batch AND r.index = :index AND a.n = 0",
            batch=batch_id,
            index=index,
        )
        await office.deps.store.put(row.store_key, chunks(content), max_bytes=1_000_000)
        await change(
            office,
            "UPDATE artifacts SET size_bytes = :size, sha256 = :sha256 WHERE run_id = :run AND n = 0",
            size=len(content),
            sha256=hashlib.sha256(content).digest(),
            run=row.run_id,
        )


async def test_amounts_in_are_amounts_out_to_the_last_digit(story: Story) -> None:
    documents = {n: json.dumps({"paid": float(f"{n}.10")}).encode() for n in range(ACCEPTED) if n not in (3, 8, 11)}
    await put_results(story.office, story.batch_id, documents)
    made = await of_batch(story, sum_input=("amount",), sum_result=("paid",))
    assert made.figures is not None
    (given,), (paid,) = made.figures.input_sums, made.figures.result_sums
    assert (str(given.total), str(given.total_finished)) == ("278.40", "267.20")
    # 11 has no result: its amount is in and not out, and the report says so, and by how much.
    assert (str(paid.total), paid.lacking, paid.named) == (
        "256.1", {"there is no JSON result": 1}, (("#11", "there is no JSON result"),),
    )  # fmt: skip
    total = control_totals(made.figures)[-1]
    assert total.verdict == "does not add up: 278.40 on the left, 267.30 on the right, 11.10 missing"
    assert "11.10 missing" in await text_of(made)


async def test_a_result_that_is_not_the_stored_one_any_more_is_not_summed(story: Story) -> None:
    await put_results(story.office, story.batch_id, {0: b'{"paid": 1}'})
    await change(story.office, "UPDATE artifacts SET sha256 = '\\x00' WHERE size_bytes = 11")
    made = await of_batch(story, "json", sum_result=("paid",))
    assert made.figures is not None
    assert made.figures.result_sums[0].lacking["the file is not the one that was stored"] == 1
    made.close()


async def test_a_dossier_holds_the_whole_history_and_verifies_it(story: Story) -> None:
    (row,) = await query(story.office, "SELECT id, event_seq, event_hash FROM runs WHERE index = 3")
    made = await of_run(story.office, row.id)
    assert made.adds_up
    page = await text_of(made)
    harmless(page)
    assert bytes(row.event_hash).hex() in page
    assert "the provider had a bad hour" in page
    history = list(csv.DictReader(io.StringIO(await text_of(await of_run(story.office, row.id, "csv")))))
    assert len(history) == row.event_seq
    assert [e["type"] for e in history][:4] == ["accepted", "launching", "in_doubt", "adopted"]
    document = json.loads(await text_of(await of_run(story.office, row.id, "json")))
    assert document["history"][3]["data"]["reason"] == HOSTILE_REASON
    assert [a["attempt"] for a in document["attempts"]] == [1, 2]
    assert len(document["launches"]) == 2


async def test_a_dossier_holds_the_doubted_wave_that_was_launched_again(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "disconnect_before", "kind": "batch", "times": 1}])
    submitted = await office.submit([{"n": n} for n in range(4)], wave_size=4)
    await hands.work(until=count_is(office, submitted.id, "in_doubt", 4))
    (doubt,) = await doubts.list_doubts(office.deps, office.who)
    await doubts.resolve_doubt(
        office.deps, office.who, UUID(doubt["id"]), how="not_started", reason="not in the console"
    )
    await change(office, "UPDATE lanes SET breaker = 'closed', breaker_probe_at = NULL")
    await hands.work(until=ended(office, submitted.id))
    run, *_ = await query(office, "SELECT id FROM runs ORDER BY index")
    dossier = json.loads(await text_of(await of_run(office, run.id, "json")))
    launches = dossier["launches"]
    assert [launch["outcome"] for launch in launches] == ["in_doubt", "accepted"]
    assert len({launch["wave"] for launch in launches}) == 2
    told = [event["data"]["intent"] for event in dossier["history"] if event["type"] == "launching"]
    assert told == [launch["intent"] for launch in launches]
    assert [question["kind"] for question in dossier["questions"]] == ["doubt"]


async def test_a_dossier_finds_what_was_changed(story: Story) -> None:
    rows = await query(story.office, "SELECT id FROM runs WHERE index IN (0, 1, 2, 4) ORDER BY index")
    first, second, third, fourth = (row.id for row in rows)
    await change(story.office, "ALTER TABLE events DISABLE TRIGGER ALL")
    (partition,) = await query(
        story.office, "SELECT tableoid::regclass::text AS name FROM events WHERE stream = :id LIMIT 1", id=first
    )
    await change(story.office, f"ALTER TABLE {partition.name} DISABLE TRIGGER ALL")
    await change(story.office, "UPDATE events SET data = 'no JSON' WHERE stream = :id AND seq = 2", id=first)
    await change(story.office, "DELETE FROM events WHERE stream = :id AND type = 'finished'", id=second)
    await change(story.office, "UPDATE inputs SET body = '{}' WHERE run_id = :id", id=third)
    await change(story.office, "UPDATE artifacts SET sha256 = '\\x01' WHERE run_id = :id", id=fourth)
    for run_id, says in (
        (first, "event 2 does not match its hash"),
        (second, "the history ends with"),
        (third, "the run&#x27;s row says"),
        (fourth, "not those that the history tells of"),
    ):
        made = await of_run(story.office, run_id)
        assert not made.adds_up
        assert says in await text_of(made)
    # A batch with a history that is no JSON any more still has its report.
    (await of_batch(story)).close()


async def test_a_run_of_another_workspace_has_no_dossier(office: Office) -> None:
    with pytest.raises(NotFound):
        await of_run(office, office.deps.sources.new_id())


async def test_a_report_is_one_snapshot_reads_only_and_waits_for_no_worker(office: Office, hands: Hands) -> None:
    """A worker that holds every row locked does not stop the report."""
    submitted = await office.submit([{"n": n} for n in range(3)])
    story = Story(batch_id=UUID(str(submitted.id)), office=office, hands=hands)
    async with office.deps.db.transaction() as worker:
        await worker.exec_driver_sql("SELECT FROM runs FOR UPDATE")
        await worker.exec_driver_sql("SELECT FROM batches FOR UPDATE")
        made = await in_another_task(of_batch(story))
    assert made.adds_up
    made.close()
    async with office.deps.db.transaction() as reader:
        await reports.begin(reader)
        settings = [
            (await reader.exec_driver_sql(f"SHOW {name}")).scalar_one()
            for name in ("transaction_isolation", "transaction_read_only", "max_parallel_workers_per_gather")
        ]
    assert settings == ["repeatable read", "on", "0"]


async def in_another_task(work: Any) -> Any:
    """Run work outside this task's open transaction, as another caller would."""
    return await asyncio.get_running_loop().create_task(work, context=contextvars.Context())


async def test_a_third_report_at_a_time_is_asked_to_come_again(office: Office, hands: Hands) -> None:
    submitted = await office.submit([{"n": 1}])
    story = Story(batch_id=UUID(str(submitted.id)), office=office, hands=hands)
    async with office.deps.db.transaction() as busy:
        for place in range(reports.AT_ONCE):
            await busy.execute(reports.TURNSTILE, {"place": place})
        with pytest.raises(Unavailable) as refused:
            await in_another_task(of_batch(story))
        assert refused.value.code == "reports_busy"
    (await of_batch(story)).close()


async def test_the_list_of_ticks_holds_every_one_however_many(office: Office, clerk: Clerk) -> None:
    await clerk.schedule(catch_up="none")
    ticks = 10_500  # more than the figures hold
    await change(
        office,
        "INSERT INTO fires (id, schedule_id, workspace_id, nominal_at, state, why, deadline_at, decided_at)"
        " SELECT gen_random_uuid(), id, workspace_id, now() - make_interval(secs => n), 'missed', '=1+1', now(), now()"
        " FROM schedules, generate_series(1, :ticks) n",
        ticks=ticks,
    )
    text = await text_of(await of_period(office, "csv", csv_list="ticks"))
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == ticks
    assert {(row["schedule"], row["state"], row["why"], row["late_s"]) for row in found} == {
        ("hourly", "missed", "'=1+1", "")
    }
    assert [row["nominal_at"] for row in found] == sorted(row["nominal_at"] for row in found)
