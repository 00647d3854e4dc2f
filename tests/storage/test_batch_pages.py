"""A page of batches by an external id asks for it once, not in each workflow; no page reads the table whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.scale.explained import Watched, watched
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.storage import batches

pytestmark = pytest.mark.anyio

WORKFLOWS = 400

#: Each workflow has four batches, two of them with an external id. Both connections have workflows of the same names.
FILL = """
    INSERT INTO lanes (id, limit_key, requests_per_minute) VALUES (gen_random_uuid(), 'k', 100);
    INSERT INTO connections (id, workspace_id, lane_id, name, provider, base_url, api_key, key_hint, max_concurrent)
    SELECT gen_random_uuid(), w.id, l.id, v.name, 'script', 'http://x', '', '', 10
    FROM workspaces w, lanes l, unnest(ARRAY['a', 'b']) AS v(name);
    INSERT INTO workflows (id, workspace_id, connection_id, lane_id, remote_id, name)
    SELECT gen_random_uuid(), n.workspace_id, n.id, n.lane_id, 'w-' || i, 'w'
    FROM connections n, generate_series(1, {workflows} / 2) i;
    INSERT INTO batches (id, workspace_id, connection_id, workflow_id, external_id, source_sha256, source_format, total,
        concurrency, created_by, final_counts)
    SELECT uuidv7(), w.workspace_id, w.connection_id, w.id, CASE WHEN i % 2 = 0 THEN w.remote_id || '/' || i END,
        '', 'jsonl', 1, 'low', 'test', '{{}}'
    FROM generate_series(1, 4) i, workflows w"""

ALL = text("""
    SELECT b.id, b.external_id, w.remote_id AS workflow, n.name AS connection
    FROM batches b JOIN workflows w ON w.id = b.workflow_id JOIN connections n ON n.id = b.connection_id
    ORDER BY b.id DESC""")


async def filled(deps: Deps) -> list[Any]:
    """Fill the database; return what is known of each batch, newest first."""

    async def write(connection: AsyncConnection) -> list[Any]:
        for statement in FILL.format(workflows=WORKFLOWS).split(";"):
            await connection.execute(text(statement))
        await connection.execute(text("ANALYZE"))
        return list((await connection.execute(ALL)).all())

    return await deps.db.run(write)


async def page(deps: Deps, who: Who, conditions: Mapping[str, Any], *, limit: int = 20) -> tuple[list[UUID], Watched]:
    """Return the ids of a page, and what it touched."""

    async def read(connection: AsyncConnection) -> list[UUID]:
        return [row.id for row in await batches.page(connection, who.workspace_id, conditions, limit=limit)]

    with watched() as found:
        ids = await deps.db.run(read)
    return ids, found


ASKED: Mapping[str, dict[str, Any]] = {
    "all": {},
    "an external id": {"external_ids": ["w-7/2"]},
    "either of two": {"external_ids": ["w-7/2", "w-8/4"]},
    "none has it": {"external_ids": ["no-such"]},
    "of a connection": {"external_ids": ["w-7/2"], "connection": "a"},
    "of a workflow": {"external_ids": ["w-7/2"], "workflow": "w-7"},
    "of another workflow": {"external_ids": ["w-7/2"], "workflow": "w-8"},
}


async def test_pages_hold_what_was_asked_for_newest_first_and_touch_no_more_than_they_show(
    deps: Deps, who: Who
) -> None:
    everything = await filled(deps)
    for name, conditions in ASKED.items():
        ids, found = await page(deps, who, conditions)
        assert (
            ids
            == [
                row.id
                for row in everything
                if ("external_ids" not in conditions or row.external_id in conditions["external_ids"])
                and conditions.get("connection", row.connection) == row.connection
                and conditions.get("workflow", row.workflow) == row.workflow
            ][:20]
        ), name
        assert "batches" not in found.scanned, name
        # Twenty rows by their keys, with their workflows; of 400 workflows each would be three at the least.
        assert found.buffers < 250, (name, found.seen)
