"""Who a browser acts for: a session begun with a token, or with a link that this machine printed, until it ends."""

from __future__ import annotations

import base64
import contextlib
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.engine import tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import Who
from orchestrator.errors import Unauthorized, Unavailable
from orchestrator.storage import sessions
from orchestrator.storage.tokens import TokenRow

SECRET_BITS = 256
SECRET_CHARS = 43
#: A link that was printed is good for so long: time to read the terminal and click.
LINK_LIFE_S = 15 * 60.0

_NOT_GOOD = "orchestrator token create NAME"


async def begin(deps: Deps, bearer: str) -> str:
    """Begin a session with a token. Returns the secret of its cookie, which is kept nowhere.

    Raises:
        Unauthorized: the token is none of ours, expired, or revoked.
    """
    secret = _new_secret(deps)
    token = tokens.digest_of(deps, bearer)

    async def write(connection: AsyncConnection) -> bool:
        return await sessions.begin(connection, digest=_digest(deps, "session", secret), token=token)

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


async def end(deps: Deps, secret: str) -> None:
    """End a session."""
    if _is_well_formed(secret):
        await deps.db.run(partial(sessions.end, digest=_digest(deps, "session", secret)))


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


async def redeem_link(deps: Deps, once: str) -> str:
    """Begin the session of a link, which is then used up. Returns the secret of its cookie.

    Raises:
        Unauthorized: it was used, is over, or was never ours.
    """
    secret = _new_secret(deps)

    async def write(connection: AsyncConnection) -> bool:
        link = _digest(deps, "sign-in link", once)
        return await sessions.redeem_link(connection, link=link, digest=_digest(deps, "session", secret))

    if not _is_well_formed(once) or not await deps.db.run(write, tries=1):
        raise Unauthorized(
            "this sign-in link was used already, or is over", hint="paste a token, or start `orchestrator up` again"
        )
    return secret


def _new_secret(deps: Deps) -> str:
    raw = deps.sources.bits(SECRET_BITS).to_bytes(SECRET_BITS // 8)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _is_well_formed(secret: str) -> bool:
    return len(secret) == SECRET_CHARS and secret.isascii() and secret.isprintable()


def _digest(deps: Deps, kind: str, secret: str) -> bytes:
    return bytes.fromhex(deps.sealer.fingerprint(kind, secret))
