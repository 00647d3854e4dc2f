"""The least that does the work: one asyncio process, httpx, nothing stored. What it knows dies with it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import Any

import httpx

from benchmarks.load import WORKFLOW, Load
from benchmarks.stage import Stage

NAME = "bare"

#: Requests on the wire together. httpx searches its pool and all that wait for it one by one, so both are kept small.
ON_WIRE = 6
POOL = httpx.Limits(max_connections=2 * ON_WIRE, max_keepalive_connections=2 * ON_WIRE)


def run(stage: Stage) -> dict[str, Any]:
    """Measure the bare client; return its figures."""
    stage.create_database(NAME)
    return {"contender": NAME, "broker": None, "workers": "1 process", **asyncio.run(_measure(stage))}


async def _measure(stage: Stage) -> dict[str, Any]:
    load = stage.load
    base = f"{stage.sandbox.api_url}/workflows/{stage.sandbox.workflows[WORKFLOW]}/executions"
    clients = [_Client(base, key, load) for key in load.keys]
    meter = stage.meter({"workers": [os.getpid()]})
    await asyncio.gather(*(client.work(load.warm_up) for client in clients))
    stage.sandbox.reset()
    before = await asyncio.to_thread(meter.read)
    hashes = await asyncio.gather(*(client.work(load.each) for client in clients))
    after = await asyncio.to_thread(meter.read)
    assert sum(len(found) for found in hashes) == load.total, "every file came"
    figures = await asyncio.to_thread(meter.cost, before, after, executions=load.total)
    requests = await asyncio.to_thread(stage.requests)
    for client in clients:
        await client.http.aclose()
    return {**figures, "api_requests_per_execution": round(requests / load.total, 2)}


class _Client:
    """Launches, looks and downloads for one key."""

    def __init__(self, base: str, key: str, load: Load) -> None:
        self.http = httpx.AsyncClient(headers={"x-api-key": key}, limits=POOL, timeout=30, trust_env=False)
        self._base = base
        self._load = load
        self._open = asyncio.Semaphore(load.in_flight)
        self._on_wire = asyncio.Semaphore(ON_WIRE)

    async def work(self, count: int) -> list[str]:
        """Do so many executions; return the hashes of their files."""
        return await asyncio.gather(*(self._execute(body) for body in self._load.inputs(count)))

    async def _execute(self, body: bytes) -> str:
        async with self._open:
            launched = await self._call("POST", self._base, json={"input": json.loads(body)})
            url = await self._await_end(launched.json()["execution_id"])
            # The key is for the API only.
            answer = await self._call("GET", url, headers={"x-api-key": ""})
            return hashlib.sha256(answer.content).hexdigest()

    async def _await_end(self, execution: str) -> str:
        tries = 0
        while True:
            await asyncio.sleep(self._load.delay_s(tries))
            seen = (await self._call("GET", f"{self._base}/{execution}")).json()
            if seen["status"] == "finished":
                return str(seen["results"][0]["url"])
            tries += 1

    async def _call(self, method: str, url: str, **words: Any) -> httpx.Response:
        async with self._on_wire:
            return (await self.http.request(method, url, **words)).raise_for_status()
