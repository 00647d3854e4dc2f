"""One effect per Idempotency-Key: a repeat is told what the first request came to.

Only successes are kept. A refusal stored nothing, so its key is free again. When the process dies in the middle, the
key stays held. A submission's id follows from its key, so that a repeat finds what was stored, or stores it then. A
repeat of any other act is refused, not done again: it could launch twice what launching once was asked for.
`external_id` is the stronger, lasting promise.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from http import HTTPStatus
from uuid import UUID

from starlette.responses import Response

from orchestrator.api.answers import JSON, Answer, shown, text_of
from orchestrator.api.auth import Call
from orchestrator.api.problems import RequestRefused
from orchestrator.engine.spool import Spool
from orchestrator.errors import BadInput, Conflict, OrchestratorError, Unavailable
from orchestrator.runtime import uuid7
from orchestrator.storage import idempotency
from orchestrator.storage.idempotency import Found, Standing
from orchestrator.telemetry import get_logger

HEADER = "idempotency-key"
REPLAYED = "Idempotent-Replayed"
MAX_KEY_CHARS = 255
#: A longer answer is kept without what makes it long.
MAX_KEPT_CHARS = 256 * 1024

log = get_logger("api")


async def once(call: Call, content: bytes, act: Callable[[], Awaitable[Answer]]) -> Response:
    """Do what a POST asks for, or say what it came to the first time.

    Args:
        content: the body, which the key is bound to together with method, path and query, and with the connection that
            the caller's token speaks for.
    """
    key = _key(call)
    if key is None:
        return _response(await act())
    mark = await asyncio.to_thread(_fingerprint, call, content)
    hold = partial(idempotency.hold, workspace=call.who.workspace_id, key=key, fingerprint=mark)
    found = await call.deps.db.run(hold, tries=1)
    if found.standing is not Standing.OURS:
        return _earlier(found)
    return await _first(call, key, mark, act, holder=None)


async def stored_once(
    call: Call, content: bytes | Spool, store: Callable[[UUID | None], Awaitable[Answer]]
) -> Response:
    """Store what a POST submits, or say what it came to the first time.

    Args:
        store: is handed the id to store under. It stores nothing where something is stored under that id, and waits for
            another that stores under it at the same time.
    """
    key = _key(call)
    if key is None:
        return _response(await store(None))
    mark, holder = await asyncio.to_thread(_fingerprint, call, content), str(call.deps.sources.new_id())
    hold = partial(
        idempotency.hold, workspace=call.who.workspace_id, key=key, fingerprint=mark, holder=holder, takes_over=True
    )
    found = await call.deps.db.run(hold)
    if found.standing is not Standing.OURS:
        return _earlier(found)
    assert found.held_at is not None, "a key that is ours says since when"
    id = _stored_under(call, key, mark, found.held_at)
    return await _first(call, key, mark, lambda: store(id), holder=holder)


async def _first(
    call: Call, key: str, mark: bytes, act: Callable[[], Awaitable[Answer]], *, holder: str | None
) -> Response:
    """Act under a key that is ours, and keep what it came to."""
    try:
        answer = await act()
    except OrchestratorError:
        await _free(call, key, mark, holder)
        raise
    kept = text_of(answer.kept if answer.kept is not None else answer.view)
    await _keep(call, key, mark, answer.status, kept)
    return _response(answer)


def _stored_under(call: Call, key: str, mark: bytes, held_at: datetime) -> UUID:
    """Return the id that every repeat of this request comes to. Nobody can aim at another's: the digest is keyed."""
    facts = f"{call.who.workspace_id}\n{key}\n{mark.hex()}\n{held_at.isoformat()}"
    digest = bytes.fromhex(call.deps.sealer.fingerprint("idempotency", facts))
    return uuid7(int(held_at.timestamp() * 1000), int.from_bytes(digest[:10]) >> 6)


async def _keep(call: Call, key: str, mark: bytes, status: int, body: str) -> None:
    assert len(body) <= 4 * MAX_KEPT_CHARS, "whoever answers at length gives a shorter answer to keep"
    keep = partial(
        idempotency.keep, workspace=call.who.workspace_id, key=key, fingerprint=mark, status=status, body=body
    )
    try:
        await call.deps.db.run(keep)
    except Unavailable:
        # The work is stored, and the client must hear so. A repeat of the key is refused as interrupted.
        log.warning("idempotency key not kept", status=status)


async def _free(call: Call, key: str, mark: bytes, holder: str | None) -> None:
    free = partial(idempotency.free, workspace=call.who.workspace_id, key=key, fingerprint=mark, holder=holder)
    try:
        await call.deps.db.run(free)
    except Unavailable:
        # The error that brought us here is the one to tell. A repeat of the key is refused as interrupted.
        log.warning("idempotency key not freed")


def _earlier(found: Found) -> Response:
    """Return what the first request under the key came to, or say why that cannot be said."""
    match found.standing:
        case Standing.DONE:
            assert found.status is not None
            return Response(
                (found.body or "").encode(), status_code=found.status, headers={REPLAYED: "true"}, media_type=JSON
            )
        case Standing.MISMATCH:
            raise BadInput(
                "this Idempotency-Key came with another request before",
                code="idempotency.mismatch",
                hint="Use a new key for a new request, the same key only for a repeat.",
            )
        case Standing.BUSY:
            raise RequestRefused(
                HTTPStatus.CONFLICT,
                "a request with this Idempotency-Key is being worked on",
                code="idempotency.in_progress",
                hint="Send it again in a moment, with the same key.",
                headers={"Retry-After": "1"},
            )
        case _:
            raise Conflict(
                "an earlier request with this Idempotency-Key was cut off; whether it was stored is not known",
                code="idempotency.interrupted",
                hint="Look at the list first. If it is not there, send it again with a new key.",
            )


def _key(call: Call) -> str | None:
    """Return the key, bare or in quotes as the IETF draft has it; None when there is none."""
    given = call.request.headers.getlist(HEADER)
    if not given:
        return None
    if len(given) > 1:
        raise RequestRefused(400, "two Idempotency-Key headers", code="header.repeated")
    key = given[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not (1 <= len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable()):
        raise RequestRefused(
            400, f"an Idempotency-Key is 1 to {MAX_KEY_CHARS} printable ASCII characters", code="idempotency.key"
        )
    return key


def _fingerprint(call: Call, content: bytes | Spool) -> bytes:
    """Return what a request is recognised by. Off the event loop: a body may be megabytes, to be read and sorted."""
    url = call.request.url
    # At a door the same words mean another place by another key. No method begins as this does.
    bound = "" if call.who.connection is None else f"\0{call.who.connection}\n"
    digest = hashlib.sha256(f"{bound}{call.request.method}\n{url.path}\n{url.query}\n".encode())
    digest.update(call.request.headers.get("content-type", "").encode())
    digest.update(b"\n")
    for chunk in [_canonical(content)] if isinstance(content, bytes) else content.chunks():
        digest.update(chunk)
    return digest.digest()


def _canonical(content: bytes) -> bytes:
    """Return the same bytes for the same JSON, however it is spaced and ordered; of what is no JSON, its own bytes.

    Numbers keep their spelling: 1.0 and 1.00 are two inputs to whoever reads them.
    """
    try:
        value = json.loads(content, parse_int=_spelled, parse_float=_spelled)
    except (ValueError, RecursionError):
        return content
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _spelled(number: str) -> str:
    # No string that was taken holds NUL, so this is no string's like.
    return f"\0{number}"


def _response(answer: Answer) -> Response:
    return shown(answer.view, status=answer.status)
