"""Workers as processes: killed, stopped, without a broker. The provider's own records say what was launched twice."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.engine import reading
from tests.system.conftest import Site

pytestmark = pytest.mark.anyio


def ended(batch: dict[str, Any]) -> bool:
    return batch["finished_at"] is not None


def some_finished(batch: dict[str, Any]) -> bool:
    return bool(batch["counts"]["finished"] >= 5 and not batch["counts"]["launching"])


async def all_stored_and_none_twice(site: Site, batch_id: Any, count: int) -> None:
    truth = site.sandbox.truth()
    assert truth["summary"]["inputs_executed_twice"] == []
    assert truth["summary"]["executions"] == count
    offered = {e["id"]: [f["sha256"] for f in e["files"]] for e in truth["executions"]}
    runs, _ = await reading.list_runs(site.deps, site.who, batch=batch_id, limit=count)
    assert {r["execution_id"]: [f["sha256"] for f in r["results"]] for r in runs} == offered


async def test_work_runs_inside_tasks_while_the_broker_is_up(site: Site) -> None:
    site.fleet.start(2)
    await site.until_registered(2)
    batch_id = await site.submit(60)
    batch = await site.until(batch_id, ended)
    assert batch["status"] == "finished"
    await all_stored_and_none_twice(site, batch_id, 60)
    assert site.fleet.stop() == [0, 0]
    in_tasks, in_ticker = await site.share_in_tasks()
    assert in_tasks > 0
    assert in_tasks / (in_tasks + in_ticker) >= 0.95


async def test_no_key_and_no_signed_url_stands_in_a_workers_log(site: Site) -> None:
    site.fleet.start(1, ORCH_LOG_LEVEL="debug")
    batch_id = await site.submit(10)
    await site.until(batch_id, ended)
    site.fleet.kill()
    logs = site.fleet.logs()
    assert "launch answered" in logs
    for secret in (site.sandbox.key, "token=", "expires="):
        assert secret not in logs


async def test_killing_every_worker_loses_nothing_and_launches_nothing_twice(site: Site) -> None:
    site.fleet.start(2)
    # A wave of 20, one after the other, is under way for long enough to be struck, and the rest waits for its turn.
    batch_id = await site.submit(25, concurrency="low")
    batch = await site.until(batch_id, some_finished)
    site.fleet.kill()
    assert batch["counts"]["processing"] >= 5 and batch["counts"]["queued"] == 5
    site.fleet.start(2)
    batch = await site.until(batch_id, lambda b: ended(b) or b["status"] == "waiting", limit_s=90)
    assert batch["status"] == "finished"
    await all_stored_and_none_twice(site, batch_id, 25)


async def test_stopping_the_workers_makes_no_doubt_and_their_successors_finish(site: Site) -> None:
    site.fleet.start(2)
    await site.until_registered(2)
    batch_id = await site.submit(60)
    await site.until(batch_id, lambda b: b["counts"]["queued"] < 60)
    assert site.fleet.stop() == [0, 0]
    batch = await reading.get_batch(site.deps, site.who, batch_id)
    assert (batch["counts"]["launching"], batch["counts"]["in_doubt"]) == (0, 0)
    site.fleet.start(1)
    batch = await site.until(batch_id, ended)
    assert batch["status"] == "finished"
    await all_stored_and_none_twice(site, batch_id, 60)


async def test_without_a_broker_the_tickers_do_the_work(site: Site) -> None:
    site.fleet.start(1, ORCH_BROKER_URL="redis://127.0.0.1:1/0")
    batch_id = await site.submit(30)
    batch = await site.until(batch_id, ended)
    assert batch["status"] == "finished"
    await all_stored_and_none_twice(site, batch_id, 30)
    assert site.fleet.stop() == [0]
    in_tasks, in_ticker = await site.share_in_tasks()
    assert in_tasks == 0
    assert in_ticker > 0
