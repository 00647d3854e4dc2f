"""Answers about the audit, the system and connections are as described, also where there is much to tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import psycopg
import pytest

from orchestrator.bootstrap import build
from orchestrator.client import Client
from orchestrator.engine import checkpoints
from orchestrator.storage import workers
from tests.api.conftest import Served

PATHS = {
    "/audit": "/audit",
    "/audit?about=report": "/audit",
    "/audit/chain": "/audit/chain",
    "/audit/checkpoints": "/audit/checkpoints",
    "/audit/reports/SHA256": "/audit/reports/{sha256}",
    "/system": "/system",
    "/connections/main/standing": "/connections/{name}/standing",
    "/connections/described/standing": "/connections/{name}/standing",
}


@pytest.fixture(scope="module")
def sha256(served: Served, main: str, free: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A world with something of everything: alarms, a worker that ended, checkpoints, a report. Gives its SHA-256."""
    with Client(served.url, served.token) as client:
        client.connections.add(
            "described", provider="script", base_url="https://a.example/v1", api_key="its-own", limit_group="its-own"
        )
        client.connections.pause("described", reason="to be described")
        run = client.runs.submit(main, free, {})
        file: Path = tmp_path_factory.mktemp("described") / "run.html"
        made = client.reports.run(run["id"], file)
    with psycopg.connect(served.settings.require_database_url().replace("+psycopg", "")) as connection:
        connection.execute(
            "UPDATE lanes SET launches_stopped = 'key_refused', launches_stopped_at = now(), breaker = 'open',"
            " breaker_trips = 3, breaker_probe_at = now() + interval '1 h', blocked_until = now() + interval '1 h'"
            " WHERE id = (SELECT lane_id FROM connections WHERE name = 'described')"
        )
    asyncio.run(_work(served))
    yield made["sha256"]
    with psycopg.connect(served.settings.require_database_url().replace("+psycopg", "")) as connection:
        connection.execute("UPDATE workers SET state = 'dead', ended_at = now(), buried_at = now() WHERE pid = 4711")
    with Client(served.url, served.token) as client:
        client.connections.remove("described")


async def _work(served: Served) -> None:
    async with build(served.settings, program="test") as deps:
        for version in ("0.0.1", "0.0.2"):
            worker = deps.sources.new_id()

            async def register(connection: Any, id: Any = worker, version: str = version) -> None:
                await workers.register(connection, id=id, place="here", pid=4711, version=version)

            await deps.db.run(register)
        await checkpoints.keep(deps, at_once=True)
    with psycopg.connect(served.settings.require_database_url().replace("+psycopg", "")) as connection:
        connection.execute("UPDATE workers SET state = 'dead', ended_at = now() WHERE version = '0.0.2' AND pid = 4711")
        connection.execute(
            "UPDATE workers SET heartbeat_at = now() - interval '1 hour' WHERE version = '0.0.1' AND pid = 4711"
        )


@pytest.mark.parametrize("path", PATHS)
def test_what_is_told_is_as_described(http: httpx.Client, sha256: str, path: str) -> None:
    description = http.get("/api/v1/openapi.json").json()
    operation = description["paths"][f"/api/v1{PATHS[path]}"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    answer = http.get("/api/v1" + path.replace("SHA256", sha256))
    assert answer.status_code == 200, answer.text
    jsonschema.validate(answer.json(), {**schema, "components": description["components"]})
    assert operation["x-scope"] == "read"
    assert not _undescribed(answer.json(), schema, description["components"]["schemas"])


def test_the_world_of_these_tests_has_something_of_everything(http: httpx.Client, sha256: str) -> None:
    told = http.get("/api/v1/system").json()
    assert {"launches_stopped", "provider_unreachable", "lane_throttled"} <= {alarm["code"] for alarm in told["alarms"]}
    assert {"silent", "dead"} <= {worker["state"] for worker in told["workers"]}
    assert http.get("/api/v1/audit/checkpoints").json()["data"]
    words = [each["word"] for each in http.get("/api/v1/connections/described/standing").json()["health"]]
    assert words == ["key refused", "probing", "asked to wait", "paused"]


def _undescribed(value: Any, schema: dict[str, Any], named: dict[str, Any]) -> set[str]:
    """Return the names of fields that an answer has and its description has not."""
    if "$ref" in schema:
        return _undescribed(value, named[schema["$ref"].rsplit("/", 1)[1]], named)
    if "anyOf" in schema:
        return set() if value is None else _undescribed(value, schema["anyOf"][0], named)
    if isinstance(value, list):
        return {name for item in value for name in _undescribed(item, schema.get("items", {}), named)}
    if not isinstance(value, dict) or "properties" not in schema:
        return set()
    known = schema["properties"]
    inner = {name for key in value.keys() & known.keys() for name in _undescribed(value[key], known[key], named)}
    return inner | {*value} - {*known}
