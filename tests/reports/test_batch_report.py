"""A batch's report against what truly happened, and against a database that somebody changed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import replace

import pytest

from orchestrator.domain.report.totals import control_totals
from orchestrator.engine import report
from orchestrator.engine.report_document import Spool
from orchestrator.engine.report_order import ReportFormat, ReportOptions
from orchestrator.errors import BadInput, NotFound, TooLarge
from tests.engine.conftest import Hands, Office
from tests.engine.test_nothing_is_stranded import change
from tests.reports.conftest import ACCEPTED, REFUSED, Story, of_batch, text_of

pytestmark = pytest.mark.anyio


async def test_the_totals_of_a_batch_add_up_to_what_the_provider_did(story: Story) -> None:
    made = await of_batch(story)
    assert made.figures is not None
    figures = made.figures
    totals = {total.name: total for total in control_totals(figures)}
    assert [t.verdict for t in totals.values() if not t.adds_up] == []
    assert made.adds_up
    assert (figures.intake.file_rows, figures.runs, figures.intake.refused) == (ACCEPTED + REFUSED, ACCEPTED, REFUSED)
    executions = story.office.sandbox.truth()["executions"]
    assert (figures.launches.linked, figures.launches.items) == (len(executions), len(executions))
    assert {str(s): n for s, n in figures.by_status.items()} == {"finished": ACCEPTED - 2, "error": 2}
    assert (figures.doubts.raised, dict(figures.doubts.resolved)) == (ACCEPTED, {"adopted": ACCEPTED})
    (group,) = figures.doubt_groups
    assert (group.count, group.first_index, group.last_index, group.settled) == (ACCEPTED, 0, ACCEPTED - 1, "adopted")
    assert figures.results.stored == sum(len(e["files"]) for e in executions) == ACCEPTED - 3
    assert figures.retries == {"reopened by a person": 2}
    firsts = {(p.first, str(p.final)): p.runs for p in figures.passes}
    assert firsts == {("finished", "finished"): ACCEPTED - 2, ("error", "error"): 2}
    assert figures.launches.looks > 0
    assert sum(figures.durations.values()) == ACCEPTED - 2
    assert sum(s.runs for s in figures.slices) == ACCEPTED


async def test_every_human_act_is_there_with_who_and_why(story: Story) -> None:
    made = await of_batch(story)
    assert made.figures is not None
    acts = {(a.type, a.actor): (a.count, a.reason) for a in made.figures.acts}
    assert acts["batch_accepted", "token:test"] == (1, None)
    assert acts["adopted", "token:test"][0] == ACCEPTED
    assert acts["reopened", "token:test"] == (2, "the provider had a bad hour")
    assert made.figures.submitters == {"token:test": ACCEPTED}


FIRST = "(SELECT id FROM runs WHERE index = 0)"

#: control total -> (what somebody changes behind our back, what puts it right again).
TAMPERINGS = [
    ("Rows", "UPDATE batches SET total = total + 1", "UPDATE batches SET total = total - 1"),
    ("Rows", "UPDATE batches SET refused = 0", f"UPDATE batches SET refused = {REFUSED}"),
    (
        "Runs by status",
        "INSERT INTO runs (id, workspace_id, connection_id, workflow_id, batch_id, index, status, input_sha256,"
        " input_bytes, created_by) SELECT id, workspace_id, connection_id, workflow_id, id, 99, 'finished',"
        " source_sha256, 1, 'x' FROM batches",
        "DELETE FROM runs WHERE index = 99",
    ),
    ("First attempts", "UPDATE runs SET attempt = 2 WHERE index = 0", "UPDATE runs SET attempt = 1 WHERE index = 0"),
    (
        "Launches",
        "UPDATE intents SET size = size + 1 WHERE size > 2",
        "UPDATE intents SET size = size - 1 WHERE size > 2",
    ),
    (
        "Launches",
        f"UPDATE executions SET remote_id = NULL WHERE run_id = {FIRST}",
        f"UPDATE executions SET remote_id = 'x' WHERE run_id = {FIRST}",
    ),
    (
        "Doubts",
        "UPDATE runs SET status = 'in_doubt' WHERE index = 0",
        "UPDATE runs SET status = 'finished' WHERE index = 0",
    ),
    (
        "Result files",
        f"UPDATE artifacts SET stored_at = NULL WHERE run_id = {FIRST}",
        f"UPDATE artifacts SET stored_at = offered_at WHERE run_id = {FIRST}",
    ),
    ("Stored files", f"DELETE FROM artifacts WHERE run_id = {FIRST}", ""),
    ("Launches", f"DELETE FROM executions WHERE run_id = {FIRST}", ""),
]


async def test_a_figure_that_was_tampered_with_does_not_add_up(story: Story) -> None:
    for total, does, undoes in TAMPERINGS:
        for statement in does.split(";"):
            await change(story.office, statement)
        made = await of_batch(story)
        assert made.figures is not None
        wrong = {t.name: t.verdict for t in control_totals(made.figures) if not t.adds_up}
        assert wrong.get(total, "it adds up").startswith("does not add up: "), (total, does)
        assert not made.adds_up
        assert f"{total} {wrong[total]}" in await text_of(made), "the headline says it"
        for statement in filter(None, undoes.split(";")):
            await change(story.office, statement)
        restored = await of_batch(story, "csv")
        assert restored.adds_up or not undoes, (total, undoes)
        restored.close()


async def test_a_batch_under_way_adds_up_too(office: Office, hands: Hands) -> None:
    """Nothing has been sent, and every equation holds."""
    submitted = await office.submit([{"n": n} for n in range(5)])
    assert submitted.id is not None
    story = Story(batch_id=submitted.id, office=office, hands=hands)
    made = await of_batch(story)
    assert (made.adds_up, made.headline) == (True, "0 of 5 runs finished")
    assert "Nothing has finished yet" in await text_of(made)


async def test_what_was_never_sent_and_launched_again_adds_up(office: Office, hands: Hands) -> None:
    office.sandbox.faults([{"fault": "429", "kind": "batch", "times": 1, "retry_after_s": 1}])
    submitted = await office.submit([{"n": n, "sandbox": "duration_s=0.05"} for n in range(6)])
    assert submitted.id is not None
    story = Story(batch_id=submitted.id, office=office, hands=hands)

    async def done() -> bool:
        return bool((await office.batch(submitted.id))["finished_at"])

    await hands.work(until=done)
    made = await of_batch(story)
    assert made.figures is not None
    assert (made.adds_up, made.figures.launches.launched_again, made.figures.launches.items) == (True, 6, 12)
    assert made.figures.launches.unsent == 1


async def test_the_lists_of_the_csv_hold_every_row(story: Story) -> None:
    lengths = {"runs": ACCEPTED, "failures": 2, "doubts": ACCEPTED, "attempts": ACCEPTED + 2, "results": ACCEPTED - 3}
    for name, length in lengths.items():
        found = list(csv.DictReader(io.StringIO(await text_of(await of_batch(story, "csv", csv_list=name)))))
        assert len(found) == length, name
    acts = list(csv.DictReader(io.StringIO(await text_of(await of_batch(story, "csv", csv_list="acts")))))
    assert {row["type"] for row in acts} == {
        "adopted", "batch_accepted", "batch_reopened", "doubts_resolved", "reopened",
    }  # fmt: skip
    assert all(re.fullmatch(r"[0-9a-f]{64}", row["hash"]) for row in acts)


async def test_the_csv_of_the_totals_has_a_line_for_each_number(story: Story) -> None:
    found = list(csv.DictReader(io.StringIO(await text_of(await of_batch(story, "csv", csv_list="totals")))))
    by_name = {(row["section"], row["name"]): row for row in found}
    assert by_name["control total", "Rows"]["says"] == "adds up"
    assert by_name["control total: Rows", "refused at submission"]["value"] == str(REFUSED)
    assert by_name["runs by status", "finished"]["value"] == str(ACCEPTED - 2)


async def test_the_json_is_one_document_with_the_lists(story: Story) -> None:
    made = await of_batch(story, "json", sum_input=("amount",))
    content = b"".join([chunk async for chunk in made.chunks()])
    assert (len(content), hashlib.sha256(content).hexdigest()) == (made.size_bytes, made.sha256)
    document = json.loads(content)
    assert document["adds_up"] is True
    assert [len(document["lists"][name]) for name in ("runs", "doubts", "attempts")] == [
        ACCEPTED,
        ACCEPTED,
        ACCEPTED + 2,
    ]
    assert document["figures"]["input_sums"][0]["total"] == "278.40"
    rows = next(t for t in document["control_totals"] if t["name"] == "Rows")
    assert (rows["left"]["value"], [term["value"] for term in rows["right"]]) == (26, [24, 2])


async def test_a_batch_of_another_workspace_is_not_found(story: Story) -> None:
    stranger = replace(story.office.who, workspace_id=story.office.deps.sources.new_id())
    with pytest.raises(NotFound):
        await report.batch_report(story.office.deps, stranger, story.batch_id, ReportOptions())


@pytest.mark.parametrize(
    "options",
    [{"zone": "Mars/Olympus"}, {"zone": "../../etc/passwd"}, {"csv_list": "secrets", "format": ReportFormat.CSV},
     {"sum_input": ("",)}, {"sum_result": ("x" * 201,)}],
)  # fmt: skip
async def test_options_that_make_no_sense_are_refused(story_less: Story, options: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        await report.batch_report(
            story_less.office.deps,
            story_less.office.who,
            story_less.batch_id,
            ReportOptions(**options),  # type: ignore[arg-type]
        )


@pytest.fixture
async def story_less(office: Office, hands: Hands) -> Story:
    submitted = await office.submit([{"n": 1}])
    assert submitted.id is not None
    return Story(batch_id=submitted.id, office=office, hands=hands)


async def test_a_report_that_outgrows_its_bound_is_refused() -> None:
    spool = Spool(max_bytes=10)
    await spool.write(b"0123456789")
    with pytest.raises(TooLarge):
        await spool.write(b"x")
    spool.close()
