"""The one way of every small POST: read the JSON body, take its fields, act once, show what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.responses import Response

from orchestrator.api import limits
from orchestrator.api.answers import Answer
from orchestrator.api.auth import Call
from orchestrator.api.bodies import Fields, read_object
from orchestrator.api.idempotency import once
from orchestrator.api.queries import Query

T = TypeVar("T")


async def given(call: Call, take: Callable[[Fields], T]) -> tuple[bytes, T]:
    """Return the body's bytes, and what `take` took of its fields. No body at all counts as an empty object.

    Raises:
        BadInput, TooLarge, RequestRefused: the body is not what this route takes.
    """
    request = call.request
    content = await limits.read_body(request, max_bytes=limits.JSON_BYTES)
    if content or limits.media_type(request):
        limits.require_type(request, limits.JSON)
    fields = Fields(read_object(content, max_bytes=limits.JSON_BYTES) if content else {})
    taken = take(fields)
    fields.done()
    return content, taken


async def act(call: Call, take: Callable[[Fields], T], verb: Callable[[T], Awaitable[Answer]]) -> Response:
    """Take fields and act on them once per Idempotency-Key."""
    Query(call.request.query_params, ())
    content, taken = await given(call, take)
    return await once(call, content, lambda: verb(taken))
