"""File hosts that stay bad: whatever they send, no run is finished with a missing or wrong byte."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from orchestrator.engine import download, pump, reading
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, query
from tests.providers.raw_server import Connection, RawServer

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


async def test_a_result_that_is_seen_late_is_fetched_first_warned_of_and_never_lost_by_that_clock_alone(
    office: Office, hands: Hands
) -> None:
    late = await single(office, b'{"n": 1, "sandbox": "duration_s=0.05"}')
    fresh = await single(office, b'{"n": 2, "sandbox": "duration_s=0.05"}')
    for run_id in (late, fresh):
        await hands.work(until=becomes(office, run_id, "processing", "downloading", "finished"))
    office.sandbox.faults([{"fault": "expired_url", "kind": "file"}])
    # The last look at it was 70 minutes ago: its URLs may be dead.
    await change(office, "UPDATE timers SET looked_at = now() - interval '70 minutes' WHERE subject_id = :r", r=late)
    await change(office, "UPDATE runs SET launched_at = now() - interval '2 h', status_at = now() - interval '2 h'")
    await change(office, "UPDATE timers SET looked_at = now() WHERE subject_id = :r", r=fresh)
    await change(office, "UPDATE timers SET tries = 0, due_at = now() + interval '1 s' WHERE kind = 'poll'")
    await hands.work(until=becomes(office, late, "downloading"))
    left = "SELECT extract(epoch FROM deadline_at - now())::int AS s FROM timers WHERE subject_id = :r"
    for _ in range(4):
        assert await status(office, late) == "downloading"
        await change(office, "UPDATE timers SET due_at = now()")
        await change(office, "UPDATE lanes SET poll_due_at = now()")
        for kind in ("poll", "download"):
            await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
        (deadline,) = await query(office, left, r=late)
        assert -700 < deadline.s < -500, "fresh URLs do not put it behind the others"
    office.sandbox.clear_faults()
    await change(office, "UPDATE timers SET due_at = now()")
    await hands.work(until=becomes(office, late, "finished"))
    await hands.work(until=becomes(office, fresh, "finished"))


async def test_a_file_that_is_cut_where_nothing_says_where_it_ends_is_never_taken_for_the_whole(
    office: Office, hands: Hands
) -> None:
    run_id = await single(office, b'{"sandbox": "duration_s=0.05"}')
    async with asyncio.timeout(15):
        while await status(office, run_id) != "downloading":
            for kind in ("launch", "poll"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.02)
    served = [b"whole"[:2], b"whole", b"whole"]

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + served.pop(0))

    async with RawServer(behave) as server:
        await _point_to(office, run_id, f"{server.url}/file")
        seen = []
        for _ in range(3):
            await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'download'")
            assert await download.download_due(office.deps, worker=hands.id) == 1
            seen.append(await status(office, run_id))
            stored = await query(office, "SELECT store_key FROM artifacts WHERE stored_at IS NOT NULL")
            assert len(stored) == (seen[-1] == "finished")
    assert seen == ["downloading", "downloading", "finished"], "it takes two that are alike"
    opened = await reading.open_result(office.deps, office.who, run_id, 0)
    assert b"".join([block async for block in opened.chunks]) == b"whole"


async def _point_to(office: Office, run_id: UUID, url: str) -> None:
    """Let a run's file be offered elsewhere."""
    sealed = office.deps.sealer.seal(url, column="artifacts.url", row=f"{run_id}/1/0")
    await change(office, "UPDATE artifacts SET url = :url WHERE run_id = :run", url=sealed, run=run_id)
