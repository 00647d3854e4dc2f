"""A page of runs is what its filters say, in their order and whole, whichever index finds it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.statuses import RunStatus
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.runtime import uuid7
from orchestrator.storage import runs

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
STATUSES = [RunStatus.QUEUED, RunStatus.PROCESSING, RunStatus.FINISHED, RunStatus.ERROR]

PLACES = text("""
    WITH l AS (INSERT INTO lanes (id, limit_key, requests_per_minute) VALUES (gen_random_uuid(), 'k', 100)
        RETURNING id),
    n AS (INSERT INTO connections (id, workspace_id, lane_id, name, provider, base_url, api_key, key_hint,
            max_concurrent)
        SELECT gen_random_uuid(), :workspace, l.id, name, 'script', 'http://x', '', '', 10
        FROM l, unnest(ARRAY['a', 'b']) name RETURNING id, lane_id, name)
    INSERT INTO workflows (id, workspace_id, connection_id, lane_id, remote_id, name)
    SELECT gen_random_uuid(), :workspace, n.id, n.lane_id, remote, remote FROM n, unnest(ARRAY['v', 'w']) remote
    RETURNING id, connection_id, remote_id, (SELECT name FROM n WHERE n.id = connection_id) AS connection""")

RUN = text("""
    INSERT INTO runs (id, workspace_id, connection_id, workflow_id, external_id, status, input_sha256, input_bytes,
        created_by, created_at)
    VALUES (:id, :workspace, :connection_id, :workflow_id, :external_id, :status, '', 0, 'test', :created_at)""")

LABEL = text("INSERT INTO labels (run_id, workspace_id, key, value) VALUES (:id, :workspace, :key, :value)")


async def stored(deps: Deps, who: Who, count: int) -> list[dict[str, Any]]:
    """Store runs of all kinds, some of them created long after or before their id was made; return their facts."""
    random_ = random.Random(7)

    async def write(connection: AsyncConnection) -> list[dict[str, Any]]:
        places = (await connection.execute(PLACES, {"workspace": who.workspace_id})).all()
        found = []
        for n in range(count):
            place = random_.choice(places)
            created_at = NOW - timedelta(hours=random_.randrange(100))
            made_at = created_at + random_.choice([timedelta(0)] * 8 + [timedelta(hours=-30), timedelta(hours=3)])
            run = {
                "id": uuid7(int(made_at.timestamp() * 1000), random_.getrandbits(74)),
                "workspace": who.workspace_id,
                "connection_id": place.connection_id,
                "workflow_id": place.id,
                # Of several connections, and also twice in one: as rows of batches may be named alike.
                "external_id": None,
                "status": random_.choice(STATUSES),
                "created_at": created_at,
            }
            labels = {"team": f"t{n % 3}"} | ({"tier": "gold"} if n % 2 else {})
            await connection.execute(RUN, run)
            for key, value in labels.items():
                await connection.execute(LABEL, {**run, "key": key, "value": value})
            found.append({**run, "labels": labels, "workflow": place.remote_id, "connection": place.connection})
        return found

    return await deps.db.run(write)


def asked() -> Iterator[dict[str, Any]]:
    """Give every combination of the filters."""
    period = {"since": NOW - timedelta(hours=70), "until": NOW - timedelta(hours=20)}
    choices: Sequence[Sequence[dict[str, Any]]] = [
        [{}, {"statuses": ["error"]}, {"statuses": ["queued", "finished", "error"]}],
        [{}, {"workflow": "v"}, {"connection": "b"}, {"workflow": "w", "connection": "a"}, {"workflow": "no"}],
        [{}, {"since": NOW - timedelta(hours=60)}, period],
        [{}, {"labels": {"team": "t1"}}, {"labels": {"team": "t2", "tier": "gold"}}],
    ]  # fmt: skip
    for parts in itertools.product(*choices):
        yield {name: value for part in parts for name, value in part.items()}


def expected(all_runs: Sequence[Mapping[str, Any]], asked_for: Mapping[str, Any]) -> list[UUID]:
    """Return the ids that meet the filters, newest first, found by looking at every run."""
    found = [
        run["id"]
        for run in all_runs
        if run["status"] in asked_for.get("statuses", STATUSES)
        and all(run[name] == asked_for[name] for name in ("workflow", "connection") if name in asked_for)
        and ("since" not in asked_for or run["created_at"] >= asked_for["since"])
        and ("until" not in asked_for or run["created_at"] <= asked_for["until"])
        and asked_for.get("labels", {}).items() <= run["labels"].items()
    ]
    return sorted(found, reverse=True)


async def test_pages_under_any_filters_hold_what_meets_them_newest_first_and_nothing_twice(
    deps: Deps, who: Who
) -> None:
    everything = await stored(deps, who, 120)
    for conditions in asked():
        given = {name: value for name, value in conditions.items() if name != "labels"}
        if labels := conditions.get("labels"):
            given |= {"label_keys": list(labels), "label_values": list(labels.values())}
        assert await in_pages(deps, who, given, size=7) == expected(everything, conditions), conditions


async def in_pages(deps: Deps, who: Who, conditions: Mapping[str, Any], *, size: int) -> list[UUID]:
    """Return the ids of all pages, one after the other."""
    found: list[UUID] = []
    while True:
        before = {"before": found[-1]} if found else {}

        async def read(connection: AsyncConnection, before: Mapping[str, Any] = before) -> list[runs.RunRow]:
            return await runs.page(connection, who.workspace_id, {**conditions, **before}, limit=size)

        page = [row.id for row in await deps.db.run(read)]
        found += page
        if len(page) < size:
            return found


async def test_another_workspace_sees_none_of_them(deps: Deps, who: Who) -> None:
    await stored(deps, who, 20)
    stranger = Who(workspace_id=uuid4(), actor="token:test", scopes=who.scopes)
    for conditions in ({}, {"statuses": ["finished"]}, {"workflow": "v"}, {"since": NOW - timedelta(hours=99)}):
        assert await in_pages(deps, stranger, conditions, size=5) == []
