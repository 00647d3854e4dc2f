"""Reports over what was erased: they say so, add up all the same, and never pass a part off as the whole."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from orchestrator.domain.report.amounts import AmountSum, Lack
from orchestrator.domain.report.totals import control_totals
from orchestrator.domain.report.verdict import verdict
from orchestrator.engine import erase
from tests.engine.conftest import Office
from tests.engine.test_nothing_is_stranded import change, query
from tests.reports.conftest import ACCEPTED, HOSTILE_FILE, HOSTILE_NAME, Story, of_batch, text_of
from tests.reports.test_pages import harmless
from tests.reports.test_period_and_run import of_period, of_run, put_results
from tests.reports.test_totals import good

pytestmark = pytest.mark.anyio

WHY = "request 17"
#: Of the story: a finished run with a hostile file name, and one that ended in error.
FINISHED, FAILED = 12, 3


async def run_at(office: Office, index: int) -> UUID:
    (row,) = await query(office, "SELECT id FROM runs WHERE index = :index", index=index)
    found: UUID = row.id
    return found


async def erased(story: Story, *indexes: int) -> list[UUID]:
    ids = [await run_at(story.office, index) for index in indexes]
    for run_id in ids:
        await erase.erase_run(story.office.deps, story.office.who, run_id, reason=WHY)
    return ids


async def listed(story: Story, name: str) -> list[dict[str, str]]:
    text = await text_of(await of_batch(story, "csv", csv_list=name))
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_a_batch_of_which_runs_were_erased_adds_up_and_says_how_many(story: Story) -> None:
    before = await of_batch(story)
    await erased(story, FINISHED, FAILED)
    made = await of_batch(story)
    assert made.figures is not None
    assert before.figures is not None
    assert made.adds_up
    assert (made.figures.erased, made.figures.results) == (2, before.figures.results)
    assert verdict(made.figures, control_totals(made.figures)).state.endswith("the content of 2 runs was erased since")
    page = await text_of(made)
    harmless(page)
    assert HOSTILE_FILE[-6:] not in page
    assert "of these, erased" in page
    assert [(a.type, a.reason, a.count) for a in made.figures.acts if a.type == "redacted"] == [("redacted", WHY, 2)]
    assert "of these, erased" in {row["name"] for row in await listed(story, "totals")}


async def test_the_lists_say_erased_where_a_text_was(story: Story) -> None:
    finished, failed = await erased(story, FINISHED, FAILED)
    rows = {row["run"]: row for row in await listed(story, "runs")}
    assert len(rows) == ACCEPTED
    assert rows[str(failed)]["error_message"] == "erased"
    assert rows[str(failed)]["error_code"] == "provider_error"
    assert {run for run, row in rows.items() if row["erased_at"]} == {str(finished), str(failed)}
    files = [row for row in await listed(story, "results") if row["run"] == str(finished)]
    assert [(row["filename"], bool(row["sha256"]), bool(row["erased_at"])) for row in files] == [("erased", True, True)]


async def test_an_erased_batch_is_reported_by_its_id_and_still_adds_up(story: Story) -> None:
    await erase.erase_batch(story.office.deps, story.office.who, story.batch_id, reason=WHY)
    for format in ("html", "json", "csv"):
        made = await of_batch(story, format)
        assert made.adds_up
        assert HOSTILE_NAME[-7:] not in await text_of(made)
    made = await of_batch(story)
    assert made.figures is not None
    assert made.figures.head.subject == f"Batch {story.batch_id}"
    assert "erased" in made.figures.head.facts
    assert (await of_period(story.office)).adds_up


async def test_amounts_of_erased_runs_are_missing_aloud(story: Story) -> None:
    documents = {n: json.dumps({"paid": float(f"{n}.10")}).encode() for n in range(ACCEPTED) if n not in (3, 8, 11)}
    await put_results(story.office, story.batch_id, documents)
    whole = await of_batch(story, sum_input=("amount",), sum_result=("paid",))
    await erased(story, FINISHED, FAILED)
    made = await of_batch(story, sum_input=("amount",), sum_result=("paid",))
    assert made.figures is not None
    assert whole.figures is not None
    (given,), (paid,) = made.figures.input_sums, made.figures.result_sums
    assert given.total == whole.figures.input_sums[0].total - Decimal("12.10") - Decimal("3.10")
    assert (given.lacking, paid.erased) == ({"it was erased": 2}, 1)
    assert dict(given.named) == {"#12": "it was erased", "#3": "it was erased"}
    (amounts,) = [t for t in control_totals(made.figures) if t.name.startswith("Amounts")]
    assert amounts.name == "Amounts: amount in, paid out, without 2 erased rows"
    assert "the sums lack 2 rows whose content was erased" in verdict(made.figures, control_totals(made.figures)).needs
    assert "without 2 erased rows" in await text_of(made)


def test_an_erased_row_is_told_apart_from_one_that_never_had_a_number() -> None:
    total = AmountSum(of="input", name="amount")
    total = total.plus("#0", Lack.ERASED, finished=True).plus("#1", Lack.MISSING, finished=True)
    assert total.erased == 1
    found = replace(good(), input_sums=[total])
    assert verdict(found, control_totals(found)).needs[-2:] == (
        "1 row without a number in the fields that are summed",
        "the sums lack 1 row whose content was erased",
    )


async def test_the_dossier_of_an_erased_run_verifies_and_says_who_erased_it(story: Story) -> None:
    (run_id,) = await erased(story, FINISHED)
    made = await of_run(story.office, run_id)
    assert (made.adds_up, made.headline) == (True, "finished; its history verifies")
    page = await text_of(made)
    harmless(page)
    assert "not checked: it was erased by token:test" in page
    assert HOSTILE_FILE[-6:] not in page
    told = json.loads(await text_of(await of_run(story.office, run_id, "json")))
    assert told["run"]["erased_at"]
    assert [(r["filename"], r["failure"]) for r in told["results"]] == [("erased", None)]
    assert told["history"][-1]["type"] == "redacted"


async def test_an_input_that_is_gone_without_an_erasing_is_found(story: Story) -> None:
    run_id = await run_at(story.office, FINISHED)
    await change(story.office, "DELETE FROM inputs WHERE run_id = :run", run=run_id)
    made = await of_run(story.office, run_id)
    assert not made.adds_up
    assert "it is written nowhere that it was erased" in made.headline
    await change(story.office, "UPDATE runs SET erased_at = orch_now() WHERE id = :run", run=run_id)
    assert not (await of_run(story.office, run_id)).adds_up, "its row says so, and its history does not"
