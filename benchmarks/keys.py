"""Measure how many API keys this machine holds at their limit: `python -m benchmarks.keys [--keys N]… [--seconds S]`.

Each key has 100 requests a minute, and a batch whose looks need all of them: 15 executions at a time, of 20 s each.
The product works them with its own workers, waves and planner. Once each key's minute is full, the requests that reach
the provider are counted for a while. One JSON line for each number of keys; a key is held at 95 % of its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from benchmarks.load import WORKFLOW, Load
from benchmarks.progress import say
from benchmarks.stage import Processes, Stage
from benchmarks.throughput import machine
from orchestrator.bootstrap import build
from orchestrator.embedded.environment import child_environment
from orchestrator.engine import connections, submit, tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec
from orchestrator.engine.who import SCOPES, Who
from orchestrator.settings import Settings
from workers import broker

REQUESTS_PER_MINUTE = 100
HELD_SHARE = 0.95
#: The first waves are small, for nothing is known of the workflow: in virtual time, too, this world uses 57 % of its
#: budget after 75 to 120 s, and 98 % from the fourth minute on.
WARM_UP_S = 185.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysLoad(Load):
    """Keys at the documented limit, with more work than it allows."""

    duration_sigma: float = 0.8
    each_items: int = 400

    def sandbox_options(self) -> dict[str, Any]:
        """Return a provider that keeps to its limit, and takes 20 s in the mean."""
        return {
            **Load.sandbox_options(self),
            "requests_per_minute": REQUESTS_PER_MINUTE,
            "duration_s": self.duration_s,
            "duration_sigma": self.duration_sigma,
        }


def main(argv: list[str] | None = None) -> int:
    """Measure each number of keys; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keys", description=__doc__)
    parser.add_argument("--keys", type=int, action="append", help="so many keys; may be repeated (default: 40)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long requests are counted (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S, help="seconds before that (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the product (default %(default)s)")
    given = parser.parse_args(argv)
    if min(given.keys or [1]) < 1 or given.seconds <= 0 or given.warm_up < 0:
        parser.error("--keys is at least 1, --seconds more than 0, --warm-up not less than 0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for keys in given.keys or [40]:
        say("keys", f"{keys} keys")
        load = KeysLoad(connections=keys, duration_s=20.0, workers=given.workers)
        with Stage(load) as stage:
            figures = measured(stage, seconds=given.seconds, warm_up_s=given.warm_up)
        print(json.dumps({"benchmark": "keys", **figures, **machine()}), flush=True)
    return 0


def measured(stage: Stage, *, seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Let the product work, and return what its keys used of their limits and what that cost."""
    stage.create_database("keys")
    settings = Settings(
        database_url=SecretStr(stage.postgres.dsn("keys")), data_dir=stage.folder / "keys",
        allow_private_networks=True, log_level="warning", workers=stage.load.workers,
    )  # fmt: skip
    broker.prepare(settings)
    with Processes(stage) as processes:
        return asyncio.run(_measure(stage, processes, settings, seconds=seconds, warm_up_s=warm_up_s))


async def _measure(
    stage: Stage, processes: Processes, settings: Settings, *, seconds: float, warm_up_s: float
) -> dict[str, Any]:
    keys = stage.load.connections
    async with AsyncExitStack() as stack:
        deps = await stack.enter_async_context(build(settings, program="bench"))
        await _submit(deps, stage)
        environment = child_environment(settings)
        pids = [
            processes.start_python(f"keys-{number}", "orchestrator.cli", "worker", environment=environment)
            for number in range(stage.load.workers)
        ]
        await asyncio.sleep(warm_up_s)
        meter = stage.meter({"workers": pids, "submitter": [os.getpid()]})
        before, requests_before = await asyncio.to_thread(meter.read), await asyncio.to_thread(stage.requests)
        await asyncio.sleep(seconds)
        after, requests_after = await asyncio.to_thread(meter.read), await asyncio.to_thread(stage.requests)
        said = await asyncio.to_thread(stage.sandbox.limits)
    requests = requests_after - requests_before
    cost = await asyncio.to_thread(meter.cost, before, after, executions=max(requests, 1))
    allowed = keys * REQUESTS_PER_MINUTE * cost["wall_s"] / 60
    return {
        "keys": keys,
        "budget_used": round(requests / allowed, 3),
        "is_held": requests / allowed >= HELD_SHARE,
        "requests_per_s": cost["executions_per_s"],
        "cpu_ms_per_request": round(cost["cpu_s_per_execution"] * 1000, 2),
        "statements_per_request": cost["statements_per_execution"],
        "wal_bytes_per_request": cost["wal_bytes_per_execution"],
        "turned_away": sum(int(key["answered_429"]) for key in said["keys"].values()),
        "keys_at_work": sum(1 for key in said["keys"].values() if key["requests"]),
        **{name: cost[name] for name in ("wall_s", "cpu_s", "cores_busy", "cores_busy_elsewhere")},
    }


async def _submit(deps: Deps, stage: Stage) -> None:
    """Give each key a connection and a batch."""
    load = stage.load
    assert isinstance(load, KeysLoad), "the stage is one of keys"
    workspace = await tokens.ensure_workspace(deps)
    who = Who(workspace_id=workspace, actor="token:bench", scopes=frozenset(SCOPES))
    data = b"\n".join(load.inputs(load.each_items))
    for key in load.keys:
        await connections.add_connection(
            deps, who, name=key, provider="script", base_url=stage.sandbox.api_url, api_key=key,
            requests_per_minute=REQUESTS_PER_MINUTE, max_concurrent=20,
        )  # fmt: skip
        spec = BatchSpec(
            connection=key, workflow_id=stage.sandbox.workflows[WORKFLOW], format="jsonl", concurrency="high"
        )
        await submit.submit_batch(deps, who, spec, data)


if __name__ == "__main__":
    sys.exit(main())
