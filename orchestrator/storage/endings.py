"""Versions of a provider's API that it will end, as connections were told."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.heard import Ending, EndingNews
from orchestrator.domain.sights import EndingSight
from orchestrator.domain.webhooks import VERSION_ENDING, Message
from orchestrator.storage import outbox
from orchestrator.storage.database import one, rows

# What was heard of a version that the connection does not ask for any more is nothing to it; nor is what it knows.
TELL = text("""
    UPDATE connections SET ending_told_at = COALESCE(ending_told_at, orch_now()), ending_version = :version,
        ending_sunset_at = :sunset_at, ending_replacement = :replacement
    WHERE id = :id AND api_version = :asked AND (ending_told_at IS NULL
        OR (ending_version, ending_sunset_at, ending_replacement) IS DISTINCT FROM
           (CAST(:version AS text), CAST(:sunset_at AS timestamptz), CAST(:replacement AS text)))
    RETURNING workspace_id, name, orch_now() AS now""")

# The provider has thought better of it.
TAKE_BACK = text("""
    UPDATE connections SET ending_told_at = NULL, ending_version = NULL, ending_sunset_at = NULL,
        ending_replacement = NULL
    WHERE id = :id AND api_version = :asked AND ending_told_at IS NOT NULL""")

# Few are told of such, and of all connections there are hardly more.
KNOWN = text("""
    SELECT c.name, c.api_version AS version, c.ending_sunset_at AS sunset_at, c.ending_replacement AS replacement,
        c.ending_told_at AS told_at, c.workspace_id
    FROM connections c WHERE c.ending_told_at IS NOT NULL AND c.removed_at IS NULL ORDER BY c.id LIMIT 100""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A connection that was told something new."""

    name: str
    asked: str | None
    ending: Ending


async def write(connection: AsyncConnection, id: UUID, news: EndingNews) -> Told | None:
    """Write down what a connection was told, and tell of it; return it if it is new, and the version does end."""
    if news.ending is None:
        await connection.execute(TAKE_BACK, {"id": id, "asked": news.asked})
        return None
    ending = news.ending
    values = {"version": ending.version, "sunset_at": ending.sunset_at, "replacement": ending.replacement}
    row = await one(connection, TELL, {"id": id, "asked": news.asked, **values})
    if row is None:
        return None
    sunset_at = None if ending.sunset_at is None else outbox.stamp(ending.sunset_at)
    told = Message(
        workspace_id=row.workspace_id,
        type=VERSION_ENDING,
        about=f"{VERSION_ENDING}:{id}:{news.asked}:{sunset_at}",
        data={"connection": row.name, "api_version": news.asked, "sunset_at": sunset_at},
    )
    await outbox.write(connection, [told], at=row.now)
    return Told(name=row.name, asked=news.asked, ending=ending)


async def known(connection: AsyncConnection) -> tuple[EndingSight, ...]:
    """Return the connections whose version ends."""
    return tuple(EndingSight(**row._mapping) for row in await rows(connection, KNOWN, {}))
