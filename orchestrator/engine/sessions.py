"""Who a browser acts for: a session begun with a token, or with a link that this machine printed, until it ends."""

from __future__ import annotations

import base64
import contextlib
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.domain.chain import NewEvent
from orchestrator.engine import tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Unauthorized, Unavailable
from orchestrator.storage import events, sessions
from orchestrator.storage.database import now as transaction_now
from orchestrator.storage.sessions import Holder
from orchestrator.storage.tokens import TokenRow

SECRET_BITS = 256
SECRET_CHARS = 43
#: A link that was printed is good for so long: time to read the terminal and click.
LINK_LIFE_S = 15 * 60.0

OPENED, CLOSED = "session_opened", "session_closed"
#: Of a session's hash, so much stands in the history: enough to tell them apart.
NAME_CHARS = 16

_NOT_GOOD = "orchestrator token create NAME"


async def begin(deps: Deps, bearer: str, *, address: str) -> str:
    """Begin a session with a token. Returns the secret of its cookie, which is kept nowhere.

    Args:
        address: where whoever signs in calls from, for the history.

    Raises:
        Unauthorized: the token is none of ours, expired, or revoked.
    """
    secret = _new_secret(deps)
    token = tokens.digest_of(deps, bearer)

    async def write(connection: AsyncConnection) -> bool:
        digest = _digest(deps, "session", secret)
        found = await sessions.begin(connection, digest=digest, token=token)
        return await _told(connection, found, OPENED, digest, by="token", address=address)

    # Once: a commit whose answer was lost would come as a second session, which nobody holds.
    if not await deps.db.run(write, tries=1):
        raise Unauthorized("the token is unknown, expired or revoked", hint=_NOT_GOOD)
    return secret


async def resume(deps: Deps, secret: str) -> Who | None:
    """Return who a session acts for; None when it is over, or its token is no good any more."""
    if not _is_well_formed(secret):
        return None
    digest = _digest(deps, "session", secret)

    async def find(connection: AsyncConnection) -> TokenRow | None:
        return await sessions.find(connection, digest)

    found = await deps.db.run(find)
    if found is None:
        return None
    if found.is_stale:
        # Apart from the answer: a database that takes no writes can still be read.
        with contextlib.suppress(Unavailable):
            await deps.db.run(partial(sessions.used, digest=digest), tries=1)
    return Who(
        workspace_id=found.workspace_id,
        actor=f"token:{found.name}",
        scopes=frozenset(found.scopes),
        connection=found.connection,
    )


async def end(deps: Deps, secret: str, *, address: str) -> None:
    """End a session. One that is over already is not told of again."""
    if not _is_well_formed(secret):
        return
    digest = _digest(deps, "session", secret)

    async def write(connection: AsyncConnection) -> bool:
        return await _told(connection, await sessions.end(connection, digest), CLOSED, digest, address=address)

    await deps.db.run(write)


async def make_link(deps: Deps, bearer: str) -> str:
    """Return the code of a link that begins one session of a token, soon.

    Raises:
        Unauthorized: as `begin`.
    """
    once = _new_secret(deps)
    token = tokens.digest_of(deps, bearer)

    async def write(connection: AsyncConnection) -> bool:
        link = _digest(deps, "sign-in link", once)
        return await sessions.make_link(connection, digest=link, token=token, life_s=LINK_LIFE_S)

    if not await deps.db.run(write, tries=1):
        raise Unauthorized("the token is unknown, expired or revoked", hint=_NOT_GOOD)
    return once


async def redeem_link(deps: Deps, once: str, *, address: str) -> str:
    """Begin the session of a link, which is then used up. Returns the secret of its cookie.

    Raises:
        Unauthorized: it was used, is over, or was never ours.
    """
    secret = _new_secret(deps)

    async def write(connection: AsyncConnection) -> bool:
        link = _digest(deps, "sign-in link", once)
        digest = _digest(deps, "session", secret)
        found = await sessions.redeem_link(connection, link=link, digest=digest)
        return await _told(connection, found, OPENED, digest, by="link", address=address)

    if not _is_well_formed(once) or not await deps.db.run(write, tries=1):
        raise Unauthorized(
            "this sign-in link was used already, or is over", hint="paste a token, or start `orchestrator up` again"
        )
    return secret


async def _told(connection: AsyncConnection, token: Holder | None, type: str, digest: bytes, **facts: str) -> bool:
    """Write into the history whose session began or ended, and from where; False where there is none.

    `session` names it in both events; it is the beginning of a keyed hash, and nobody signs in with it.
    """
    if token is None:
        return False
    data = {"token": str(token.id), "session": digest.hex()[:NAME_CHARS], **facts}
    told = NewEvent(type=type, actor=f"token:{token.name}", data=data)
    await events.append_to_workspace(connection, token.workspace_id, [told], at=await transaction_now(connection))
    return True


def _new_secret(deps: Deps) -> str:
    raw = deps.sources.bits(SECRET_BITS).to_bytes(SECRET_BITS // 8)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _is_well_formed(secret: str) -> bool:
    return len(secret) == SECRET_CHARS and secret.isascii() and secret.isprintable()


def _digest(deps: Deps, kind: str, secret: str) -> bytes:
    return bytes.fromhex(deps.sealer.fingerprint(kind, secret))
