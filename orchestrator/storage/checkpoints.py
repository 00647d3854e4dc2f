"""Checkpoints of a workspace's history: which streams moved since the last one, and the chain of what was signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.checkpoints import (
    BEFORE_ALL,
    Checkpoint,
    MovedHead,
    SignedCheckpoint,
    StreamHead,
    pack_heads,
    unpack_heads,
)
from orchestrator.runtime import in_thread
from orchestrator.storage.database import one, rows
from orchestrator.storage.patience import take_time

#: The first checkpoint of a long history reads all of it, seconds.
STATEMENT_S = 240

WORKSPACES = text("SELECT id FROM workspaces ORDER BY id")

# One writer a workspace at a time; who comes second has nothing to do.
TURN = text("SELECT pg_try_advisory_xact_lock(7205021, hashtext(CAST(:workspace AS text)))")

LAST = text("""
    SELECT number, body, at, settled_until FROM checkpoints WHERE workspace_id = :workspace
    ORDER BY number DESC LIMIT 1""")

# The last event of each stream that moved. A stream's events never go back in time, so none of its later ones is
# missed. Whose it is its owner's row says.
MOVED = text("""
    WITH moved AS (SELECT DISTINCT ON (e.stream) e.stream, e.seq, e.hash FROM events e
        WHERE e.at >= :since ORDER BY e.stream, e.seq DESC)
    SELECT m.stream, m.seq, m.hash, COALESCE(a.seq, 0) AS anchored_seq FROM moved m
    LEFT JOIN anchored_heads a ON a.stream = m.stream
    LEFT JOIN runs r ON r.id = m.stream LEFT JOIN batches b ON b.id = m.stream
    WHERE m.seq > COALESCE(a.seq, 0)
        AND :workspace = COALESCE(r.workspace_id, b.workspace_id, m.stream)
    ORDER BY m.stream LIMIT :limit""")

INSERT = text("""
    INSERT INTO checkpoints (workspace_id, number, body, signature, heads, at, settled_until)
    VALUES (:workspace, :number, :body, :signature, :heads, :at, :settled_until)""")

ANCHOR = text("""
    INSERT INTO anchored_heads (stream, seq)
    SELECT * FROM unnest(CAST(:streams AS uuid[]), CAST(:seqs AS bigint[]))
    ON CONFLICT (stream) DO UPDATE SET seq = EXCLUDED.seq""")

KEEP_KEY = text("""
    INSERT INTO signing_keys (id, public_key) VALUES (:id, :public_key) ON CONFLICT (id) DO NOTHING""")

KEYS = text("SELECT id, public_key FROM signing_keys ORDER BY first_used_at, id")

READ = text("""
    SELECT number, at, body, signature, heads FROM checkpoints
    WHERE workspace_id = :workspace AND number > :after ORDER BY number LIMIT :limit""")

# The same without the heads: what is kept outside.
READ_BARE = text("""
    SELECT number, at, body, signature, ''::bytea AS heads FROM checkpoints
    WHERE workspace_id = :workspace AND number > :after ORDER BY number LIMIT :limit""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The last checkpoint of a workspace.

    Args:
        settled_until: events before it are anchored.
    """

    number: int
    body: str
    at: datetime
    settled_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A checkpoint, its number and its time."""

    number: int
    at: datetime
    signed: SignedCheckpoint


async def workspaces(connection: AsyncConnection) -> list[UUID]:
    """Return all workspaces."""
    return [row.id for row in await rows(connection, WORKSPACES, {})]


async def take_turn(connection: AsyncConnection, workspace: UUID) -> bool:
    """Tell whether this transaction is the one that may write the workspace's next checkpoint."""
    return bool((await connection.execute(TURN, {"workspace": workspace})).scalar_one())


async def last(connection: AsyncConnection, workspace: UUID) -> Last | None:
    """Return the last checkpoint, None before the first."""
    row = await one(connection, LAST, {"workspace": workspace})
    return None if row is None else Last(**row._mapping)


async def moved(connection: AsyncConnection, workspace: UUID, *, since: datetime, limit: int) -> Sequence[MovedHead]:
    """Return the heads that no checkpoint holds yet, of streams with an event since then, in the order of streams."""
    if since == BEFORE_ALL:
        await take_time(connection, STATEMENT_S)
    found = await rows(connection, MOVED, {"workspace": workspace, "since": since, "limit": limit})
    return [
        MovedHead(head=StreamHead(stream=row.stream, seq=row.seq, hash=bytes(row.hash)), anchored_seq=row.anchored_seq)
        for row in found
    ]


async def insert(
    connection: AsyncConnection, checkpoint: Checkpoint, signed: SignedCheckpoint, *, settled_until: datetime
) -> None:
    """Write a checkpoint, and how far its streams are anchored now."""
    values = {
        "workspace": checkpoint.workspace,
        "number": checkpoint.number,
        "body": signed.body,
        "signature": signed.signature,
        "heads": pack_heads(signed.heads),
        "at": checkpoint.at,
        "settled_until": settled_until,
    }
    await connection.execute(INSERT, values)
    if signed.heads:
        streams, seqs = [head.stream for head in signed.heads], [head.seq for head in signed.heads]
        await connection.execute(ANCHOR, {"streams": streams, "seqs": seqs})


async def keep_key(connection: AsyncConnection, key_id: str, public_key: bytes) -> None:
    """Keep the public half of a key that signs."""
    await connection.execute(KEEP_KEY, {"id": key_id, "public_key": public_key})


async def keys(connection: AsyncConnection) -> Mapping[str, bytes]:
    """Return every key that ever signed, by its id."""
    return {row.id: bytes(row.public_key) for row in await rows(connection, KEYS, {})}


async def read(
    connection: AsyncConnection, workspace: UUID, *, after: int = 0, limit: int = 100, with_heads: bool = True
) -> list[Stored]:
    """Return checkpoints in order, those after a number."""
    query = READ if with_heads else READ_BARE
    found = await rows(connection, query, {"workspace": workspace, "after": after, "limit": limit})
    # One may hold a hundred thousand heads.
    return await in_thread(partial(stored, found)) if with_heads else stored(found)


def stored(found: Sequence[Row[Any]]) -> list[Stored]:
    """Return checkpoints as they were read."""
    return [
        Stored(
            number=row.number,
            at=row.at,
            signed=SignedCheckpoint(
                body=row.body, signature=bytes(row.signature), heads=unpack_heads(bytes(row.heads))
            ),
        )
        for row in found
    ]
