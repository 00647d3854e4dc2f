"""Webhooks: who is told, of what, and how each does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one, rows
from orchestrator.storage.listening import ACTIVE

_COLUMNS = """h.id, h.workspace_id, h.name, h.url, h.types, h.secret, h.old_secret, h.old_secret_until, h.rests_until,
    h.failing_since, h.delivered_at, h.disabled_at, h.disabled_because, h.created_by, h.created_at"""

_NAMED = "FROM webhooks h WHERE h.workspace_id = :workspace AND h.name = :name AND h.removed_at IS NULL"

FIND = text(f"SELECT {_COLUMNS} {_NAMED}")

LOCK = text(f"SELECT {_COLUMNS} {_NAMED} FOR NO KEY UPDATE OF h")

LIST = text(f"""
    SELECT {_COLUMNS} FROM webhooks h WHERE h.workspace_id = :workspace AND h.removed_at IS NULL
    ORDER BY h.name LIMIT 1000""")  # noqa: S608 - our own words

COUNT = text("SELECT count(*)::int FROM webhooks WHERE workspace_id = :workspace AND removed_at IS NULL")

INSERT = text("""
    INSERT INTO webhooks (id, workspace_id, name, url, types, secret, created_by, created_at)
    VALUES (:id, :workspace, :name, :url, CAST(:types AS text[]), :secret, :created_by, orch_now())
    ON CONFLICT (workspace_id, name) WHERE removed_at IS NULL DO NOTHING""")

# Whoever changes an address has looked after it: what waits is tried at once.
SET = text("""
    UPDATE webhooks SET url = COALESCE(:url, url), types = COALESCE(CAST(:types AS text[]), types), rests_until = NULL
    WHERE id = :id""")

ENABLE = text("""
    UPDATE webhooks SET disabled_at = NULL, disabled_because = NULL, failing_since = NULL, failed_turns = 0,
        rests_until = NULL
    WHERE id = :id""")

DISABLE = text("UPDATE webhooks SET disabled_at = orch_now(), disabled_because = :because WHERE id = :id")

# The old one signs too, for a while; the one before that no more.
ROTATE = text("""
    UPDATE webhooks SET secret = :secret, old_secret = :old_secret,
        old_secret_until = orch_now() + make_interval(secs => :overlap_s)
    WHERE id = :id""")

REMOVE = text("""
    UPDATE webhooks SET removed_at = orch_now(), secret = '', old_secret = NULL, old_secret_until = NULL
    WHERE id = :id""")

# Of each the first entries of its index: a backlog beyond counting is a backlog.
BACKLOG = text(f"""
    SELECT d.state, count(*)::int AS deliveries FROM webhooks h, LATERAL (
        (SELECT state FROM webhook_deliveries WHERE webhook_id = h.id AND state = 'pending' LIMIT 10000)
        UNION ALL (SELECT state FROM webhook_deliveries WHERE webhook_id = h.id AND state = 'failed' LIMIT 10000)) d
    WHERE {ACTIVE} GROUP BY d.state""")  # noqa: S608 - our own words

STANDING = text("""
    SELECT CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN failing_since IS NOT NULL THEN 'failing' ELSE 'ok'
        END AS state, count(*)::int AS webhooks
    FROM webhooks WHERE removed_at IS NULL GROUP BY 1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A webhook as it is stored."""

    id: UUID
    workspace_id: UUID
    name: str
    url: str
    types: Sequence[str]
    secret: bytes = field(repr=False)
    old_secret: bytes | None = field(repr=False)
    old_secret_until: datetime | None
    rests_until: datetime | None
    failing_since: datetime | None
    delivered_at: datetime | None
    disabled_at: datetime | None
    disabled_because: str | None
    created_by: str
    created_at: datetime


async def find(connection: AsyncConnection, workspace: UUID, name: str, *, locked: bool = False) -> WebhookRow | None:
    """Return a webhook by its name, or None when the workspace has none such."""
    row = await one(connection, LOCK if locked else FIND, {"workspace": workspace, "name": name})
    return None if row is None else WebhookRow(**row._mapping)


async def page(connection: AsyncConnection, workspace: UUID) -> list[WebhookRow]:
    """Return a workspace's webhooks."""
    return [WebhookRow(**row._mapping) for row in await rows(connection, LIST, {"workspace": workspace})]


async def count(connection: AsyncConnection, workspace: UUID) -> int:
    """Return how many webhooks a workspace has."""
    found: int = (await connection.execute(COUNT, {"workspace": workspace})).scalar_one()
    return found


async def insert(connection: AsyncConnection, **values: Any) -> bool:
    """Write a webhook; False when the name is taken."""
    return await execute(connection, INSERT, values) == 1


async def change(connection: AsyncConnection, id: UUID, *, url: str | None, types: Sequence[str] | None) -> None:
    """Change what is given."""
    await connection.execute(SET, {"id": id, "url": url, "types": None if types is None else list(types)})


async def enable(connection: AsyncConnection, id: UUID) -> None:
    """Tell it again: what waits, and what comes."""
    await connection.execute(ENABLE, {"id": id})


async def disable(connection: AsyncConnection, id: UUID, *, because: str) -> None:
    """Tell it nothing more."""
    await connection.execute(DISABLE, {"id": id, "because": because})


async def rotate(connection: AsyncConnection, id: UUID, *, secret: bytes, old_secret: bytes, overlap_s: float) -> None:
    """Put another secret in; the old one signs too, for a while."""
    values = {"id": id, "secret": secret, "old_secret": old_secret, "overlap_s": overlap_s}
    await connection.execute(ROTATE, values)


async def remove(connection: AsyncConnection, id: UUID) -> None:
    """Take a webhook out of sight, and forget its secrets."""
    await connection.execute(REMOVE, {"id": id})


async def backlog(connection: AsyncConnection) -> Mapping[str, int]:
    """Return how many deliveries to active webhooks are pending, and how many were given up."""
    return {row.state: row.deliveries for row in await rows(connection, BACKLOG, {})}


async def standing(connection: AsyncConnection) -> Mapping[str, int]:
    """Return how many webhooks are ok, failing, or disabled."""
    return {row.state: row.webhooks for row in await rows(connection, STANDING, {})}
