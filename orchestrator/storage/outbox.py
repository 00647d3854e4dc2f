"""The outbox: what webhooks are told, written in the transaction of the change that it tells of.

Where nobody listens nothing is written, and where things happen often nothing is asked either: the statement that
locks a run, a batch or a lane says whether anybody does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain import webhooks
from orchestrator.domain.chain import NewEvent
from orchestrator.domain.changes import Change
from orchestrator.domain.webhooks import Message
from orchestrator.runtime import uuid7
from orchestrator.storage.database import rows
from orchestrator.storage.listening import ACTIVE, LISTENS

# Of what is told, by its alias: its type, its family, or all was asked for.
_ASKED = f"""h.workspace_id = {{0}}.workspace_id AND {ACTIVE}
    AND h.types && ARRAY[{{0}}.type, split_part({{0}}.type, '.', 1) || '.*', '*']"""

# Who is told is decided once, when it happens. Names are added here, so that nobody needs to look them up before.
WRITE = text(f"""
    WITH told AS (
        INSERT INTO webhook_messages (id, workspace_id, type, about, body, at)
        SELECT v.id, v.workspace_id, v.type, v.about,
            concat('{{"type":', to_json(v.type), ',"timestamp":', to_json(CAST(:stamp AS text)), ',"data":',
                CAST(v.data AS jsonb) || jsonb_strip_nulls(jsonb_build_object(
                    'workflow_id', w.remote_id, 'connection', c.name)), '}}'),
            orch_now()
        FROM unnest(CAST(:ids AS uuid[]), CAST(:workspaces AS uuid[]), CAST(:types AS text[]),
            CAST(:abouts AS text[]), CAST(:data AS text[]), CAST(:runs AS uuid[]), CAST(:batches AS uuid[]))
            AS v(id, workspace_id, type, about, data, run_id, batch_id)
        LEFT JOIN runs r ON r.id = v.run_id LEFT JOIN batches b ON b.id = v.batch_id
        LEFT JOIN workflows w ON w.id = COALESCE(r.workflow_id, b.workflow_id)
        LEFT JOIN connections c ON c.id = w.connection_id
        WHERE EXISTS (SELECT FROM webhooks h WHERE {_ASKED.format("v")})
        ON CONFLICT (workspace_id, about) DO NOTHING
        RETURNING id, workspace_id, type)
    INSERT INTO webhook_deliveries (webhook_id, message_id, state, due_at)
    SELECT h.id, told.id, 'pending', orch_now() FROM told JOIN webhooks h
        ON {_ASKED.format("told")}""")  # noqa: S608 - our own words

# The connections of a lane of whose workspaces somebody listens.
REFUSED = text(f"""
    SELECT c.id, c.workspace_id, c.name, l.launches_stopped, l.launches_stopped_at
    FROM connections c JOIN lanes l ON l.id = c.lane_id
    WHERE c.lane_id = :lane AND c.removed_at IS NULL AND {LISTENS.format("c")} ORDER BY c.id LIMIT 100""")  # noqa: S608

NOW = text("SELECT orch_now()")


async def write(connection: AsyncConnection, messages: Sequence[Message], *, at: datetime) -> None:
    """Write messages, and a delivery of each for everybody who asked for its type."""
    if not messages:
        return
    await connection.execute(
        WRITE,
        {
            "stamp": stamp(at),
            "ids": [id_of(m, at) for m in messages],
            "workspaces": [m.workspace_id for m in messages],
            "types": [m.type for m in messages],
            "abouts": [m.about for m in messages],
            "data": [json.dumps(_data(m)) for m in messages],
            "runs": [m.run_id for m in messages],
            "batches": [m.batch_id for m in messages],
        },
    )


def id_of(message: Message, at: datetime) -> UUID:
    """Return a message's id: in the order of time, and the same if its transaction has to be run again."""
    digest = hashlib.sha256(f"{message.workspace_id}/{message.about}".encode()).digest()
    return uuid7(int(at.timestamp() * 1000), int.from_bytes(digest[:10]) & (1 << 74) - 1)


def stamp(at: datetime) -> str:
    """Return a time as messages hold it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def tell_changes(
    connection: AsyncConnection, touched: Iterable[tuple[Change, Row[Any]]], *, at: datetime
) -> None:
    """Tell of what runs came to, where somebody listens."""
    told = [
        Message(
            workspace_id=run.workspace_id,
            type=type,
            # The head of its history: no run comes to the same twice there.
            about=f"{type}:{run.id}:{run.event_seq}",
            data=data,
            run_id=run.id,
            batch_id=run.batch_id,
        )
        for change, run in touched
        if run.listens
        for type, data in webhooks.of_change(change, attempt=change.attempt or run.attempt)
    ]
    await write(connection, told, at=at)


async def tell_refused(connection: AsyncConnection, lane: UUID) -> None:
    """Tell that a lane's key was refused, once for each of its connections."""
    told = [
        Message(
            workspace_id=row.workspace_id,
            type=webhooks.REFUSED,
            about=f"{webhooks.REFUSED}:{row.id}:{row.launches_stopped_at.isoformat()}",
            data={"connection": row.name, "error_code": row.launches_stopped},
        )
        for row in await rows(connection, REFUSED, {"lane": lane})
    ]
    if told:
        await write(connection, told, at=(await connection.execute(NOW)).scalar_one())


async def tell_missed(connection: AsyncConnection, workspace: UUID, told: Iterable[NewEvent], *, at: datetime) -> None:
    """Tell of missed ticks, in the words of their events; other events are left out."""
    missed = [event for event in told if event.type in ("tick_missed", "ticks_missed")]
    await write(
        connection,
        [
            Message(
                workspace_id=workspace,
                type=webhooks.MISSED,
                about=f"{webhooks.MISSED}:{json.dumps(event.data, sort_keys=True)}:{at.isoformat()}",
                data={k: v for k, v in (event.data or {}).items() if k != "ticks_sha256"},
            )
            for event in missed
        ],
        at=at,
    )


def _data(message: Message) -> dict[str, object]:
    """Return a message's data with its ids, and where more is to be read."""
    ids = {"run_id": message.run_id, "batch_id": message.batch_id}
    links = {
        noun: f"/api/v1/{nouns}/{id}"
        for noun, nouns, id in (("run", "runs", message.run_id), ("batch", "batches", message.batch_id))
        if id is not None
    }
    found: dict[str, object] = {name: str(id) for name, id in ids.items() if id is not None}
    return {**found, **message.data, **({"links": links} if links else {})}
