"""The product as it is deployed: worker processes on Postgres and pgmq, batches submitted through its own verb."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from benchmarks.load import WORKFLOW, Load
from benchmarks.stage import Processes, Stage
from orchestrator.bootstrap import build
from orchestrator.embedded.environment import child_environment
from orchestrator.engine import connections, submit, tokens, workflows
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from workers import broker

LEFT = "SELECT count(*) FROM batches WHERE ended_at IS NULL"
UNFINISHED = "SELECT count(*) FROM runs WHERE status <> 'finished'"

#: What the product takes as a limit at most; the sandbox has none.
REQUESTS_PER_MINUTE = 100_000
SLOTS = 10_000


def run(stage: Stage, *, in_waves: bool) -> dict[str, Any]:
    """Measure the product; return its figures."""
    name = "product_waves" if in_waves else "product_single"
    stage.create_database(name)
    settings = Settings(
        database_url=SecretStr(stage.postgres.dsn(name)),
        data_dir=stage.folder / name,
        allow_private_networks=True,
        poll_min_interval_s=0.1,
        log_level="warning",
        workers=stage.load.workers,
    )
    broker.prepare(settings)
    with Processes(stage) as processes:
        figures = asyncio.run(_measure(stage, processes, settings, name, in_waves=in_waves))
    return {"contender": name, "broker": "pgmq", "workers": stage.load.workers, **figures}


async def _measure(
    stage: Stage, processes: Processes, settings: Settings, name: str, *, in_waves: bool
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        deps = await stack.enter_async_context(build(settings, program="bench"))
        who = await prepare(deps, stage)
        environment = child_environment(settings)
        pids = [
            processes.start_python(f"{name}-{number}", "orchestrator.cli", "worker", environment=environment)
            for number in range(stage.load.workers)
        ]
        await _work(stage, deps, who, stage.load.warm_up, in_waves=in_waves)
        meter = stage.meter({"workers": pids, "submitter": [os.getpid()]})
        stage.sandbox.reset()
        before = await asyncio.to_thread(meter.read)
        await _work(stage, deps, who, stage.load.each, in_waves=in_waves)
        after = await asyncio.to_thread(meter.read)
        # All must have ended well; whatever did not would be counted as fast.
        await asyncio.to_thread(stage.until_none, name, UNFINISHED)
        figures = await asyncio.to_thread(meter.cost, before, after, executions=stage.load.total)
        requests = await asyncio.to_thread(stage.requests)
    return {**figures, "api_requests_per_execution": round(requests / stage.load.total, 2)}


async def prepare(deps: Deps, stage: Stage, *, slots: int = SLOTS) -> Who:
    """Make a connection for each key, with a backoff schedule like everybody's.

    Args:
        slots: executions of one connection that may be alive at a time.
    """
    load: Load = stage.load
    workspace = await tokens.ensure_workspace(deps)
    who = Who(workspace_id=workspace, actor="token:bench", scopes=frozenset(SCOPES))
    for key in load.keys:
        await connections.add_connection(
            deps, who, name=key, provider="script", base_url=stage.sandbox.api_url, api_key=key,
            requests_per_minute=REQUESTS_PER_MINUTE, max_concurrent=slots,
        )  # fmt: skip
        policy = f"initial={load.first_look_s},factor={load.factor},cap={load.cap_s},jitter=0.1"
        await workflows.set_workflow(deps, who, key, stage.sandbox.workflows[WORKFLOW], poll=policy)
    return who


async def _work(stage: Stage, deps: Deps, who: Who, count: int, *, in_waves: bool) -> None:
    """Submit a batch to each connection, and wait until all have ended."""
    data = b"\n".join(stage.load.inputs(count))

    async def batch(key: str) -> UUID | None:
        spec = BatchSpec(
            connection=key, workflow_id=stage.sandbox.workflows[WORKFLOW], format="jsonl", concurrency="high",
            wave_size=None if in_waves else 1,
        )  # fmt: skip
        return (await submit.submit_batch(deps, who, spec, data)).id

    await asyncio.gather(*(batch(key) for key in stage.load.keys))
    name = "product_waves" if in_waves else "product_single"
    await asyncio.to_thread(stage.until_none, name, LEFT)
