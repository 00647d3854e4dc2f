"""An orchestrator in front of an orchestrator: our own Script provider, pointed at the Script door of a running API."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.engine import connections, pump, reading, submit, sweep, workflows
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.engine.who import Who
from orchestrator.storage import workers
from sandbox.control import Sandbox
from tests.api.conftest import Served

pytestmark = pytest.mark.anyio

ITEMS = 6


async def _register(deps: Deps) -> UUID:
    worker = deps.sources.new_id()

    async def register(connection: Any) -> None:
        await workers.register(connection, id=worker, place="test", pid=1, version="test")

    await deps.db.run(register)
    return worker


async def _work(deps: Deps, worker: UUID) -> None:
    """Do one round of what a worker does."""
    for kind in ("launch", "poll", "download"):
        await pump.pump(deps, kind, worker=worker, should_stop=lambda: False)
    await sweep.sweep(deps)


async def test_an_orchestrator_in_front_of_an_orchestrator_completes_a_batch(
    served: Served, client: Client, main: str, free: str, sandbox: Sandbox, deps: Deps, who: Who
) -> None:
    key = client.tokens.create("the outer one", scopes=["read", "submit"], connection=main)["secret"]
    outer, user = deps, who
    await connections.add_connection(
        outer,
        user,
        name="inner",
        provider="script",
        base_url=f"{served.url}/script/api/v1",
        api_key=key,
        requests_per_minute=6000,
    )
    tested = await connections.test_connection(outer, user, "inner")
    assert {w["id"] for w in tested["workflows"]} == set(sandbox.workflows.values())
    theirs = client.workflows.get(main, free)
    ours = await workflows.show_workflow(outer, user, "inner", free)
    assert {n: ours[n] for n in ("name", "description", "input_schema", "created_at")} == {
        n: theirs[n] for n in ("name", "description", "input_schema", "created_at")
    }

    rows = [{"n": n, "sandbox": f"files=2; size_bytes={700 + n}; tag=outer"} for n in range(ITEMS)]
    spec = BatchSpec(connection="inner", workflow_id=free, format="json", concurrency="high")
    batch = await submit.submit_batch(outer, user, spec, json.dumps(rows).encode())
    single = await submit.submit_run(
        outer, user, RunSpec(connection="inner", workflow_id=free, input=b'{"sandbox": "outcome=error"}')
    )
    assert batch.id is not None

    async def is_open() -> bool:
        found = await reading.get_batch(outer, user, batch.id or UUID(int=0))
        alone = await reading.get_run(outer, user, single.id)
        return found["finished_at"] is None or alone["finished_at"] is None

    async with build(served.settings, program="test-worker") as inner, asyncio.timeout(40):
        hands = [(inner, await _register(inner)), (outer, await _register(outer))]
        while await is_open():
            for side, worker in hands:
                await _work(side, worker)
            await asyncio.sleep(0.02)

    assert (await reading.get_batch(outer, user, batch.id))["status"] == "finished"
    assert (await reading.get_run(outer, user, single.id))["status"] == "error"
    runs, _ = await reading.list_runs(outer, user, batch=batch.id, limit=100)
    made = {execution["id"]: execution for execution in sandbox.truth()["executions"]}
    for n, run in enumerate(runs):
        within = client.runs.get(run["execution_id"])
        assert (within["index"] is not None, within["status"]) == (True, "finished")
        execution = made[within["execution_id"]]
        assert execution["input"] == rows[n]
        facts = [(file["filename"], file["size_bytes"], file["sha256"]) for file in execution["files"]]
        assert [(file["filename"], file["size_bytes"], file["sha256"]) for file in run["results"]] == facts
    assert len(runs) == ITEMS
