"""How much of a body is read, of which type, and how long we wait for it. Refused before it is read to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from starlette.requests import ClientDisconnect, Request

from orchestrator.api.problems import RequestRefused
from orchestrator.errors import TooLarge, Unavailable

MIB = 1024 * 1024
JSON_BYTES = 1 * MIB
#: The provider takes 4 MiB; what stands around the input in our body is small.
RUN_BYTES = 4 * MIB + 64 * 1024
BATCH_BYTES = 64 * MIB

#: Silence in the middle of a body; and the whole of it, so that a trickle cannot hold a place for ever.
STALL_S = 30.0
WHOLE_BODY_S = 300.0

#: Larger bodies, and those that do not say, take memory and disk while they are checked: so many at a time, the
#: others wait a little.
LARGE_FROM_BYTES = 2 * MIB
LARGE_AT_ONCE = 4
LARGE_PATIENCE_S = 30.0

JSON = "application/json"


class LargeBodies:
    """Turns for large bodies. One per app."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(LARGE_AT_ONCE)

    async def __aenter__(self) -> None:
        try:
            await asyncio.wait_for(self._turns.acquire(), LARGE_PATIENCE_S)
        except TimeoutError:
            raise Unavailable("too many large submissions at once", code="busy", retry_after_s=10) from None

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()


def is_large(request: Request) -> bool:
    """Tell whether the body may be a large one."""
    declared = request.headers.get("content-length", "")
    return not (declared.isascii() and declared.isdigit()) or int(declared[:20]) > LARGE_FROM_BYTES


def media_type(request: Request) -> str:
    """Return the type of the body without its parameters, lower case; empty when the request names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_type(request: Request, *allowed: str) -> str:
    """Return the body's media type.

    Raises:
        RequestRefused: 415; another type, or a compressed body.
    """
    found = media_type(request)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestRefused(415, "compressed bodies are not taken", code="body.encoding", hint="Send it plain.")
    if found not in allowed:
        raise RequestRefused(
            415,
            f"the body is {found or 'of no named type'}; this takes {', '.join(allowed)}",
            code="body.type",
            hint=f"Send Content-Type: {allowed[0]}",
        )
    return found


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Return the whole body.

    Raises: as `read_into`.
    """
    parts: list[bytes] = []
    await read_into(request, parts.append, max_bytes=max_bytes)
    return b"".join(parts)


async def read_into(request: Request, write: Callable[[bytes], object], *, max_bytes: int) -> None:
    """Hand on the body as it comes.

    Raises: as `chunks`.
    """
    async for chunk in chunks(request, max_bytes=max_bytes):
        write(chunk)


async def chunks(request: Request, *, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Give the body as it comes.

    Raises:
        TooLarge: by what it declares, or by what came; no more than the limit is read.
        RequestRefused: 408; it stopped coming.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    size, coming = 0, request.stream()
    until = asyncio.get_running_loop().time() + WHOLE_BODY_S
    while True:
        try:
            # Around each piece and not around all: it would be whoever takes the pieces that is cut off.
            async with asyncio.timeout(min(STALL_S, until - asyncio.get_running_loop().time())):
                chunk = await anext(coming)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RequestRefused(
                408, "the body stopped coming", code="body.stalled", headers={"Connection": "close"}
            ) from None
        except ClientDisconnect:
            # Nobody reads the answer; this only ends the request quietly.
            raise RequestRefused(400, "the client went away", code="body.cut") from None
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body has more than {max_bytes:,} bytes", hint="Split it.")
