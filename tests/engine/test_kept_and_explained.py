"""What goes wrong outside is kept and explained: provider away, store full, bad files, unknown names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import connections, launch, reading, submit
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.errors import BadInput, NotFound, TooLarge, Unavailable
from tests.engine.conftest import Hands, Office, shut_door
from tests.engine.test_launching import becomes, single

pytestmark = pytest.mark.anyio

SCORE = "Score customer"


async def stored_runs(office: Office) -> int:
    found, _ = await reading.list_runs(office.deps, office.who, limit=200)
    return len(found)


def spec(office: Office, **changes: Any) -> BatchSpec:
    fields: dict[str, Any] = {
        "connection": "main",
        "workflow_id": office.sandbox.workflows[SCORE],
        "format": "csv",
        **changes,
    }
    return BatchSpec(**fields)


async def test_while_the_provider_is_away_work_is_taken_on_the_cached_schema_and_goes_out_when_it_is_back(
    office: Office, hands: Hands
) -> None:
    await single(office)
    shut_door(office.sandbox, 4)
    run_id = await single(office, b'{"n": "while away"}')
    for _ in range(3):
        await launch.launch_due(office.deps, worker=hands.id)
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["status"], run["waiting_because"]["code"]) == ("queued", "provider")
    await hands.work(until=becomes(office, run_id, "finished", "in_doubt"), limit_s=40)
    assert (await reading.get_run(office.deps, office.who, run_id))["status"] == "finished"


async def test_a_workflow_that_was_never_seen_cannot_be_checked_while_the_provider_is_away(office: Office) -> None:
    shut_door(office.sandbox, 2)
    with pytest.raises(Unavailable, match="never fetched"):
        await single(office)
    assert await stored_runs(office) == 0


async def test_a_wrong_key_is_kept_and_explained_and_the_right_one_goes_on(office: Office, hands: Hands) -> None:
    run_id = await single(office)
    await connections.rotate_key(office.deps, office.who, "main", "sk-wrong")
    for _ in range(3):
        await launch.launch_due(office.deps, worker=hands.id)
    run = await reading.get_run(office.deps, office.who, run_id)
    assert (run["status"], run["waiting_because"]["code"]) == ("queued", "stopped")
    tested = await connections.test_connection(office.deps, office.who, "main")
    assert (tested["ok"], tested["error"]["code"]) == (False, "key_refused")
    await connections.rotate_key(office.deps, office.who, "main", office.sandbox.key)
    await hands.work(until=becomes(office, run_id, "finished"))


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="a small file system needs root")
async def test_a_full_artifact_folder_keeps_the_run_downloading_until_there_is_room(
    office: Office, hands: Hands, settings: Any
) -> None:
    folder = Path(settings.data_dir) / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    small = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if small.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        run_id = await single(office, b'{"sandbox": "size_bytes=500000"}')
        await hands.work(until=becomes(office, run_id, "downloading"))

        async def tried() -> bool:
            run = await reading.get_run(office.deps, office.who, run_id)
            reason = run["waiting_because"]
            return reason is not None and "again" in reason["message"]

        await hands.work(until=tried)
        assert (await reading.get_run(office.deps, office.who, run_id))["status"] == "downloading"
        subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
        await hands.work(until=becomes(office, run_id, "finished", "result_lost"), limit_s=40)
        assert (await reading.get_run(office.deps, office.who, run_id))["status"] == "finished"
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("data", "changes", "row", "word"),
    [
        (b"customer_id,amount\na,1\nb,x\n", {}, 2, "number"),
        (b"\xef\xbb\xbfcustomer_id;amount\na;1\n;2\n", {}, 2, "customer_id"),
        (b'{"customer_id": "a"}\n{"customer_id": \n', {"format": "jsonl"}, 2, ""),
        (b'{"customer_id": "a", "amount": NaN}\n', {"format": "jsonl"}, 1, "NaN"),
        (b'{"customer_id": "a", "customer_id": "b"}\n', {"format": "jsonl"}, 1, "customer_id"),
        (b'{"customer_id": "\\ud800"}\n', {"format": "jsonl"}, 1, ""),
        (b'{"customer_id": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", {"format": "jsonl"}, 1, ""),
        (b'{"customer_id": "' + b"x" * 4_100_000 + b'"}\n', {"format": "jsonl"}, 1, ""),
    ],
    ids=["type", "bom-semicolon-missing", "broken-line", "nan", "duplicate-key", "surrogate", "depth", "over-4-MB"],
)
async def test_a_bad_row_is_named_and_nothing_is_stored(
    data: bytes, changes: dict[str, Any], row: int, word: str, office: Office
) -> None:
    with pytest.raises(BadInput) as caught:
        await submit.submit_batch(office.deps, office.who, spec(office, **changes), data)
    (problem,) = caught.value.problems[:1]
    assert problem.row == row
    assert problem.line is not None
    assert word.lower() in str(problem).lower()
    assert await stored_runs(office) == 0


@pytest.mark.parametrize(
    "header", [b"customer_id,customer_id\na,b\n", b"customer_id,\na,b\n", b"customer,amount\na,1\n"]
)
async def test_a_bad_header_is_refused_as_a_whole(header: bytes, office: Office) -> None:
    with pytest.raises(BadInput):
        await submit.submit_batch(office.deps, office.who, spec(office), header)
    assert await stored_runs(office) == 0


async def test_ten_thousand_rows_are_taken_at_once_and_one_more_is_refused(office: Office) -> None:
    lines = b"customer_id,amount\n" + b"".join(b"c%d,%d\n" % (n, n) for n in range(10_001))
    with pytest.raises(TooLarge, match=r"10[,.]?001"):
        await submit.submit_batch(office.deps, office.who, spec(office), lines)
    assert await stored_runs(office) == 0
    fewer = lines[: lines.rindex(b"c10000")]
    stored = await submit.submit_batch(office.deps, office.who, spec(office), fewer)
    assert stored.total == 10_000
    assert (await office.batch(stored.id))["counts"]["queued"] == 10_000
    again = await submit.submit_batch(office.deps, office.who, spec(office), fewer)
    assert str(stored.id) in again.warnings[0]


async def test_good_rows_can_be_stored_without_the_bad_ones_which_come_back(office: Office) -> None:
    data = b"customer_id,amount\na,1\nb,x\nc,3\n"
    stored = await submit.submit_batch(office.deps, office.who, spec(office, skip_invalid=True), data)
    assert (stored.total, stored.refused) == (2, 1)
    assert stored.refused_file is not None
    assert b"b,x" in stored.refused_file


async def test_unknown_names_are_not_found_and_nothing_is_stored(office: Office) -> None:
    with pytest.raises(NotFound, match="connection"):
        await submit.submit_batch(office.deps, office.who, spec(office, connection="nobody"), b"customer_id\na\n")
    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(NotFound, match="workflow"):
        await submit.submit_run(office.deps, office.who, RunSpec(connection="main", workflow_id=nobody, input=b"{}"))
    assert await stored_runs(office) == 0


async def test_the_same_external_id_of_a_batch_returns_the_first_and_refuses_other_content(office: Office) -> None:
    first = await submit.submit_batch(office.deps, office.who, spec(office, external_id="night-1"), b"customer_id\na\n")
    same = await submit.submit_batch(office.deps, office.who, spec(office, external_id="night-1"), b"customer_id\na\n")
    assert (same.id, same.created) == (first.id, False)
    with pytest.raises(Exception, match="other content"):
        await submit.submit_batch(office.deps, office.who, spec(office, external_id="night-1"), b"customer_id\nb\n")
    assert await stored_runs(office) == 1
