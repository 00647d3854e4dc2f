"""The measure of the seam: the engine runs a provider that it has never heard of, and that is short."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.engine import connections, pump, reading, submit, sweep, watches
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec
from orchestrator.engine.who import Who
from orchestrator.storage import workers
from tests.contract import made_up
from tests.contract.made_up import ROUTE, ParcelProvider

pytestmark = pytest.mark.anyio


def test_a_provider_is_short() -> None:
    assert len(inspect.getsource(made_up).splitlines()) < 150


async def test_the_engine_runs_a_provider_that_it_has_never_heard_of(deps: Deps, who: Who) -> None:
    provider = ParcelProvider()
    provider.loses = 2
    deps = replace(deps, provider=lambda name: {"parcels": provider}[name])
    worker = deps.sources.new_id()

    async def register(connection: Any) -> None:
        await workers.register(connection, id=worker, place="test", pid=1, version="test")

    await deps.db.run(register)
    await connections.add_connection(
        deps, who, name="post", provider="parcels", base_url="https://parcels.example", api_key="key"
    )
    spec = BatchSpec(connection="post", workflow_id=ROUTE, format="jsonl")
    batch = await submit.submit_batch(deps, who, spec, b'{"to": "a"}\n{"to": "b"}\n{"to": "c"}\n{"to": "d"}')
    assert batch.id is not None
    for _ in range(400):
        for kind in ("launch", "poll", "download"):
            await pump.pump(deps, kind, worker=worker, should_stop=lambda: False)
        await sweep.sweep(deps, self_id=worker)
        if (await reading.get_batch(deps, who, batch.id))["finished_at"] is not None:
            break
    assert (await reading.get_batch(deps, who, batch.id))["counts"]["finished"] == 4
    assert len(provider.parcels) == 4, "the lost answers were asked for again, and nothing was posted twice"
    provider.parcels["parcel-of-another"] = b"{}"
    provider.posted_at["parcel-of-another"] = datetime.now(UTC)
    since = datetime.now(UTC) - timedelta(hours=1)
    await watches.watch_connection(deps, who, "post", since=since)
    for _ in range(400):
        for kind in ("poll", "download"):
            await pump.pump(deps, kind, worker=worker, should_stop=lambda: False)
        everything, _ = await reading.list_runs(deps, who, limit=50)
        if len(everything) == 5 and all(run["finished_at"] is not None for run in everything):
            break
    observed = [run for run in everything if run["origin"] == "observed"]
    assert [(run["execution_id"], run["status"]) for run in observed] == [("parcel-of-another", "finished")]
