"""Tokens: who may call. Stored as keyed hashes; the secret itself is shown once and kept nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one, rows

# The last use is kept to the minute, so that reading costs no write.
FIND = text("""
    SELECT t.id, t.workspace_id, t.name, t.scopes, c.name AS connection,
        t.last_used_at < orch_now() - interval '1 minute' OR t.last_used_at IS NULL AS is_stale
    FROM tokens t LEFT JOIN connections c ON c.id = t.connection_id AND c.removed_at IS NULL
    WHERE t.digest = :digest AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > orch_now())""")

USED = text("UPDATE tokens SET last_used_at = orch_now() WHERE id = :id")

# Whoever has such a URL asks as often as they like; the history of the workspace does not grow with that.
EXPOSED = text("""
    UPDATE tokens SET exposed_at = orch_now()
    WHERE digest = :digest AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > orch_now())
        AND (exposed_at IS NULL OR exposed_at NOT BETWEEN orch_now() - interval '1 day' AND orch_now())
    RETURNING id, workspace_id, name""")

INSERT = text("""
    INSERT INTO tokens (id, workspace_id, name, hint, digest, scopes, expires_at, connection_id, created_at)
    VALUES (:id, :workspace, :name, :hint, :digest, CAST(:scopes AS text[]), :expires_at, :connection_id,
        orch_now())""")

LIST = text("""
    SELECT t.id, t.name, t.hint, t.scopes, c.name AS connection, t.created_at, t.expires_at, t.last_used_at,
        t.revoked_at
    FROM tokens t LEFT JOIN connections c ON c.id = t.connection_id
    WHERE t.workspace_id = :workspace ORDER BY t.id LIMIT 1000""")

REVOKE = text("""
    UPDATE tokens SET revoked_at = orch_now() WHERE id = :id AND workspace_id = :workspace AND revoked_at IS NULL""")

ANY_GOOD = text("""
    SELECT EXISTS (SELECT FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > orch_now()))""")

WORKSPACE = text("SELECT id FROM workspaces WHERE name = :name")

INSERT_WORKSPACE = text("""
    INSERT INTO workspaces (id, name, created_at) VALUES (:id, :name, orch_now()) ON CONFLICT (name) DO NOTHING""")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token that is good now. `connection` is the one that it is bound to, None without or when it was removed."""

    id: UUID
    workspace_id: UUID
    name: str
    scopes: tuple[str, ...]
    connection: str | None
    is_stale: bool


async def find(connection: AsyncConnection, digest: bytes) -> TokenRow | None:
    """Return the good token with this keyed hash."""
    row = await one(connection, FIND, {"digest": digest})
    return None if row is None else TokenRow(**{**row._mapping, "scopes": tuple(row.scopes)})


async def is_any_good(connection: AsyncConnection) -> bool:
    """Tell whether anybody at all may call."""
    return bool((await connection.execute(ANY_GOOD)).scalar_one())


async def used(connection: AsyncConnection, token_id: UUID) -> None:
    """Write that a token was used just now."""
    await connection.execute(USED, {"id": token_id})


async def exposed(connection: AsyncConnection, digest: bytes) -> Row[Any] | None:
    """Note that a good token was shown to others, and return it; None where that was noted within a day."""
    return await one(connection, EXPOSED, {"digest": digest})


async def insert(
    connection: AsyncConnection,
    *,
    id: UUID,
    workspace: UUID,
    name: str,
    hint: str,
    digest: bytes,
    scopes: Sequence[str],
    expires_at: datetime | None,
    connection_id: UUID | None,
) -> None:
    """Write a new token."""
    values = {"id": id, "workspace": workspace, "name": name, "hint": hint, "digest": digest}
    values |= {"scopes": list(scopes), "expires_at": expires_at, "connection_id": connection_id}
    await connection.execute(INSERT, values)


async def page(connection: AsyncConnection, workspace: UUID) -> list[dict[str, Any]]:
    """Return a workspace's tokens, without their secrets."""
    return [dict(row._mapping) for row in await rows(connection, LIST, {"workspace": workspace})]


async def revoke(connection: AsyncConnection, workspace: UUID, token_id: UUID) -> bool:
    """Revoke a token; False when there is no such good one."""
    return await execute(connection, REVOKE, {"workspace": workspace, "id": token_id}) == 1


async def workspace(connection: AsyncConnection, name: str, *, new_id: UUID) -> UUID:
    """Return the workspace of a name, making it when it is missing."""
    await connection.execute(INSERT_WORKSPACE, {"id": new_id, "name": name})
    found: UUID = (await connection.execute(WORKSPACE, {"name": name})).scalar_one()
    return found


async def find_workspace(connection: AsyncConnection, name: str) -> UUID | None:
    """Return the workspace of a name, None when there is none."""
    row = await one(connection, WORKSPACE, {"name": name})
    return None if row is None else row.id
