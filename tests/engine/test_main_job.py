"""The main job against the sandbox, without Celery: submit, launch, poll, download, settle."""

from __future__ import annotations

import pytest

from orchestrator.engine import reading
from tests.engine.conftest import Hands, Office

pytestmark = pytest.mark.anyio


async def test_a_batch_goes_in_and_stored_and_verified_results_come_out(office: Office, hands: Hands) -> None:
    rows = [{"n": n, "sandbox": "files=2; size_bytes=500"} for n in range(30)]
    submitted = await office.submit(rows)
    assert submitted.id is not None

    async def ended() -> bool:
        return bool((await office.batch(submitted.id))["finished_at"] is not None)

    await hands.work(until=ended)
    batch = await office.batch(submitted.id)
    assert batch["status"] == "finished"
    assert batch["counts"]["finished"] == 30
    truth = office.sandbox.truth()
    assert truth["summary"]["inputs_executed_twice"] == []
    by_id = {e["id"]: e for e in truth["executions"]}
    runs, _ = await reading.list_runs(office.deps, office.who, batch=submitted.id, limit=100)
    assert [r["index"] for r in runs] == list(range(30))
    for run in runs:
        expected = {f["filename"]: (f["size_bytes"], f["sha256"]) for f in by_id[run["execution_id"]]["files"]}
        assert {r["filename"]: (r["size_bytes"], r["sha256"]) for r in run["results"]} == expected
