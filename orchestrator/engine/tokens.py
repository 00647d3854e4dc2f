"""Tokens: made with a secret that is shown once, recognised by a keyed hash."""

from __future__ import annotations

import base64
import contextlib
import re
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import NewEvent
from orchestrator.domain.operator_decisions import Act
from orchestrator.engine.deps import Deps
from orchestrator.engine.shown import shown
from orchestrator.engine.who import SCOPES, Who, unsaid
from orchestrator.errors import BadInput, Misconfigured, NotFound, Unauthorized, Unavailable
from orchestrator.storage import connections, events, tokens
from orchestrator.storage.database import now as transaction_now
from orchestrator.telemetry import get_logger

#: A token says of itself whether it opens real work, so that a scanner which finds it knows how bad that is.
LIVE, TEST = "orch_live_", "orch_test_"
_BODY_CHARS = 40
DEFAULT_WORKSPACE = "default"
_WORKSPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SECRET_BITS = 160

log = get_logger("api")


async def authenticate(deps: Deps, bearer: str) -> Who:
    """Return who holds a token.

    Raises:
        Unauthorized: not one of ours, expired, or revoked; a mistyped one is refused without asking the database.
    """
    if not is_well_formed(bearer):
        raise Unauthorized("the token is not one of ours", hint="orchestrator token create")

    async def find(connection: AsyncConnection) -> tokens.TokenRow | None:
        return await tokens.find(connection, digest_of(deps, bearer))

    found = await deps.db.run(find)
    if found is None:
        raise Unauthorized("the token is unknown, expired or revoked", hint="orchestrator token create")
    if found.is_stale:
        # Apart from the answer: a database that takes no writes can still be read.
        with contextlib.suppress(Unavailable):
            await deps.db.run(partial(tokens.used, token_id=found.id), tries=1)
    return Who(
        workspace_id=found.workspace_id,
        actor=f"token:{found.name}",
        scopes=frozenset(found.scopes),
        connection=found.connection,
    )


async def create_token(
    deps: Deps,
    workspace_id: UUID,
    name: str,
    *,
    scopes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    is_test: bool = False,
    connection: str | None = None,
    actor: str,
) -> tuple[str, dict[str, Any]]:
    """Make a token. Returns its secret, which is kept nowhere, and its view.

    Args:
        connection: the name of the one that the Script door speaks for, when this token is shown there.

    Raises:
        NotFound: there is no such connection.
    """
    unknown = set(scopes or ()) - set(SCOPES)
    if unknown:
        raise BadInput(f"unknown scopes: {', '.join(sorted(unknown))}", hint=f"known are {', '.join(SCOPES)}")
    if not name or len(name) > 100 or not name.isprintable():
        raise BadInput("a token needs a name of 1 to 100 printable characters")
    secret = _new_secret(deps, TEST if is_test else LIVE)
    token_id = deps.sources.new_id()
    granted = list(scopes or SCOPES)

    async def insert(session: AsyncConnection) -> None:
        bound = None if connection is None else await _connection_id(session, workspace_id, connection)
        await tokens.insert(
            session,
            id=token_id,
            workspace=workspace_id,
            name=name,
            hint=secret[-4:],
            digest=digest_of(deps, secret),
            scopes=granted,
            expires_at=expires_at,
            connection_id=bound,
        )
        told = Act(actor=actor, reason=unsaid("token create")).event(
            "token_created", token=str(token_id), scopes=granted, connection=None if bound is None else str(bound)
        )
        await events.append_to_workspace(session, workspace_id, [told], at=await transaction_now(session))

    await deps.db.run(insert)
    view = {"id": token_id, "name": name, "scopes": granted, "expires_at": expires_at, "connection": connection}
    return secret, shown(view)


async def _connection_id(session: AsyncConnection, workspace_id: UUID, name: str) -> UUID:
    found = await connections.find(session, workspace_id, name)
    if found is None:
        raise NotFound(
            f"there is no connection named {name!r}", code="connection_not_found", hint="orchestrator connection list"
        )
    return found.id


async def list_tokens(deps: Deps, who: Who) -> list[dict[str, Any]]:
    """Return the workspace's tokens, without their secrets."""

    async def read(connection: AsyncConnection) -> list[dict[str, Any]]:
        return await tokens.page(connection, who.workspace_id)

    return [shown(row) for row in await deps.db.run(read)]


async def revoke_token(deps: Deps, who: Who, token_id: UUID, *, reason: str | None = None) -> None:
    """Revoke a token, at once."""

    async def revoke(connection: AsyncConnection) -> None:
        if not await tokens.revoke(connection, who.workspace_id, token_id):
            raise NotFound("there is no such token, or it is revoked already")
        told = who.act("token revoke", reason).event("token_revoked", token=str(token_id))
        await events.append_to_workspace(connection, who.workspace_id, [told], at=await transaction_now(connection))

    await deps.db.run(revoke)


def is_well_formed(text: str) -> bool:
    """Tell whether a text could be a token of ours: its kind, its length and its checksum."""
    if not text.startswith((LIVE, TEST)) or not text.isascii():
        return False
    body = text[len(LIVE) :]
    return len(body) == _BODY_CHARS and _checksum(body[:-8]) == body[-8:]


async def require_any(deps: Deps) -> None:
    """Make sure that somebody may call, before others than this machine can.

    Raises:
        Misconfigured: nobody may yet.
    """
    if not await deps.db.run(tokens.is_any_good):
        raise Misconfigured(
            "no token exists yet, and the API would listen beyond this machine",
            code="no_token",
            hint="orchestrator token create NAME --local, then serve again; or ORCH_HOST=127.0.0.1",
        )


async def tell_exposed(deps: Deps, token: str) -> None:
    """Write into the history that a good token was shown where others may read it, at most once a day for each.

    What is no good token is not told of. While the database is away nothing is: whoever showed it is refused all the
    same, and shows it again.
    """

    async def tell(connection: AsyncConnection) -> None:
        found = await tokens.exposed(connection, digest_of(deps, token))
        if found is None:
            return
        log.warning("token in a URL: revoke it and make another", token=found.name)
        told = NewEvent(
            type="token_exposed", actor=f"token:{found.name}", data={"token": str(found.id), "where": "url"}
        )
        await events.append_to_workspace(connection, found.workspace_id, [told], at=await transaction_now(connection))

    with contextlib.suppress(Unavailable):
        await deps.db.run(tell, tries=1)


async def ensure_workspace(deps: Deps, name: str = DEFAULT_WORKSPACE) -> UUID:
    """Return the workspace of a name, making it when it is missing.

    Raises:
        BadInput: a name that a command line or a page could not show.
    """
    if not _WORKSPACE_NAME.fullmatch(name):
        raise BadInput(f"a workspace's name is letters, digits, - and _, at most 63: {name[:100]!r}")

    async def ensure(connection: AsyncConnection) -> UUID:
        return await tokens.workspace(connection, name, new_id=deps.sources.new_id())

    return await deps.db.run(ensure)


async def find_workspace(deps: Deps, name: str) -> UUID:
    """Return the workspace of a name.

    Raises:
        NotFound: there is none.
    """

    async def find(connection: AsyncConnection) -> UUID | None:
        return await tokens.find_workspace(connection, name)

    found = await deps.db.run(find)
    if found is None:
        raise NotFound(f"there is no workspace {name!r}", code="workspace_not_found")
    return found


def _new_secret(deps: Deps, prefix: str) -> str:
    body = base64.b32encode(deps.sources.bits(_SECRET_BITS).to_bytes(_SECRET_BITS // 8)).decode().lower()
    return f"{prefix}{body}{_checksum(body)}"


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def digest_of(deps: Deps, secret: str) -> bytes:
    """Return the keyed hash by which a token is known."""
    return bytes.fromhex(deps.sealer.fingerprint("token", secret))
