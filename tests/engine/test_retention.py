"""Months of settled history leave whole, proven and told of; what lives stays."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.domain.audit_export import EVENTS, MANIFEST
from orchestrator.engine import audit, erase, operate, reading, report, retention, submit, sweep
from orchestrator.engine import checkpoints as signing
from orchestrator.engine.deps import Deps
from orchestrator.engine.report_order import ReportOptions
from orchestrator.engine.who import Who
from orchestrator.errors import Conflict
from tests.audit.judges import both
from tests.engine import retiring as ground
from tests.engine.conftest import Office
from tests.engine.retiring import (
    Memory,
    ended_batch,
    ended_run,
    fault,
    judged,
    later,
    months,
    retire,
    spec_of,
    turn_ids,
)

pytestmark = pytest.mark.anyio

settings, who, superuser = ground.settings, ground.who, ground.superuser


async def test_a_retired_month_is_dropped_and_the_history_still_verifies(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path
) -> None:
    run, batch = await ended_run(office), await ended_batch(office)
    before = await months(deps)
    await later(deps, superuser)
    gone = await retire(deps)
    assert gone.streams == 4
    assert gone.partition in before
    assert before.keys() - (await months(deps)).keys() == {gone.partition}
    answers, loose = await judged(deps, who, tmp_path / "after")
    assert (answers.ours.problem, answers.alone_exit, loose) == (None, 0, None), answers.alone_text
    assert answers.ours.retired == (gone,)
    assert gone.manifest_sha256 in answers.alone_text
    assert fault(deps, gone) is None
    # What needs it is refused; what is here is shown.
    assert (await reading.get_run(deps, who, run))["status"] == "cancelled"
    for refused in (
        reading.run_events(deps, who, run),
        report.run_dossier(deps, who, run, ReportOptions()),
        report.batch_report(deps, who, batch, ReportOptions()),
    ):
        with pytest.raises(Conflict, match=gone.export) as told:
            await refused
        assert told.value.code == "history_retired"
    # For ever is for ever.
    again = await submit.submit_run(deps, who, spec_of(office, "a-1"))
    assert again.id == run


async def test_what_goes_on_after_its_month_was_retired_is_chained_to_the_signed_end(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path
) -> None:
    run = await ended_run(office)
    await later(deps, superuser)
    await retire(deps)
    await erase.erase_run(deps, who, run, reason="request 17")
    await signing.keep(deps, at_once=True)
    answers, loose = await judged(deps, who, tmp_path / "after")
    assert (answers.ours.problem, answers.alone_exit, loose) == (None, 0, None), answers.alone_text
    # And without the event that tells of the retirement, or with more than the month gone, it does not verify.
    sink = Memory()
    await audit.copy_history(deps, who, sink)
    lines = sink.files[EVENTS].splitlines(keepends=True)
    without = {**sink.files, EVENTS: b"".join(line for line in lines if f'"{run}"'.encode() not in line)}
    answers = both(without, tmp_path / "cut")
    assert f"stream {run}, is missing" in str(answers.ours.problem)
    assert answers.alone_exit == 8
    assert f"stream {run}, is missing" in answers.alone_text


async def test_months_that_moved_together_are_retired_one_after_the_other(
    deps: Deps, office: Office, who: Who, superuser: str, tmp_path: Path
) -> None:
    await ended_run(office)
    turn_ids(deps, days=31)
    second = (await submit.submit_run(deps, who, spec_of(office, "a-2"))).id
    assert second is not None
    await signing.keep(deps, at_once=True)
    await operate.cancel_run(deps, who, second, reason="a test")
    await later(deps, superuser)
    gone = [await retire(deps), await retire(deps)]
    assert [each.streams for each in gone] == [1, 1]
    assert [fault(deps, each) for each in gone] == [None, None]
    answers, loose = await judged(deps, who, tmp_path / "after")
    assert (answers.ours.problem, answers.alone_exit, loose) == (None, 0, None), answers.alone_text
    assert list(answers.ours.retired) == gone


async def test_an_export_reaches_no_further_than_its_streams_began(
    deps: Deps, office: Office, who: Who, superuser: str
) -> None:
    first = (await submit.submit_run(deps, who, spec_of(office, "a-1"))).id
    assert first is not None
    await later(deps, superuser, days=40)
    turn_ids(deps, days=40)
    second = await ended_run(office, "a-2")
    await operate.cancel_run(deps, who, first, reason="it ends in another month")
    await later(deps, superuser)
    gone = await retire(deps)
    assert gone.holds(first)
    assert deps.retired is not None
    folder = Path(deps.retired.place) / gone.export
    events = [json.loads(line) for line in (folder / EVENTS).read_bytes().splitlines()]
    began_at = min(event["at"] for event in events if event["stream"] == str(first))
    until = datetime.fromisoformat(json.loads((folder / MANIFEST).read_bytes())["to"])
    assert until - datetime.fromisoformat(began_at) == timedelta(microseconds=1)
    assert str(second) not in {event["stream"] for event in events}
    assert any(event["stream"] == str(first) and event["at"] > began_at for event in events), "and it is whole"


@pytest.mark.parametrize("what", [EVENTS, MANIFEST])
async def test_a_tampered_or_missing_export_of_a_retired_month_is_found(
    deps: Deps, office: Office, superuser: str, what: str
) -> None:
    await ended_run(office)
    await later(deps, superuser)
    gone = await retire(deps)
    assert deps.retired is not None
    file = Path(deps.retired.place) / gone.export / what
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"a test", b"a jest", 1).replace(b'"streams":', b'"streams": '))
    assert file.read_bytes() != whole
    assert fault(deps, gone) is not None
    file.unlink()
    assert fault(deps, gone) is not None


async def test_nothing_that_lives_is_touched_and_the_reasons_are_told(
    deps: Deps, office: Office, who: Who, superuser: str
) -> None:
    await ended_run(office)
    living = (await office.submit([{"a": 1}])).id
    fates = await retention.fates(deps, keep_days=90)
    assert {reason.split(":")[0] for fate in fates for reason in fate.reasons} == {
        "its last streams began less than 90 days ago"
    }
    await later(deps, superuser)
    before = await months(deps)
    assert await retention.retire_next(deps, at_once=True) is None
    told = [reason for fate in await retention.fates(deps, keep_days=90) for reason in fate.reasons]
    assert "1 run has not ended" in told
    assert "1 batch has not ended" in told
    assert await months(deps) == before
    assert living is not None
    await operate.cancel_batch(deps, who, living, reason="a test")
    await sweep.sweep(deps)
    # It ended just now: what is settled lately stays as long as anything else.
    assert await retention.retire_next(deps, at_once=True) is None
    told = [reason for fate in await retention.fates(deps, keep_days=90) for reason in fate.reasons]
    assert any(reason.startswith("its last event is of") for reason in told)
