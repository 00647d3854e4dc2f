"""Who asks, and whether they may: `Authorization: Bearer …` on every route of the API, on loopback too."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request

from orchestrator.api.guesses import Guesses
from orchestrator.api.problems import RequestRefused
from orchestrator.engine import tokens
from orchestrator.engine.deps import Deps
from orchestrator.engine.who import SCOPES, Who
from orchestrator.errors import Forbidden, Unauthorized

MAX_TOKEN_CHARS = 512


class Scope(StrEnum):
    """What a token may do. None implies another."""

    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"
    APPROVE = "approve"
    ADMIN = "admin"


assert set(Scope) == set(SCOPES), "the routes and the tokens speak of the same scopes"


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request: what every handler needs."""

    request: Request
    deps: Deps
    who: Who


class Needs:
    """Gives the call to a handler, if the token has the scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Call:
        # Before the header is asked for: who shows it in the URL mostly shows it nowhere else.
        await refuse_tokens_in_url(request)
        return await admit(request, bearer(request), self.scope)


async def admit(request: Request, token: str, scope: Scope) -> Call:
    """Return the call of whoever holds the token.

    Raises:
        Unauthorized, Forbidden: it is none of ours; it lacks the scope.
        RequestRefused: as `identified`.
    """
    deps: Deps = request.app.state.deps
    who = await identified(request, token)
    if scope not in who.scopes:
        raise scope_missing("this token", who, scope)
    return Call(request=request, deps=deps, who=who)


Reading = Annotated[Call, Depends(Needs(Scope.READ))]
Submitting = Annotated[Call, Depends(Needs(Scope.SUBMIT))]
Operating = Annotated[Call, Depends(Needs(Scope.OPERATE))]
Approving = Annotated[Call, Depends(Needs(Scope.APPROVE))]
Administering = Annotated[Call, Depends(Needs(Scope.ADMIN))]


def scope_missing(holder: str, who: Who, scope: Scope) -> Forbidden:
    """Return the refusal of what a token may not: which scope is missing, and who can give it."""
    return Forbidden(
        f"{holder} may {', '.join(sorted(who.scopes)) or 'do nothing'}; this needs {scope}",
        code="scope.missing",
        hint=f"whoever holds a token with {Scope.ADMIN} can make one that may: "
        f"`orchestrator token create NAME --scope {scope}`, or the page Tokens",
    )


async def identified(request: Request, token: str) -> Who:
    """Return who holds the token that a request shows. Only wrong ones count, and only they are told to wait.

    Raises:
        Unauthorized: it is none of ours, expired, or revoked.
        RequestRefused: 429; it is, and too many such came from this address lately.
    """
    try:
        return await tokens.authenticate(request.app.state.deps, token)
    except Unauthorized:
        refuse_guessing(request)
        raise


def refuse_guessing(request: Request) -> None:
    """Count a wrong secret of a request's address.

    Raises:
        RequestRefused: 429; too many came from there lately.
    """
    guesses: Guesses = request.app.state.guesses
    wait_s = guesses.wrong(address(request), now_s=time.monotonic())
    if wait_s == 0:
        return
    raise RequestRefused(
        429,
        "too many wrong tokens came from this address",
        code="token.guessed",
        hint="Send a good one: that is answered at once.",
        headers={"Retry-After": str(math.ceil(wait_s))},
    ) from None


def address(request: Request) -> str:
    """Return where a request comes from: behind a proxy, the proxy's own address, whatever it forwards."""
    return request.client.host if request.client else "?"


async def refuse_tokens_in_url(request: Request) -> None:
    """Refuse a token in a query: URLs are logged and kept on the way, so whoever reads a log has it now."""
    shown = [value for _, value in request.query_params.multi_items() if tokens.is_well_formed(value)]
    if not shown:
        return
    await tokens.tell_exposed(request.app.state.deps, shown[0])
    raise Unauthorized(
        "a token does not belong into a URL, which is logged on its way",
        code="token.in_url",
        hint="Revoke it (`orchestrator token revoke ID`), make another, and send it as `Authorization: Bearer …`.",
    )


def bearer(request: Request) -> str:
    """Return the token that the request shows.

    Raises:
        Unauthorized: it shows none.
        RequestRefused: it shows two; which of them counts is not for us to guess.
    """
    shown = request.headers.getlist("authorization")
    if len(shown) > 1:
        raise RequestRefused(400, "two Authorization headers", code="header.repeated")
    kind, _, token = (shown[0] if shown else "").partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise Unauthorized(
            "this needs a token: `Authorization: Bearer …`",
            hint="`orchestrator up` writes one for this machine into its data folder; or: orchestrator token create",
        )
    return token
