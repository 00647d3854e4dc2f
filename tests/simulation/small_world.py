"""A small world at rest, made by the real verbs on a real Postgres, for the invariants to be tried on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from orchestrator.bootstrap import build
from orchestrator.engine import connections, operate, pump, reading, submit, sweep, tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.submit import BatchSpec, RunSpec
from orchestrator.engine.who import SCOPES, Who
from orchestrator.providers.files import HttpFileFetcher
from orchestrator.providers.script import ScriptProvider
from orchestrator.settings import Settings
from orchestrator.storage import workers
from sandbox.options import Options
from tests.simulation.invariants.view import Evidence
from tests.simulation.network import Fabric, Latency
from tests.simulation.provider import SimProvider
from tests.simulation.store import SimStore

HOST = "127.0.0.1"
QUICK = Latency(median_s=0.001, sigma=0.0, least_s=0.001, most_s=0.001)


class NoFaults:
    """A world in which nothing goes wrong by itself."""

    def at(self, boundary: str, /) -> str | None:
        return None


@dataclass
class Told:
    """What the client was told."""

    runs: dict[UUID, str] = field(default_factory=dict)
    batches: dict[UUID, list[str]] = field(default_factory=dict)


@dataclass
class Small:
    """A small world at rest: runs that finished, one that failed, one in doubt, one that waits for a person."""

    dsn: str
    fabric: Fabric
    provider: SimProvider
    store: SimStore
    told: Told
    runs: dict[str, UUID]


@dataclass
class Scene:
    """The small world, open for damage; what is done in the database is rolled back."""

    small: Small
    connection: psycopg.Connection[Any]
    evidence: Evidence
    patch: pytest.MonkeyPatch

    def run(self, tag: str) -> UUID:
        return self.small.runs[tag]

    def sql(self, statement: LiteralString, **values: Any) -> None:
        assert self.connection.execute(statement, values).rowcount != 0, "the damage must hit something"

    def execution_id(self, tag: str) -> str:
        query = "SELECT execution_id FROM runs WHERE id = %s"
        ((id_,),) = self.connection.execute(query, [self.run(tag)]).fetchall()
        return str(id_)


async def live(dsn: str, folder: Path) -> Small:
    """Let the small world happen, in real time; return it at rest."""
    fabric = Fabric(rng=Random(1), faults=NoFaults(), latency=QUICK)
    options = Options(duration_s=0.1, requests_per_minute=6_000)
    provider = SimProvider(fabric, options=options, seed=1, start_s=time.time(), host=HOST)
    store, told = SimStore(NoFaults()), Told()
    settings = Settings(
        database_url=SecretStr(dsn),
        data_dir=folder,
        allow_private_networks=True,
        poll_min_interval_s=0.05,
        poll_max_interval_s=0.2,
    )
    async with build(settings, program="test") as real:
        network = fabric.network("worker-1")
        script = ScriptProvider(allow_private_networks=True, network=network)
        files = HttpFileFetcher(allow_private_networks=True, network=network)
        deps = replace(real, provider=lambda _: script, files=files, store=store)
        runs = await _fill(deps, provider, told)
        await script.aclose()
    return Small(dsn=dsn, fabric=fabric, provider=provider, store=store, told=told, runs=runs)


async def _fill(deps: Deps, provider: SimProvider, told: Told) -> dict[str, UUID]:
    who = Who(workspace_id=await tokens.ensure_workspace(deps), actor="token:test", scopes=frozenset(SCOPES))
    await connections.add_connection(
        deps, who, name="main", provider="script", base_url=provider.api_url, api_key=provider.key,
        requests_per_minute=6_000, console_url=provider.console_url,
    )  # fmt: skip
    workflow = provider.workflows["Free form"]
    # The doubt first: while the breaker that it opens is half open, a wave would hold one item.
    singles = {"doubted": "fault=reset_after", "done": "files=2; size_bytes=300", "failed": "outcome=error"}
    singles["human"] = "outcome=human_in_the_loop"
    worker = deps.sources.new_id()

    async def register(connection: Any) -> None:
        await workers.register(connection, id=worker, place="test", pid=1, version="test")

    await deps.db.run(register)
    for tag, hints in singles.items():
        body = json.dumps({"note": tag, "sandbox": hints}).encode()
        stored = await submit.submit_run(deps, who, RunSpec(connection="main", workflow_id=workflow, input=body))
        told.runs[stored.id] = tag
        await _work(deps, who, worker, until=lambda: _is_at_rest(deps, who))
        await connections.test_connection(deps, who, "main")  # lets one launch try, after the doubt
    wave = await _batch(deps, who, workflow, told, [f"w{n}" for n in range(4)])
    await _work(deps, who, worker, until=lambda: _is_at_rest(deps, who))
    paused = await _batch(deps, who, workflow, told, ["paused"])
    await operate.pause_batch(deps, who, paused, reason="a drill")
    await sweep.sweep(deps)
    found, _ = await reading.list_runs(deps, who, limit=50)
    by_index = {(str(r["batch_id"]), r["index"]): UUID(str(r["id"])) for r in found}
    named = {tag: id_ for id_, tag in told.runs.items()}
    return named | {f"w{n}": by_index[str(wave), n] for n in range(4)} | {"paused": by_index[str(paused), 0]}


async def _batch(deps: Deps, who: Who, workflow: str, told: Told, tags: list[str]) -> UUID:
    spec = BatchSpec(connection="main", workflow_id=workflow, format="jsonl")
    data = b"\n".join(json.dumps({"note": tag}).encode() for tag in tags)
    stored = await submit.submit_batch(deps, who, spec, data)
    assert stored.id is not None
    told.batches[stored.id] = tags
    return stored.id


async def _work(deps: Deps, who: Who, worker: UUID, *, until: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not await until():
            for kind in ("launch", "poll", "download"):
                await pump.pump(deps, kind, worker=worker, should_stop=lambda: False)
            await asyncio.sleep(0.02)


async def _is_at_rest(deps: Deps, who: Who) -> bool:
    found, _ = await reading.list_runs(deps, who, limit=50)
    at_rest = {"finished", "error", "in_doubt", "human_in_the_loop"}
    return all(r["status"] in at_rest for r in found)
