"""Lists of results that change from look to look: each file keeps its number, and none is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain.offered_files import KnownFile, has_nothing_to_store, left_out, numbers
from orchestrator.engine import download, pump, reading
from tests.engine.conftest import Hands, Office
from tests.engine.test_launching import becomes, single, status
from tests.engine.test_nothing_is_stranded import change, query

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("known", "offered", "expected"),
    [
        ("", "ab", [0, 1]),
        ("ab", "ba", [1, 0]),
        ("ab", "b", [1]),
        ("ab", "cb", [2, 1]),
        ("ab", "cdab", [2, 3, 0, 1]),
        ("aab", "baa", [2, 0, 1]),
        ("ab", "aab", [0, 2, 1]),
        ("", "aa", [0, 1]),
    ],
)
async def test_a_file_keeps_its_number_by_its_name_and_new_ones_come_after(
    known: str, offered: str, expected: list[int]
) -> None:
    assert numbers(known, offered) == expected


async def test_what_is_left_out_of_a_list_is_what_was_offered_and_is_not_stored() -> None:
    a, b = KnownFile(filename="a", is_stored=False), KnownFile(filename="b", is_stored=True)
    assert (left_out([a, b], ["b"]), has_nothing_to_store([a, b], ["b"])) == (1, True)
    assert (left_out([a, b], ["b", "c"]), has_nothing_to_store([a, b], ["b", "c"])) == (1, False)
    assert (left_out([a, b], ["a"]), left_out([b], []), left_out([], ["x"])) == (0, 0, 0)
    assert left_out([KnownFile(filename="a\ufffd", is_stored=False)], ["a\x00"]) == 0, "as it is kept"


async def half_stored(office: Office, hands: Hands) -> UUID:
    """Bring a run to where of its two files the second is stored, the first was refused, and fresh URLs are due."""
    run_id = await single(office, b'{"sandbox": "files=2; duration_s=0.05"}')
    async with asyncio.timeout(15):
        while await status(office, run_id) != "downloading":
            for kind in ("launch", "poll"):
                await pump.pump(office.deps, kind, worker=hands.id, should_stop=lambda: False)
            await asyncio.sleep(0.02)
    office.sandbox.faults([{"fault": "expired_url", "kind": "file", "times": 1}])
    assert await download.download_due(office.deps, worker=hands.id) == 1
    assert [(n, stored) for n, _, stored in await files(office)] == [(0, False), (1, True)]
    return run_id


async def files(office: Office) -> list[tuple[int, str, bool]]:
    found = await query(office, "SELECT n, filename, stored_at IS NOT NULL AS is_stored FROM artifacts ORDER BY n")
    return [(row.n, row.filename, row.is_stored) for row in found]


async def only_the_second(office: Office, run_id: UUID) -> list[dict[str, Any]]:
    """Return the rule by which looks list the second file alone."""
    (_, _, (_, second, _)) = (0, *await files(office))
    run = await reading.get_run(office.deps, office.who, run_id)
    # Its URL is never called, for the file is stored.
    results = [{"filename": second, "url": "http://127.0.0.1:1/never"}]
    body = {"id": run["execution_id"], "status": "finished", "results": results}
    return [{"fault": "wrong_shape", "kind": "look", "body": body}]


async def look(office: Office, hands: Hands) -> None:
    await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'poll'")
    await change(office, "UPDATE lanes SET poll_due_at = now()")
    await pump.pump(office.deps, "poll", worker=hands.id, should_stop=lambda: False)


async def test_a_list_that_leaves_out_a_file_does_not_put_another_in_its_place(office: Office, hands: Hands) -> None:
    run_id = await half_stored(office, hands)
    before = await files(office)
    office.sandbox.faults(await only_the_second(office, run_id))
    await look(office, hands)
    assert await files(office) == before
    # Its first URL lives, and is tried on.
    await hands.work(until=becomes(office, run_id, "finished"))
    run = await reading.get_run(office.deps, office.who, run_id)
    truth = {e["id"]: e["files"] for e in office.sandbox.truth()["executions"]}[run["execution_id"]]
    assert [(r["filename"], r["sha256"]) for r in run["results"]] == [(f["filename"], f["sha256"]) for f in truth]


async def test_a_file_that_is_offered_no_more_for_ten_minutes_is_lost_and_what_was_had_is_kept(
    office: Office, hands: Hands
) -> None:
    run_id = await half_stored(office, hands)
    office.sandbox.faults([*await only_the_second(office, run_id), {"fault": "expired_url", "kind": "file"}])
    for _ in range(3):
        await look(office, hands)
        assert await status(office, run_id) == "downloading", "it may come back"
        await change(office, "UPDATE timers SET due_at = now() WHERE kind = 'download'")
        await download.download_due(office.deps, worker=hands.id)
    (timer,) = await query(office, "SELECT kind, gone_since FROM timers WHERE subject_id = :r", r=run_id)
    assert (timer.kind, timer.gone_since is not None) == ("poll", True)
    await change(office, "UPDATE timers SET gone_since = now() - interval '10 minutes'")
    await look(office, hands)
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["status"], run["error"]["code"]) == ("result_lost", "result_lost")
    assert [r["filename"] for r in run["results"]] == [(await files(office))[1][1]], "what was had is kept"


async def test_a_file_that_is_offered_again_ends_its_ten_minutes(office: Office, hands: Hands) -> None:
    run_id = await half_stored(office, hands)
    hidden = await only_the_second(office, run_id)
    office.sandbox.faults([*hidden, {"fault": "expired_url", "kind": "file"}])
    await look(office, hands)
    await download.download_due(office.deps, worker=hands.id)
    await change(office, "UPDATE timers SET gone_since = now() - interval '10 minutes'")
    office.sandbox.clear_faults()
    await look(office, hands)
    assert [row.gone_since for row in await query(office, "SELECT gone_since FROM timers")] in ([], [None])
    await hands.work(until=becomes(office, run_id, "finished"))
    assert [stored for _, _, stored in await files(office)] == [True, True]
