"""Reads what helps to answer questions of the inbox: the launch that they are about, its worker, its provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.overview import CAP
from orchestrator.storage.database import rows

_ITEM = "id, kind, title, run_id, wave_id, batch_id, link, opened_at, closed_at, closed_because"

# Of a run its current attempt's launch; of a wave its own. A worker is forgotten after a week.
_FACTS = f"""
    SELECT {", ".join(f"i.{name}" for name in _ITEM.split(", "))}, r.status, r.attempt, r.external_id, r.index,
        r.provider_status, r.execution_id, r.created_by, b.name AS batch_name, c.name AS connection, c.console_url,
        w.remote_id AS workflow_id, w.name AS workflow_name, w.on_doubt, n.committed_at AS written_at,
        n.send_deadline, n.outcome, n.outcome_at, n.http_status, n.detail, n.body_bytes,
        encode(n.body_sha256, 'hex') AS body_sha256, k.place AS worker_place, k.pid AS worker_pid,
        k.state AS worker_state, k.heartbeat_at AS worker_seen_at, COALESCE(e.slot_until, v.slots_until) AS slot_until,
        v.size AS wave_size, t.looked_at, t.due_at AS next_look_at, t.looks,
        CASE WHEN i.wave_id IS NULL THEN (r.status = 'in_doubt')::int ELSE (SELECT count(*)::int FROM executions x
            WHERE x.wave_id = i.wave_id AND x.state = 'in_doubt') END AS doubts
    FROM i LEFT JOIN runs r ON r.id = i.run_id LEFT JOIN waves v ON v.id = i.wave_id
    LEFT JOIN batches b ON b.id = i.batch_id LEFT JOIN executions e ON e.run_id = r.id AND e.attempt = r.attempt
    JOIN connections c ON c.id = COALESCE(r.connection_id, b.connection_id)
    JOIN workflows w ON w.id = COALESCE(r.workflow_id, v.workflow_id)
    LEFT JOIN intents n ON n.id = COALESCE(e.intent_id,
        (SELECT x.id FROM intents x WHERE x.wave_id = i.wave_id ORDER BY x.committed_at DESC LIMIT 1))
    LEFT JOIN workers k ON k.id = n.worker_id LEFT JOIN timers t ON t.subject_id = r.id ORDER BY i.id"""  # noqa: S608 - our own words

# The inner LIMIT is a fence: the small index of open questions is walked, and not for ever.
PAGE = text(f"""
    WITH i AS MATERIALIZED (SELECT {_ITEM} FROM (SELECT {_ITEM} FROM inbox
            WHERE workspace_id = :workspace AND closed_at IS NULL
                AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT {CAP}) q
        WHERE kind = ANY(CAST(:kinds AS text[])) ORDER BY id LIMIT :limit) {_FACTS}""")  # noqa: S608 - our own words

# The same of those that are asked for by id, however few: they are found first.
FIND = text(f"""
    WITH i AS MATERIALIZED (SELECT {_ITEM} FROM inbox
        WHERE workspace_id = :workspace AND id = ANY(CAST(:ids AS uuid[]))) {_FACTS}""")  # noqa: S608 - our own words


async def page(
    connection: AsyncConnection, workspace: UUID, *, kinds: Sequence[str], after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Return open questions, oldest first, with what is known of each."""
    values = {"workspace": workspace, "kinds": [*kinds], "after": after, "limit": limit}
    return [dict(row._mapping) for row in await rows(connection, PAGE, values)]


async def find(connection: AsyncConnection, workspace: UUID, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Return some questions, open or settled, with what is known of each."""
    return [dict(row._mapping) for row in await rows(connection, FIND, {"workspace": workspace, "ids": [*ids]})]
