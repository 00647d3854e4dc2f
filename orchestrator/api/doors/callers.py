"""Who asks at the Script door: `x-api-key` holds one of our tokens, and the token says which connection is meant."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from orchestrator.api.auth import MAX_TOKEN_CHARS, Call, Scope, admit, refuse_tokens_in_url
from orchestrator.api.problems import RequestRefused
from orchestrator.errors import Unauthorized

HEADER = "x-api-key"


class KeyFor:
    """Gives the call to a handler, if the key has the scope and is bound to a connection."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Call:
        await refuse_tokens_in_url(request)
        call = await admit(request, api_key(request), self.scope)
        if call.who.connection is None:
            raise Unauthorized(
                "This API key is bound to no connection, or to one that was removed",
                code="token.unbound",
                hint="orchestrator token create NAME --connection CONNECTION",
            )
        return call


KeyReading = Annotated[Call, Depends(KeyFor(Scope.READ))]
KeySubmitting = Annotated[Call, Depends(KeyFor(Scope.SUBMIT))]


def connection_of(call: Call) -> str:
    """Return the connection that the caller's key is bound to."""
    assert call.who.connection is not None, "an unbound key was refused before"
    return call.who.connection


def api_key(request: Request) -> str:
    """Return the key that the request shows.

    Raises:
        Unauthorized: it shows none, or nothing that could be one of ours.
        RequestRefused: it shows two; which of them counts is not for us to guess.
    """
    shown = request.headers.getlist(HEADER)
    if len(shown) > 1:
        raise RequestRefused(400, "two x-api-key headers", code="header.repeated")
    key = shown[0].strip() if shown else ""
    if not key or len(key) > MAX_TOKEN_CHARS or not key.isascii():
        raise Unauthorized("Unauthorized: the header x-api-key holds no API key")
    return key
