"""File hosts that stay bad: whatever they send, no run is finished with a missing or wrong byte."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.engine import pump, reading
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio

FAULTS: dict[str, dict[str, Any]] = {
    "cut": {"fault": "cut_body"},
    "cut_rst": {"fault": "cut_body", "ending": "rst"},
    "short": {"fault": "wrong_length", "delta_bytes": 10},
    "long": {"fault": "wrong_length", "delta_bytes": -10},
    "redirect": {"fault": "redirect"},
    "expired": {"fault": "expired_url"},
    "empty": {"fault": "empty_file"},
    "broken": {"fault": "500"},
    "html": {"fault": "502_html"},
    "gone": {"fault": "404"},
}


async def test_no_run_is_finished_while_its_files_host_stays_bad_and_all_are_once_it_is_well(
    office: Office, hands: Hands
) -> None:
    office.sandbox.faults([{**rule, "kind": "file", "tag": tag} for tag, rule in FAULTS.items()])
    runs = {
        tag: await single(office, b'{"sandbox": "size_bytes=5000; duration_s=0.05; tag=%s"}' % tag.encode())
        for tag in FAULTS
    }
    for run in runs.values():
        await hands.work(until=becomes(office, run, "downloading", "finished", "result_lost"))
    for _ in range(4):
        await change(office, "UPDATE timers SET due_at = now() WHERE kind IN ('poll', 'download')")
        await change(office, "UPDATE lanes SET poll_due_at = now()")
        for kind in ("poll", "download"):
            await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
        await asyncio.sleep(0.05)
    assert {tag: await status(office, run) for tag, run in runs.items()} == dict.fromkeys(FAULTS, "downloading")
    assert await query(office, "SELECT FROM artifacts WHERE stored_at IS NOT NULL") == []
    office.sandbox.clear_faults()
    await change(office, "UPDATE timers SET due_at = now() WHERE kind IN ('poll', 'download')")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    for run in runs.values():
        await hands.work(until=becomes(office, run, "finished"))
    truth = {e["id"]: e["files"] for e in office.sandbox.truth()["executions"]}
    for run in runs.values():
        shown = await reading.get_run(office.deps, office.who, run)
        assert [r["sha256"] for r in shown["results"]] == [f["sha256"] for f in truth[shown["execution_id"]]]


async def test_a_result_that_is_truly_empty_is_believed_in_the_end_and_its_size_is_told(
    office: Office, hands: Hands
) -> None:
    run_id = await single(office, b'{"sandbox": "size_bytes=0; duration_s=0.05"}')
    await hands.work(until=becomes(office, run_id, "downloading"))
    assert await status(office, run_id) == "downloading", "an empty file may be the host's mistake"
    # The two minutes and the many fresh URLs that it takes are turned, not waited for.
    await change(office, "UPDATE timers SET tries = 9, refreshes = 9 WHERE subject_id = :r", r=run_id)
    await change(office, "UPDATE artifacts SET offered_at = now() - interval '10 minutes'")
    await hands.work(until=becomes(office, run_id, "finished"))
    (result,) = (await reading.get_run(office.deps, office.who, run_id))["results"]
    assert result["size_bytes"] == 0
