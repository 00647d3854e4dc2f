"""Sessions of browsers, and links that sign in once: kept as keyed hashes, gone with their token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.storage.database import execute, one
from orchestrator.storage.tokens import TokenRow

#: A session ends so long after it was used last, and so long after it began.
IDLE_H = 12
LIFE_D = 7

_GOOD_TOKEN = "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > orch_now())"  # noqa: S105 - a condition

BEGIN = text(f"""
    WITH t AS (SELECT t.id, t.workspace_id, t.name FROM tokens t WHERE t.digest = :token AND {_GOOD_TOKEN}),
        made AS (INSERT INTO sessions (digest, token_id) SELECT :digest, t.id FROM t)
    SELECT id, workspace_id, name FROM t""")  # noqa: S608 - our own words

# The last use is kept to the minute, so that reading costs no write.
FIND = text(f"""
    SELECT t.id, t.workspace_id, t.name, t.scopes, c.name AS connection,
        s.last_used_at < orch_now() - interval '1 minute' AS is_stale
    FROM sessions s JOIN tokens t ON t.id = s.token_id
    LEFT JOIN connections c ON c.id = t.connection_id AND c.removed_at IS NULL
    WHERE s.digest = :digest AND {_GOOD_TOKEN} AND s.last_used_at > orch_now() - make_interval(hours => {IDLE_H})
        AND s.created_at > orch_now() - make_interval(days => {LIFE_D})""")  # noqa: S608 - our own words

# The token is used with it: who looks at the list of tokens wants to know which are.
USED = text("""
    WITH used AS (UPDATE sessions SET last_used_at = orch_now() WHERE digest = :digest RETURNING token_id)
    UPDATE tokens SET last_used_at = orch_now() FROM used WHERE tokens.id = used.token_id""")
END = text("""
    WITH ended AS (DELETE FROM sessions WHERE digest = :digest RETURNING token_id)
    SELECT t.id, t.workspace_id, t.name FROM ended JOIN tokens t ON t.id = ended.token_id""")

MAKE_LINK = text(f"""
    INSERT INTO sign_in_links (digest, token_id, expires_at)
    SELECT :digest, t.id, orch_now() + make_interval(secs => :life_s) FROM tokens t
    WHERE t.digest = :token AND {_GOOD_TOKEN}""")  # noqa: S608 - our own words

# One statement takes the link and begins the session: of two browsers that show it at once, one signs in.
REDEEM_LINK = text(f"""
    WITH taken AS (DELETE FROM sign_in_links WHERE digest = :link AND expires_at > orch_now() RETURNING token_id),
        t AS (SELECT t.id, t.workspace_id, t.name FROM taken JOIN tokens t ON t.id = taken.token_id
            WHERE {_GOOD_TOKEN}),
        made AS (INSERT INTO sessions (digest, token_id) SELECT :digest, t.id FROM t)
    SELECT id, workspace_id, name FROM t""")  # noqa: S608 - our own words

FORGET_SESSIONS = text(f"DELETE FROM sessions WHERE created_at < orch_now() - make_interval(days => {LIFE_D})")  # noqa: S608
FORGET_LINKS = text("DELETE FROM sign_in_links WHERE expires_at < orch_now()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The token whose session it is."""

    id: UUID
    workspace_id: UUID
    name: str


async def begin(connection: AsyncConnection, *, digest: bytes, token: bytes) -> Holder | None:
    """Begin a session of a token; return whose it is, None when there is no such good one."""
    await _forget(connection)
    return _holder(await one(connection, BEGIN, {"digest": digest, "token": token}))


async def find(connection: AsyncConnection, digest: bytes) -> TokenRow | None:
    """Return the token of a session that lasts; `is_stale` says that its use is to be written down."""
    row = await one(connection, FIND, {"digest": digest})
    return None if row is None else TokenRow(**{**row._mapping, "scopes": tuple(row.scopes)})


async def used(connection: AsyncConnection, digest: bytes) -> None:
    """Write that a session was used just now."""
    await connection.execute(USED, {"digest": digest})


async def end(connection: AsyncConnection, digest: bytes) -> Holder | None:
    """End a session; return whose it was, as `begin`. Twice is fine: None."""
    return _holder(await one(connection, END, {"digest": digest}))


async def make_link(connection: AsyncConnection, *, digest: bytes, token: bytes, life_s: float) -> bool:
    """Make a link that begins one session; False when there is no such good token."""
    await _forget(connection)
    return await execute(connection, MAKE_LINK, {"digest": digest, "token": token, "life_s": life_s}) == 1


async def redeem_link(connection: AsyncConnection, *, link: bytes, digest: bytes) -> Holder | None:
    """Take a link and begin its session; return whose, as `begin`, None when it was used, or is over."""
    return _holder(await one(connection, REDEEM_LINK, {"link": link, "digest": digest}))


def _holder(row: Row[Any] | None) -> Holder | None:
    return None if row is None else Holder(**row._mapping)


async def _forget(connection: AsyncConnection) -> None:
    """Remove what has ended. Tables that only grow when somebody signs in are tidied then, and no sweep asks for it."""
    await connection.execute(FORGET_SESSIONS)
    await connection.execute(FORGET_LINKS)
